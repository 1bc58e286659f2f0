"""Stain normalisation: how a slide is stained, and a patch as if another laboratory had stained it.

    counts = merge_counts(tissue_colours(patch) for patch in patches_of_the_slide)    # in any order, on any worker
    statistics = fit(counts)
    normalise(patch, statistics, "macenko")

A slide's colours are counted, and all statistics come from the counts: counts add up exactly, so that the result does
not depend on the order or the workers, and one pass serves both methods. Nothing is fitted on a single patch: one with
little or no tissue gives no statistics, and would turn black or red.

Sources: E. Reinhard et al., Color transfer between images, IEEE CG&A 21(5):34-41, 2001 (here in CIELAB, as usual for
slides). M. Macenko et al., A method for normalizing histology slides for quantitative analysis, ISBI 2009, 1107-1110.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable

import numpy as np

from beam_pipelines.slides.tissue import MIN_BRIGHTNESS, MIN_SATURATION
from tfcass.stain_statistics import (
    DEFAULT_REFERENCE,
    MAX_GAIN,
    StainStatistics,
    check_method,
    check_reference,
)

MIN_PIXELS = 2_000  # Of tissue, below which a slide gives no statistics: half a percent of one patch tells nothing.
MIN_DENSITY = 0.15  # Macenko's beta: a pixel paler than this in some channel does not tell the direction of a stain.
ANGLE_PERCENTILE, DENSITY_PERCENTILE = 1.0, 99.0  # Macenko's alpha, and what stands for the maximum.
MIN_ANGLE = math.radians(5)  # Between the stains; below it there is but one.
GLASS_DENSITY, TISSUE_DENSITY = 0.05, 0.20  # Reinhard leaves glass as it is, and fades in between.
_BITS = 7  # Of each channel are counted: the error of 1/256 is below a scanner's noise.
_LIGHT = 256.0  # Density 0 is level 255: white stays white.

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65.
_DELTA = 6 / 29


@dataclasses.dataclass(frozen=True)
class ColourCounts:
    """How often each colour was seen.

    Attributes:
      codes: uint32 [n], ascending: 7 bits of each of red, green and blue.
      counts: int64 [n].
    """

    codes: np.ndarray
    counts: np.ndarray

    @property
    def pixels(self) -> int:
        return int(self.counts.sum())

    def colours(self) -> np.ndarray:
        """float64 [n, 3]: the middle of what each code stands for, in [0, 255]."""
        step = 2 ** (8 - _BITS)
        channels = np.stack([self.codes >> 2 * _BITS, self.codes >> _BITS, self.codes], axis=1) & (2**_BITS - 1)
        return channels * float(step) + (step - 1) / 2


def tissue_colours(rgb: np.ndarray, *, stride: int = 2) -> ColourCounts:
    """Counts the colours of the pixels that show tissue.

    Args:
      rgb: uint8 [height, width, 3].
      stride: Every how many rows and columns are looked at: neighbours are alike.
    Raises:
      ValueError: `rgb` is something else.
    """
    _check(rgb)
    pixels = rgb[::stride, ::stride].reshape(-1, 3)
    high = pixels.max(axis=1).astype(np.int32)
    tissue = (high - pixels.min(axis=1) > MIN_SATURATION * high) & (high >= MIN_BRIGHTNESS * 255)
    levels = (pixels[tissue] >> (8 - _BITS)).astype(np.uint32)
    codes, counts = np.unique(levels @ np.array([1 << 2 * _BITS, 1 << _BITS, 1], np.uint32), return_counts=True)
    return ColourCounts(codes.astype(np.uint32), counts.astype(np.int64))


def merge_counts(many: Iterable[ColourCounts]) -> ColourCounts:
    """Adds counts up; in any order, and of none."""
    many = list(many)
    codes = np.concatenate([np.empty(0, np.uint32), *(one.codes for one in many)])
    counts = np.concatenate([np.empty(0, np.int64), *(one.counts for one in many)])
    merged, place = np.unique(codes, return_inverse=True)
    # Exact: bincount adds up in float64, which counts below 2**53 fit into.
    return ColourCounts(merged, np.bincount(place, counts, len(merged)).astype(np.int64))


def fit(counts: ColourCounts) -> StainStatistics:
    """Statistics of one slide. Too little tissue, or no two stains, makes NaNs and a note, and no error."""
    nothing, none = (math.nan,) * 3, (math.nan,) * 2
    if counts.pixels < MIN_PIXELS:
        note = f"too little tissue: {counts.pixels:,} pixels, {MIN_PIXELS:,} are needed"
        return StainStatistics(nothing, nothing, nothing, nothing, none, note)
    lab = _lab(counts.colours().astype(np.float32)).astype(np.float64)
    mean = np.average(lab, axis=0, weights=counts.counts)
    std = np.sqrt(np.average((lab - mean) ** 2, axis=0, weights=counts.counts))
    stains, maxima, note = _stains(_density(counts.colours()), counts.counts)
    return StainStatistics(*(tuple(values.tolist()) for values in (mean, std, stains[0], stains[1], maxima)), note)


def fit_picture(rgb: np.ndarray) -> StainStatistics:
    """Statistics of one picture, to serve as a reference."""
    return fit(tissue_colours(rgb, stride=1))


def normalise(
    rgb: np.ndarray,
    statistics: StainStatistics,
    method: str = "macenko",
    reference: StainStatistics = DEFAULT_REFERENCE,
) -> np.ndarray:
    """Shows a patch as if it were stained like `reference`.

    Args:
      rgb: uint8 [height, width, 3].
      statistics: Of the slide that the patch is from; when unusable, the patch is returned as it is.
      method: "macenko" scales the amount of each stain, and leaves what neither explains as it was: glass, pen, dust.
        "reinhard" scales contrast and shifts the mean of lightness and colours, and leaves glass as it was.
      reference: What it shall look like.
    Returns:
      uint8 [height, width, 3]. White stays white.
    Raises:
      OptionError: unknown method, or a reference that cannot be used.
      ValueError: `rgb` is something else.
    """
    check_method(method)
    check_reference(reference, method)
    _check(rgb)
    if not statistics.usable(method):
        return rgb
    if method == "macenko":
        density = _density_table()[rgb] @ _restaining(statistics, reference).astype(np.float32)
        found = _LIGHT * np.exp(-density) - 1
    else:
        found = _reinhard(rgb, statistics, reference)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def _restaining(statistics: StainStatistics, reference: StainStatistics) -> np.ndarray:
    """float64 [3, 3]: densities -> densities with each stain replaced, and the rest kept."""
    own, wanted = (np.array([s.haematoxylin, s.eosin]) for s in (statistics, reference))
    gain = np.clip(np.array(reference.maxima) / np.array(statistics.maxima), 1 / MAX_GAIN, MAX_GAIN)
    return np.eye(3) + np.linalg.pinv(own) @ (gain[:, None] * wanted - own)


def _reinhard(rgb: np.ndarray, statistics: StainStatistics, reference: StainStatistics) -> np.ndarray:
    mean, std, to_mean, to_std = (
        np.array(values, np.float32) for values in (statistics.mean, statistics.std, reference.mean, reference.std)
    )
    gain = np.clip(to_std / np.maximum(std, 1e-3), 1 / MAX_GAIN, MAX_GAIN)
    moved = _rgb((_lab(rgb) - mean) * gain + to_mean)
    densest = _density_table()[rgb].max(axis=-1, keepdims=True)
    weight = np.clip((densest - GLASS_DENSITY) / (TISSUE_DENSITY - GLASS_DENSITY), 0, 1)
    return weight * moved + (1 - weight) * rgb


def _stains(density: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Directions [2, 3] of haematoxylin and eosin, their maxima [2], and a note when there are none."""
    none = np.full((2, 3), math.nan), np.full(2, math.nan)
    dense = (density >= MIN_DENSITY).all(axis=1)
    weights = counts[dense]
    if weights.sum() < MIN_PIXELS:
        return *none, f"too little stain: {weights.sum():,} dense pixels, {MIN_PIXELS:,} are needed"
    _, vectors = np.linalg.eigh(np.cov(density[dense].T, fweights=weights))
    plane = vectors[:, :0:-1]  # The two directions of largest spread, the larger first.
    plane = plane * np.where(plane[0] < 0, -1.0, 1.0)
    flat = density[dense] @ plane
    angles = np.arctan2(flat[:, 1], flat[:, 0])
    low, high = _percentiles(angles, weights, (ANGLE_PERCENTILE, 100 - ANGLE_PERCENTILE))
    if high - low < MIN_ANGLE:
        return *none, f"no two stains: all colours lie within {math.degrees(high - low):.1f} degrees"
    found = np.array([plane @ (math.cos(angle), math.sin(angle)) for angle in (low, high)])
    stains = found[np.argsort(-found[:, 0], kind="stable")]  # Haematoxylin, the blue one, takes more of the red.
    amounts = density @ np.linalg.pinv(stains)
    maxima = np.array([_percentiles(amounts[:, k], counts, (DENSITY_PERCENTILE,))[0] for k in (0, 1)])
    if (maxima < MIN_DENSITY).any():
        return *none, f"one stain only: the densities reach {maxima[0]:.2f} and {maxima[1]:.2f}"
    return stains, maxima, ""


def _percentiles(values: np.ndarray, weights: np.ndarray, percents: tuple[float, ...]) -> list[float]:
    order = np.argsort(values, kind="stable")
    shares = np.cumsum(weights[order]) / weights.sum()
    places = np.minimum(np.searchsorted(shares, np.array(percents) / 100), len(values) - 1)
    return values[order][places].tolist()


def _density(levels: np.ndarray) -> np.ndarray:
    return -np.log((levels + 1.0) / _LIGHT)


@functools.cache
def _density_table() -> np.ndarray:
    return _density(np.arange(256)).astype(np.float32)


@functools.cache
def _linear_table() -> np.ndarray:
    return _linear(np.arange(256) / 255.0).astype(np.float32)


def _linear(levels: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] -> proportional to light."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _lab(rgb: np.ndarray) -> np.ndarray:
    """Levels in [0, 255] -> float32 CIELAB (D65)."""
    linear = _linear_table()[rgb] if rgb.dtype == np.uint8 else _linear(rgb / 255.0)
    xyz = linear @ (_TO_XYZ.T / _WHITE).astype(np.float32)
    root = np.where(xyz > _DELTA**3, np.cbrt(xyz), xyz / (3 * _DELTA**2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def _rgb(lab: np.ndarray) -> np.ndarray:
    """CIELAB -> float32 levels in [0, 255]."""
    y = (lab[..., 0] + 16) / 116
    root = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(root > _DELTA, root**3, 3 * _DELTA**2 * (root - 4 / 29))
    linear = np.clip(xyz @ np.linalg.inv(_TO_XYZ.T / _WHITE).astype(np.float32), 0, 1)
    levels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    return (255 * levels).astype(np.float32)


def _check(rgb: np.ndarray) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"rgb is {rgb.dtype} {list(rgb.shape)}; expected uint8 [height, width, 3]")
