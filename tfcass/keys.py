"""Keys: UUIDs as bytes, the form in which splits, shards and the op pass them on.

A key is 16 bytes, the UUID big-endian (`uuid.UUID.bytes`), and keys are uint8 [..., 16]. numpy's "S16" would drop
trailing zero bytes and so change keys: it is never used.
"""

import re
import uuid
from collections.abc import Iterable

import numpy as np

from tfcass.errors import KeyFormatError

KEY_BYTES = 16

_TEXT = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")


def keys(uuids: Iterable[uuid.UUID | str]) -> np.ndarray:
    """UUIDs -> keys, in the order given.

        tfcass.keys(["0b9f2a52-7e43-5d4a-9c3e-6f2f0a1b2c3d"])  # -> uint8 [1, 16]

    Args:
      uuids: `uuid.UUID`s, or their text: 32 hexadecimal digits in either case, with or without the hyphens.
    Returns:
      uint8 [n, 16], C-contiguous and writable; [0, 16] when there are none.
    Raises:
      KeyFormatError: Something in `uuids` is no UUID; the message gives its position.
    """
    if isinstance(uuids, str | bytes | uuid.UUID):
        raise KeyFormatError(f"keys({uuids!r}) is a single value; pass a list: keys([{uuids!r}])")
    if isinstance(uuids, np.ndarray) and uuids.dtype == np.uint8:
        raise KeyFormatError(
            f"keys() takes UUIDs, and this is uint8 {list(uuids.shape)}; if these are keys, use them as they are"
        )
    try:
        values = iter(uuids)
    except TypeError:
        raise KeyFormatError(f"keys() takes an iterable of uuid.UUID or str, got {type(uuids).__name__}") from None
    packed = bytearray()
    for position, value in enumerate(values):
        packed += _key_bytes(value, position)
    return np.frombuffer(packed, np.uint8).reshape(-1, KEY_BYTES)


def key_text(key: np.ndarray | bytes) -> str:
    """One key -> the UUID's text, for messages: uint8 [16] or 16 bytes -> "0b9f2a52-7e43-..."."""
    return str(uuid.UUID(bytes=bytes(key)))


def _key_bytes(value: object, position: int) -> bytes:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if not isinstance(value, str):
        raise KeyFormatError(
            f"keys[{position}] is {value!r} of type {type(value).__name__}; pass uuid.UUID or its text"
        )
    # Stricter than uuid.UUID, which reads underscores, blanks and digits of other scripts as well.
    if not _TEXT.fullmatch(value):
        raise KeyFormatError(
            f"keys[{position}]={value!r} is not a UUID; expected 32 hexadecimal digits, "
            "as in '0b9f2a52-7e43-5d4a-9c3e-6f2f0a1b2c3d'"
        )
    return bytes.fromhex(value.replace("-", ""))
