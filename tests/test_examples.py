"""train_patches.py and quickstart.py on a real server: two Horovod processes learn, read disjoint rows, and go on after
Ctrl-C. The other examples: test_examples_*.py."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import keras
import numpy as np
import pytest

import tfcass
from tests.support.horovod_processes import ROOT, run_alone, run_on_ranks
from tests.support.patch_tables import write_patches
from tfcass import sharding, training

TRAIN = ROOT / "examples" / "train_patches.py"
QUICKSTART = ROOT / "examples" / "quickstart.py"
EPOCHS = 12

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def patches(cassandra: tfcass.Cluster, keyspace: str, tmp_path: Path) -> list[object]:
    """Arguments of the training script for a keyspace with 120 patches and saved splits."""
    write_patches(cassandra, keyspace)
    rows = tfcass.read_rows(f"{keyspace}.metadata_by_nat", cluster=cassandra)
    tfcass.split(rows, ratios={"train": 4, "val": 1}, group_by="patient_id").save(tmp_path / "splits")
    address = ["--contact-points", cassandra.contact_points[0], "--port", cassandra.port, "--keyspace", keyspace]
    return [*address, "--splits", tmp_path / "splits", "--out", tmp_path / "out", "--image-size", 32, "--batch", 8]


@pytest.mark.horovod
def test_two_processes_learn_from_disjoint_rows(patches: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"

    process = run_on_ranks(TRAIN, [*patches, "--epochs", EPOCHS, "--record-keys"], size=2, timeout_s=300)

    assert process.returncode == 0, process.stdout
    # It learns: on patients it never saw it beats always giving the same answer.
    confusion = json.loads((out / "confusion.json").read_text())
    assert confusion["classes"] == ["normal", "tumor"]
    assert np.sum(confusion["matrix"]) == 24
    assert confusion["accuracy"] >= confusion["majority"] + 0.2
    # The history is over all ranks: the same accuracy as counted from the matrix.
    epochs = json.loads((out / "history.json").read_text())["epochs"]
    assert [entry["epoch"] for entry in epochs] == list(range(1, EPOCHS + 1))
    assert epochs[-1]["val_accuracy"] == pytest.approx(confusion["accuracy"], abs=1e-6)
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds", "rows_per_s"} <= set(epochs[0])
    # No row is read by both ranks in an epoch, and together they read them all.
    train = {bytes(key) for key in tfcass.Splits.load(tmp_path / "splits").keys("train")}
    for epoch in range(1, EPOCHS + 1):
        read = [{bytes(key) for key in np.load(out / "ranks" / f"rank{rank}-epoch{epoch}.npy")} for rank in (0, 1)]
        assert not read[0] & read[1]
        assert read[0] | read[1] == train
    ranks = [json.loads((out / "ranks" / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    digests = [epoch["sha256"] for rank in ranks for epoch in rank["epochs"]]
    assert len(digests) == len(set(digests)) == 2 * EPOCHS
    # What is left behind is of use: the model answers on images.
    model = keras.models.load_model(out / "model.keras", compile=False)
    assert model(np.zeros((3, 32, 32, 3), np.uint8)).shape == (3, 2)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["ranks"], summary["steps_per_epoch"], summary["train_rows"]) == (2, 6, 96)


def test_ctrl_c_stops_at_once_and_the_same_command_goes_on(patches: list[object], tmp_path: Path) -> None:
    history = tmp_path / "out" / "history.json"
    command = [sys.executable, str(TRAIN), *map(str, patches)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        [*command, "--epochs", "500"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_for(lambda: history.exists() and len(epochs_of(history)) >= 2, running)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=300)
    finally:
        running.kill()

    assert running.returncode == 130, output
    assert "Traceback" not in output
    done = len(epochs_of(history))
    again = run_alone(TRAIN, [*patches, "--epochs", done + 1], timeout_s=300)
    assert again.returncode == 0, again.stdout
    assert f"going on after epoch {done}" in again.stdout
    assert [entry["epoch"] for entry in epochs_of(history)] == list(range(1, done + 2))

    finished = run_alone(
        TRAIN, [*patches, "--epochs", done + 1], timeout_s=90
    )  # Nothing left to train: the same result.

    assert finished.returncode == 0, finished.stdout
    assert len(epochs_of(history)) == done + 1


def test_the_quickstart_runs(patches: list[object]) -> None:
    options = dict(zip(patches[::2], patches[1::2], strict=True))

    process = run_alone(
        QUICKSTART, [options["--contact-points"], options["--port"], options["--keyspace"]], timeout_s=90
    )

    assert process.returncode == 0, process.stdout
    assert "120 of 120 rows taken; 0 groups (patient_id) in several splits" in process.stdout
    assert "Epoch 3/3" in process.stdout


def test_a_table_of_tiff_trains_as_well_and_its_trace_shows_the_fetch(
    patches: list[object], cassandra, keyspace: str, tmp_path: Path
) -> None:
    write_patches(cassandra, keyspace, encoding="TIFF")  # The same keys: each row is written over.

    options = ["--epochs", 2, "--profile", tmp_path / "trace", "--warmup-epochs", 1, "--mixed-precision"]

    process = run_alone(TRAIN, [*patches, *options], timeout_s=300)

    assert process.returncode == 0, process.stdout
    assert len(epochs_of(tmp_path / "out" / "history.json")) == 2
    rows = [event for event in training.trace_events(tmp_path / "trace") if event.name == "TfcassFetch::Rows"]
    assert rows
    assert {event.values["table"] for event in rows} == {f"{keyspace}.data_by_uuid"}


def test_an_image_of_no_known_format_is_told_in_one_line(patches: list[object], cassandra_session, keyspace) -> None:
    for (key,) in cassandra_session.execute(f"SELECT patch_id FROM {keyspace}.data_by_uuid"):
        cassandra_session.execute(
            f"INSERT INTO {keyspace}.data_by_uuid (patch_id, data) VALUES (%s, %s)", (key, b"\x01\x02\x03")
        )

    process = run_alone(TRAIN, [*patches, "--epochs", 1], timeout_s=300)

    assert process.returncode == 1
    assert "error: an image of this table cannot be decoded: " in process.stdout
    assert "its first bytes are [01 02 03]" in process.stdout
    assert "Traceback" not in process.stdout


def test_every_example_is_run_by_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_examples*.py"))
    assert [example.name for example in (ROOT / "examples").glob("*.py") if example.stem not in tests] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_in_one_line(patches: list[object], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.keras").symlink_to("/dev/full")  # Each write there fails as on a full disk.

    process = run_alone(TRAIN, [*patches, "--epochs", 1], timeout_s=300)

    assert process.returncode == 1
    assert f"error: cannot write into {tmp_path / 'out'}: " in process.stdout
    assert "No space left on device" in process.stdout
    assert "Traceback" not in process.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--splits", "nowhere"], "error: no splits in nowhere: manifest.json is absent"),
        (["--table", "data_by_uid"], "did you mean"),
        (["--classes", "normal"], "error: label 1 is not in [0, 1): name all labels"),
    ],
)
def test_a_mistake_is_told_in_one_line(patches: list[object], change: list[str], message: str) -> None:
    process = run_alone(TRAIN, [*patches, "--epochs", 1, *change], timeout_s=300)

    assert process.returncode == 1
    assert message in process.stdout
    assert "Traceback" not in process.stdout


def test_a_lost_row_is_named_in_one_line_and_the_run_goes_on_from_there_when_it_is_back(
    patches: list[object], cassandra, cassandra_session, keyspace: str, tmp_path: Path
) -> None:
    plan = sharding.Plan(tfcass.Splits.load(tmp_path / "splits"), "train", seed=1)
    lost = uuid.UUID(bytes=plan.keys(0, np.array([plan.samples - 1])).tobytes())  # In the last of twelve batches.
    cassandra_session.execute(f"DELETE FROM {keyspace}.data_by_uuid WHERE patch_id = {lost}")
    args = [*patches, "--epochs", 2, "--checkpoint-steps", 1, "--record-keys"]

    process = run_alone(TRAIN, args, timeout_s=300)

    assert process.returncode == 1
    assert f"error: no row {lost} in {keyspace}.data_by_uuid" in process.stdout
    assert "Traceback" not in process.stdout

    write_patches(cassandra, keyspace)
    again = run_alone(TRAIN, args, timeout_s=300)

    assert again.returncode == 0, again.stdout
    assert "going on after epoch 0 and 88 of 96 rows of the next" in again.stdout
    for epoch, begin in ((0, 88), (1, 0)):
        read = np.load(tmp_path / "out" / "ranks" / f"rank0-epoch{epoch + 1}.npy")
        assert read.tolist() == plan.keys(epoch, np.arange(begin, 96)).tolist()
    assert [entry["epoch"] for entry in epochs_of(tmp_path / "out" / "history.json")] == [1, 2]


def epochs_of(history: Path) -> list[dict]:
    return json.loads(history.read_text())["epochs"]


def wait_for(condition, process: subprocess.Popen, timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the training did not come to its second epoch"
        time.sleep(0.05)
