"""The whole slide, small, read past damage."""

from __future__ import annotations

import math

import numpy as np

from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.open import Slide

_BLOCK_PX = 64  # Side of what is read at once, of a damaged slide.
_LEAST_L0 = 256  # What cannot be read is not divided further than this: about a tile of the file.
_MOST_FAILURES = 500  # Each costs a read and a new handle.


def read_overview(slide: Slide, downsample: float) -> tuple[np.ndarray, np.ndarray]:
    """Reads a thumbnail of a slide that may be damaged: where a level cannot be read, finer ones are tried.

    Args:
      slide: Open.
      downsample: Level-0 pixels per pixel of the result, at least 1.
    Returns:
      uint8 [height, width, 3], equal to `slide.thumbnail(downsample=downsample)` where that can be read; and bool
      [height, width], the places that no level has whole, which show the background.
    Raises:
      SlideError: more places are damaged than is worth trying.
      ValueError: `downsample` is below 1.
    """
    try:
        pixels = slide.thumbnail(downsample=downsample)
        return pixels, np.zeros(pixels.shape[:2], bool)
    except SlideError:
        return _Patchwork(slide, downsample).read()


class _Patchwork:
    """A thumbnail put together from blocks, each of the coarsest level that has it whole."""

    def __init__(self, slide: Slide, downsample: float) -> None:
        self._slide, self._downsample = slide, downsample
        height, width = (math.ceil(round(side / downsample, 6)) for side in (slide.height_l0, slide.width_l0))
        self._pixels = np.empty((height, width, 3), np.uint8)
        self._unreadable = np.zeros((height, width), bool)
        self._levels = range(slide.level_for(downsample, _BLOCK_PX), -1, -1)
        self._failures = 0

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        height, width = self._unreadable.shape
        for top in range(0, height, _BLOCK_PX):
            for left in range(0, width, _BLOCK_PX):
                self._fill(top, left, min(top + _BLOCK_PX, height), min(left + _BLOCK_PX, width))
        return self._pixels, self._unreadable

    def _fill(self, top: int, left: int, bottom: int, right: int) -> None:
        """Fills a block, or its quarters."""
        if top >= bottom or left >= right:
            return
        place = (slice(top, bottom), slice(left, right))
        for level in self._levels:
            try:
                self._pixels[place] = self._slide.read_from_level(
                    left * self._downsample,
                    top * self._downsample,
                    (right - left, bottom - top),
                    self._downsample,
                    level,
                )
                return
            except SlideError as error:
                self._count(error)
        if max(bottom - top, right - left) * self._downsample <= max(_LEAST_L0, self._downsample):
            self._pixels[place] = self._slide.background
            self._unreadable[place] = True
            return
        middle_y, middle_x = (top + bottom + 1) // 2, (left + right + 1) // 2
        for first, last in ((top, middle_y), (middle_y, bottom)):
            self._fill(first, left, last, middle_x)
            self._fill(first, middle_x, last, right)

    def _count(self, error: SlideError) -> None:
        self._failures += 1
        if self._failures > _MOST_FAILURES:
            reason = f"damaged in too many places; {_MOST_FAILURES} reads failed, the last: {error.reason}"
            raise SlideError(self._slide.path, reason) from error
