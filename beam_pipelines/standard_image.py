"""Bytes of any image file -> a picture of the asked size. Pure functions: no Beam, no driver.

    picture = standard_picture(data, ImageSpec(size=224))      # picture.rgb: uint8 [224, 224, 3]

What the files of large data sets hold, and what becomes of it:

EXIF rotation     applied, as every viewer does
CMYK, YCCK        converted to RGB, without a colour profile
greyscale         three equal channels                   16 bits     their upper 8; greyscale and colour
alpha, palette    composited on white                    several pages or frames: the first
float             in [0, 1] times 255; other ranges are refused, as nobody knows what they mean
"""

import dataclasses
import io
import uuid
import warnings

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from tfcass.errors import OptionError, TfcassError

IMAGE_NAMESPACE = uuid.UUID("5f0d6a3c-58a1-5c55-9a86-0d6f1c3d7b52")
RESAMPLINGS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_LARGEST_PIXELS = 250_000_000  # A few kB of PNG can claim more than the machine has memory for.


class ImageError(TfcassError, ValueError):
    """A file that is no picture, or none that can be used; the message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What pictures are made into.

    Attributes:
      size: Side of the square in pixels; None keeps the picture and its bytes as they are.
      resize_to: The shorter side is scaled to this before the centre is cut out; None means `size`, which loses least.
        ImageNet's usual evaluation is 256 for a size of 224.
      resampling: bilinear, bicubic or lanczos; all average over what a pixel covers when they make it smaller.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    size: int | None = 224
    resize_to: int | None = None
    resampling: str = "bilinear"

    def __post_init__(self) -> None:
        for name in ("size", "resize_to"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 8192):
                raise OptionError(f"{name}={value!r} is not a whole number of pixels in [1, 8192]")
        if self.size is None and self.resize_to is not None:
            raise OptionError(f"resize_to={self.resize_to} has no meaning when pictures are kept as they are")
        if self.size is not None and self.resize_to is not None and self.resize_to < self.size:
            raise OptionError(f"resize_to={self.resize_to} is below size={self.size}: the square would not fit")
        if self.resampling not in RESAMPLINGS:
            raise OptionError(f"resampling={self.resampling!r} is not one of {', '.join(RESAMPLINGS)}")

    def __str__(self) -> str:
        """Enters the ids and is stored: the same text for the same pixels, for ever."""
        if self.size is None:
            return "as it is"
        return f"shorter side {self.resize_to or self.size}, centre {self.size}, {self.resampling}"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture and what it was.

    Attributes:
      rgb: uint8 [size, size, 3]; [height, width, 3] when it was kept.
      width, height: Of the file's picture, after its EXIF rotation.
      format, mode: Of the file, in Pillow's words.
    """

    rgb: np.ndarray
    width: int
    height: int
    format: str
    mode: str


def image_id(content: str, spec: ImageSpec) -> uuid.UUID:
    """The id of a file's picture: the same for the same bytes and spec, wherever the file lies.

    Args:
      content: SHA-256 of the file, in hex.
      spec: What its picture is made into. The encoding does not enter: tables of several encodings share the ids.
    """
    return uuid.uuid5(IMAGE_NAMESPACE, f"{content} {spec}")


def standard_picture(data: bytes, spec: ImageSpec) -> Picture:
    """Decodes a file, all of it, and makes its picture what `spec` says.

    Raises:
      ImageError: It is no image, damaged, cut short, empty or of a kind that has no one meaning.
    """
    if not data:
        raise ImageError("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what it then reads.
        try:
            image, mode, kind = _open(data)
            width, height = image.size
            if not width or not height or width * height > _LARGEST_PIXELS:
                raise ImageError(f"the picture has {width} x {height} pixels; at most {_LARGEST_PIXELS:,} are taken")
            if kind == "JPEG" and spec.size is not None and min(width, height) > 4 * (spec.resize_to or spec.size):
                side = 2 * (spec.resize_to or spec.size)  # The decoder halves cheaply what is far too large.
                image.draft(None, (width * side // min(width, height), height * side // min(width, height)))
            rotated = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            image = _rgb(ImageOps.exif_transpose(image))
            if spec.size is not None:
                image = _square(image, spec)
            rgb = np.asarray(image)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError(f"the picture is too large: {error}") from None
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more.
            raise ImageError(f"cannot be decoded: {type(error).__name__}: {error}") from None
    if rotated:
        width, height = height, width
    return Picture(np.ascontiguousarray(rgb), width, height, kind, mode)


def _open(data: bytes) -> tuple[Image.Image, str, str]:
    try:
        image = Image.open(io.BytesIO(data))
        return image, image.mode, image.format or "?"
    except UnidentifiedImageError:
        if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise ImageError(
                f"not an image that Pillow knows: {len(data)} bytes that start with {data[:8]!r}"
            ) from None
    # Pillow has no mode for colours of 16 bits and more, which TIFF has.
    pixels = np.asarray(tifffile.imread(io.BytesIO(data), key=0))
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim not in (2, 3):
        raise ImageError(f"a TIFF file of {pixels.dtype} {list(pixels.shape)}, which is no picture")
    mode = f"{pixels.dtype} {'x'.join(map(str, pixels.shape[2:]))}".strip()
    return Image.fromarray(_eight_bits(pixels)), mode, "TIFF"


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, over)
    return image.convert("RGB")


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
            raise ImageError(
                f"{pixels.dtype} values from {pixels.min():g} to {pixels.max():g}: only [0, 1] has one meaning"
            )
        return np.round(pixels * 255).astype(np.uint8)
    if pixels.dtype.kind in "iu" and pixels.min() >= 0 and pixels.max() <= 65535:
        return (pixels.astype(np.uint32) >> 8).astype(np.uint8)
    raise ImageError(f"{pixels.dtype} values from {pixels.min()} to {pixels.max()}: only 8 and 16 bits are taken")


def _square(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """Cuts first and scales then, so that a very long picture costs no more than its middle."""
    side = min(image.size) * spec.size / (spec.resize_to or spec.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((spec.size, spec.size), RESAMPLINGS[spec.resampling], box=box)
