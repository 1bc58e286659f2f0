"""A slide: size, levels, mpp, content id; patches and thumbnails as arrays."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import openslide
from PIL import Image

from beam_pipelines.slides.content import absent_files, absent_folder, content_id
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.mpp_table import PLAUSIBLE_MPP, check_mpp

_BLOCK_PX = 2048  # Side of the largest region read at once: 16 MiB as RGBA, whatever the slide's size.
_WHITE = (255, 255, 255)
_LARGE_PX = 8192  # Without a pyramid, thumbnails of larger slides take a while.

Mpp = tuple[float, float]
Pair = tuple[float, float]


def open_slide(path: str | os.PathLike[str], *, mpp: float | Mpp | None = None) -> Slide:
    """Opens a slide of any format that OpenSlide reads; use it in a `with` block, which closes the file.

    Args:
      path: Of the slide; of a MIRAX slide the .mrxs file, with its folder beside it.
      mpp: Micrometres per pixel of level 0, one number or (x, y), instead of what the slide says.
    Raises:
      SlideError: the file is missing, a folder, empty, text, damaged, or of a format that OpenSlide does not know; of a
        MIRAX slide, a file of the folder is absent.
      OptionError: `mpp` is not credible.
    """
    return Slide(path, mpp=mpp)


@dataclasses.dataclass(frozen=True)
class SlideGeometry:
    """What is known of a slide without its pixels; attributes as in `Slide`. Goes from worker to worker."""

    path: str
    name: str
    vendor: str
    content_id: str
    width_l0: int
    height_l0: int
    level_downsamples: tuple[float, ...]
    mpp: Mpp | None
    mpp_source: str | None
    bounds_l0: tuple[int, int, int, int] | None
    background: tuple[int, int, int]

    @property
    def scanned_l0(self) -> tuple[int, int, int, int]:
        """(x, y, width, height) of the scanned part: the bounds where the format tells them, else the whole plane."""
        return self.bounds_l0 or (0, 0, self.width_l0, self.height_l0)


class Slide:
    """An open slide, for one thread at a time. Threads and processes each open their own.

    Attributes:
      path, name: As given; its file name.
      width_l0, height_l0: Size of level 0 in pixels.
      level_downsamples: Of the levels that the file holds, level 0 (1.0) first.
      mpp: (x, y) micrometres per pixel at level 0, or None when neither the file nor the user says so credibly: it is
        never guessed, not even from the objective's power.
      mpp_source: "slide", "override" or None.
      bounds_l0: (x, y, width, height) of the scanned box where the format tells it (MIRAX), else None. QuPath's
        annotations of such slides are relative to its corner: see `annotations.shift`.
      background: RGB that is shown where nothing was scanned and past the slide's edge: the file's, else white.
      vendor: OpenSlide's name of the format, such as "aperio" or "generic-tiff".
      properties: All of OpenSlide's properties, as text.
      content_id: Same for the same pixels wherever the file lies, different for another slide.
      notes: Oddities that a user may want to know, such as an unusable mpp.
    """

    def __init__(self, path: str | os.PathLike[str], *, mpp: float | Mpp | None = None) -> None:
        override = None if mpp is None else check_mpp(mpp)
        self.path = os.fspath(path)
        self.name = Path(self.path).name
        self._handle: openslide.OpenSlide | None = _open(self.path)
        self.width_l0, self.height_l0 = self._handle.dimensions
        self.level_downsamples = tuple(float(value) for value in self._handle.level_downsamples)
        self.properties: Mapping[str, str] = dict(self._handle.properties)
        if absent := absent_files(self.path, self.properties):
            self.close()
            raise SlideError(
                self.path,
                f"incomplete: {', '.join(absent[:5])}{', ...' if len(absent) > 5 else ''} of its folder is absent; "
                "copy the whole folder again",
            )
        self.vendor = self.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        self.mpp, self.mpp_source, mpp_notes = _mpp(self.properties, override)
        self.notes = (*mpp_notes, *self._pyramid_notes())
        self.bounds_l0 = _bounds(self.properties)
        self.background = _background(self.properties)
        self.content_id = content_id(self.path, self.properties)

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
        if self._handle is not None:
            self._handle.close()

    @property
    def mpp_x(self) -> float | None:
        """Micrometres per level-0 pixel along x, or None."""
        return None if self.mpp is None else self.mpp[0]

    @property
    def mpp_y(self) -> float | None:
        """Micrometres per level-0 pixel along y, or None."""
        return None if self.mpp is None else self.mpp[1]

    @property
    def scanned_l0(self) -> tuple[int, int, int, int]:
        """(x, y, width, height) of the scanned part: the bounds where the format tells them, else the whole plane."""
        return self.bounds_l0 or (0, 0, self.width_l0, self.height_l0)

    @property
    def geometry(self) -> SlideGeometry:
        """What is known of the slide without its pixels."""
        return SlideGeometry(**{field.name: getattr(self, field.name) for field in dataclasses.fields(SlideGeometry)})

    def read_patch(self, x_l0: int, y_l0: int, size_px: int | tuple[int, int], downsample: float | Pair) -> np.ndarray:
        """Reads a box, on the background colour where nothing was scanned or the slide ends.

        Args:
          x_l0, y_l0: Top-left corner in level-0 pixels; may lie outside the slide.
          size_px: Side of the result in pixels, or (width, height).
          downsample: Level-0 pixels per pixel of the result, at least 1, or (x, y); averaged from the next finer level
            when the file has no such one.
        Returns:
          uint8 [height, width, 3], RGB.
        Raises:
          SlideError: these pixels are damaged. Others can still be read.
          ValueError: `size_px` or `downsample` is below 1.
        """
        width_px, height_px = size_px if isinstance(size_px, tuple) else (size_px, size_px)
        return self._read(x_l0, y_l0, width_px, height_px, downsample)

    def read(self, x_l0: int, y_l0: int, level: int, width_px: int, height_px: int) -> np.ndarray:
        """Reads pixels of one of the file's own levels as they are, on the background colour.

        Args:
          x_l0, y_l0: Top-left corner in level-0 pixels; may lie outside the slide.
          level: Index into `level_downsamples`.
          width_px, height_px: Size of the result in that level's pixels.
        Returns:
          uint8 [height_px, width_px, 3], RGB.
        Raises:
          SlideError: these pixels are damaged. Others can still be read.
          ValueError: the slide has no such level, or a size is below 1.
        """
        if not 0 <= level < len(self.level_downsamples):
            raise ValueError(
                f"level={level!r} is not in [0, {len(self.level_downsamples)}), the levels of {self.name!r}"
            )
        if width_px < 1 or height_px < 1:
            raise ValueError(f"size {width_px}x{height_px} must be at least 1")
        return np.asarray(self._region(x_l0, y_l0, level, width_px, height_px))

    def read_at_mpp(self, x_l0: int, y_l0: int, size_px: int | tuple[int, int], mpp: float) -> np.ndarray:
        """Reads a box at a resolution in micrometres per pixel, alike along x and y whatever the slide's pixels are.

        Args:
          x_l0, y_l0: Top-left corner in level-0 pixels; may lie outside the slide.
          size_px: Side of the result in pixels, or (width, height).
          mpp: Of the result; resampled from the best level.
        Returns:
          uint8 [height, width, 3], RGB.
        Raises:
          SlideError: the slide tells no mpp, or its pixels are coarser than `mpp`; or these pixels are damaged.
        """
        if self.mpp is None:
            raise SlideError(self.path, f"cannot be read at mpp={mpp:g}: {self.notes[0]}; give its mpp")
        downsample = (mpp / self.mpp[0], mpp / self.mpp[1])
        if min(downsample) < 1 - 1e-9:
            finest = max(self.mpp)
            raise SlideError(self.path, f"its finest pixels are of mpp {finest:g}, coarser than the mpp={mpp:g} asked")
        return self.read_patch(x_l0, y_l0, size_px, (max(1.0, downsample[0]), max(1.0, downsample[1])))

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

    def _read(self, x_l0: int, y_l0: int, width_px: int, height_px: int, downsample: float | Pair) -> np.ndarray:
        along_x, along_y = downsample if isinstance(downsample, tuple) else (downsample, downsample)
        if not (along_x >= 1 and along_y >= 1) or width_px < 1 or height_px < 1:
            raise ValueError(f"downsample={downsample!r} and size {width_px}x{height_px} must be at least 1")
        level, ratio = self._best_level((along_x, along_y), max(width_px, height_px))
        pixels = np.empty((height_px, width_px, 3), np.uint8)
        step_px = max(1, int(_BLOCK_PX / max(ratio)))
        for top in range(0, height_px, step_px):
            for left in range(0, width_px, step_px):
                block = pixels[top : top + step_px, left : left + step_px]
                block[:] = self._read_block(x_l0 + left * along_x, y_l0 + top * along_y, block.shape[:2], level, ratio)
        return pixels

    def _best_level(self, downsample: Pair, size_px: int) -> tuple[int, Pair]:
        """The coarsest level not coarser than asked, and pixels of it per pixel of the result along x and y.

        Real files say 4.0003 for 4: a level counts as the asked one while the error over the whole result stays below
          half a pixel.
        """
        for level in reversed(range(len(self.level_downsamples))):
            ratio = (downsample[0] / self.level_downsamples[level], downsample[1] / self.level_downsamples[level])
            if max(abs(ratio[0] - 1), abs(ratio[1] - 1)) * size_px < 0.5:
                return level, (1.0, 1.0)
            if min(ratio) > 1 or (min(ratio) * size_px > size_px - 0.5 and max(ratio) > 1):
                return level, ratio
        return 0, (1.0, 1.0)

    def _read_block(self, x_l0: float, y_l0: float, shape: tuple[int, int], level: int, ratio: Pair) -> np.ndarray:
        height_px, width_px = shape
        if ratio == (1.0, 1.0):
            return np.asarray(self._region(round(x_l0), round(y_l0), level, width_px, height_px))
        # A mean where whole pixels become one; else a smooth filter, which also looks at pixels beyond the block.
        whole = all(value == 1 or (value > 1.5 and abs(value - round(value)) < 0.02) for value in ratio)
        margin = 0 if whole else math.ceil(max(ratio)) + 1
        # Start at a whole pixel of the source level and hand the rest to the resampler.
        scale = self.level_downsamples[level]
        column, row = (math.floor(round(start / scale, 6)) - margin for start in (x_l0, y_l0))
        left, top = max(0.0, x_l0 / scale - column), max(0.0, y_l0 / scale - row)
        right, bottom = left + width_px * ratio[0], top + height_px * ratio[1]
        source = self._region(
            round(column * scale), round(row * scale), level, math.ceil(right) + margin, math.ceil(bottom) + margin
        )
        how = Image.Resampling.BOX if whole else Image.Resampling.HAMMING
        return np.asarray(source.resize((width_px, height_px), how, box=(left, top, right, bottom)))

    def _region(self, x_l0: int, y_l0: int, level: int, width_px: int, height_px: int) -> Image.Image:
        """Pixels of one level on the background: unscanned pixels are transparent, and black would count as tissue."""
        if self._handle is None:
            self._handle = _open(self.path)
        try:
            region = self._handle.read_region((int(x_l0), int(y_l0)), level, (width_px, height_px))
        except openslide.OpenSlideError as error:
            # OpenSlide refuses every read after one failed: a new handle confines the damage to the patch that has it.
            self._handle.close()
            self._handle = None
            raise SlideError(self.path, f"damaged at x_l0={x_l0}, y_l0={y_l0}, level {level}: {error}") from error
        flat = Image.new("RGB", region.size, self.background)
        flat.paste(region, mask=region.getchannel("A"))
        return flat

    def _pyramid_notes(self) -> list[str]:
        if len(self.level_downsamples) > 1 or max(self.width_l0, self.height_l0) <= _LARGE_PX:
            return []
        return ["the slide has no pyramid: it is read at full size even for its thumbnail, which takes long"]


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
    if folder := absent_folder(path):
        raise SlideError(path, f"incomplete: its folder {folder.name!r} with Slidedat.ini is not beside it")
    try:
        return openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        if not head:
            raise SlideError(path, "is empty (0 bytes); copy it again") from None
        # A MIRAX or Hamamatsu VMS index is text too, so text is an explanation here and not a reason to refuse earlier.
        what = "holds text, not a slide" if _is_text(head) else "not a format that OpenSlide reads, or damaged"
        raise SlideError(path, f"{what} (OpenSlide {openslide.__library_version__})") from None
    except openslide.OpenSlideError as error:
        raise SlideError(
            path, f"damaged or incomplete: {error}; copy it again with every file that belongs to it"
        ) from error


def _is_text(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _mpp(properties: Mapping[str, str], override: Mpp | None) -> tuple[Mpp | None, str | None, list[str]]:
    """The mpp, who said it, and what is odd about it."""
    told, reason = _told_mpp(properties)
    mpp = override or told
    if mpp is None:
        power = properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)
        return None, None, [reason + (f"; its objective is {power}x" if power else "")]
    notes = []
    if override and told and max(abs(a / b - 1) for a, b in zip(override, told, strict=True)) > 0.01:
        notes.append(f"mpp {_text(override)} was given; the slide says {_text(told)}")
    if abs(mpp[0] / mpp[1] - 1) > 0.01:
        notes.append(f"pixels are not square: mpp {_text(mpp)}")
    return mpp, "override" if override else "slide", notes


def _told_mpp(properties: Mapping[str, str]) -> tuple[Mpp | None, str]:
    """What the file says, or why that cannot be used."""
    texts = [properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)]
    if texts == [None, None]:
        return None, "the slide does not tell its mpp (micrometres per pixel)"
    low, high = PLAUSIBLE_MPP
    try:
        x, y = (float(text) for text in texts)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        x = y = math.nan
    if not (low <= x <= high and low <= y <= high):  # Also refuses NaN.
        return None, f"mpp {texts[0]!r} x {texts[1]!r} is not usable (expected {low} to {high} micrometres per pixel)"
    return (x, y), ""


def _text(mpp: Mpp) -> str:
    return f"{mpp[0]:g} x {mpp[1]:g}"


def _background(properties: Mapping[str, str]) -> tuple[int, int, int]:
    text = properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "").lstrip("#")
    if not re.fullmatch(r"[0-9a-fA-F]{6}", text):
        return _WHITE
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


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
    return (x, y, width, height) if width > 0 and height > 0 else None
