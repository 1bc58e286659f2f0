"""Slides through OpenSlide: what is read, and what is said of files that are no slides."""

import pickle
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.open import open_slide
from tests.support.slide_files import PINK, VIOLET, halve, paint_tissue, write_pyramid

pytestmark = pytest.mark.slides


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """uint8 [1500, 1100, 3]: sides that no tile size divides."""
    return np.random.default_rng(1).integers(0, 256, (1500, 1100, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def noise_slide(noise: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pyramid(tmp_path_factory.mktemp("open") / "noise.tiff", noise, levels=2)


def test_size_levels_mpp_and_name(noise_slide: Path) -> None:
    with open_slide(noise_slide) as slide:
        assert (slide.width_l0, slide.height_l0) == (1100, 1500)
        assert slide.level_downsamples == (1.0, 2.0)
        assert slide.mpp == pytest.approx((0.25, 0.25))
        assert (slide.name, slide.vendor, slide.notes) == ("noise.tiff", "generic-tiff", ())


def test_a_patch_is_the_pixels_of_its_level(noise: np.ndarray, noise_slide: Path) -> None:
    with open_slide(noise_slide) as slide:
        np.testing.assert_array_equal(slide.read_patch(300, 400, 128, 1), noise[400:528, 300:428])
        np.testing.assert_array_equal(slide.read_patch(512, 256, 200, 2), halve(noise)[128:328, 256:456])


def test_a_level_that_the_file_lacks_is_averaged_from_a_finer_one(noise: np.ndarray, noise_slide: Path) -> None:
    with open_slide(noise_slide) as slide:
        patch = slide.read_patch(512, 256, 30, 8)
    blocks = noise[256 : 256 + 240, 512 : 512 + 240].reshape(30, 8, 30, 8, 3).mean(axis=(1, 3))
    assert np.abs(patch - blocks).max() <= 1.5  # Rounded three times: in the file, along x, along y.


def test_a_downsample_between_levels_keeps_the_place(tmp_path: Path) -> None:
    rgb = paint_tissue(1024, {(300, 600, 1024, 1024): PINK})
    with open_slide(write_pyramid(tmp_path / "s.tiff", rgb, levels=2)) as slide:
        patch = slide.read_patch(0, 0, 341, 3)

    assert tuple(patch[201, 101]) == PINK and tuple(patch[198, 101]) == (255, 255, 255)
    assert tuple(patch[201, 98]) == (255, 255, 255)


def test_pixels_outside_the_slide_are_white(noise: np.ndarray, noise_slide: Path) -> None:
    with open_slide(noise_slide) as slide:
        corner = slide.read_patch(1000, 1400, 200, 1)
        before = slide.read_patch(-50, -50, 100, 1)

    np.testing.assert_array_equal(corner[:100, :100], noise[1400:, 1000:])
    assert (corner[100:] == 255).all() and (corner[:, 100:] == 255).all()
    np.testing.assert_array_equal(before[50:, 50:], noise[:50, :50])
    assert (before[:50] == 255).all() and (before[:, :50] == 255).all()


def test_transparent_pixels_become_white_and_not_black(tmp_path: Path) -> None:
    rgba = np.zeros((256, 256, 4), np.uint8)  # Black, not scanned: alpha 0.
    rgba[:, :128] = (*PINK, 255)
    path = tmp_path / "alpha.tiff"
    tifffile.imwrite(path, rgba, tile=(256, 256), photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    with open_slide(path) as slide:
        pixels = slide.read_patch(0, 0, 256, 1)

    assert tuple(pixels[10, 10]) == PINK
    assert tuple(pixels[10, 200]) == (255, 255, 255)


def test_a_thumbnail_has_one_pixel_for_each_mask_pixel(noise_slide: Path) -> None:
    with open_slide(noise_slide) as slide:
        assert slide.thumbnail(downsample=64).shape == (24, 18, 3)  # ceil(1500 / 64), ceil(1100 / 64)
        assert slide.thumbnail(max_size_px=300).shape == (300, 220, 3)
        assert slide.thumbnail(max_size_px=9_999).shape == (1500, 1100, 3)


def test_a_thumbnail_of_a_slide_without_pyramid_is_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beam_pipelines.slides.open._BLOCK_PX", 200)
    rgb = np.random.default_rng(2).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    with open_slide(write_pyramid(tmp_path / "flat.tiff", rgb, levels=1)) as slide:
        thumbnail = slide.thumbnail(downsample=16)

    assert np.abs(thumbnail - rgb.reshape(64, 16, 64, 16, 3).mean(axis=(1, 3))).max() <= 1.0  # Rounded along x and y.


def test_the_content_id_follows_the_pixels_and_not_the_path(tmp_path: Path) -> None:
    pink, violet = (paint_tissue(600, {(0, 0, 300, 300): colour}) for colour in (PINK, VIOLET))
    paths = [tmp_path / name for name in ("a.tiff", "b.tiff", "c.tiff")]
    for path, rgb in zip(paths, (pink, pink, violet), strict=True):
        write_pyramid(path, rgb)
    ids = []
    for path in paths:
        with open_slide(path) as slide:
            ids.append(slide.content_id)

    assert ids[0] == ids[1] != ids[2]


def test_without_a_quickhash_the_content_id_comes_from_the_file(tmp_path: Path) -> None:
    # OpenSlide hashes the smallest level, and gives up when that one is large.
    rgb = np.random.default_rng(3).integers(0, 256, (2304, 2304, 3), dtype=np.uint8)
    path = write_pyramid(tmp_path / "large.tiff", rgb, levels=1)
    with open_slide(path) as slide:
        assert "openslide.quickhash-1" not in slide.properties
        first = slide.content_id
    write_pyramid(path, 255 - rgb, levels=1)
    with open_slide(path) as slide:
        assert slide.content_id != first


def test_a_slide_without_mpp_says_so(tmp_path: Path) -> None:
    with open_slide(write_pyramid(tmp_path / "s.tiff", paint_tissue(300, {}), mpp=None)) as slide:
        assert slide.mpp is None
        assert "mpp" in slide.notes[0]


@pytest.mark.parametrize(
    "texts", [("0", "0"), ("nan", "0.25"), ("forty", "0.25"), ("-0.25", "0.25"), ("0.25", None), ("inf", "inf")]
)
def test_an_incredible_mpp_is_refused_with_a_note(
    texts: tuple[str, str | None], noise_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {
        name: text for name, text in zip(("openslide.mpp-x", "openslide.mpp-y"), texts, strict=True) if text is not None
    }
    monkeypatch.setattr(openslide.OpenSlide, "properties", told)
    with open_slide(noise_slide) as slide:
        assert slide.mpp is None
        assert repr(texts[0]) in slide.notes[0]


def test_uneven_pixels_are_noted(noise_slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openslide.OpenSlide, "properties", {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.5"})
    with open_slide(noise_slide) as slide:
        assert slide.mpp == (0.25, 0.5)
        assert "not square" in slide.notes[0]


def _text(path: Path) -> None:
    path.write_text("patient,slide\nP1,1\n")


def _empty(path: Path) -> None:
    path.touch()


def _photo(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))


def _cut_short(path: Path) -> None:
    write_pyramid(path, np.random.default_rng(4).integers(0, 256, (1024, 1024, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:100_000])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_text, "holds text, not a slide"),
        (_empty, "is empty"),
        (_photo, "not a format that OpenSlide reads, or damaged"),
        (_cut_short, "damaged"),
        (Path.mkdir, "is a folder"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_is_no_slide_is_named_with_the_reason(make, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "case.svs"
    make(path)
    with pytest.raises(SlideError, match=reason) as caught:
        open_slide(path)

    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))  # Beam sends errors between processes.
    assert (again.path, again.reason) == (caught.value.path, caught.value.reason)


def test_one_damaged_tile_spoils_its_own_patch_only(tmp_path: Path) -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (768, 768, 3), dtype=np.uint8)
    path = write_pyramid(tmp_path / "s.tiff", rgb, levels=1)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, length = page.dataoffsets[4], page.databytecounts[4]  # The middle one of 3 x 3.
    data = bytearray(path.read_bytes())
    data[start : start + length] = bytes(length)
    path.write_bytes(data)

    with open_slide(path) as slide:
        with pytest.raises(SlideError, match="x_l0=256, y_l0=256"):
            slide.read_patch(256, 256, 256, 1)
        np.testing.assert_array_equal(slide.read_patch(512, 256, 256, 1), rgb[256:512, 512:])


def test_the_file_is_closed_after_the_block(noise_slide: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_slide(noise_slide) as slide:
        slide.read_patch(0, 0, 16, 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(ValueError, match="noise.tiff' is closed"):
        slide.read_patch(0, 0, 16, 1)
