"""Planning: which patches are cut, with which label and id, and where the others went."""

import dataclasses
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.slides.annotations import Region
from beam_pipelines.slides.encode import decode
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.grid import Grid, Scale, patch_id
from beam_pipelines.slides.open import open_slide
from beam_pipelines.slides.plan import cut_patch, plan_slide
from beam_pipelines.slides.tiles import SlideRef, TilingOptions, plan_patches
from tests.support.slide_files import PINK, VIOLET, paint_tissue, write_pyramid
from tfcass.errors import OptionError

pytestmark = pytest.mark.slides

# A slide of 8 x 8 grid positions (4,096 / 512). Tissue covers columns 0 to 5 of rows 0 to 3; the left half is drawn
# as normal, a square of 2 x 2 positions in it as tumour.
TISSUE = {(0, 0, 3_072, 2_048): PINK, (0, 0, 1_024, 1_024): VIOLET}
REGIONS = (
    Region("normal", shapely.box(0, 0, 2_048, 4_096)),
    Region("tumor", shapely.box(0, 0, 1_024, 1_024)),
)


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pyramid(tmp_path_factory.mktemp("plan") / "S1.tiff", paint_tissue(4_096, TISSUE))


def _ref(path: Path) -> SlideRef:
    return SlideRef(str(path), "P1", 3)


def test_known_geometry_gives_known_patches(slide_path: Path) -> None:
    plan = plan_slide(_ref(slide_path), REGIONS, TilingOptions())

    assert [(p.x_l0, p.y_l0) for p in plan.locations if p.label == 1] == [(0, 0), (512, 0), (0, 512), (512, 512)]
    normal = [(p.x_l0 // 512, p.y_l0 // 512) for p in plan.locations if p.label == 0]
    assert normal == [(2, 0), (3, 0), (2, 1), (3, 1), (0, 2), (1, 2), (2, 2), (3, 2), (0, 3), (1, 3), (2, 3), (3, 3)]
    assert plan.rejected == {"not annotated": 32, "too little annotated": 0, "too little tissue": 16}
    assert plan.notes == ()


def test_a_location_says_all_that_the_metadata_table_holds(slide_path: Path) -> None:
    first = plan_slide(_ref(slide_path), REGIONS, TilingOptions()).locations[0]

    assert (first.patient_id, first.slide_num, first.slide) == ("P1", 3, "S1.tiff")
    assert (first.label, first.level, first.mpp) == (1, 1, pytest.approx(0.5))
    assert first.tissue == pytest.approx(1.0, abs=0.02) and first.annotated == 1.0


def test_a_plan_is_the_same_on_every_run_and_wherever_the_slide_lies(slide_path: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "S1.tiff"
    moved.parent.mkdir()
    moved.write_bytes(slide_path.read_bytes())

    assert (
        plan_slide(_ref(slide_path), REGIONS, TilingOptions()).locations
        == plan_slide(_ref(moved), REGIONS, TilingOptions()).locations
    )


def test_a_slide_without_the_levels_of_the_recipe_is_tiled_alike(slide_path: Path, tmp_path: Path) -> None:
    flat = write_pyramid(tmp_path / "S1.tiff", paint_tissue(4_096, TISSUE), levels=1)
    options = TilingOptions()
    with open_slide(flat) as one, open_slide(slide_path) as many:
        assert len(one.level_downsamples) == 1 and len(many.level_downsamples) == 5
        plans = [plan_slide(_ref(path), REGIONS, options) for path in (flat, slide_path)]
        patches = [cut_patch(slide, plans[0].locations[5], options, "png") for slide in (one, many)]

    assert plans[0].rejected == plans[1].rejected
    without_id = [[dataclasses.replace(p, patch_id=uuid.UUID(int=0)) for p in plan.locations] for plan in plans]
    assert without_id[0] == without_id[1]
    assert patches[0] == patches[1]
    assert decode(patches[0]).shape == (256, 256, 3)


def test_a_slide_without_mpp_has_patches_without_mpp_and_a_note(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "S1.tiff", paint_tissue(1_024, {(0, 0, 1_024, 1_024): PINK}), mpp=None)
    plan = plan_slide(_ref(path), [Region("normal", shapely.box(0, 0, 1_024, 1_024))], TilingOptions())

    assert [p.mpp for p in plan.locations] == [None] * 4
    assert "mpp" in plan.notes[0]


def test_a_slide_without_annotations_plans_nothing_and_says_where_the_grid_went(slide_path: Path) -> None:
    plan = plan_slide(_ref(slide_path), [], TilingOptions())
    assert plan.locations == () and plan.rejected["not annotated"] == 64


def test_a_region_outside_the_slide_is_noted(slide_path: Path) -> None:
    plan = plan_slide(_ref(slide_path), [*REGIONS, Region("tumor", shapely.box(9_000, 0, 9_900, 900))], TilingOptions())
    assert len(plan.locations) == 16
    assert "region 3" in plan.notes[0] and "lies outside" in plan.notes[0]


def test_annotations_beside_the_tissue_raise_an_alarm(slide_path: Path) -> None:
    plan = plan_slide(_ref(slide_path), [Region("tumor", shapely.box(0, 3_000, 4_000, 4_000))], TilingOptions())
    assert plan.locations == ()
    assert "only 0% of the annotated area shows tissue" in plan.notes[0]


def test_a_slide_that_cannot_be_opened_plans_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.svs").write_text("no slide")
    with pytest.raises(SlideError, match="holds text"):
        plan_slide(_ref(tmp_path / "text.svs"), REGIONS, TilingOptions())


def test_a_position_over_the_edge_needs_enough_of_its_whole_area(tmp_path: Path) -> None:
    # 700 pixels: the second position covers 188 of 512 pixels, less than half.
    path = write_pyramid(tmp_path / "S1.tiff", paint_tissue(700, {(0, 0, 700, 700): PINK}), levels=1)
    everywhere = [Region("normal", shapely.box(0, 0, 700, 700))]
    plan = plan_slide(_ref(path), everywhere, TilingOptions())
    generous = plan_slide(_ref(path), everywhere, TilingOptions(min_annotated=0.1, min_tissue=0.1))

    assert len(plan.locations) == 1 and plan.rejected["too little annotated"] == 3
    assert len(generous.locations) == 4
    with open_slide(path) as slide:
        corner = decode(cut_patch(slide, generous.locations[-1], TilingOptions(), "png"))
    assert tuple(corner[10, 10]) == PINK and tuple(corner[200, 200]) == (255, 255, 255)


def _plan(normal: list[float], tumor: list[float], tissue: list[float], **settings: float):
    options = TilingOptions(**settings)
    grid = Grid(options.grid, Scale((2.0, 2.0), None, 1), tuple(512 * n for n in range(len(tissue))), (0,))
    return plan_patches(
        SlideRef("S1.svs", "P1", 1),
        slide_name="S1.svs",
        content_id="c",
        grid=grid,
        annotated={"normal": np.float32(normal), "tumor": np.float32(tumor)},
        tissue=np.float32(tissue),
        options=options,
    )


def test_thresholds_are_inclusive_and_reasons_add_up() -> None:
    locations, rejections = _plan([0.5, 0.49, 0, 1, 1], [0, 0, 0, 0, 0], [0.3, 1, 1, 0.29, 1], min_tissue=0.3)
    assert [p.x_l0 for p in locations] == [0, 4 * 512]
    assert rejections.counts() == {"not annotated": 1, "too little annotated": 1, "too little tissue": 1}


def test_each_rejected_position_tells_its_metric_and_the_threshold() -> None:
    _, rejections = _plan([0.25, 0, 1], [0, 0, 0], [1, 0.5, 0.125], min_tissue=0.3)
    assert list(rejections.rows()) == [
        {
            "x_l0": x,
            "y_l0": 0,
            "reason": reason,
            "metric": metric,
            "value": value,
            "threshold": threshold,
            "tissue": tissue,
            "annotated": annotated,
            "label": label,
        }
        for x, reason, metric, value, threshold, tissue, annotated, label in [
            (0, "too little annotated", "annotated", 0.25, 0.5, 1.0, 0.25, 0),
            (512, "not annotated", "annotated", 0.0, 0.5, 0.5, 0.0, -1),
            (1024, "too little tissue", "tissue", 0.125, 0.3, 0.125, 1.0, 0),
        ]
    ]


def test_the_larger_class_wins_and_tumor_wins_a_draw() -> None:
    locations, _ = _plan([0.3, 0.5, 0.6], [0.4, 0.5, 0.4], [1, 1, 1], min_annotated=0.3)
    assert [p.label for p in locations] == [1, 1, 0]


def test_unknown_classes_and_other_shapes_are_refused() -> None:
    grid = Grid(TilingOptions().grid, Scale((2.0, 2.0), None, 1), (0,), (0,))
    common = {"slide_name": "S", "content_id": "c", "grid": grid, "options": TilingOptions()}
    ref, one = SlideRef("S", "P", 1), np.ones(1, np.float32)
    with pytest.raises(ValueError, match="stroma"):
        plan_patches(ref, annotated={"stroma": one}, tissue=one, **common)
    with pytest.raises(ValueError, match="shapes differ"):
        plan_patches(ref, annotated={"tumor": one}, tissue=np.ones(2, np.float32), **common)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"decision_level": 8},
            ["decision_level=8", "256 level-0 pixels", "covers 512", "2**decision_level == patch_size"],
        ),
        ({"patch_size": 224, "decision_level": 9}, ["patch_size=224", "covers 448"]),
        ({"patch_size": 0}, ["patch_size=0"]),
        ({"patch_size": 256.0}, ["patch_size=256.0"]),
        ({"mask_level": 10, "decision_level": 9}, ["mask_level=10", "decision_level=9"]),
        ({"mask_level": 10}, ["mask_level=10", "1024 level-0 pixels", "covers 512"]),
        ({"mpp": 0.5, "patch_level": 2}, ["patch_level=2", "mpp=0.5"]),
        ({"mpp": 0.5, "decision_level": 9}, ["decision_level=9", "mpp=0.5"]),
        ({"stride": 0}, ["stride=0"]),
        ({"edge": "crop"}, ["edge='crop'", "pad, drop, shift"]),
        ({"mask_level": -1}, ["mask_level=-1"]),
        ({"patch_level": True}, ["patch_level=True"]),
        ({"min_tissue": 1.5}, ["min_tissue=1.5", "[0, 1]"]),
        ({"min_tissue": float("nan")}, ["min_tissue=nan"]),
        ({"min_tissue": "30%"}, ["min_tissue='30%'"]),
        ({"min_annotated": 0}, ["min_annotated=0"]),
    ],
)
def test_options_that_make_no_sense_are_refused(settings: dict, words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        TilingOptions(**settings)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("level", "size", "decision"), [(0, 512, 9), (2, 128, 9), (0, 256, 8), (3, 512, 12)])
def test_other_fitting_recipes_are_accepted(level: int, size: int, decision: int) -> None:
    options = TilingOptions(patch_level=level, patch_size=size, decision_level=decision)
    assert options.footprint_l0 == 2**decision


coordinates = st.integers(0, 300_000)
places = st.tuples(
    st.text(max_size=80), st.sampled_from(["level=1 size=256", "level=0 size=512"]), coordinates, coordinates
)


@given(places, places)
def test_ids_are_equal_exactly_for_equal_patches(one: tuple, other: tuple) -> None:
    assert (patch_id(*one) == patch_id(*other)) == (one == other)


def test_ids_never_change() -> None:
    # Written out: a change of namespace or text would orphan every stored patch.
    assert patch_id("abc", "level=1 size=256", 512, 1_024) == uuid.UUID("6919722d-36fd-51f3-ab19-966bbb88b0c3")


def test_ids_do_not_depend_on_the_kind_of_integer() -> None:
    assert patch_id("abc", "g", np.int64(512), np.int32(0)) == patch_id("abc", "g", 512, 0)


def test_slides_need_neither_tensorflow_nor_beam_nor_a_driver() -> None:
    heavy = "[name for name in ('tensorflow', 'apache_beam', 'cassandra') if name in sys.modules]"
    code = f"import sys, beam_pipelines.slides.plan; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
