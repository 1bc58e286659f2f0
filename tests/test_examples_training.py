"""Training examples on a real server: a custom loop, tf.distribute, processes that are lost and that join."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import tfcass
from tests.support.horovod_processes import ROOT, run_alone, run_elastic, run_on_ranks
from tests.support.patch_tables import write_patches
from tfcass.devcluster import ports
from tfcass.training import committed_keys

EXAMPLES = ROOT / "examples"
TRAIN_ROWS, VAL_ROWS = 97, 22  # Ranks read 49 and 48 rows: with batches of 8 one makes a step more.

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def patches(cassandra: tfcass.Cluster, cassandra_session, tmp_path_factory) -> Iterator[list[object]]:
    """Arguments of the examples for a keyspace with 120 patches and splits of 119."""
    keyspace = f"train_{uuid.uuid4().hex[:12]}"
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    cassandra_session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
    try:
        write_patches(cassandra, keyspace)
        rows = tfcass.read_rows(f"{keyspace}.metadata_by_nat", cluster=cassandra).slice(1)
        splits = tmp_path_factory.mktemp("splits")
        tfcass.split(rows, ratios={"train": 97, "val": 23}).save(splits)
        address = ["--contact-points", cassandra.contact_points[0], "--port", cassandra.port, "--keyspace", keyspace]
        yield [*address, "--splits", splits, "--image-size", 32, "--batch", 8]
    finally:
        cassandra_session.execute(f"DROP KEYSPACE {keyspace}")


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.horovod
def test_a_custom_loop_trains_on_every_row_though_ranks_make_different_steps(patches: list, tmp_path: Path) -> None:
    args = [*patches, "--out", tmp_path, "--epochs", 3, "--warmup-epochs", 1, "--mixed-precision"]

    process = run_on_ranks(EXAMPLES / "train_custom_loop.py", args, size=2, timeout_s=300)

    assert process.returncode == 0, process.stdout
    history = read_json(tmp_path / "history.json")
    assert [entry["rows"] for entry in history["epochs"]] == [TRAIN_ROWS] * 3
    assert [entry["steps"] for entry in history["epochs"]] == [[7, 6]] * 3
    assert history["same_weights_on_all_ranks"]
    assert history["epochs"][-1]["loss"] < history["epochs"][0]["loss"]
    assert np.sum(read_json(tmp_path / "confusion.json")["matrix"]) == VAL_ROWS
    model = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert model(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 2)


def test_two_workers_of_tf_distribute_train_the_same_model_on_every_row(patches: list, tmp_path: Path) -> None:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = []
    for index in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        args = [*patches, "--out", tmp_path / f"worker{index}", "--epochs", 5, "--threads", 1]
        workers.append(
            subprocess.Popen(
                [sys.executable, str(EXAMPLES / "train_multi_worker.py"), *map(str, args)],
                env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(cluster)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()

    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(outputs)
    assert "could not transform" not in outputs[0]
    history = read_json(tmp_path / "worker0" / "history.json")
    assert history["workers"] == 2
    assert [entry["rows"] for entry in history["epochs"]] == [
        TRAIN_ROWS
    ] * 5  # What was repeated to pad counts nothing.
    assert history["epochs"][-1]["loss"] < history["epochs"][0]["loss"]
    assert read_json(tmp_path / "worker1" / "history.json") == history
    assert np.sum(read_json(tmp_path / "worker0" / "confusion.json")["matrix"]) == VAL_ROWS
    assert read_json(tmp_path / "worker1" / "confusion.json") == read_json(tmp_path / "worker0" / "confusion.json")
    assert not (tmp_path / "worker1" / "model.keras").exists()


@pytest.mark.horovod
def test_every_row_counts_once_though_one_process_is_killed_and_another_joins(patches: list, tmp_path: Path) -> None:
    args = [*patches, "--out", tmp_path / "out", "--epochs", 2, "--batch", 4, "--commit-every", 3]

    process = run_elastic(ROOT / "tests" / "support" / "elastic_accidents.py", args, tmp_path / "hosts")

    assert process.returncode == 0, process.stdout
    assert "another process is gone: back to the last commit, epoch 1 after 48 samples (" in process.stdout
    assert "could not transform" not in process.stdout
    journals = sorted((tmp_path / "out" / "journal").glob("*.jsonl"))
    assert len(journals) == 3, process.stdout
    entries = [json.loads(line) for path in journals for line in path.read_text().splitlines()]
    # Two ranks; one, after the other was killed between the commits of steps 6 and 9; two, since its second commit.
    starts = {(entry["generation"], entry["size"]): entry["start"] for entry in entries if "start" in entry}
    assert [(*world, start["epoch"], start["samples"]) for world, start in sorted(starts.items())] == [
        (1, 2, 0, 0),
        (2, 1, 0, 6 * 2 * 4),
        (3, 2, 0, 6 * 2 * 4 + 6 * 1 * 4),
    ]
    read = [position for entry in entries for position in entry.get("positions", []) if entry["epoch"] == 0]
    assert len(read) > TRAIN_ROWS  # What the loss undid was read again.
    # The journals' account, and the model's own: a sum within the state that goes back and is handed on with it.
    train = {str(uuid.UUID(bytes=key.tobytes())) for key in tfcass.Splits.load(splits_of(patches)).keys("train")}
    for epoch in range(2):
        counted = committed_keys(journals, epoch)
        assert sorted(counted) == list(range(TRAIN_ROWS))
        assert set(counted.values()) == train
    epochs = read_json(tmp_path / "out" / "history.json")["epochs"]
    assert [(entry["epoch"], entry["rows"]) for entry in epochs] == [(1, TRAIN_ROWS), (2, TRAIN_ROWS)]
    assert np.sum(read_json(tmp_path / "out" / "confusion.json")["matrix"]) == VAL_ROWS

    # All are gone now: one process alone goes on from the file.
    again = run_alone(EXAMPLES / "train_elastic.py", [*args, "--epochs", 3], timeout_s=300)

    assert again.returncode == 0, again.stdout
    assert [entry["rows"] for entry in read_json(tmp_path / "out" / "history.json")["epochs"]] == [TRAIN_ROWS] * 3


def splits_of(args: list) -> Path:
    return args[args.index("--splits") + 1]


def free_ports(number: int) -> list[int]:
    found: list[int] = []
    while len(found) < number:
        port = ports.free_port(["127.0.0.1"])
        found += [port] if port not in found else []
    return found
