"""The main job: from nothing to the report, interrupted on the way, with real servers and processes."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import tfcass
from tfcass.demo.settings import METADATA_TABLE, Paths
from tfcass.devcluster import DevCluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cassandra,
    pytest.mark.horovod,
    pytest.mark.slides,
    pytest.mark.timeout(1500),
]


class Demo:
    """`tfcass demo run --quick` in one folder, as often as wanted."""

    def __init__(self, out: Path):
        self.paths = Paths(out)
        self._running = None

    def start(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "tfcass.cli", "demo", "run", "--quick", "--out", str(self.paths.out)]
        self._running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self._running

    def stop(self) -> None:
        """After a failed test: as if the user had pressed Ctrl-C. Nothing of the demo stays."""
        if self._running is not None and self._running.poll() is None:
            self._running.send_signal(signal.SIGINT)
            self._running.communicate(timeout=120)
        DevCluster(self.paths.cluster).down(wipe=True)

    def run(self) -> str:
        demo = self.start()
        output, _ = demo.communicate(timeout=600)
        assert demo.returncode == 0, output
        return output

    def interrupt_when(self, reached, *, timeout_s: float = 400) -> str:
        """Starts a run, presses Ctrl-C once `reached` is true; returns what it printed until all of it had ended."""
        demo = self.start()
        deadline = time.monotonic() + timeout_s
        while not reached():
            assert demo.poll() is None, f"it ended before it could be interrupted:\n{demo.communicate()[0]}"
            assert time.monotonic() < deadline, "it did not come to where it was to be interrupted"
            time.sleep(0.05)
        family = [process for process in psutil.Process(demo.pid).children(recursive=True)]
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=120)
        assert demo.returncode == 130, output
        assert [process for process in family if process.is_running() and process.status() != "zombie"] == []
        assert self.running_nodes() == 0
        return output

    def running_nodes(self) -> int:
        return sum(node.state != "down" for node in DevCluster(self.paths.cluster).status())

    def rows_written(self) -> int:
        """Metadata rows while it runs; 0 before there is a table."""
        try:
            return tfcass.read_rows(METADATA_TABLE, cluster=DevCluster(self.paths.cluster).connect()).num_rows
        except tfcass.TfcassError:  # No table yet, or one that is being made.
            return 0

    def done(self) -> list[str]:
        return list(json.loads(self.paths.state.read_text())["stages"])

    def tiling(self) -> dict:
        return json.loads((self.paths.tiles / "summary.json").read_text())

    def training(self) -> dict:
        return json.loads((self.paths.training / "summary.json").read_text())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo") / "out")
    yield demo
    demo.stop()


def test_ctrl_c_while_composing_slides_leaves_no_half_slide(demo):
    slides = demo.paths.slides / "slides"

    demo.interrupt_when(lambda: list(slides.glob("*.tiff")))

    assert {path.suffix for path in slides.iterdir()} == {".tiff"}
    assert demo.done() == ["cassandra"]


def test_ctrl_c_while_tiling_ends_everything_and_keeps_what_is_done(demo):
    output = demo.interrupt_when(lambda: demo.rows_written() > 0)

    assert "the same command again goes on" in output
    assert "Traceback" not in output
    assert "slides" in demo.done() and "tile" not in demo.done()


def test_ctrl_c_while_training_comes_after_tiling_without_duplicates(demo):
    checkpoint = demo.paths.training / "checkpoint.npz"

    demo.interrupt_when(checkpoint.exists)

    patches = demo.tiling()["patches"]
    assert patches["skipped"] > 0  # What the first run had written.
    assert patches["written"] + patches["skipped"] == patches["planned"] == patches["stored"]
    assert "split" in demo.done() and "train" not in demo.done()


def test_the_next_run_goes_on_with_the_training_and_ends_with_the_report(demo):
    output = demo.run()

    assert demo.training()["first_epoch"] > 1
    assert str(demo.paths.report) in output
    assert "driver" not in output  # Its log, when the server goes.
    assert demo.running_nodes() == 0


def test_the_report_counts_each_patch_once_in_both_tables(demo):
    html = demo.paths.report.read_text()

    planned = f"{demo.tiling()['patches']['planned']:,}"
    for table in ("metadata_by_nat", "data_by_uuid"):
        assert re.search(rf"demo\.{table}</code></td><td class=\"n\">([\d,]+)<", html)[1] == planned
    assert "No patient is in two splits" in html


def test_the_model_beats_the_majority_class_on_patients_that_it_never_saw(demo):
    confusion = json.loads((demo.paths.training / "confusion.json").read_text())

    assert confusion["accuracy"] > confusion["majority"] + 0.05


def test_a_run_with_nothing_left_to_do_starts_no_server(demo):
    before = demo.paths.report.stat().st_mtime_ns

    output = demo.run()

    assert output.count("done by an earlier run") == 7
    assert demo.paths.report.stat().st_mtime_ns == before


def test_a_lost_report_is_made_again_from_what_is_there(demo):
    demo.paths.report.unlink()

    output = demo.run()

    assert output.count("done by an earlier run") == 5  # All but the server and the report.
    assert "from an earlier run" in demo.paths.report.read_text()
