"""Pixels to bytes and back; files that appear whole or not at all."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beam_pipelines.slides.encode import decode, encode
from beam_pipelines.slides.errors import OutputError
from beam_pipelines.slides.output import whole_file
from tfcass.errors import OptionError


@pytest.fixture
def rgb() -> np.ndarray:
    """uint8 [200, 256, 3], smooth, as JPEG likes it."""
    y, x = np.mgrid[:200, :256]
    return np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)


@pytest.mark.parametrize("encoding", ["png", "tiff"])
def test_lossless_encodings_keep_every_pixel(encoding: str, rgb: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode(rgb, encoding)), rgb)


def test_jpeg_stays_close_and_quality_matters(rgb: np.ndarray) -> None:
    good, poor = encode(rgb, "jpeg", 90), encode(rgb, "jpeg", 20)
    assert np.abs(decode(good).astype(int) - rgb).mean() < 2
    assert len(poor) < len(good) < rgb.size // 10


@pytest.mark.parametrize(("encoding", "name"), [("jpeg", "JPEG"), ("png", "PNG"), ("tiff", "TIFF")])
def test_other_programs_read_the_bytes(encoding: str, name: str, rgb: np.ndarray) -> None:
    with Image.open(io.BytesIO(encode(rgb, encoding))) as image:
        assert (image.format, image.mode, image.size) == (name, "RGB", (256, 200))


@pytest.mark.parametrize("encoding", ["jpeg", "png", "tiff"])
def test_the_same_pixels_give_the_same_bytes(encoding: str, rgb: np.ndarray) -> None:
    view = np.repeat(rgb, 2, axis=1)[:, ::2]  # The same values, laid out differently.
    assert encode(rgb, encoding) == encode(view, encoding)


def test_unknown_settings_are_refused(rgb: np.ndarray) -> None:
    with pytest.raises(OptionError, match="encoding='gif'.*jpeg, png, tiff"):
        encode(rgb, "gif")
    with pytest.raises(OptionError, match="quality=0"):
        encode(rgb, "jpeg", 0)
    with pytest.raises(ValueError, match="float64"):
        encode(rgb.astype(float))


@pytest.mark.parametrize("encoding", ["jpeg", "png", "tiff"])
def test_damaged_bytes_are_refused(encoding: str, rgb: np.ndarray) -> None:
    with pytest.raises(ValueError, match="damaged picture of 60 bytes"):
        decode(encode(rgb, encoding)[:60])


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="not a JPEG, PNG or TIFF"):
        decode(b"GIF89a")


def test_a_file_appears_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    with pytest.raises(RuntimeError), whole_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []

    with whole_file(target) as temporary:
        temporary.write_text("all")
        assert not target.exists()
    assert target.read_text() == "all" and list(target.parent.iterdir()) == [target]


def test_a_failed_rewrite_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(OutputError), whole_file(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.EIO, "device error")
    assert target.read_text() == "old"


def test_a_full_disk_is_reported_with_the_path_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught, whole_file(tmp_path / "file"), open("/dev/full", "wb") as full:
        full.write(b"x")
    message = str(caught.value)
    assert str(tmp_path / "file") in message and "No space left on device" in message and "make room" in message
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_processes_are_removed_and_of_living_ones_kept(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead, alive = tmp_path / f".file.{child.pid}.part", tmp_path / f".file.{os.getppid()}.part"
    dead.touch()
    alive.touch()
    with whole_file(tmp_path / "file") as temporary:
        temporary.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, "file"]
