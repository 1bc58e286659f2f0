"""A slide: size, levels, mpp, content id; patches and thumbnails as arrays."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import openslide
from PIL import Image

from beam_pipelines.slides.errors import SlideError

_BLOCK_PX = 2048  # Side of the largest region read at once: 16 MiB as RGBA, whatever the slide's size.
_WHITE = (255, 255, 255)
_HASHED_BYTES = 2**20  # Of the head and of the tail, where OpenSlide has no quickhash.
_PLAUSIBLE_MPP = (0.02, 50.0)  # Oil immersion to macro photograph; outside, the file's writer mistook the unit.


def open_slide(path: str | os.PathLike[str]) -> Slide:
    """Opens a slide of any format that OpenSlide reads; use it in a `with` block, which closes the file.

    Raises:
      SlideError: the file is missing, a folder, empty, text, damaged, or of a format that OpenSlide does not know.
    """
    return Slide(path)


class Slide:
    """An open slide, for one thread at a time. Threads and processes each open their own.

    Attributes:
      path, name: As given; its file name.
      width_l0, height_l0: Size of level 0 in pixels.
      level_downsamples: Of the levels that the file holds, level 0 (1.0) first.
      mpp: (x, y) micrometres per pixel at level 0, or None when the file does not say so credibly.
      bounds_l0: (x, y, width, height) of the scanned box where the format tells it (MIRAX), else None. QuPath's
        annotations of such slides are relative to its corner: see `annotations.shift`.
      vendor: OpenSlide's name of the format, such as "aperio" or "generic-tiff".
      properties: All of OpenSlide's properties, as text.
      content_id: Same for the same pixels wherever the file lies, different for another slide.
      notes: Oddities that a user may want to know, such as an unusable mpp.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.name = Path(self.path).name
        self._handle = _open(self.path)
        self.width_l0, self.height_l0 = self._handle.dimensions
        self.level_downsamples = tuple(float(value) for value in self._handle.level_downsamples)
        self.properties: Mapping[str, str] = dict(self._handle.properties)
        self.vendor = self.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        self.mpp, self.notes = _mpp(self.properties)
        self.bounds_l0 = _bounds(self.properties)
        self.content_id = self.properties.get(openslide.PROPERTY_NAME_QUICKHASH1) or _content_hash(self.path)

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Slide({self.path!r}, {self.width_l0}x{self.height_l0}, mpp={self.mpp})"

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        self._handle.close()

    def read_patch(self, x_l0: int, y_l0: int, size_px: int, downsample: float) -> np.ndarray:
        """Reads a square, on white where nothing was scanned or the slide ends.

        Args:
          x_l0, y_l0: Top-left corner in level-0 pixels; may lie outside the slide.
          size_px: Side of the result in pixels.
          downsample: Level-0 pixels per pixel of the result, at least 1; averaged from the next finer level when the
            file has no such one.
        Returns:
          uint8 [size_px, size_px, 3], RGB.
        Raises:
          SlideError: these pixels are damaged. Others can still be read.
          ValueError: `size_px` or `downsample` is below 1.
        """
        return self._read(x_l0, y_l0, size_px, size_px, downsample)

    def thumbnail(self, *, downsample: float | None = None, max_size_px: int | None = None) -> np.ndarray:
        """Reads the whole slide, small; give one of the two arguments.

        Args:
          downsample: Level-0 pixels per pixel of the result, at least 1. The result has ceil(size / downsample)
            pixels, so that pixel [r, c] covers the same area as mask pixel [r, c] of that level; the last ones may be
            partly white.
          max_size_px: Longest side of the result at most.
        Returns:
          uint8 [height, width, 3], RGB on white.
        Raises:
          SlideError, ValueError: as `read_patch`.
        """
        if (downsample is None) == (max_size_px is None):
            raise ValueError(f"give downsample or max_size_px, one of them (got {downsample!r} and {max_size_px!r})")
        if downsample is None:
            downsample = max(1.0, max(self.width_l0, self.height_l0) / max_size_px)
        # Rounded first: 10,240 / (10,240 / 300) is a hair above 300 in floating point, and must not become 301.
        width_px, height_px = (math.ceil(round(side / downsample, 6)) for side in (self.width_l0, self.height_l0))
        return self._read(0, 0, width_px, height_px, downsample)

    def _read(self, x_l0: int, y_l0: int, width_px: int, height_px: int, downsample: float) -> np.ndarray:
        if not downsample >= 1 or width_px < 1 or height_px < 1:
            raise ValueError(f"downsample={downsample!r} and size {width_px}x{height_px} must be at least 1")
        level, ratio = self._best_level(downsample, max(width_px, height_px))
        pixels = np.empty((height_px, width_px, 3), np.uint8)
        step_px = max(1, int(_BLOCK_PX / ratio))
        for top in range(0, height_px, step_px):
            for left in range(0, width_px, step_px):
                block = pixels[top : top + step_px, left : left + step_px]
                block[:] = self._read_block(
                    x_l0 + left * downsample, y_l0 + top * downsample, block.shape[:2], level, ratio
                )
        return pixels

    def _best_level(self, downsample: float, size_px: int) -> tuple[int, float]:
        """The coarsest level not coarser than asked, and pixels of it per pixel of the result.

        Real files say 4.0003 for 4: a level counts as the asked one while the error over the whole result stays below
          half a pixel.
        """
        for level in reversed(range(len(self.level_downsamples))):
            ratio = downsample / self.level_downsamples[level]
            if abs(ratio - 1) * size_px < 0.5:
                return level, 1.0
            if ratio > 1:
                return level, ratio
        return 0, 1.0

    def _read_block(self, x_l0: float, y_l0: float, shape: tuple[int, int], level: int, ratio: float) -> np.ndarray:
        height_px, width_px = shape
        if ratio == 1:
            return np.asarray(self._region(round(x_l0), round(y_l0), level, width_px, height_px))
        # Start at a whole pixel of the source level and hand the rest to the resampler.
        scale = self.level_downsamples[level]
        column, row = math.floor(round(x_l0 / scale, 6)), math.floor(round(y_l0 / scale, 6))
        left, top = max(0.0, x_l0 / scale - column), max(0.0, y_l0 / scale - row)
        right, bottom = left + width_px * ratio, top + height_px * ratio
        source = self._region(round(column * scale), round(row * scale), level, math.ceil(right), math.ceil(bottom))
        return np.asarray(source.resize((width_px, height_px), Image.Resampling.BOX, box=(left, top, right, bottom)))

    def _region(self, x_l0: int, y_l0: int, level: int, width_px: int, height_px: int) -> Image.Image:
        """Pixels of one level on white: unscanned pixels are transparent, and black would count as tissue."""
        try:
            region = self._handle.read_region((x_l0, y_l0), level, (width_px, height_px))
        except openslide.OpenSlideError as error:
            self._reopen()
            raise SlideError(self.path, f"damaged at x_l0={x_l0}, y_l0={y_l0}, level {level}: {error}") from error
        flat = Image.new("RGB", region.size, _WHITE)
        flat.paste(region, mask=region.getchannel("A"))
        return flat

    def _reopen(self) -> None:
        """OpenSlide refuses every read after one failed: a new handle confines the damage to the patch that has it."""
        self._handle.close()
        self._handle = _open(self.path)


def _open(path: str) -> openslide.OpenSlide:
    try:
        if os.path.isdir(path):
            raise SlideError(path, "is a folder; give the slide file itself, or a pattern such as 'folder/*.svs'")
        with open(path, "rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise SlideError(path, "no such file") from None
    except OSError as error:
        raise SlideError(path, f"cannot be read: {error.strerror or error}") from error
    if not head:
        raise SlideError(path, "is empty (0 bytes); copy it again")
    try:
        return openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        # A MIRAX or Hamamatsu VMS index is text too, so text is an explanation here and not a reason to refuse earlier.
        what = "holds text, not a slide" if _is_text(head) else "not a format that OpenSlide reads, or damaged"
        raise SlideError(path, f"{what} (OpenSlide {openslide.__library_version__})") from None
    except openslide.OpenSlideError as error:
        raise SlideError(
            path, f"damaged or incomplete: {error}; copy it again with every file that belongs to it"
        ) from error


def _is_text(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _mpp(properties: Mapping[str, str]) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    texts = [properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)]
    if texts == [None, None]:
        return None, ("the slide does not tell its mpp (micrometres per pixel)",)
    low, high = _PLAUSIBLE_MPP
    try:
        x, y = (float(text) for text in texts)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        x = y = math.nan
    if not (low <= x <= high and low <= y <= high):  # Also refuses NaN.
        return None, (
            f"mpp {texts[0]!r} x {texts[1]!r} is not usable (expected {low} to {high} micrometres per pixel)",
        )
    uneven = (f"pixels are not square: mpp {x:g} x {y:g}",) if abs(x / y - 1) > 0.01 else ()
    return (x, y), uneven


def _bounds(properties: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    names = (
        openslide.PROPERTY_NAME_BOUNDS_X,
        openslide.PROPERTY_NAME_BOUNDS_Y,
        openslide.PROPERTY_NAME_BOUNDS_WIDTH,
        openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
    )
    try:
        x, y, width, height = (int(properties[name]) for name in names)
    except (KeyError, ValueError):
        return None
    return x, y, width, height


def _content_hash(path: str) -> str:
    """sha256 over the size, the head and the tail: a file of gigabytes costs two reads."""
    size = os.path.getsize(path)
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        digest.update(file.read(_HASHED_BYTES))
        file.seek(max(0, size - _HASHED_BYTES))
        digest.update(file.read(_HASHED_BYTES))
    return digest.hexdigest()
