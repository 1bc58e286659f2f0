"""Tissue and glass: real tissue is found, cleaning goes by true areas, and a user's own mask is taken."""

from pathlib import Path

import numpy as np
import pytest
import shapely
import skimage.data
from PIL import Image

from beam_pipelines.slides.annotations import Region
from beam_pipelines.slides.errors import AnnotationError, SlideError
from beam_pipelines.slides.plan import plan_slide
from beam_pipelines.slides.tiles import SlideRef, TilingOptions
from beam_pipelines.slides.tissue import CLEANED_TISSUE, TissueOptions, read_tissue_mask, tissue_mask
from tests.support.slide_files import PINK, paint_tissue, write_pyramid
from tfcass.demo.tissue_texture import _stardist_picture
from tfcass.errors import OptionError

pytestmark = pytest.mark.slides

MPP = (10.0, 10.0)  # Of the thumbnails below: a pixel is 100 um2.


def _thumbnail(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    return paint_tissue(100, dict.fromkeys(boxes, PINK))


def _area(mask: np.ndarray) -> int:
    return int(mask.sum())


@pytest.mark.parametrize(("stain", "least"), [("H&E", 0.9), ("IHC", 0.55)])  # Of the IHC picture, a third is lumen.
def test_real_tissue_is_found_on_glass_of_any_tint(stain: str, least: float) -> None:
    picture = skimage.data.immunohistochemistry()
    if stain == "H&E":
        with Image.open(_stardist_picture()) as image:
            picture = np.asarray(image.convert("RGB").resize((512, 512)))
    for glass in ((255, 255, 255), (243, 239, 233), (228, 228, 228)):
        slide = np.empty((1_024, 1_024, 3), np.uint8)
        slide[:] = glass
        slide[256:768, 256:768] = picture
        small = np.asarray(Image.fromarray(slide).resize((128, 128), Image.Resampling.BOX))
        mask = tissue_mask(small)
        outside = mask.copy()
        outside[31:97, 31:97] = False
        assert mask[34:94, 34:94].mean() > least and not outside.any()


def test_black_and_transparent_parts_are_no_tissue() -> None:
    thumbnail = _thumbnail((10, 10, 50, 50))
    thumbnail[60:] = 0
    mask = tissue_mask(thumbnail)
    assert mask[12:48, 12:48].all() and not mask[60:].any()


def test_small_pieces_go_and_others_stay() -> None:
    thumbnail = _thumbnail((10, 10, 40, 40), (60, 60, 66, 66))  # 900 and 36 pixels; 90,000 and 3,600 um2.
    assert tissue_mask(thumbnail)[62:64, 62:64].all()
    cleaned = tissue_mask(thumbnail, TissueOptions(min_area_um2=10_000), mpp=MPP)
    assert cleaned[12:38, 12:38].all() and not cleaned[50:].any()
    assert tissue_mask(thumbnail, TissueOptions(min_area_um2=3_000), mpp=MPP)[62:64, 62:64].all()


def test_areas_are_true_ones_whatever_the_pixel() -> None:
    thumbnail = _thumbnail((10, 10, 40, 40))
    options = TissueOptions(min_area_um2=100_000)
    assert not tissue_mask(thumbnail, options, mpp=(10.0, 10.0)).any()  # 90,000 um2.
    assert tissue_mask(thumbnail, options, mpp=(10.0, 20.0)).any()
    assert tissue_mask(thumbnail, options, mpp=(20.0, 10.0)).any()


def test_small_holes_are_filled_and_glass_at_the_border_is_no_hole() -> None:
    thumbnail = _thumbnail((0, 0, 100, 100))
    thumbnail[20:26, 20:26] = 255  # 36 pixels.
    thumbnail[50:80, 50:80] = 255  # 900 pixels.
    thumbnail[0:6, 60:66] = 255  # 36 pixels, open to the border.
    mask = tissue_mask(thumbnail, TissueOptions(min_hole_um2=10_000), mpp=MPP)
    assert mask[20:26, 20:26].all()
    assert not mask[53:77, 53:77].any() and not mask[1:4, 62:64].any()


def test_gaps_narrower_than_the_closing_are_closed() -> None:
    thumbnail = _thumbnail((10, 10, 90, 40), (10, 44, 90, 80))  # A crack of 4 pixels, 40 um.
    assert not tissue_mask(thumbnail)[41:43, 20:80].any()
    closed = tissue_mask(thumbnail, TissueOptions(closing_um=60), mpp=MPP)
    assert closed[40:44, 20:80].all()
    assert not tissue_mask(thumbnail, TissueOptions(closing_um=20), mpp=MPP)[41:43, 20:80].any()
    # Closing adds no rim: outside, nothing grows.
    assert not closed[:9].any() and not closed[82:].any() and closed[12:78, 12:88].all()


def test_closing_leaves_tissue_at_the_border_alone() -> None:
    thumbnail = _thumbnail((0, 0, 100, 30))
    plain = tissue_mask(thumbnail)
    np.testing.assert_array_equal(tissue_mask(thumbnail, TissueOptions(closing_um=80), mpp=MPP), plain)


def test_nothing_is_found_on_glass_however_it_is_cleaned() -> None:
    assert not tissue_mask(_thumbnail(), CLEANED_TISSUE, mpp=MPP).any()


def test_the_defaults_only_threshold_and_smooth() -> None:
    thumbnail = _thumbnail((10, 10, 40, 40), (60, 60, 64, 64))
    np.testing.assert_array_equal(tissue_mask(thumbnail), tissue_mask(thumbnail, TissueOptions(), mpp=MPP))
    assert _area(tissue_mask(thumbnail, TissueOptions(median_px=9))) < _area(tissue_mask(thumbnail))


def test_areas_without_mpp_are_refused_by_the_function_and_assumed_aloud_by_the_plan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mpp"):
        tissue_mask(_thumbnail(), CLEANED_TISSUE)
    rgb = paint_tissue(2_048, {(0, 0, 1_024, 1_024): PINK, (1_500, 1_500, 1_700, 1_700): PINK})
    options = TilingOptions(tissue=TissueOptions(min_area_um2=10_000))
    plans = []
    for mpp in (0.25, None):
        path = write_pyramid(tmp_path / f"{mpp}.tiff", rgb, mpp=mpp)
        plans.append(plan_slide(SlideRef(str(path), "P", 1), [], options))
    np.testing.assert_array_equal(plans[0].tissue, plans[1].tissue)
    assert plans[0].tissue[:15, :15].all() and not plans[0].tissue[20:].any()
    assert plans[0].notes == ()
    assert "level-0 pixels of 0.25 um: min_area_um2=160000 px" in plans[1].notes[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"min_saturation": 0.5, "max_saturation": 0.2}, "min_saturation=0.5"),
        ({"median_px": 4}, "median_px=4"),
        ({"closing_um": -1}, "closing_um=-1"),
        ({"min_area_um2": float("inf")}, "min_area_um2=inf"),
        ({"min_hole_um2": "9"}, "min_hole_um2='9'"),
    ],
)
def test_options_that_make_no_sense_are_refused(fields: dict, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        TissueOptions(**fields)


@pytest.fixture
def slide_path(tmp_path: Path) -> Path:
    return write_pyramid(tmp_path / "S1.tiff", paint_tissue(2_100, {(0, 0, 2_048, 2_048): PINK}))


@pytest.mark.parametrize("side", [33, 64, 2_100])  # Nominal level 6 (ceil 2,100 / 64), any size, level 0.
def test_a_users_own_mask_decides(side: int, slide_path: Path, tmp_path: Path) -> None:
    mask = np.zeros((side, side), np.uint8)
    mask[:, : side // 2] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    ref = SlideRef(str(slide_path), "P", 1, tissue_mask=str(tmp_path / "mask.png"))
    plan = plan_slide(ref, [Region("normal", shapely.box(0, 0, 2_048, 2_048))], TilingOptions())
    assert {p.x_l0 for p in plan.locations} == {0, 512} and plan.rejected["too little tissue"] == 8
    assert plan.tissue.shape == (side, side)
    assert plan.tissue_downsample == {33: (64, 64), 64: (2_100 / 64,) * 2, 2_100: (1, 1)}[side]


def test_a_mask_of_another_shape_is_refused_for_its_slide(slide_path: Path, tmp_path: Path) -> None:
    Image.fromarray(np.ones((40, 33), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(AnnotationError, match="33 x 40 pixels, another shape than the slide of 2100 x 2100"):
        read_tissue_mask(tmp_path / "mask.png", 2_100, 2_100)
    with pytest.raises(SlideError, match="another shape"):
        plan_slide(SlideRef(str(slide_path), "P", 1, tissue_mask=str(tmp_path / "mask.png")), [], TilingOptions())
    with pytest.raises(SlideError, match="cannot read mask .*absent.png"):
        plan_slide(SlideRef(str(slide_path), "P", 1, tissue_mask=str(tmp_path / "absent.png")), [], TilingOptions())
