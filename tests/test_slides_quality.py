"""Blur, pen, white and black: on real tissue, sharp and blurred, clean and drawn upon, each metric tells both apart."""

import io
import math

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw
from scipy import ndimage

from beam_pipelines.slides.encode import decode
from beam_pipelines.slides.grid import plan_grid
from beam_pipelines.slides.open import open_slide
from beam_pipelines.slides.plan import cut_and_judge, cut_patch
from beam_pipelines.slides.quality import (
    SUGGESTED_QUALITY,
    QualityOptions,
    black_fraction,
    judge,
    measure,
    pen_fraction,
    sharpness,
    white_fraction,
)
from beam_pipelines.slides.tiles import SlideRef, TilingOptions, plan_patches
from tests.support.slide_files import write_pyramid
from tfcass.demo.tissue_texture import _stardist_picture
from tfcass.errors import OptionError

pytestmark = pytest.mark.slides

# Transmission of red, green and blue light.
INKS = {
    "blue": (0.15, 0.25, 0.75),
    "navy": (0.10, 0.10, 0.60),
    "turquoise": (0.10, 0.55, 0.70),
    "green": (0.10, 0.50, 0.30),
    "light green": (0.35, 0.70, 0.35),
    "red": (0.80, 0.10, 0.15),
    "black": (0.12, 0.12, 0.13),
}


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    """Real tissue, by stain; taken to be of 0.5 um a pixel."""
    with Image.open(_stardist_picture()) as image:
        return {"IHC": skimage.data.immunohistochemistry(), "H&E": np.asarray(image.convert("RGB"))}


def _tiles(picture: np.ndarray, side: int = 128) -> list[np.ndarray]:
    """Cut, and compressed as slides are."""
    tiles = []
    for top in range(0, picture.shape[0] - side + 1, side):
        for left in range(0, picture.shape[1] - side + 1, side):
            buffer = io.BytesIO()
            Image.fromarray(picture[top : top + side, left : left + side]).save(buffer, "JPEG", quality=90)
            tiles.append(np.asarray(Image.open(buffer)))
    return tiles


def _blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(picture, (sigma, sigma, 0))


def _larger(picture: np.ndarray, factor: int) -> np.ndarray:
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.BICUBIC))


def test_sharp_tissue_lies_above_the_limit_and_blurred_tissue_below(pictures: dict[str, np.ndarray]) -> None:
    limit = SUGGESTED_QUALITY.min_sharpness
    assert limit is not None
    for picture in pictures.values():
        assert min(sharpness(tile, 0.5) for tile in _tiles(picture)) > 4 * limit
        assert min(sharpness(tile, 0.5) for tile in _tiles(_blurred(picture, 0.5))) > 2 * limit
        assert max(sharpness(tile, 0.5) for tile in _tiles(_blurred(picture, 2.0))) < 0.6 * limit


def test_sharpness_falls_with_every_step_of_blur(pictures: dict[str, np.ndarray]) -> None:
    for picture in pictures.values():
        values = [sharpness(_blurred(picture, sigma), 0.5) for sigma in (0, 0.5, 1, 1.5, 2, 3, 5)]
        assert values == sorted(values, reverse=True)


def test_sharpness_is_judged_at_one_resolution_whatever_the_scanner(pictures: dict[str, np.ndarray]) -> None:
    for picture in pictures.values():
        at_40x = _larger(picture, 2)
        assert sharpness(at_40x, 0.25) == pytest.approx(sharpness(picture, 0.5), rel=0.5)
        assert sharpness(at_40x, 0.5) < 0.4 * sharpness(picture, 0.5)  # Empty magnification is blur.
        assert sharpness(picture, None) == sharpness(picture, 0.5) == sharpness(picture, 2.0)
        assert sharpness(_larger(picture, 2), (0.25, 0.25)) == sharpness(at_40x, 0.25)


def test_glass_is_neither_sharp_nor_blurred(pictures: dict[str, np.ndarray]) -> None:
    glass = np.full((256, 256, 3), 243, np.uint8)
    assert math.isnan(sharpness(glass, 0.5))
    assert math.isnan(sharpness(glass[:2, :2], 0.5))
    # A patch with little tissue is judged by its tissue.
    half = glass.copy()
    half[:, :128] = pictures["IHC"][:256, :128]
    assert sharpness(half, 0.5) == pytest.approx(sharpness(pictures["IHC"][:256, :128], 0.5), rel=0.3)
    assert judge(measure(glass, 0.5), QualityOptions(min_sharpness=45)) is None


def _stroke(rgb: np.ndarray, ink: tuple[float, float, float]) -> np.ndarray:
    """A stroke across the picture's middle, a third of its height."""
    height, width = rgb.shape[:2]
    layer = Image.new("L", (width, height))
    ImageDraw.Draw(layer).line([(0, height * 0.4), (width, height * 0.6)], 255, height // 3)
    drawn = np.asarray(layer)[..., None] > 0
    return np.where(drawn, rgb * np.float32(ink), rgb).astype(np.uint8)


@pytest.mark.parametrize("ink", list(INKS))
def test_pen_over_tissue_and_on_glass_is_seen_and_stain_is_not(ink: str, pictures: dict[str, np.ndarray]) -> None:
    limit = SUGGESTED_QUALITY.max_pen
    assert limit is not None
    for picture in (*pictures.values(), np.full((256, 256, 3), 243, np.uint8)):
        for tile in _tiles(picture):
            assert pen_fraction(tile) < limit / 10
            assert pen_fraction(_stroke(tile, INKS[ink])) > 2 * limit
    assert pen_fraction(_stroke(np.full((256, 256, 3), 243, np.uint8), INKS[ink])) == pytest.approx(1 / 3, abs=0.1)


def test_single_pixels_of_colour_are_no_pen() -> None:
    speckled = np.full((256, 256, 3), 240, np.uint8)
    speckled[::8, ::8] = (20, 40, 200)
    assert pen_fraction(speckled) == 0


def test_white_and_black_are_told_from_tissue(pictures: dict[str, np.ndarray]) -> None:
    for tile in (tile for picture in pictures.values() for tile in _tiles(picture)):
        assert white_fraction(tile) < 0.8 and black_fraction(tile) < 0.01
    for value in (255, 235, 215):
        assert white_fraction(np.full((64, 64, 3), value, np.uint8)) == 1
    for value in (0, 20):
        assert black_fraction(np.full((64, 64, 3), value, np.uint8)) == 1
    part = pictures["H&E"][:100, :100].copy()
    part[:25] = 0
    assert black_fraction(part) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({}, None),
        ({"sharpness": 44.9}, ("blurred", "sharpness", 44.9, 45.0)),
        ({"sharpness": math.nan}, None),
        ({"pen": 0.06}, ("pen marks", "pen", 0.06, 0.05)),
        ({"white": 0.9, "sharpness": 1.0}, ("too much white", "white", 0.9, 0.85)),
        ({"black": 0.3, "pen": 0.4}, ("too much black", "black", 0.3, 0.2)),
        ({"pen": 0.05, "white": 0.85, "black": 0.2, "sharpness": 45.0}, None),
    ],
)
def test_the_first_limit_that_breaks_is_the_reason(metrics: dict[str, float], reason: tuple | None) -> None:
    found = judge({"sharpness": 300.0, "pen": 0.0, "white": 0.1, "black": 0.0, **metrics}, SUGGESTED_QUALITY)
    assert reason == (found and (found.reason, found.metric, found.value, found.threshold))


def test_nothing_is_judged_unless_asked() -> None:
    assert judge({"sharpness": 0.0, "pen": 1.0, "white": 1.0, "black": 1.0}, QualityOptions()) is None


@pytest.mark.parametrize(
    "fields", [{"min_sharpness": -1}, {"max_pen": 1.5}, {"max_white": math.nan}, {"max_black": "0.1"}]
)
def test_limits_that_make_no_sense_are_refused(fields: dict) -> None:
    with pytest.raises(OptionError, match=next(iter(fields))):
        QualityOptions(**fields)


def test_only_pictures_are_measured() -> None:
    with pytest.raises(ValueError, match=r"float64 \[4, 4, 3\]"):
        measure(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"uint8 \[0, 4, 3\]"):
        measure(np.zeros((0, 4, 3), np.uint8))


def test_a_cut_patch_brings_its_metrics_and_is_left_out_when_a_limit_breaks(
    pictures: dict[str, np.ndarray], tmp_path
) -> None:
    sharp = pictures["IHC"]
    rgb = np.concatenate([_larger(sharp, 2), _blurred(_larger(sharp, 2), 5)], axis=1)  # 1,024 x 2,048 at 0.25 um.
    options = TilingOptions(quality=SUGGESTED_QUALITY)
    with open_slide(write_pyramid(tmp_path / "s.tiff", rgb)) as slide:
        grid = plan_grid(slide, options.grid)
        everything = np.ones(len(grid), np.float32)
        locations, _ = plan_patches(
            SlideRef("s", "P", 1),
            slide_name="s",
            content_id="c",
            grid=grid,
            annotated={"normal": everything},
            tissue=everything,
            options=options,
        )
        cut = [cut_and_judge(slide, location, options) for location in locations]
        reasons = [patch.rejection.reason if patch.rejection else None for patch in cut]
        assert reasons == [None, None, "blurred", "blurred"] * 2
        assert [patch.data is None for patch in cut] == [False, False, True, True] * 2
        assert cut[0].data == cut_patch(slide, locations[0], options)
        assert set(cut[0].quality) == {"sharpness", "pen", "white", "black"}
        assert decode(cut[0].data).shape == (256, 256, 3)
