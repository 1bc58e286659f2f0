"""Composed slides: what they are, that a run can be repeated and resumed, and what is said when it cannot go on."""

import csv
import resource
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import shapely
from scipy import ndimage

from beam_pipelines.slides.annotations import Annotations, Region, read_annotations
from beam_pipelines.slides.errors import OutputError
from beam_pipelines.slides.masks import rasterise
from beam_pipelines.slides.open import open_slide
from beam_pipelines.slides.plan import plan_slide
from beam_pipelines.slides.tiles import SlideRef, TilingOptions
from tfcass.demo.slides import SlideInfo, compose_slides
from tfcass.demo.tissue_layout import lay_out
from tfcass.demo.tissue_texture import textures
from tfcass.errors import OptionError

pytestmark = [pytest.mark.slides, pytest.mark.timeout(300)]  # Minutes where other work takes the processors.

SETTINGS = {"patients": 2, "slides_per_patient": (2, 1), "size": 4_096, "seed": 3}
NAMES = ["P01-1.tiff", "P01-2.tiff", "P02-1.tiff"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("composed")


@pytest.fixture(scope="module")
def slides(folder: Path) -> list[SlideInfo]:
    return compose_slides(folder, processes=1, **SETTINGS)


@pytest.fixture(scope="module")
def annotations(slides: list[SlideInfo]) -> Annotations:
    return read_annotations(sorted({slide.annotation for slide in slides}))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_slides_are_pyramids_with_mpp(slides: list[SlideInfo]) -> None:
    assert [slide.path.name for slide in slides] == NAMES
    for info in slides:
        with open_slide(info.path) as slide:
            assert (slide.vendor, slide.width_l0, slide.height_l0) == ("generic-tiff", 4_096, 4_096)
            assert slide.mpp == pytest.approx((0.25, 0.25))
            assert slide.level_downsamples == (1, 2, 4, 8, 16)


def test_the_levels_of_a_pyramid_show_the_same_picture(slides: list[SlideInfo]) -> None:
    with open_slide(slides[0].path) as slide:
        fine = slide.read_patch(1_024, 1_024, 1_024, 1).reshape(128, 8, 128, 8, 3).mean(axis=(1, 3))
        coarse = slide.read_patch(1_024, 1_024, 128, 8)
    assert np.abs(fine - coarse).mean() < 4


def test_the_slide_list_names_every_slide(folder: Path, slides: list[SlideInfo]) -> None:
    with open(folder / "slides.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["slide", "patient_id", "slide_num"],
            ["P01-1.tiff", "P01", "1"],
            ["P01-2.tiff", "P01", "2"],
            ["P02-1.tiff", "P02", "1"],
        ]


def test_annotations_come_in_both_formats_and_fit_their_slides(
    slides: list[SlideInfo], annotations: Annotations
) -> None:
    assert {slide.annotation.suffix for slide in slides} == {".geojson", ".csv"}
    assert annotations.problems == ()
    for info in slides:
        regions = annotations.of(info.path)
        frame = shapely.box(0, 0, info.size_l0, info.size_l0)
        assert all(frame.covers(region.polygon) for region in regions)
        normal, tumor = (
            shapely.union_all([region.polygon for region in regions if region.label == label])
            for label in ("normal", "tumor")
        )
        assert normal.area > 0 and shapely.intersection(normal, tumor).area == 0
        assert (tumor.area > 0) == (info.foci > 0)
    assert slides[0].foci > 0 and slides[2].foci > 0  # Every patient shows tumour.


def test_patches_of_both_classes_can_be_planned(slides: list[SlideInfo], annotations: Annotations) -> None:
    counts: Counter[int] = Counter()
    for info in slides:
        ref = SlideRef(str(info.path), info.patient_id, info.slide_num)
        plan = plan_slide(ref, annotations.of(info.path), TilingOptions())
        counts.update(location.label for location in plan.locations)
        assert plan.notes == ()
        if info.foci:
            assert plan.tissue[plan.annotated_masks["tumor"]].mean() > 0.9
    assert counts[0] >= 20 and counts[1] >= 5


def test_two_processes_make_the_same_bytes_as_one(folder: Path, slides: list[SlideInfo], tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    compose_slides(
        tmp_path, processes=2, progress=lambda *call: calls.append((call[0], call[1], call[2].path.name)), **SETTINGS
    )

    assert _contents(tmp_path) == _contents(folder)
    assert [call[:2] for call in calls] == [(1, 3), (2, 3), (3, 3)]
    assert sorted(call[2] for call in calls) == NAMES


def test_a_second_run_makes_only_what_is_missing(folder: Path, slides: list[SlideInfo], tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "slides" / "P01-2.tiff").unlink()
    again = compose_slides(tmp_path, processes=1, **SETTINGS)

    assert [slide.reused for slide in again] == [True, False, True]
    assert _contents(tmp_path) == _contents(folder)


def test_a_slide_of_another_seed_is_made_again(folder: Path, slides: list[SlideInfo], tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (info,) = compose_slides(
        tmp_path, processes=1, **{**SETTINGS, "patients": 1, "slides_per_patient": (1,), "seed": 4}
    )
    assert not info.reused
    assert info.path.read_bytes() != slides[0].path.read_bytes()


def test_a_file_that_is_not_ours_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "P01-1.tiff").write_text("precious")
    with pytest.raises(OptionError, match="P01-1.tiff.*not composed by tfcass"):
        compose_slides(tmp_path, processes=1, **SETTINGS)
    assert (tmp_path / "slides" / "P01-1.tiff").read_text() == "precious"


@pytest.mark.parametrize("processes", [1, 2])
def test_after_ctrl_c_no_half_slide_is_left_and_a_rerun_completes(
    processes: int, folder: Path, slides: list[SlideInfo], tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compose_slides(tmp_path, processes=processes, progress=interrupt, **SETTINGS)
    left = [path.name for path in (tmp_path / "slides").iterdir()]
    assert set(left) < set(NAMES)

    again = compose_slides(tmp_path, processes=1, **SETTINGS)
    assert [slide.path.name for slide in again if slide.reused] == sorted(left)
    assert _contents(tmp_path) == _contents(folder)


def test_a_disk_that_takes_no_more_is_reported_and_no_half_slide_is_left(tmp_path: Path) -> None:
    compose_slides(tmp_path, processes=1, **{**SETTINGS, "patients": 1, "slides_per_patient": (1,)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))  # A file ends here as it does on a full disk.
    try:
        with pytest.raises(OutputError) as caught:
            compose_slides(tmp_path, processes=1, **SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert str(tmp_path / "slides" / "P01-2.tiff") in str(caught.value)
    assert [path.name for path in (tmp_path / "slides").iterdir()] == ["P01-1.tiff"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patients": 0}, "patients=0"),
        ({"size": 1_000}, r"size=1000 is not a whole number in \[2048, 32768\]"),
        ({"seed": -1}, "seed=-1"),
        ({"slides_per_patient": ()}, r"slides_per_patient=\(\)"),
        ({"processes": 0}, "processes=0"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=words):
        compose_slides(tmp_path, **{**SETTINGS, **change})
    assert list(tmp_path.iterdir()) == []


def test_the_textures_have_the_same_colours_but_other_shapes() -> None:
    made = textures(SETTINGS["seed"])
    normal, tumor = (made[label][..., 0].astype(float) for label in ("normal", "tumor"))
    assert normal.mean() == pytest.approx(tumor.mean(), rel=0.15)
    assert normal.std() == pytest.approx(tumor.std(), rel=0.15)

    # Glands and stroma alternate over some hundred pixels, crowded nuclei over some ten.
    coarse = [ndimage.uniform_filter(texture, 64).std() / texture.std() for texture in (normal, tumor)]
    assert coarse[0] > 1.5 * coarse[1]


def test_textures_are_tori() -> None:
    for texture in textures(SETTINGS["seed"]).values():
        values = texture.astype(float)
        inner = np.abs(np.diff(values, axis=1)).mean()
        assert np.abs(values[:, 0] - values[:, -1]).mean() < 1.5 * inner
        assert np.abs(values[0] - values[-1]).mean() < 1.5 * inner


def test_many_layouts_are_sound() -> None:
    shares = []
    for patient in range(1, 13):
        layout = lay_out(seed=11, patient=patient, slide_num=1, size_l0=10_240)
        assert 1 <= layout.foci <= 3
        masks = rasterise([Region(*region) for region in layout.regions], 10_240, 10_240)
        assert masks["tumor"].any() and masks["normal"].any()
        shares.append(masks["tumor"].sum() / (masks["tumor"].sum() + masks["normal"].sum()))
        assert 0.15 < (layout.tissue > 0).mean() < 0.7
    assert 0.15 < np.mean(shares) < 0.5
