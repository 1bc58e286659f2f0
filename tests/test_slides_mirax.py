"""MIRAX slides, the recipe's format: sparse planes, bounds, photos that overlap; and folders that are damaged."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely

from beam_pipelines.slides.annotations import Region
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.open import open_slide
from beam_pipelines.slides.plan import cut_patch, plan_slide
from beam_pipelines.slides.tiles import SlideRef, TilingOptions
from tests.support.mirax_files import data_files_of, image_places, write_mirax
from tests.support.slide_files import PINK, VIOLET

pytestmark = [pytest.mark.slides, pytest.mark.timeout(300)]

WHITE = (255, 255, 255)
SIDE = 2_048


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """uint8 [2048, 2048, 3] of coloured squares of 32 pixels, which JPEG keeps well."""
    colours = np.random.default_rng(1).integers(60, 220, (SIDE // 32, SIDE // 32, 3))
    return np.kron(colours, np.ones((32, 32, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def slide_path(picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plane of 3,072 x 2,560, scanned in the 2,048 x 2,048 at its corner only."""
    return write_mirax(
        tmp_path_factory.mktemp("mirax") / "P1_1.mrxs",
        picture,
        images=(12, 10),
        levels=4,
        mpp=(0.25, 0.26),
        data_files=3,
    )


@pytest.fixture
def copy_of(slide_path: Path, tmp_path: Path) -> Path:
    shutil.copytree(slide_path.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / slide_path.name


def test_size_levels_mpp_bounds_and_vendor(slide_path: Path) -> None:
    with open_slide(slide_path) as slide:
        assert (slide.vendor, slide.name) == ("mirax", "P1_1.mrxs")
        assert (slide.width_l0, slide.height_l0) == (3_072, 2_560)
        assert slide.level_downsamples == (1, 2, 4, 8)
        assert (slide.mpp, slide.mpp_x, slide.mpp_y, slide.mpp_source) == ((0.25, 0.26), 0.25, 0.26, "slide")
        assert "not square" in slide.notes[0]
        assert slide.bounds_l0 == slide.scanned_l0 == (0, 0, SIDE, SIDE)
        assert slide.geometry.scanned_l0 == slide.scanned_l0


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_patch_is_what_was_painted(level: int, picture: np.ndarray, slide_path: Path) -> None:
    step = 2**level
    with open_slide(slide_path) as slide:
        patch = slide.read_patch(300 * step, 200 * step, 128, step)
        same = slide.read(300 * step, 200 * step, level, 128, 128)
    painted = picture.reshape(SIDE // step, step, SIDE // step, step, 3).mean(axis=(1, 3))[200:328, 300:428]
    assert np.abs(patch - painted).max() <= 3
    np.testing.assert_array_equal(patch, same)


def test_what_was_not_scanned_is_white_on_every_level(slide_path: Path) -> None:
    with open_slide(slide_path) as slide:
        for level in range(4):
            patch = slide.read_patch(SIDE - 64 * 2**level, 0, 128, 2**level)
            assert (patch[:, 66:] == 255).all() and patch[:, :62].max() < 230
        assert (slide.thumbnail(downsample=64)[:, 33:] == 255).all()


def test_the_slides_own_background_colour_is_used(picture: np.ndarray, tmp_path: Path) -> None:
    tinted = (240, 235, 225)
    path = write_mirax(tmp_path / "t.mrxs", picture[:512, :512], images=(4, 4), levels=2, background=tinted)
    with open_slide(path) as slide:
        assert slide.background == tinted
        assert (slide.read_patch(800, 800, 100, 1) == tinted).all()
        assert (slide.read_patch(-400, 0, 100, 1) == tinted).all()  # Outside the plane.


def test_photos_that_overlap_and_lie_off_their_place_show_the_same_picture(picture: np.ndarray, tmp_path: Path) -> None:
    path = write_mirax(tmp_path / "s.mrxs", picture, images=(12, 12), levels=4, divisions=2, overlap_px=24, jitter_px=8)
    with open_slide(path) as slide:
        _, _, width, height = slide.scanned_l0
        fine = slide.read_patch(0, 0, (width - 64, height - 64), 1)
        coarse = slide.read_patch(0, 0, 256, 4)
    assert min(width, height) > 1_900
    # Photos meet within a pixel or two: a line along each seam may differ, not more.
    different = np.abs(fine.astype(int) - picture[: height - 64, : width - 64]).max(axis=2) > 8
    assert different.mean() < 0.01
    small = picture[:1024, :1024].reshape(256, 4, 256, 4, 3).mean(axis=(1, 3))
    assert np.abs(coarse - small).mean() < 4


def _ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((x - 42_500) / 1_800) ** 2 + ((y - 71_000) / 2_600) ** 2 < 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plane of 61,440 x 102,400 px with one piece of tissue, pink, its upper half violet, on scanned glass."""

    def paint(x: int, y: int, width: int, height: int) -> np.ndarray | None:
        if not (39_900 <= x and x + width <= 46_000 and 67_000 <= y and y + height <= 75_000):
            return None
        yy, xx = np.mgrid[y : y + height, x : x + width]
        pixels = np.full((height, width, 3), (244, 243, 245), np.uint8)
        tissue = _ellipse(xx, yy)
        pixels[tissue] = PINK
        pixels[tissue & (yy < 71_000)] = VIOLET
        return pixels

    return write_mirax(tmp_path_factory.mktemp("large") / "P2_1.mrxs", paint, images=(240, 400), levels=9, divisions=4)


def test_the_recipe_on_a_plane_of_six_gigapixels_keeps_the_tissue_that_was_drawn(large: Path) -> None:
    outline = shapely.transform(shapely.Point(0, 0).buffer(1, 64), lambda xy: xy * (1_800, 2_600) + (42_500, 71_000))
    upper = shapely.box(0, 0, 61_440, 71_000)
    regions = [Region("tumor", outline & upper), Region("normal", outline - upper)]
    options = TilingOptions()
    plan = plan_slide(SlideRef(str(large), "P2", 1), regions, options)

    y, x = np.mgrid[32:102_400:64, 32:61_440:64]
    truth = _ellipse(x, y)
    assert (plan.tissue & truth).sum() / (plan.tissue | truth).sum() > 0.98
    blocks = truth.reshape(200, 8, 120, 8).mean(axis=(1, 3))
    expected = {(column * 512, row * 512): int(row * 512 < 71_000 - 256) for row, column in np.argwhere(blocks >= 0.5)}
    got = {(p.x_l0, p.y_l0): p.label for p in plan.locations}
    assert len(expected) > 50 and set(got.values()) == {0, 1}
    assert len(set(got) ^ set(expected)) <= 0.05 * len(expected)
    assert np.mean([expected[place] == label for place, label in got.items() if place in expected]) > 0.95
    assert sum(plan.rejected.values()) + len(plan.locations) == 120 * 200
    assert plan.slide.bounds_l0 is not None and plan.slide.bounds_l0[0] == 39 * 1_024
    with open_slide(large) as slide:
        for location in plan.locations[:: len(plan.locations) // 5]:
            cut_patch(slide, location, options, "png")
            centre = slide.read_patch(location.x_l0, location.y_l0, 256, 2)[128, 128]
            assert np.abs(centre - np.array(VIOLET if location.label else PINK)).max() <= 4


def test_a_grid_over_the_bounds_begins_at_their_corner(large: Path) -> None:
    options = TilingOptions(area="bounds", edge="shift", mpp=0.5)
    plan = plan_slide(SlideRef(str(large), "P2", 1), [], options)

    left, top, width, height = plan.slide.scanned_l0
    assert (plan.grid.columns[0], plan.grid.rows[0]) == (left, top)
    assert (plan.grid.columns[-1] + 512, plan.grid.rows[-1] + 512) == (left + width, top + height)
    assert len(plan.grid) < 200


def test_the_content_id_belongs_to_the_whole_folder_and_not_to_its_place(
    slide_path: Path, copy_of: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    renamed = copy_of.rename(tmp_path / "other.mrxs")
    copy_of.with_suffix("").rename(tmp_path / "other")
    # The same picture scanned again has the same .mrxs file, and another slide id.
    again = write_mirax(tmp_path / "again.mrxs", picture, images=(12, 10), levels=4, data_files=3, seed=1)
    ids = []
    for path in (slide_path, renamed, again):
        with open_slide(path) as slide:
            ids.append(slide.content_id)
    assert ids[0] == ids[1] != ids[2]
    assert slide_path.read_bytes() == again.read_bytes()


def _without_data(path: Path) -> None:
    data_files_of(path)[1].unlink()


def _without_folder(path: Path) -> None:
    shutil.rmtree(path.with_suffix(""))


def _without_slidedat(path: Path) -> None:
    (path.with_suffix("") / "Slidedat.ini").unlink()


def _without_index(path: Path) -> None:
    (path.with_suffix("") / "Index.dat").unlink()


def _cut_index(path: Path) -> None:
    index = path.with_suffix("") / "Index.dat"
    index.write_bytes(index.read_bytes()[:200])


def _flipped_index(path: Path) -> None:
    index = path.with_suffix("") / "Index.dat"
    data = bytearray(index.read_bytes())
    data[2] ^= 0x40
    index.write_bytes(data)


def _cut_slidedat(path: Path) -> None:
    slidedat = path.with_suffix("") / "Slidedat.ini"
    slidedat.write_bytes(slidedat.read_bytes()[:300])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_without_data, "incomplete: Data0001.dat of its folder is absent"),
        (_without_folder, "incomplete: its folder 'P1_1' with Slidedat.ini is not beside it"),
        (_without_slidedat, "incomplete: its folder 'P1_1' with Slidedat.ini is not beside it"),
        (_without_index, "damaged or incomplete: .*Index.dat"),
        (_cut_index, "damaged or incomplete"),
        (_flipped_index, "damaged or incomplete: Index.dat doesn't have expected version"),
        (_cut_slidedat, "damaged or incomplete"),
    ],
)
def test_a_damaged_folder_is_refused_when_opened(damage: Callable[[Path], None], reason: str, copy_of: Path) -> None:
    damage(copy_of)
    with pytest.raises(SlideError, match=reason) as caught:
        open_slide(copy_of)
    assert caught.value.path == str(copy_of)


def test_an_empty_mrxs_file_with_a_whole_folder_is_read(copy_of: Path) -> None:
    copy_of.write_bytes(b"")
    with open_slide(copy_of) as slide:
        assert slide.vendor == "mirax"


def _damaged_places(path: Path, picture: np.ndarray) -> list[tuple[int, int]]:
    """Images of level 0 that cannot be read, by column and row; all others must show what was painted."""
    damaged = []
    with open_slide(path) as slide:
        for row in range(8):
            for column in range(8):
                box = (slice(row * 256, row * 256 + 256), slice(column * 256, column * 256 + 256))
                try:
                    patch = slide.read_patch(column * 256, row * 256, 256, 1)
                except SlideError as error:
                    assert f"damaged at x_l0={column * 256}, y_l0={row * 256}, level 0" in error.reason
                    damaged.append((column, row))
                else:
                    assert np.abs(patch.astype(int) - picture[box]).max() <= 3
    return damaged


@pytest.mark.parametrize("how", ["zeroed", "bits flipped", "first byte"])
def test_a_damaged_image_does_not_poison_its_neighbours(how: str, copy_of: Path, picture: np.ndarray) -> None:
    file, offset, length = image_places(copy_of)[3 * 12 + 5]
    data = bytearray(file.read_bytes())
    if how == "zeroed":
        data[offset : offset + length] = bytes(length)
    elif how == "bits flipped":
        for place in range(offset + length // 2, offset + length // 2 + 20):
            data[place] ^= 0x55
    else:
        data[offset] ^= 1
    file.write_bytes(data)
    assert _damaged_places(copy_of, picture) == [(5, 3)]


def test_a_data_file_cut_short_costs_what_was_in_the_rest(copy_of: Path, picture: np.ndarray) -> None:
    file = data_files_of(copy_of)[1]
    end = len(file.read_bytes()) - 20_000
    file.write_bytes(file.read_bytes()[:end])
    lost = {
        (number % 12, number // 12)
        for number, (name, offset, length) in image_places(copy_of).items()
        if name == file and offset + length > end
    }
    assert set(_damaged_places(copy_of, picture)) == lost and 0 < len(lost) < 8


def test_a_slide_of_one_pixel_is_named_as_too_small(tmp_path: Path) -> None:
    path = write_mirax(tmp_path / "one.mrxs", np.full((1, 1, 3), 200, np.uint8), images=(1, 1), image_px=1, levels=1)
    with open_slide(path) as slide:
        assert (slide.width_l0, slide.height_l0) == (1, 1)
        assert slide.thumbnail(downsample=64).shape == (1, 1, 3)
    with pytest.raises(SlideError, match=r"is 1 x 1 pixels, too small for one patch of 512 x 512"):
        plan_slide(SlideRef(str(path), "P", 1), [], TilingOptions())


def test_an_mpp_of_zero_is_no_mpp(tmp_path: Path, picture: np.ndarray) -> None:
    path = write_mirax(tmp_path / "z.mrxs", picture[:512, :512], images=(2, 2), levels=1, mpp=None)
    with open_slide(path) as slide:
        assert slide.mpp is None and slide.mpp_source is None
        assert slide.notes[0].startswith("mpp '0' x '0' is not usable") and slide.notes[0].endswith("40x")
    with open_slide(path, mpp=0.25) as slide:
        assert (slide.mpp, slide.mpp_source, slide.notes) == ((0.25, 0.25), "override", ())
