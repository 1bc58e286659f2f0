"""The same pixels out of every format that the tests can write; and what is said when such a file is damaged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.slides.content import one_file_per_slide
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.open import open_slide
from beam_pipelines.slides.plan import plan_slide
from beam_pipelines.slides.tiles import SlideRef, TilingOptions
from tests.support.dicom_files import write_dicom
from tests.support.mirax_files import data_files_of, write_mirax
from tests.support.slide_files import write_pyramid
from tests.support.svs_files import write_svs
from tfcass.errors import OptionError

pytestmark = pytest.mark.slides

Write = Callable[[Path, np.ndarray], Path]


def _tiff(folder: Path, rgb: np.ndarray) -> Path:
    return write_pyramid(folder / "s.tiff", rgb)


def _svs(folder: Path, rgb: np.ndarray) -> Path:
    return write_svs(folder / "s.svs", rgb)


def _dicom(folder: Path, rgb: np.ndarray) -> Path:
    return write_dicom(folder / "dicom", rgb, levels=3)


def _mirax(folder: Path, rgb: np.ndarray) -> Path:
    return write_mirax(folder / "s.mrxs", rgb, images=(6, 5), levels=4)


WRITERS = {"generic-tiff": _tiff, "aperio": _svs, "dicom": _dicom, "mirax": _mirax}
VENDORS = pytest.mark.parametrize("vendor", list(WRITERS))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """uint8 [1280, 1536, 3] of coloured squares of 32 pixels."""
    colours = np.random.default_rng(2).integers(60, 220, (40, 48, 3))
    return np.kron(colours, np.ones((32, 32, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def paths(picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {vendor: write(tmp_path_factory.mktemp(vendor), picture) for vendor, write in WRITERS.items()}


@VENDORS
def test_every_format_gives_the_same_pixels_at_every_resolution(
    vendor: str, picture: np.ndarray, paths: dict[str, Path]
) -> None:
    with open_slide(paths[vendor]) as slide:
        assert (slide.vendor, slide.width_l0, slide.height_l0) == (vendor, 1_536, 1_280)
        assert slide.mpp == pytest.approx((0.25, 0.25))
        assert len(slide.level_downsamples) > 1
        for step in (1, 2, 4, 8):
            patch = slide.read_patch(256, 512, 64, step)
            wanted = picture[512 : 512 + 64 * step, 256 : 256 + 64 * step].reshape(64, step, 64, step, 3)
            different = np.abs(patch - wanted.mean(axis=(1, 3)))
            assert different.max() <= 16 and different.mean() <= 2, step  # JPEG blurs squares of 4 pixels.
        by_mpp = slide.read_at_mpp(256, 512, 64, 0.5)
        np.testing.assert_array_equal(by_mpp, slide.read_patch(256, 512, 64, 2))


@VENDORS
def test_every_format_has_a_content_id_of_its_own(vendor: str, paths: dict[str, Path]) -> None:
    ids = {}
    for name, path in paths.items():
        with open_slide(path) as slide, open_slide(path) as again:
            assert slide.content_id == again.content_id
            ids[name] = slide.content_id
    assert len(set(ids.values())) == len(WRITERS)


def test_the_files_of_a_dicom_slide_count_once(picture: np.ndarray, paths: dict[str, Path], tmp_path: Path) -> None:
    same = [path.as_posix() for path in sorted(paths["dicom"].parent.iterdir())]
    other = write_dicom(tmp_path / "d", picture[:512, :512], seed="2").as_posix()
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(bytes(500))
    tiff = paths["generic-tiff"].as_posix()
    assert len(same) == 3
    assert one_file_per_slide([tiff, *same, other, str(broken)]) == [tiff, same[0], other, str(broken)]
    with open_slide(same[2]) as last, open_slide(same[0]) as first:
        assert (last.width_l0, last.content_id) == (first.width_l0, first.content_id)


@VENDORS
def test_a_patch_at_an_mpp_between_levels_shows_what_lies_there(vendor: str, paths: dict[str, Path]) -> None:
    with open_slide(paths[vendor]) as slide:
        patch = slide.read_at_mpp(320, 640, 100, 0.8)  # Downsample 3.2: a square of 32 pixels becomes one of 10.
        full = slide.read_patch(320, 640, 320, 1)
    for row, column in ((0, 0), (3, 7), (9, 9)):
        place = full[row * 32 + 8 : row * 32 + 24, column * 32 + 8 : column * 32 + 24].mean(axis=(0, 1))
        np.testing.assert_allclose(patch[row * 10 + 5, column * 10 + 5], place, atol=4)


def test_pixels_that_are_not_square_become_square_by_mpp(picture: np.ndarray, tmp_path: Path) -> None:
    with open_slide(write_dicom(tmp_path / "d", picture, mpp=(0.25, 0.5))) as slide:
        assert slide.mpp == (0.25, 0.5) and "not square" in slide.notes[0]
        patch = slide.read_at_mpp(256, 512, 128, 0.5)
    wanted = picture[512:640, 256:512].reshape(128, 128, 2, 3).mean(axis=2)
    assert np.abs(patch - wanted).max() <= 2


def test_an_mpp_finer_than_the_slide_is_refused(paths: dict[str, Path]) -> None:
    with open_slide(paths["generic-tiff"]) as slide:
        with pytest.raises(SlideError, match=r"mpp 0.25, coarser than the mpp=0.2 asked"):
            slide.read_at_mpp(0, 0, 100, 0.2)


@pytest.mark.parametrize(
    ("told", "note"),
    [
        (None, "does not tell its mpp (micrometres per pixel); its objective is 40x"),
        (0, "mpp '0' x '0' is not usable"),
        (25_000, "not usable"),
    ],
)
def test_a_missing_mpp_is_never_guessed(told: float | None, note: str, picture: np.ndarray, tmp_path: Path) -> None:
    path = write_svs(tmp_path / "s.svs", picture, mpp=told)
    with open_slide(path) as slide:
        assert slide.mpp is None and slide.mpp_x is None and slide.mpp_source is None
        assert note in slide.notes[0]
        with pytest.raises(SlideError, match="give its mpp"):
            slide.read_at_mpp(0, 0, 64, 0.5)
        assert slide.read_patch(0, 0, 64, 2).shape == (64, 64, 3)  # By level it can be cut all the same.


def test_a_user_may_correct_the_mpp(paths: dict[str, Path]) -> None:
    with open_slide(paths["aperio"], mpp=0.5) as slide:
        assert (slide.mpp, slide.mpp_source) == ((0.5, 0.5), "override")
        assert slide.notes == ("mpp 0.5 x 0.5 was given; the slide says 0.25 x 0.25",)
        np.testing.assert_array_equal(slide.read_at_mpp(0, 0, 64, 1.0), slide.read_patch(0, 0, 64, 2))
    with open_slide(paths["aperio"], mpp=(0.25, 0.25)) as slide:
        assert slide.mpp_source == "override" and slide.notes == ()


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), 1_000, (0.25,), "0.25 um"])
def test_an_mpp_that_no_slide_has_is_refused(mpp: object, paths: dict[str, Path]) -> None:
    with pytest.raises(OptionError, match="mpp="):
        open_slide(paths["aperio"], mpp=mpp)


def _cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip_head(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[:8] = bytes(byte ^ 0x5A for byte in data[:8])
    data[128:132] = b"XXXX"  # Where DICOM has its mark.
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut_in_half, _flip_head])
@pytest.mark.parametrize("vendor", ["generic-tiff", "aperio", "dicom"])
def test_a_damaged_file_is_one_clear_error(vendor: str, damage: Callable, picture: np.ndarray, tmp_path: Path) -> None:
    path = WRITERS[vendor](tmp_path, picture)
    damage(path)
    with pytest.raises(SlideError) as caught, open_slide(path) as slide:
        # Where the head is whole, the file opens: then every patch says which one it is.
        slide.read_patch(1_000, 1_000, 256, 1)
    assert caught.value.path == str(path) and ("damaged" in caught.value.reason)


@VENDORS
def test_flipped_bits_never_crash_and_never_stick(vendor: str, picture: np.ndarray, tmp_path: Path) -> None:
    path = WRITERS[vendor](tmp_path, picture)
    file = data_files_of(path)[0] if vendor == "mirax" else path
    data = bytearray(file.read_bytes())
    rng = np.random.default_rng(3)
    for place in rng.integers(len(data) // 20, 6 * len(data) // 10, 60):
        data[place] ^= 1 << int(rng.integers(8))
    file.write_bytes(data)
    good = 0
    with open_slide(path) as slide:
        for y in range(0, 1_280, 256):
            for x in range(0, 1_536, 256):
                try:
                    patch = slide.read_patch(x, y, 256, 1).astype(int)
                except SlideError:
                    continue
                good += int(np.abs(patch - picture[y : y + 256, x : x + 256]).max() <= 4)
    assert 1 <= good < 30


def test_a_slide_without_pyramid_gives_the_same_mask_and_says_that_it_is_slow(
    picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beam_pipelines.slides.open._LARGE_PX", 1_000)
    flat, whole = (write_pyramid(tmp_path / f"{n}.tiff", picture, levels=n) for n in (1, 3))
    plans = [plan_slide(SlideRef(str(path), "P", 1), [], TilingOptions()) for path in (flat, whole)]
    assert plans[0].notes == (
        "the slide has no pyramid: it is read at full size even for its thumbnail, which takes long",
    )
    assert plans[1].notes == ()
    np.testing.assert_array_equal(plans[0].tissue, plans[1].tissue)


def test_a_slide_too_small_for_a_patch_is_an_error_and_one_without_tissue_is_not(tmp_path: Path) -> None:
    white = np.full((1_024, 1_024, 3), 255, np.uint8)
    plan = plan_slide(SlideRef(str(write_pyramid(tmp_path / "w.tiff", white)), "P", 1), [], TilingOptions())
    assert not plan.tissue.any() and plan.locations == () and plan.rejected["not annotated"] == 4
    small = write_pyramid(tmp_path / "s.tiff", white[:300, :300], levels=1)
    with pytest.raises(SlideError, match="300 x 300 pixels, too small for one patch"):
        plan_slide(SlideRef(str(small), "P", 1), [], TilingOptions())
    strip = write_pyramid(tmp_path / "strip.tiff", white[:, :300], levels=1)
    with pytest.raises(SlideError, match=r"300 x 1024 .*edge='drop'"):
        plan_slide(SlideRef(str(strip), "P", 1), [], TilingOptions(edge="drop"))
