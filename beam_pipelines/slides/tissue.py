"""Thumbnail -> mask of tissue."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

MIN_SATURATION = 0.07  # PatchCamelyon's limit: glass, even tinted, stays below it.
MAX_SATURATION = 0.20  # Where all is tissue, Otsu would cut through the tissue itself.
MIN_BRIGHTNESS = 0.10  # Black borders and unscanned pixels have no colour to speak of.


def tissue_mask(
    thumbnail: np.ndarray, *, min_saturation: float = MIN_SATURATION, max_saturation: float = MAX_SATURATION
) -> np.ndarray:
    """Marks the pixels that show stained tissue.

    Args:
      thumbnail: uint8 [height, width, 3], RGB, on white.
      min_saturation, max_saturation: The threshold is Otsu's, kept in this range. A larger minimum loses pale tissue,
        a smaller one takes dirt and tinted glass for tissue.
    Returns:
      bool [height, width]; all False when the slide shows no tissue, which is not an error.
    Raises:
      ValueError: `thumbnail` is not uint8 [height, width, 3].
    Source: threshold on HSV saturation, smoothed by a median filter, after Otsu, IEEE Trans. SMC 9(1):62-66, 1979.
    """
    if thumbnail.dtype != np.uint8 or thumbnail.ndim != 3 or thumbnail.shape[2] != 3:
        raise ValueError(f"thumbnail is {thumbnail.dtype} {list(thumbnail.shape)}; expected uint8 [height, width, 3]")
    high = thumbnail.max(axis=2)
    spread = high - thumbnail.min(axis=2)
    # Saturation as uint8: the median filter is quicker on it, and finer steps than 1/255 carry nothing.
    saturation = (spread.astype(np.uint16) * 255 // np.maximum(high, 1)).astype(np.uint8)
    saturation[high < MIN_BRIGHTNESS * 255] = 0
    saturation = ndimage.median_filter(saturation, size=3, mode="nearest")
    if saturation.min() == saturation.max():  # Otsu needs two values.
        otsu = float(saturation.max())
    else:
        otsu = float(threshold_otsu(saturation))
    return saturation > np.clip(otsu, min_saturation * 255, max_saturation * 255)
