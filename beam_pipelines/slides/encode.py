"""Pixels -> JPEG, PNG or TIFF bytes, and back for checks. The same pixels and settings always give the same bytes."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import tifffile

from tfcass.errors import OptionError

ENCODINGS = ("jpeg", "png", "tiff")


def check_encoding(encoding: str, quality: int = 90) -> None:
    """Raises OptionError when `encode` would not take these settings: worth doing before the first slide is opened."""
    if encoding not in ENCODINGS:
        raise OptionError(f"encoding={encoding!r} is not known; choose one of {', '.join(ENCODINGS)}")
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise OptionError(f"quality={quality!r} is not a whole number in [1, 100]")


def encode(rgb: np.ndarray, encoding: str = "jpeg", quality: int = 90) -> bytes:
    """Encodes a picture.

    Args:
      rgb: uint8 [height, width, 3].
      encoding: "jpeg" (4:2:0, the smallest), "png" (lossless, compressed) or "tiff" (lossless, not compressed: the
        quickest to decode).
      quality: Of JPEG only, 1 to 100; larger is better and bigger.
    Raises:
      OptionError: unknown encoding, or quality out of range.
      ValueError: `rgb` is not uint8 [height, width, 3].
    """
    check_encoding(encoding, quality)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"rgb is {rgb.dtype} {list(rgb.shape)}; expected uint8 [height, width, 3]")
    rgb = np.ascontiguousarray(rgb)
    if encoding == "jpeg":
        return bytes(imagecodecs.jpeg8_encode(rgb, level=quality, subsampling="420"))
    if encoding == "png":
        return bytes(imagecodecs.png_encode(rgb))
    buffer = io.BytesIO()
    # No software tag, date or shape description: bytes depend on pixels alone.
    tifffile.imwrite(buffer, rgb, photometric="rgb", metadata=None, software=False)
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decodes what `encode` wrote to uint8 [height, width, 3]; the encoding is told by the first bytes.

    Raises:
      ValueError: `data` is none of the encodings, or damaged.
    """
    encoding = encoding_of(data)
    try:
        if encoding == "jpeg":
            return imagecodecs.jpeg8_decode(data)
        if encoding == "png":
            return imagecodecs.png_decode(data)
        return tifffile.imread(io.BytesIO(data))
    except Exception as error:  # Each codec has its own exception type.
        raise ValueError(f"damaged picture of {len(data)} bytes: {error}") from error


def encoding_of(data: bytes) -> str:
    """One of ENCODINGS, by the first bytes.

    Raises:
      ValueError: `data` is none of them.
    """
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    raise ValueError(f"not a JPEG, PNG or TIFF picture: {len(data)} bytes that start with {data[:8]!r}")
