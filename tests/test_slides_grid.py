"""Where patches lie: resolution, stride, edges; what they cover of a mask; and ids that last."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.grid import Grid, GridSpec, Scale, box_fraction, plan_grid
from tfcass.errors import OptionError


@dataclasses.dataclass
class Plane:
    """A slide's geometry and nothing else."""

    width_l0: int
    height_l0: int = 100
    mpp: tuple[float, float] | None = (0.25, 0.25)
    level_downsamples: tuple[float, ...] = (1.0, 4.0003, 16.01)
    bounds_l0: tuple[int, int, int, int] | None = None
    path: str = "plane.svs"

    @property
    def scanned_l0(self) -> tuple[int, int, int, int]:
        return self.bounds_l0 or (0, 0, self.width_l0, self.height_l0)


@pytest.mark.parametrize(
    ("width", "size", "stride", "edge", "columns"),
    [
        (1_000, 100, None, "pad", [0, 200, 400, 600, 800]),  # Level 1: 100 pixels cover 200.
        (1_001, 100, None, "pad", [0, 200, 400, 600, 800, 1_000]),
        (1_001, 100, None, "drop", [0, 200, 400, 600, 800]),
        (1_001, 100, None, "shift", [0, 200, 400, 600, 800, 801]),
        (1_000, 100, None, "shift", [0, 200, 400, 600, 800]),
        (600, 100, 50, "pad", [0, 100, 200, 300, 400, 500]),
        (600, 100, 50, "drop", [0, 100, 200, 300, 400]),
        (650, 100, 150, "drop", [0, 300]),  # A gap between patches.
        (650, 100, 150, "shift", [0, 300, 450]),
        (150, 100, None, "pad", [0]),
        (150, 100, None, "drop", []),
        (150, 100, None, "shift", [0]),  # Nowhere to shift to: padded.
        (200, 100, None, "drop", [0]),
    ],
)
def test_columns_follow_size_stride_and_edge(
    width: int, size: int, stride: int | None, edge: str, columns: list[int]
) -> None:
    grid = plan_grid(Plane(width), GridSpec(size_px=size, stride_px=stride, edge=edge))
    assert list(grid.columns) == columns


def test_patches_come_row_by_row() -> None:
    grid = plan_grid(Plane(400, 600), GridSpec(size_px=100))
    assert list(zip(grid.x_l0, grid.y_l0, strict=True)) == [
        (x, y) for y, x in itertools.product((0, 200, 400), (0, 200))
    ]
    assert len(grid) == 6 and grid.x_l0.dtype == np.int64


def test_the_grid_begins_at_the_bounds_only_when_asked() -> None:
    plane = Plane(100_000, 200_000, bounds_l0=(30_001, 50_003, 1_000, 500))
    assert plan_grid(plane, GridSpec(size_px=250, area="bounds")).columns == (30_001, 30_501)
    assert plan_grid(plane, GridSpec(size_px=250, area="bounds")).rows == (50_003,)
    assert plan_grid(plane, GridSpec(size_px=250)).columns[:2] == (0, 500)
    assert plan_grid(Plane(1_000), GridSpec(size_px=250, area="bounds")).columns == (0, 500)  # No bounds told.


@given(
    st.integers(1, 50_000),
    st.integers(1, 1_000),
    st.integers(1, 1_000),
    st.floats(1, 40),
    st.integers(0, 30_000),
)
@settings(deadline=None, max_examples=200)
def test_edges_keep_their_promise(width: int, size: int, stride: int, downsample: float, left: int) -> None:
    plane = Plane(10**6, bounds_l0=(left, 0, width, 100), level_downsamples=(1.0,))
    places = {
        edge: np.array(
            plan_grid(
                plane,
                GridSpec(
                    size_px=size, stride_px=stride, mpp=0.25 * downsample, edge=edge, area="bounds", mpp_tolerance=0
                ),
            ).columns
        )
        for edge in ("pad", "drop", "shift")
    }
    footprint, right = size * downsample, left + width
    assert places["pad"][0] == left and places["pad"][-1] < right + 1
    assert (
        places["pad"][-1] + max(footprint, stride * downsample) >= right - 1
    )  # Only strides above the size leave gaps.
    assert (places["drop"] >= left).all() and (places["drop"] + footprint <= right + 1).all()
    if len(places["drop"]):
        assert places["shift"][-1] + footprint == pytest.approx(right, abs=1.5)
    for columns in places.values():
        steps = np.diff(columns)
        assert (steps > 0).all() and (steps <= stride * downsample + 1).all()
    assert set(places["drop"]) <= set(places["shift"]) and set(places["drop"]) <= set(places["pad"])


@pytest.mark.parametrize(
    ("mpp", "downsample", "effective"),
    [
        (0.25, (1.0, 1.0), (0.25, 0.25)),
        (0.5, (2.0, 2.0), (0.5, 0.5)),  # Resampled from level 0.
        (1.0, (4.0003, 4.0003), (1.000075, 1.000075)),  # A level that is close enough is read as it is.
        (1.01, (4.0003, 4.0003), (1.000075, 1.000075)),
        (1.03, (4.12, 4.12), (1.03, 1.03)),
        (0.246, (1.0, 1.0), (0.25, 0.25)),  # A hair finer than the slide.
        (8.0, (32.0, 32.0), (8.0, 8.0)),  # Coarser than its coarsest level.
    ],
)
def test_mpp_becomes_a_downsample_and_the_effective_mpp(
    mpp: float, downsample: tuple[float, float], effective: tuple[float, float]
) -> None:
    scale = GridSpec(mpp=mpp).scale(Plane(10_000))
    assert scale.downsample == pytest.approx(downsample)
    assert scale.mpp == pytest.approx(effective)
    assert scale.level is None


def test_pixels_that_are_not_square_have_a_downsample_per_axis() -> None:
    plane = Plane(2_000, 1_000, mpp=(0.25, 0.5))
    grid = plan_grid(plane, GridSpec(mpp=0.5, size_px=100))
    assert grid.scale.downsample == (2.0, 1.0) and grid.scale.mpp == (0.5, 0.5)
    assert (grid.width_l0, grid.height_l0) == (200, 100) and len(grid) == 100
    by_level = plan_grid(plane, GridSpec(level=1, size_px=100))  # The recipe's way leaves them as they are.
    assert by_level.scale.mpp == (0.5, 1.0) and (by_level.width_l0, by_level.height_l0) == (200, 200)


def test_no_mpp_and_pixels_too_coarse_are_refused_with_the_way_out() -> None:
    with pytest.raises(SlideError, match=r"no usable mpp.*mpp=0.5.*mpp table.*cut by level"):
        GridSpec(mpp=0.5).scale(Plane(1_000, mpp=None))
    with pytest.raises(SlideError, match=r"mpp of 0.25 at its finest.*mpp=0.23 asked.*mpp_tolerance=0.09"):
        GridSpec(mpp=0.23).scale(Plane(1_000))
    assert GridSpec(mpp=0.23, mpp_tolerance=0.09).scale(Plane(1_000)).mpp == (0.25, 0.25)
    assert GridSpec().scale(Plane(1_000, mpp=None)).mpp is None


def test_a_plane_that_tables_cannot_hold_is_refused() -> None:
    with pytest.raises(SlideError, match="more than the 2147483648"):
        plan_grid(Plane(2**31), GridSpec(size_px=2**14))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"level": 1, "mpp": 0.5}, "level=1 and mpp=0.5"),
        ({"level": -1}, "level=-1"),
        ({"level": 1.0}, "level=1.0"),
        ({"mpp": 0}, "mpp=0"),
        ({"mpp": float("nan")}, "mpp=nan"),
        ({"size_px": 0}, "size_px=0"),
        ({"size_px": True}, "size_px=True"),
        ({"stride_px": 0}, "stride_px=0"),
        ({"edge": "wrap"}, "edge='wrap'.*pad, drop, shift"),
        ({"area": "tissue"}, "area='tissue'.*slide, bounds"),
        ({"mpp_tolerance": 0.5}, "mpp_tolerance=0.5"),
    ],
)
def test_specs_that_make_no_sense_are_refused(fields: dict, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        GridSpec(**fields)


def test_what_enters_an_id_is_what_pixels_depend_on() -> None:
    plane = Plane(4_000)
    texts = [
        plan_grid(plane, GridSpec(**fields)).pixels
        for fields in (
            {},
            {"stride_px": 64, "edge": "drop", "area": "bounds"},
            {"level": 0},
            {"size_px": 224},
            {"mpp": 0.5},
            {"mpp": 0.6},
            {"mpp": 1.0},
        )
    ]
    assert texts == [
        "level=1 size=256",
        "level=1 size=256",
        "level=0 size=256",
        "level=1 size=224",
        "downsample=2.000000x2.000000 size=256",
        "downsample=2.400000x2.400000 size=256",
        "downsample=4.000300x4.000300 size=256",
    ]


def test_a_digest_differs_when_any_field_does() -> None:
    specs = [
        GridSpec(),
        GridSpec(level=2),
        GridSpec(mpp=0.5),
        GridSpec(size_px=224),
        GridSpec(stride_px=128),
        GridSpec(edge="drop"),
        GridSpec(area="bounds"),
        GridSpec(mpp_tolerance=0.1),
    ]
    assert len({spec.digest for spec in specs}) == len(set(specs)) == len(specs)
    assert GridSpec().digest == GridSpec(level=1).digest and len(GridSpec().digest) == 16


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.floats(0.3, 20), st.floats(0.3, 20)),
    st.tuples(st.floats(0.5, 9), st.floats(0.5, 9)),
)
@settings(deadline=None, max_examples=100)
def test_fractions_are_areas(
    seed: int, shape: tuple[int, int], footprint: tuple[float, float], downsample: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.5
    columns, rows = (tuple(sorted({int(v) for v in rng.integers(-5, 60, 4)})) for _ in range(2))
    grid = Grid(GridSpec(size_px=1), Scale(footprint, None, None), columns, rows)
    fractions = box_fraction(mask, downsample, grid).reshape(len(rows), len(columns))

    def overlap(start: float, length: float, pixel: int, step: float) -> float:
        return max(0.0, min(start + length, (pixel + 1) * step) - max(start, pixel * step))

    for r, c in itertools.product(range(len(rows)), range(len(columns))):
        along_y = [overlap(rows[r], footprint[1], y, downsample[1]) for y in range(shape[0])]
        along_x = [overlap(columns[c], footprint[0], x, downsample[0]) for x in range(shape[1])]
        area = float(np.array(along_y) @ mask @ np.array(along_x)) / (footprint[0] * footprint[1])
        assert math.isclose(fractions[r, c], area, abs_tol=1e-5)
