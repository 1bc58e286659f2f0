"""`tfcass demo`: its options, and what it says when they or the machine do not fit."""

import csv
import resource
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tfcass.cli import app
from tfcass.demo.settings import DemoSettings
from tfcass.demo.state import Record, State
from tfcass.errors import OptionError, TfcassError

SMALL = ["--patients", "1", "--slides-per-patient", "1", "--size", "2048", "--processes", "1"]


def _tfcass(*arguments, file_limit=None):
    """Runs the command in a process of its own; `file_limit`: bytes at which files end, as they do on a full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.run(
        [sys.executable, "-m", "tfcass.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        preexec_fn=limit if file_limit else None,
    )


def _record(**changes):
    return Record(**{"run_id": "1", "after": "", "inputs": {}, "seconds": 1.0, "result": {}, "finished": "", **changes})


@pytest.mark.slides
def test_demo_slides_composes_and_then_keeps(tmp_path):
    first = _tfcass("demo", "slides", "--out", str(tmp_path / "s"), *SMALL)
    second = _tfcass("demo", "slides", "--out", str(tmp_path / "s"), *SMALL)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.startswith("1 slides of 1 patients in ")
    assert "(1 of them were there)" in second.stdout
    with open(tmp_path / "s" / "slides.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"slide": "P01-1.tiff", "patient_id": "P01", "slide_num": "1"}]
    assert (tmp_path / "s" / "slides" / "P01-1.tiff").is_file()


@pytest.mark.slides
def test_demo_slides_on_a_full_disk_is_one_line_and_leaves_no_half_slide(tmp_path):
    result = _tfcass("demo", "slides", "--out", str(tmp_path), *SMALL, file_limit=300_000)

    assert result.returncode == 1
    assert "error: cannot write" in result.stderr and "P01-1.tiff" in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "slides").iterdir()) == []


def test_demo_slides_into_a_folder_that_cannot_be_made_names_it(tmp_path):
    (tmp_path / "file").write_text("")

    result = _tfcass("demo", "slides", "--out", str(tmp_path / "file" / "slides"), *SMALL)

    assert result.returncode == 1
    assert "error: cannot write" in result.stderr and str(tmp_path / "file") in result.stderr
    assert "Traceback" not in result.stderr


def test_demo_run_into_a_folder_that_cannot_be_made_names_it(tmp_path):
    (tmp_path / "file").write_text("")

    result = CliRunner().invoke(app, ["demo", "run", "--out", str(tmp_path / "file" / "out")])

    assert result.exit_code == 1
    assert "error: cannot write into" in result.output and "--out" in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["slides", "--slides-per-patient", "two"], "'two' is not whole numbers with commas between them"),
        (["slides", "--patients", "0"], "'--patients': Input should be greater than or equal to 1"),
        (["run", "--nodes", "4"], "'--nodes': Input should be less than or equal to 3"),
        (["run", "--patients", "3"], "'--patients': Input should be greater than or equal to 4"),
        (["run", "--epochs", "0"], "'--epochs': Input should be greater than or equal to 1"),
    ],
)
def test_wrong_usage_exits_2_and_names_the_option(arguments, told, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # Else the message is wrapped.

    result = CliRunner().invoke(app, ["demo", *arguments])

    assert result.exit_code == 2
    assert told in result.output


def test_a_size_that_no_slide_can_have_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["demo", "slides", "--out", str(tmp_path), "--size", "100"])

    assert result.exit_code == 1
    assert "error: size=100 is not a whole number in [2048, 32768]" in result.output


@pytest.mark.parametrize("field", ["patients", "epochs", "max_patches", "batch_size"])
def test_settings_are_checked_when_built(tmp_path, field):
    with pytest.raises(OptionError, match=rf"{field}=0 is not a whole number of at least \d"):
        DemoSettings(out=tmp_path, **{field: 0})


def test_quick_is_smaller_and_can_be_changed(tmp_path):
    full, quick = DemoSettings(out=tmp_path), DemoSettings.quick(out=tmp_path, epochs=9)

    assert quick.size_px < full.size_px and quick.patients < full.patients and quick.max_patches < full.max_patches
    assert quick.epochs == 9


def test_without_options_there_are_several_patients_with_slides_of_the_size_of_scanned_ones(tmp_path):
    settings = DemoSettings(out=tmp_path)

    assert settings.size_px >= 10_000 and settings.patients >= 4 and max(settings.slides_per_patient) > 1


@pytest.mark.parametrize("stage", ["predict", "report"])
def test_a_stage_that_cannot_work_says_so_in_one_line(tmp_path, stage):
    command = [sys.executable, "-m", f"tfcass.demo.{stage}", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no development cluster runs in ")
    assert "Traceback" not in done.stderr


def test_state_on_a_full_disk_is_one_clear_error_and_the_old_state_stays(tmp_path):
    path = tmp_path / "state.json"
    State(path).put("slides", _record())
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(TfcassError, match=r"cannot write .*state.json.*--out"):
            State(path).put("tile", _record())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
