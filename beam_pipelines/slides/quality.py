"""How good a patch is: sharpness, pen marks, white and black. Measured for every patch, judged where a limit is set.

Each metric is a number per patch that goes into its row, so that another limit can be tried without the slide.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image
from scipy import ndimage

from tfcass.errors import OptionError

METRICS = ("sharpness", "pen", "white", "black")
# Metric -> why a patch is not kept, and the option that limits it. In the order in which they are judged.
QUALITY_REASONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "black": ("too much black", "max_black"),
        "white": ("too much white", "max_white"),
        "pen": ("pen marks", "max_pen"),
        "sharpness": ("blurred", "min_sharpness"),
    }
)
SHARPNESS_MPP = 0.5  # Sharpness is judged at this resolution: at a finer one, every patch looks blurred.

_TISSUE_PERCENT = 7  # Of saturation, as of tissue.MIN_SATURATION: glass has no structure that could be sharp.
_LEAST_TISSUE_PX = 64
_WHITE_LEVEL = 210
_BLACK_LEVEL = 40
_INK_BLACK_LEVEL = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class QualityOptions:
    """Limits on what is kept. None judges nothing; the metric is measured all the same.

    Attributes:
      min_sharpness: Smallest variance of the Laplacian (see `sharpness`), at least 0. Larger drops more that is out of
        focus, then fat and loose stroma, which have little to be sharp.
      max_pen: Largest fraction of pen marks, in [0, 1].
      max_white: Largest fraction of white.
      max_black: Largest fraction of black.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    min_sharpness: float | None = None
    max_pen: float | None = None
    max_white: float | None = None
    max_black: float | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            highest = math.inf if field.name == "min_sharpness" else 1
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and not (number and 0 <= value <= highest):
                raise OptionError(f"{field.name}={value!r} is not a number in [0, {highest}], nor None")


# Limits to begin with: on the pictures that the tests use, patches on either side lie well apart.
SUGGESTED_QUALITY = QualityOptions(min_sharpness=45.0, max_pen=0.05, max_white=0.85, max_black=0.20)


@dataclasses.dataclass(frozen=True)
class Rejection:
    """Why a patch is not kept.

    Attributes:
      reason: In words, such as "blurred".
      metric: Which one, of METRICS.
      value, threshold: What it is, and the limit that it breaks.
    """

    reason: str
    metric: str
    value: float
    threshold: float


def measure(rgb: np.ndarray, mpp: float | tuple[float, float] | None = None) -> dict[str, float]:
    """All metrics of a patch.

    Args:
      rgb: uint8 [height, width, 3].
      mpp: Micrometres per pixel, or (x, y); None when not known.
    Returns:
      Metric -> value; sharpness is NaN where there is too little tissue to judge.
    Raises:
      ValueError: `rgb` is not uint8 [height, width, 3].
    """
    planes = _planes(rgb)
    high, low = _extremes(planes)  # Once for all: patches come by the million.
    return {
        "sharpness": _sharpness(rgb, high, low, mpp),
        "pen": _pen(planes, high, low),
        "white": float((low >= _WHITE_LEVEL).mean()),
        "black": float((high < _BLACK_LEVEL).mean()),
    }


def judge(metrics: Mapping[str, float], options: QualityOptions) -> Rejection | None:
    """The first limit that a patch breaks, or None. A sharpness of NaN breaks none."""
    for metric, (reason, limit) in QUALITY_REASONS.items():
        value, threshold = metrics[metric], getattr(options, limit)
        if threshold is not None and (value < threshold if limit.startswith("min") else value > threshold):
            return Rejection(reason, metric, float(value), float(threshold))
    return None


def sharpness(rgb: np.ndarray, mpp: float | tuple[float, float] | None = None) -> float:
    """Variance of the Laplacian of brightness over the tissue of a patch; larger is sharper.

    Args:
      rgb: uint8 [height, width, 3].
      mpp: Micrometres per pixel, or (x, y). A finer patch is first averaged to 0.5, so that values of slides scanned at
        20x and 40x compare; a coarser one, or one of unknown mpp, is judged as it is.
    Returns:
      0 or more; NaN where less than 64 pixels are tissue.
    Raises:
      ValueError: `rgb` is not uint8 [height, width, 3].
    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000, 314-317.
    """
    return _sharpness(rgb, *_extremes(_planes(rgb)), mpp)


def pen_fraction(rgb: np.ndarray) -> float:
    """Fraction of a patch that shows felt-tip pen: blue, green, red or black, on glass or over tissue.

    The colours are ones that haematoxylin, eosin and DAB do not make. Purple pen looks like stain and is not seen.

    Raises:
      ValueError: `rgb` is not uint8 [height, width, 3].
    """
    planes = _planes(rgb)
    return _pen(planes, *_extremes(planes))


def white_fraction(rgb: np.ndarray) -> float:
    """Fraction of a patch that is bright in all colours: glass, fat, lumina, unscanned parts on white.

    Raises:
      ValueError: `rgb` is not uint8 [height, width, 3].
    """
    return float((_extremes(_planes(rgb))[1] >= _WHITE_LEVEL).mean())


def black_fraction(rgb: np.ndarray) -> float:
    """Fraction of a patch that is dark in all colours: a frame's border, unscanned parts written as black, pen.

    Raises:
      ValueError: `rgb` is not uint8 [height, width, 3].
    """
    return float((_extremes(_planes(rgb))[0] < _BLACK_LEVEL).mean())


def _sharpness(rgb: np.ndarray, high: np.ndarray, low: np.ndarray, mpp: float | tuple[float, float] | None) -> float:
    coarse = _at_sharpness_mpp(rgb, mpp)
    if coarse is not rgb:
        rgb = coarse
        high, low = _extremes(_planes(rgb))
    if min(rgb.shape[:2]) < 3:
        return math.nan
    coloured = (high - low).astype(np.uint16) * 100 > high * np.uint16(_TISSUE_PERCENT)
    grey = np.asarray(Image.fromarray(rgb).convert("L")).astype(np.int16)
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    # A tissue's outline is not structure in it: all four neighbours must be tissue, too.
    inside = coloured[1:-1, 1:-1] & coloured[:-2, 1:-1] & coloured[2:, 1:-1] & coloured[1:-1, :-2] & coloured[1:-1, 2:]
    values = laplacian[inside].astype(np.float32)  # No product by BLAS here: its threads cost more than they save.
    return float(values.var(dtype=np.float64)) if len(values) >= _LEAST_TISSUE_PX else math.nan


def _pen(planes: np.ndarray, high: np.ndarray, low: np.ndarray) -> float:
    # Every fourth pixel will do: pen marks are hundreds of pixels wide.
    red, green, blue, high, low = (plane[::4, ::4].astype(np.int16) for plane in (*planes, high, low))
    spread = high - low
    is_green = (green == high) & (green > red) & (spread > 0.20 * high) & (spread > 20)
    is_blue = (blue == high) & (red - green <= 0.25 * spread) & (spread > 0.55 * high) & (spread > 30)
    warm = green - blue
    is_red = (red == high) & (warm > -0.33 * spread) & (warm < 0.20 * spread) & (spread > 0.75 * high) & (high > 77)
    ink = is_green | is_blue | is_red | (high < _INK_BLACK_LEVEL)
    if not ink.any():
        return 0.0
    # Single pixels are colour fringes of the lens, or noise.
    return float(ndimage.binary_opening(ink, np.ones((3, 3), bool)).mean())


def _at_sharpness_mpp(rgb: np.ndarray, mpp: float | tuple[float, float] | None) -> np.ndarray:
    if mpp is None:
        return rgb
    finer = [SHARPNESS_MPP / value for value in (mpp if isinstance(mpp, tuple) else (mpp, mpp))]
    if max(finer) < 1.05:
        return rgb
    height, width = rgb.shape[:2]
    size = (max(1, round(width / max(1, finer[0]))), max(1, round(height / max(1, finer[1]))))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))


def _planes(rgb: np.ndarray) -> np.ndarray:
    """uint8 [3, height, width]: all that follows is several times as quick on it."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ValueError(f"patch is {rgb.dtype} {list(rgb.shape)}; expected uint8 [height, width, 3]")
    return np.ascontiguousarray(np.moveaxis(rgb, 2, 0))


def _extremes(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The brightest and the darkest channel of each pixel."""
    red, green, blue = planes
    return np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
