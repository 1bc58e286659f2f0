"""Smaller parts of the demo: folders to continue in, Horovod's command line, the terminal, numbers in words."""

import io
import re

import pytest
from rich.console import Console

from beam_pipelines.drawing.wording import count, duration, percent
from tfcass.demo import horovod
from tfcass.demo.console import ConsoleDisplay
from tfcass.demo.stages import Stage
from tfcass.demo.state import Record
from tfcass.demo.workplace import continue_or_clear
from tfcass.errors import MissingExtraError, TfcassError


def test_a_folder_of_the_same_purpose_is_continued_in(tmp_path):
    folder = tmp_path / "training"
    assert not continue_or_clear(folder, {"seed": 1, "sizes": (2, 1)})
    (folder / "checkpoint").write_text("half way")

    assert continue_or_clear(folder, {"sizes": [2, 1], "seed": 1})
    assert (folder / "checkpoint").read_text() == "half way"


def test_a_folder_of_another_purpose_is_emptied(tmp_path):
    folder = tmp_path / "training"
    continue_or_clear(folder, {"seed": 1})
    (folder / "checkpoint").write_text("half way")

    assert not continue_or_clear(folder, {"seed": 2})
    assert not (folder / "checkpoint").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(TfcassError, match="cannot write into .*file/training"):
        continue_or_clear(tmp_path / "file" / "training", {})


def test_ranks_are_told_from_horovodruns_own_lines():
    assert horovod.of_a_rank("[1]<stderr>:ValueError: no")
    assert not horovod.of_a_rank("Process 0 exit with status code 1.")
    assert horovod.without_rank("[0]<stdout>:Epoch 2/6") == "Epoch 2/6"
    assert horovod.without_rank("[1,0]<stdout>:Epoch 2/6") == "Epoch 2/6"
    assert horovod.without_rank("Epoch [2]") == "Epoch [2]"


def test_the_training_program_is_that_of_the_checkout():
    assert horovod.training_program().name == "train_patches.py"


def test_an_installed_package_says_that_the_demo_needs_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(horovod, "__file__", str(tmp_path / "tfcass" / "demo" / "horovod.py"))

    with pytest.raises(TfcassError, match="train_patches.py, which is not in .*from a checkout"):
        horovod.training_program()


def test_a_python_without_horovod_is_told_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(horovod.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingExtraError, match="horovodrun is neither .*make setup"):
        horovod.horovodrun(2)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_stage_shows_its_purpose_and_then_its_result(terminal):
    screen = io.StringIO()
    display = ConsoleDisplay(Console(file=screen, force_terminal=terminal, width=70))
    stage = Stage("tile", "Tile", "cuts the slides", {}, [], lambda show: {})

    show = display.started(stage)
    show("3 of 9 slides [bold]" + "x" * 100)
    display.finished(stage, Record("1", "", {}, 75.0, {"summary": "12 patches"}, ""))

    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert ("3 of 9 slides [bold]xxx" if terminal else "cuts the slides") in text  # A log's brackets are no markup.
    assert text.splitlines()[-1].split() == ["✓", "Tile", "1", "min", "15", "s", "12", "patches"]
    assert all(len(line) <= 70 for line in text.splitlines())


def test_a_skipped_stage_says_so_and_a_failed_one_too():
    screen = io.StringIO()
    display = ConsoleDisplay(Console(file=screen, force_terminal=False, width=40))
    stage = Stage("tile", "Tile", "cuts", {}, [], lambda show: {})

    display.skipped(stage, Record("1", "", {}, 2.0, {"summary": "12 patches of 3 slides stored"}, ""))
    display.failed(stage)

    lines = screen.getvalue().splitlines()
    assert lines[0].endswith("2.0 s  12 patches of 3 slides stored (done by an earlier run)")  # On one line.
    assert lines[1] == "✗ Tile        was not finished"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (754.4, "12 min 34 s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_counts_and_shares():
    assert count(1234567) == "1,234,567"
    assert percent(0.8765) == "87.6%"
    assert percent(float("nan")) == "–"
