"""Thumbnail -> mask of tissue; or a mask that the user brings."""

from __future__ import annotations

import dataclasses
import math
import os

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from beam_pipelines.slides.errors import AnnotationError
from beam_pipelines.slides.masks import read_mask_png
from tfcass.errors import OptionError

MIN_SATURATION = 0.07  # PatchCamelyon's limit: glass, even tinted, stays below it.
MAX_SATURATION = 0.20  # Where all is tissue, Otsu would cut through the tissue itself.
MIN_BRIGHTNESS = 0.10  # Black borders and unscanned pixels have no colour to speak of.
ASSUMED_MPP = 0.25  # Of level 0, for lengths and areas on slides that tell no mpp; a note says so.


@dataclasses.dataclass(frozen=True, kw_only=True)
class TissueOptions:
    """How tissue is told from glass. The defaults are the prostate recipe's: a threshold and a median, no more.

    Lengths and areas are true ones, in micrometres, where the slide's mpp is known. Where it is not, level-0 pixels are
    taken to be of 0.25 um, and the plan's notes say so.

    Attributes:
      min_saturation, max_saturation: The threshold on saturation is Otsu's, kept in this range. A larger minimum loses
        pale tissue, a smaller one takes dirt and tinted glass for tissue. On immunohistochemistry, where brown is far
        stronger than the blue of the stroma, a smaller maximum such as 0.1 keeps the stroma.
      median_px: Side of the median filter before the threshold, in mask pixels, odd; 1 is none. More smooths more.
      closing_um: Gaps narrower than this are closed; 0 closes none.
      min_hole_um2: Smaller holes are filled; 0 fills none.
      min_area_um2: Smaller pieces are dropped: a larger value loses debris first, then small biopsies; 0 drops none.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    min_saturation: float = MIN_SATURATION
    max_saturation: float = MAX_SATURATION
    median_px: int = 3
    closing_um: float = 0.0
    min_hole_um2: float = 0.0
    min_area_um2: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.min_saturation <= self.max_saturation <= 1):  # Also refuses NaN.
            raise OptionError(
                f"min_saturation={self.min_saturation!r} and max_saturation={self.max_saturation!r} are no range "
                "within [0, 1]"
            )
        if isinstance(self.median_px, bool) or self.median_px not in range(1, 100, 2):
            raise OptionError(f"median_px={self.median_px!r} is not an odd whole number in [1, 99]")
        for name in ("closing_um", "min_hole_um2", "min_area_um2"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise OptionError(f"{name}={value!r} is not a number of at least 0")

    @property
    def needs_mpp(self) -> bool:
        """Whether a slide's mpp matters."""
        return max(self.closing_um, self.min_hole_um2, self.min_area_um2) > 0


# For slides that are not the recipe's: cracks and lumina belong to the tissue, dust does not.
CLEANED_TISSUE = TissueOptions(closing_um=40.0, min_hole_um2=20_000.0, min_area_um2=50_000.0)


def tissue_mask(
    thumbnail: np.ndarray, options: TissueOptions | None = None, *, mpp: tuple[float, float] | None = None
) -> np.ndarray:
    """Marks the pixels that show stained tissue.

    Args:
      thumbnail: uint8 [height, width, 3], RGB, on white or the slide's background colour.
      options: How; None means the defaults.
      mpp: (x, y) micrometres per pixel of the thumbnail; needed where the options hold lengths or areas.
    Returns:
      bool [height, width]; all False when the slide shows no tissue, which is not an error.
    Raises:
      ValueError: `thumbnail` is not uint8 [height, width, 3], or `mpp` is needed and None.
    Source: threshold on HSV saturation, smoothed by a median filter, after Otsu, IEEE Trans. SMC 9(1):62-66, 1979.
    """
    options = options or TissueOptions()
    if thumbnail.dtype != np.uint8 or thumbnail.ndim != 3 or thumbnail.shape[2] != 3:
        raise ValueError(f"thumbnail is {thumbnail.dtype} {list(thumbnail.shape)}; expected uint8 [height, width, 3]")
    high = thumbnail.max(axis=2)
    spread = high - thumbnail.min(axis=2)
    # Saturation as uint8: the median filter is quicker on it, and finer steps than 1/255 carry nothing.
    saturation = (spread.astype(np.uint16) * 255 // np.maximum(high, 1)).astype(np.uint8)
    saturation[high < MIN_BRIGHTNESS * 255] = 0
    if options.median_px > 1:
        saturation = ndimage.median_filter(saturation, size=options.median_px, mode="nearest")
    if saturation.min() == saturation.max():  # Otsu needs two values.
        otsu = float(saturation.max())
    else:
        otsu = float(threshold_otsu(saturation))
    mask = saturation > np.clip(otsu, options.min_saturation * 255, options.max_saturation * 255)
    if not options.needs_mpp:
        return mask
    if mpp is None:
        raise ValueError("lengths and areas of TissueOptions need the thumbnail's mpp")
    return _clean(mask, options, mpp)


def read_tissue_mask(
    path: str | os.PathLike[str], width_l0: int, height_l0: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Reads a user's mask of tissue, of any size that has the slide's shape.

    Args:
      path: PNG with one channel; any value but 0 is tissue. It shows the whole plane of the slide.
      width_l0, height_l0: Size of the slide.
    Returns:
      bool [height, width], and the level-0 pixels per mask pixel (x, y): powers of two where the mask has the size of a
      nominal level.
    Raises:
      AnnotationError: the file is no such picture, or has another shape than the slide.
    """
    mask = read_mask_png(path)
    height, width = mask.shape
    for level in range(17):
        if (math.ceil(width_l0 / 2**level), math.ceil(height_l0 / 2**level)) == (width, height):
            return mask, (2.0**level, 2.0**level)
    along_x, along_y = width_l0 / width, height_l0 / height
    # Rounded to whole mask pixels, each side may be off by one.
    if abs(width - width_l0 / along_y) > 1 and abs(height - height_l0 / along_x) > 1:
        raise AnnotationError(
            f"tissue mask {os.fspath(path)!r} is {width} x {height} pixels, another shape than the slide of "
            f"{width_l0} x {height_l0}; it must show the whole slide, not its scanned part alone"
        )
    return mask, (along_x, along_y)


def _clean(mask: np.ndarray, options: TissueOptions, mpp: tuple[float, float]) -> np.ndarray:
    pixel_um2 = mpp[0] * mpp[1]
    if options.closing_um > 0:
        radius_x, radius_y = (options.closing_um / 2 / value for value in mpp)
        mask = _closed(mask, radius_x, radius_y)
    if options.min_hole_um2 > 0:
        mask = ~_without_small(~mask, options.min_hole_um2 / pixel_um2, keep_at_border=True)
    if options.min_area_um2 > 0:
        mask = _without_small(mask, options.min_area_um2 / pixel_um2)
    return mask


def _closed(mask: np.ndarray, radius_x: float, radius_y: float) -> np.ndarray:
    """Closing by an ellipse: what lies no farther than the radii from tissue on both sides becomes tissue."""
    if max(radius_x, radius_y) < 0.5:
        return mask  # Less than a pixel.
    # By distances: as quick for a large radius as for a small one. Distances are in radii.
    unit = (1 / max(radius_y, 0.5), 1 / max(radius_x, 0.5))
    margin = math.ceil(max(radius_x, radius_y)) + 1  # So that tissue at the border is not worn away from outside.
    padded = np.pad(mask, margin)
    if not padded.any():
        return mask
    grown = ndimage.distance_transform_edt(~padded, sampling=unit) <= 1
    closed = ndimage.distance_transform_edt(grown, sampling=unit) > 1
    return closed[margin:-margin, margin:-margin] | mask


def _without_small(mask: np.ndarray, min_px: float, *, keep_at_border: bool = False) -> np.ndarray:
    """Drops connected pieces of fewer pixels."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    keep = np.bincount(pieces.ravel(), minlength=count + 1) >= min_px
    if keep_at_border:
        border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
        keep[border] = True
    keep[0] = False
    return keep[pieces]
