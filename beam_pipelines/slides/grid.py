"""Where patches lie: one grid for a whole slide, by level or by micrometres per pixel; how much of a mask each covers.

spec = GridSpec(mpp=0.5, size_px=224, stride_px=112, edge="shift")
with open_slide("a.svs") as slide:
    grid = plan_grid(slide, spec)
    first = slide.read_patch(grid.x_l0[0], grid.y_l0[0], spec.size_px, grid.scale.downsample)
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import uuid
from functools import cached_property
from typing import Protocol

import numpy as np

from beam_pipelines.slides.errors import SlideError
from tfcass.errors import OptionError

# The namespace of all patch ids. Changing it changes every id, so that no stored patch would be recognised again.
PATCH_NAMESPACE = uuid.UUID("c8d0b5d5-6f6e-5b52-9f0e-6f3a6f2b7a51")

EDGES = ("pad", "drop", "shift")
AREAS = ("slide", "bounds")
_DEFAULT_LEVEL = 1
_MOST_PIXELS = 2**31  # Of a corner: the tables hold coordinates as 32-bit numbers.


class Geometry(Protocol):
    """What a grid needs to know of a slide: `Slide` and `SlideGeometry` have it."""

    path: str
    width_l0: int
    height_l0: int
    level_downsamples: tuple[float, ...]
    mpp: tuple[float, float] | None

    @property
    def scanned_l0(self) -> tuple[int, int, int, int]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridSpec:
    """How slides are divided into patches. The same for every slide; `plan_grid` applies it to one.

    Attributes:
      size_px: Side of a patch in its own pixels.
      level: Nominal level of the patches' pixels (downsample 2**level); 1 when neither it nor `mpp` is given.
      mpp: Instead of `level`: micrometres per pixel of the patches, alike on every slide and along both axes.
      stride_px: From one patch to the next, in patch pixels; None means `size_px`, neighbours without overlap or gap.
      edge: What becomes of the last column and row where the slide does not end with a patch: "pad" keeps them, filled
        up with the background; "drop" leaves them out; "shift" moves them back until they end with the slide, so that
        they overlap the ones before.
      area: Where the grid begins and ends: "slide", the whole plane, or "bounds", the scanned part where the format
        tells it (MIRAX).
      mpp_tolerance: With `mpp`: a level of the file that is this close, relatively, is read as it is, not resampled;
        the patch's row tells the mpp it really has. A slide whose finest level is coarser than that is refused: pixels
        are not made up.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    size_px: int = 256
    level: int | None = None
    mpp: float | None = None
    stride_px: int | None = None
    edge: str = "pad"
    area: str = "slide"
    mpp_tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.level is not None and self.mpp is not None:
            raise OptionError(f"level={self.level!r} and mpp={self.mpp!r} were both given; patches have one resolution")
        if self.level is None and self.mpp is None:
            object.__setattr__(self, "level", _DEFAULT_LEVEL)
        if self.level is not None and (not _whole(self.level) or not 0 <= self.level <= 16):
            raise OptionError(f"level={self.level!r} is not a whole number in [0, 16]")
        if self.mpp is not None and not (_number(self.mpp) and 0.02 <= self.mpp <= 1000):
            raise OptionError(f"mpp={self.mpp!r} is not a number of micrometres per pixel in [0.02, 1000]")
        if not _whole(self.size_px) or self.size_px < 1:
            raise OptionError(f"size_px={self.size_px!r} is not a positive whole number of pixels")
        if self.stride_px is not None and (not _whole(self.stride_px) or self.stride_px < 1):
            raise OptionError(f"stride_px={self.stride_px!r} is not a positive whole number of pixels")
        if self.edge not in EDGES:
            raise OptionError(f"edge={self.edge!r} is not known; choose one of {', '.join(EDGES)}")
        if self.area not in AREAS:
            raise OptionError(f"area={self.area!r} is not known; choose one of {', '.join(AREAS)}")
        if not (_number(self.mpp_tolerance) and 0 <= self.mpp_tolerance <= 0.25):
            raise OptionError(f"mpp_tolerance={self.mpp_tolerance!r} is not a fraction in [0, 0.25]")

    @property
    def stride(self) -> int:
        """From one patch to the next, in patch pixels."""
        return self.stride_px or self.size_px

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that differ when any field does: for provenance."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def scale(self, slide: Geometry) -> Scale:
        """How a slide is read to get this grid's patches.

        Raises:
          SlideError: a resolution in micrometres is asked and the slide tells no mpp, or is coarser than asked.
        """
        if self.level is not None:
            return Scale((2.0**self.level,) * 2, _times(slide.mpp, (2.0**self.level,) * 2), self.level)
        assert self.mpp is not None
        if slide.mpp is None:
            raise SlideError(
                slide.path,
                f"tells no usable mpp, so patches of mpp={self.mpp:g} cannot be cut; give its mpp in an mpp table "
                "(CSV with the columns slide, mpp), or cut by level",
            )
        wanted = (self.mpp / slide.mpp[0], self.mpp / slide.mpp[1])
        for native in slide.level_downsamples:
            if max(abs(native / value - 1) for value in wanted) <= self.mpp_tolerance:
                return Scale((native, native), _times(slide.mpp, (native, native)), None)
        if min(wanted) < 1:
            raise SlideError(
                slide.path,
                f"has an mpp of {max(slide.mpp):g} at its finest, coarser than the mpp={self.mpp:g} asked; "
                f"ask for a larger mpp, or allow it by mpp_tolerance={max(slide.mpp) / self.mpp - 1:.2f} or more",
            )
        return Scale(wanted, (self.mpp, self.mpp), None)


@dataclasses.dataclass(frozen=True)
class Scale:
    """How a slide is read.

    Attributes:
      downsample: Level-0 pixels per pixel of a patch, (x, y).
      mpp: Micrometres per pixel that patches really have, (x, y); None when the slide does not tell.
      level: Nominal level, or None when cut by mpp.
    """

    downsample: tuple[float, float]
    mpp: tuple[float, float] | None
    level: int | None


@dataclasses.dataclass(frozen=True)
class Grid:
    """The patches of one slide: every one of `columns` with every one of `rows`.

    Attributes:
      spec: What it follows.
      scale: How the slide is read.
      columns, rows: Left and top edges in level-0 pixels, rising.
    """

    spec: GridSpec
    scale: Scale
    columns: tuple[int, ...]
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.columns) * len(self.rows)

    @cached_property
    def x_l0(self) -> np.ndarray:
        """int64 [n], left edges of the patches, row by row."""
        return np.tile(np.array(self.columns, np.int64), len(self.rows))

    @cached_property
    def y_l0(self) -> np.ndarray:
        """int64 [n], top edges of the patches, row by row."""
        return np.repeat(np.array(self.rows, np.int64), len(self.columns))

    @property
    def width_l0(self) -> float:
        """Width of a patch in level-0 pixels; not whole where mpp asks for it."""
        return self.spec.size_px * self.scale.downsample[0]

    @property
    def height_l0(self) -> float:
        """Height of a patch in level-0 pixels."""
        return self.spec.size_px * self.scale.downsample[1]

    @property
    def pixels(self) -> str:
        """What a patch's pixels depend on besides the slide and the corner: part of its id.

        Stride, edge and area are not in it: the same pixels have the same id, so that a run with more overlap finds
        the stored patches again.
        """
        if self.scale.level is not None:
            return f"level={self.scale.level} size={self.spec.size_px}"
        x, y = self.scale.downsample
        return f"downsample={x:.6f}x{y:.6f} size={self.spec.size_px}"


def plan_grid(slide: Geometry, spec: GridSpec) -> Grid:
    """Lays the grid over a slide.

    Raises:
      SlideError: as `GridSpec.scale`; or the slide is too large for 32-bit coordinates.
    """
    scale = spec.scale(slide)
    left, top, width, height = slide.scanned_l0 if spec.area == "bounds" else (0, 0, slide.width_l0, slide.height_l0)
    if max(left + width, top + height) >= _MOST_PIXELS:
        raise SlideError(slide.path, f"is {width} x {height} pixels, more than the {_MOST_PIXELS} that tables can hold")
    columns, rows = (
        _starts(begin, length, spec.size_px * along, spec.stride * along, spec.edge)
        for begin, length, along in zip((left, top), (width, height), scale.downsample, strict=True)
    )
    return Grid(spec, scale, columns, rows)


def patch_id(content_id: str, pixels: str, x_l0: int, y_l0: int) -> uuid.UUID:
    """The id of the patch at a corner: a function of what its pixels are, not of path, label, encoding or run.

    Args:
      content_id: `Slide.content_id`.
      pixels: `Grid.pixels`.
      x_l0, y_l0: Top-left corner in level-0 pixels.
    """
    # The length goes first so that no two inputs make one text, whatever a content id holds.
    return uuid.uuid5(PATCH_NAMESPACE, f"{len(content_id)}:{content_id} {pixels} x={int(x_l0)} y={int(y_l0)}")


def box_fraction(mask: np.ndarray, downsample: float | tuple[float, float], grid: Grid) -> np.ndarray:
    """Tells how much of each patch is set in a mask.

    Args:
      mask: bool [height, width], its pixel [0, 0] at the slide's corner.
      downsample: Level-0 pixels per mask pixel, or (x, y).
      grid: The patches.
    Returns:
      float32 [n] in [0, 1], exact to the part of a mask pixel. Always of the full patch: what lies past the mask counts
      as not set, as a patch there shows background.
    """
    along_x, along_y = downsample if isinstance(downsample, tuple) else (downsample, downsample)
    # Rows first, then columns: sums over strips of the mask, and of these strips over each patch.
    strips = _sums(np.cumsum(mask, axis=0, dtype=np.int32), np.array(grid.rows) / along_y, grid.height_l0 / along_y)
    sums = _sums(np.cumsum(strips.T, axis=0), np.array(grid.columns) / along_x, grid.width_l0 / along_x).T
    area = grid.width_l0 / along_x * (grid.height_l0 / along_y)
    return np.clip(sums / area, 0, 1).astype(np.float32).ravel()


def _sums(cumulative: np.ndarray, starts: np.ndarray, length: float) -> np.ndarray:
    """float64 [n, m]: what `cumulative` [size, m] rises by between each start and start + length, in its rows."""
    size = len(cumulative)
    padded = np.concatenate([np.zeros((1, cumulative.shape[1]), cumulative.dtype), cumulative])

    def up_to(place: np.ndarray) -> np.ndarray:
        place = np.clip(place, 0, size)
        whole = np.floor(place).astype(np.int64)
        low, high = padded[whole], padded[np.minimum(whole + 1, size)]
        return low + (place - whole)[:, None] * (high - low)

    return up_to(starts + length) - up_to(starts)


def _starts(begin: int, length: int, size: float, stride: float, edge: str) -> tuple[int, ...]:
    """Corners along one axis, each rounded by itself so that errors do not add up."""
    fitting = math.floor(round((length - size) / stride, 6)) + 1 if length - size > -1e-6 else 0
    count = math.ceil(round(length / stride, 6)) if edge == "pad" else fitting
    starts = [begin + round(number * stride) for number in range(count)]
    if edge == "shift":
        last = begin + max(0, math.floor(length - size))
        if not starts or starts[-1] < last:
            starts.append(last)
    return tuple(starts)


def _times(mpp: tuple[float, float] | None, factor: tuple[float, ...]) -> tuple[float, float] | None:
    return None if mpp is None else (mpp[0] * factor[0], mpp[1] * factor[1])


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
