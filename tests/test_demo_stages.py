"""What the demo runs again and what it skips."""

import json
from pathlib import Path

import pytest

from tfcass.demo.stages import Stage, run_stages
from tfcass.demo.state import State, locked
from tfcass.errors import TfcassError


class Quiet:
    """A display that remembers what was shown."""

    def __init__(self):
        self.shown = []

    def started(self, stage):
        return lambda line: None

    def finished(self, stage, record):
        self.shown.append(f"ran {stage.name}")

    def skipped(self, stage, record):
        self.shown.append(f"skipped {stage.name}")

    def failed(self, stage):
        self.shown.append(f"failed {stage.name}")


class Way:
    """Three stages, each of which writes one file, after a server that is started in every run."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.inputs = {"slides": 1, "tile": 1, "train": 1}
        self.trouble = {}
        self.rows_are_there = True

    def run(self) -> list[str]:
        display = Quiet()
        try:
            run_stages(self._stages(), State(self.folder / "state.json"), display)
        except (RuntimeError, KeyboardInterrupt):
            pass
        return display.shown

    def _stages(self):
        server = Stage("server", "Server", "starts", {}, [], lambda show: {}, once=False)
        return [server, self._stage("slides"), self._stage("tile"), self._stage("train")]

    def _stage(self, name):
        def act(show):
            if name in self.trouble:
                raise self.trouble.pop(name)
            (self.folder / name).write_text(name)
            return {"summary": name}

        still_there = (lambda result: self.rows_are_there) if name == "tile" else (lambda result: True)
        return Stage(name, name.title(), "works", {"size": self.inputs[name]}, [self.folder / name], act, still_there)


ALL_RAN = ["ran server", "ran slides", "ran tile", "ran train"]


@pytest.fixture
def way(tmp_path):
    return Way(tmp_path)


def test_a_first_run_runs_everything(way):
    assert way.run() == ALL_RAN


def test_a_second_run_skips_everything_even_the_server(way):
    way.run()

    assert way.run() == ["skipped server", "skipped slides", "skipped tile", "skipped train"]


@pytest.mark.parametrize("trouble", [RuntimeError("no"), KeyboardInterrupt()], ids=["failure", "interrupt"])
def test_a_rerun_continues_at_the_stage_that_was_cut_off(way, trouble):
    way.trouble["tile"] = trouble

    assert way.run() == ["ran server", "ran slides", "failed tile"]
    assert way.run() == ["ran server", "skipped slides", "ran tile", "ran train"]


def test_a_changed_setting_reruns_its_stage_and_what_follows(way):
    way.run()
    way.inputs["tile"] = 2

    assert way.run() == ["ran server", "skipped slides", "ran tile", "ran train"]


def test_a_lost_file_reruns_its_stage_and_what_follows(way):
    way.run()
    (way.folder / "slides").unlink()

    assert way.run() == ALL_RAN


def test_a_stage_that_was_rerun_but_whose_follower_failed_still_reruns_the_follower(way):
    way.run()
    way.inputs["tile"] = 2
    way.trouble["train"] = RuntimeError("no")

    assert way.run() == ["ran server", "skipped slides", "ran tile", "failed train"]
    assert way.run() == ["ran server", "skipped slides", "skipped tile", "ran train"]


def test_lost_rows_rerun_the_stage_that_wrote_them(way):
    way.run()
    way.inputs["train"] = 2
    way.rows_are_there = False

    assert way.run() == ["ran server", "skipped slides", "ran tile", "ran train"]


def test_a_skipped_stage_keeps_its_time_and_result(tmp_path):
    state = State(tmp_path / "state.json")
    stage = Stage("a", "A", "works", {"ratios": (8, 1)}, [], lambda show: {"rows": 7})
    first = run_stages([stage], state, Quiet())[0]

    second = run_stages([stage], State(tmp_path / "state.json"), Quiet())[0]

    assert (first.earlier, second.earlier) == (False, True)
    assert second.record == first.record
    assert second.record.result == {"rows": 7}


def test_a_damaged_state_file_is_named_with_the_way_out(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"format": 1, "stages": {"tile": {"seco')

    with pytest.raises(TfcassError, match="state.json' is damaged.*remove it"):
        State(path)


def test_the_state_of_another_format_counts_as_nothing_done(tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"format": 99, "stages": {"tile": {}}}))

    assert State(path).get("tile") is None


def test_two_runs_cannot_use_one_folder(tmp_path):
    with locked(tmp_path), pytest.raises(TfcassError, match="another demo run is using"):
        with locked(tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(TfcassError, match=r"cannot write into .*file/out.*--out"):
        with locked(tmp_path / "file" / "out"):
            pass
