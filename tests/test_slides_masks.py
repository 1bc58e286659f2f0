"""Masks: the pixel-centre rule, fractions of coarser pixels, PNG files, tissue."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import draw

from beam_pipelines.slides.annotations import Region
from beam_pipelines.slides.errors import AnnotationError, OutputError
from beam_pipelines.slides.masks import fill, mask_fraction, rasterise, read_mask_png, write_mask_png
from beam_pipelines.slides.tissue import tissue_mask
from tests.support.slide_files import PINK


def _centres_inside(geometry: shapely.Geometry, size: int, pixel: float) -> np.ndarray:
    """The rule itself, slowly: is the centre of each pixel inside?"""
    y, x = (np.mgrid[:size, :size] + 0.5) * pixel
    return shapely.contains_xy(geometry, x, y)


def test_a_disc_with_a_hole_has_its_area_and_obeys_the_pixel_centre_rule() -> None:
    ring = shapely.Point(3_210.7, 3_190.3).buffer(2_000, quad_segs=64) - shapely.Point(3_000, 3_000).buffer(
        700, quad_segs=64
    )
    mask = rasterise([Region("tumor", ring)], 6_400, 6_400, level=6)["tumor"]

    np.testing.assert_array_equal(mask, _centres_inside(ring, 100, 64))
    assert mask.sum() * 64**2 == pytest.approx(ring.area, rel=0.01)


def test_filling_agrees_with_another_implementation() -> None:
    star = np.random.default_rng(6).uniform(5, 95, (30, 2))
    star = star[np.argsort(np.arctan2(*(star - 50).T))]
    expected = np.zeros((100, 100), bool)
    expected[draw.polygon(star[:, 1] - 0.5, star[:, 0] - 0.5, (100, 100))] = True

    np.testing.assert_array_equal(fill(shapely.Polygon(star), (100, 100), 1.0), expected)


@settings(max_examples=100, deadline=None)
@given(
    corners=st.lists(st.tuples(st.integers(-40, 160), st.integers(-40, 160)), min_size=4, max_size=12, unique=True),
    chord=st.tuples(st.integers(0, 11), st.integers(0, 11)),
)
def test_two_areas_with_a_common_border_share_no_pixel_and_miss_none(
    corners: list[tuple[int, int]], chord: tuple[int, int]
) -> None:
    hull = shapely.convex_hull(shapely.MultiPoint(corners))
    ring = shapely.get_coordinates(hull)[:-1]
    assume(len(ring) >= 4)
    first, last = sorted(corner % len(ring) for corner in chord)
    assume(2 <= last - first <= len(ring) - 2)
    one, other = ring[first : last + 1], np.concatenate([ring[last:], ring[: first + 1]])
    masks = [fill(shapely.Polygon(part), (60, 60), 2.0).astype(int) for part in (one, other, ring)]

    np.testing.assert_array_equal(masks[0] + masks[1], masks[2])


def test_tumor_is_painted_over_normal_and_overlapping_regions_unite() -> None:
    regions = [
        Region("tumor", shapely.box(0, 0, 128, 128)),
        Region("normal", shapely.box(0, 0, 256, 256)),
        Region("normal", shapely.box(64, 64, 256, 256)),
    ]
    masks = rasterise(regions, 256, 256, level=6)

    assert masks["tumor"].astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert masks["normal"].astype(int).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_without_regions_masks_are_empty_and_cover_the_slide() -> None:
    masks = rasterise([], 6_401, 6_399, level=6)
    assert {label: (mask.shape, mask.any()) for label, mask in masks.items()} == {
        "normal": ((100, 101), False),
        "tumor": ((100, 101), False),
    }


def test_an_outline_far_beyond_the_slide_fills_it() -> None:
    masks = rasterise([Region("tumor", shapely.box(-1e9, -1e9, 1e9, 1e9))], 640, 640, level=6)
    assert masks["tumor"].all()


def test_mask_fraction_counts_what_lies_past_the_mask_as_not_set() -> None:
    mask = np.zeros((10, 12), bool)
    mask[:8, :4] = True  # Half of the first coarse pixel.
    mask[8:, 8:] = True  # All that exists of the last one: 2 x 4 of 8 x 8.
    fraction = mask_fraction(mask, from_level=6, to_level=9)

    assert fraction.dtype == np.float32
    assert fraction.tolist() == [[0.5, 0.0], [0.0, 0.125]]


def test_mask_fraction_of_the_same_level_is_the_mask() -> None:
    mask = np.eye(5, dtype=bool)
    np.testing.assert_array_equal(mask_fraction(mask, 6, 6), mask.astype(np.float32))
    with pytest.raises(ValueError, match="finer"):
        mask_fraction(mask, 6, 5)


def test_a_mask_survives_its_png_file_which_other_tools_can_read(tmp_path: Path) -> None:
    mask = np.random.default_rng(7).random((37, 53)) < 0.3
    write_mask_png(tmp_path / "new folder" / "m.png", mask)

    np.testing.assert_array_equal(read_mask_png(tmp_path / "new folder" / "m.png"), mask)
    with Image.open(tmp_path / "new folder" / "m.png") as image:
        assert image.mode == "L" and {value for _, value in image.getcolors()} == {0, 255}
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["m.png"]


def test_a_mask_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (4, 4)).save(tmp_path / "colour.png")
    for name, reason in (("text.png", "cannot read"), ("colour.png", "RGB"), ("absent.png", "cannot read")):
        with pytest.raises(AnnotationError, match=reason) as caught:
            read_mask_png(tmp_path / name)
        assert name in str(caught.value)


def test_a_mask_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="m.png"):
        write_mask_png(tmp_path / "file" / "m.png", np.ones((2, 2), bool))


@pytest.mark.parametrize("colour", [(255, 255, 255), (240, 236, 232), (0, 0, 0), (128, 128, 128)])
def test_a_blank_slide_has_no_tissue(colour: tuple[int, int, int]) -> None:
    assert not tissue_mask(np.full((50, 60, 3), colour, np.uint8)).any()


def test_noise_on_glass_is_not_tissue() -> None:
    glass = np.clip(np.random.default_rng(8).normal(240, 3, (80, 80, 3)), 0, 255).astype(np.uint8)
    assert not tissue_mask(glass).any()


def test_tissue_is_found_and_nothing_else() -> None:
    thumbnail = np.full((60, 60, 3), 243, np.uint8)
    thumbnail[10:40, 20:50] = PINK
    thumbnail[50:60, :] = 0  # A black border.
    expected = np.zeros((60, 60), bool)
    expected[10:40, 20:50] = True

    found = tissue_mask(thumbnail)
    assert (found != expected).sum() <= 4  # The median filter rounds the corners.


def test_a_slide_full_of_tissue_is_all_tissue() -> None:
    shades = np.random.default_rng(9).uniform(0.7, 1.0, (60, 60, 1))
    assert tissue_mask((shades * PINK).astype(np.uint8)).all()


def test_a_single_pixel_of_dirt_is_ignored() -> None:
    thumbnail = np.full((30, 30, 3), 245, np.uint8)
    thumbnail[15, 15] = PINK
    assert not tissue_mask(thumbnail).any()


def test_tissue_mask_refuses_other_arrays() -> None:
    with pytest.raises(ValueError, match=r"float64 \[4, 4, 3\]"):
        tissue_mask(np.ones((4, 4, 3)))
