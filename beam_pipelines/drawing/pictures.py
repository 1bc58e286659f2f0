"""Pictures as data URIs, so that the report is one file."""

import base64
import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfcass.errors import TfcassError

_BROWSER_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png"}


def svg_uri(svg: str) -> str:
    """SVG text -> data URI."""
    return _uri("image/svg+xml", svg.encode())


def photo_uri(pixels: np.ndarray, *, quality: int = 84) -> str:
    """uint8 [height, width, 3] -> JPEG data URI."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=quality, optimize=True, progressive=True)
    return _uri("image/jpeg", encoded.getvalue())


def patch_uri(encoded: bytes) -> str:
    """Bytes of a stored patch -> data URI: JPEG and PNG as they are, anything else (TIFF) through PNG.

    Raises:
      TfcassError: the bytes are no image.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            if image.format in _BROWSER_FORMATS:
                return _uri(_BROWSER_FORMATS[image.format], encoded)
            as_png = io.BytesIO()
            image.save(as_png, "PNG")
    except (UnidentifiedImageError, OSError) as error:
        raise TfcassError(
            f"a stored patch of {len(encoded)} bytes (starting {encoded[:8]!r}) is no image: {error}"
        ) from error
    return _uri("image/png", as_png.getvalue())


def _uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
