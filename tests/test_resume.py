"""Stopped in the middle of an epoch and gone on with other numbers of processes and batch sizes, on real rows."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

import tfcass
from tests.support.fetch_rows import Patches, patches
from tests.support.horovod_processes import ROOT, run_on_ranks
from tests.support.split_rows import metadata
from tfcass import Shard, SplitError, training
from tfcass.sharding import Cursor, Plan
from tfcass.splits import Splits, split
from tfcass.training import epochs

ROWS = 92
GONE = (11, 50)  # Deleted after the splits were made.


@pytest.fixture(scope="module")
def stored(cassandra: tfcass.Cluster, cassandra_session) -> Iterator[Patches]:
    with patches(cassandra, cassandra_session, ROWS) as stored:
        delete = cassandra_session.prepare(f"DELETE FROM {stored.table} WHERE patch_id = ?")
        for number in GONE:
            cassandra_session.execute(delete, [uuid.UUID(bytes=stored.keys[number].tobytes())])
        yield stored


def splits_of(stored: Patches, rows: int) -> Splits:
    """The first `rows` rows."""
    keys = pa.array([key.tobytes() for key in stored.keys[:rows]], pa.binary(16))
    return split(pa.table({"patch_id": keys, "label": [0] * rows}), ratios={"train": 1})


def labels_at(stored: Patches, plan: Plan, epoch: int, positions: list[int]) -> list[int]:
    """What the table holds for the rows at these positions; 0 where it holds none."""
    by_key = {key.tobytes(): label for key, label in zip(stored.keys, stored.labels, strict=True)}
    labels = [by_key[key.tobytes()] for key in plan.keys(epoch, np.array(positions, np.int64))]
    return [0 if label in GONE else label for label in labels]


def read(stored: Patches, plan: Plan, shard: Shard, start: Cursor, batch_size: int, steps: int | None = None) -> dict:
    """Positions, labels and weights of the rows of one rank."""
    rows = training.row_batches(
        plan,
        shard,
        table=stored.table,
        cluster=stored.cluster,
        batch_size=batch_size,
        epochs=start.epoch + 1,
        start=start,
        remainder="uneven",
        failures=training.Failures(policy="zero_weight", budget=10),
    )
    taken = list(rows.take(-1 if steps is None else steps).as_numpy_iterator())
    return {
        name: [value for batch in taken for value in batch[name].tolist()] for name in ("position", "label", "weight")
    }


@pytest.mark.parametrize("sizes", [((3, 4, 2), (2, 7, 3), (5, 3, None)), ((1, 13, 1), (4, 5, None))])
def test_every_remaining_row_is_read_once_over_pipelines_of_other_sizes(stored: Patches, sizes) -> None:
    plan = Plan(splits_of(stored, ROWS), "train", seed=7)
    cursor, parts = plan.cursor(4), []

    for size, batch_size, steps in sizes:
        parts += [read(stored, plan, Shard(rank, size), cursor, batch_size, steps) for rank in range(size)]
        if steps is not None:
            after = Shard(0, size).part(plan, cursor, batch_size=batch_size, remainder="uneven").after(steps)
            cursor = Cursor.from_json(after.to_json())

    positions, labels, weights = (
        [value for part in parts for value in part[name]] for name in ("position", "label", "weight")
    )
    assert sorted(positions) == list(range(ROWS))
    assert labels == labels_at(stored, plan, 4, positions)
    assert sum(weights) == ROWS - len(GONE)


def test_a_plain_dataset_goes_on_as_well(stored: Patches) -> None:
    plan = Plan(splits_of(stored, ROWS), "train", seed=7)
    keys = training.epochs_of_keys(
        plan.splits, "train", Shard(1, 3), batch_size=4, epochs=3, seed=7, start=plan.cursor(1, 30)
    )
    rows = keys.apply(stored.fetch(columns=["label"], options=tfcass.FetchOptions(missing="empty")))
    batches = [batch["label"].tolist() for batch in rows.as_numpy_iterator()]

    first = list(range(31, 91, 3))  # 62 rows are left: 20 for each rank, and 30 in each whole epoch.
    second = list(range(1, 90, 3))
    assert [len(batch) for batch in batches] == [4] * 5 + [4] * 7 + [2]
    assert [label for batch in batches[:5] for label in batch] == labels_at(stored, plan, 1, first)
    assert [label for batch in batches[5:] for label in batch] == labels_at(stored, plan, 2, second)


@pytest.mark.parametrize("remainder", ["drop", "pad", "uneven"])
@pytest.mark.parametrize(("size", "batch_size", "samples"), [(1, 3, 40), (3, 4, 0), (3, 4, 7), (2, 16, 90), (4, 1, 92)])
def test_keys_and_places_come_in_the_same_batches(
    remainder, size, batch_size, samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "_CHUNK", 8)  # Several pieces an epoch.
    plan = Plan(split(metadata([0] * ROWS), ratios={"train": 1}), "train", seed=7)
    start, settings = plan.cursor(2, samples), {"batch_size": batch_size, "remainder": remainder}

    for rank in range(size):
        shard = Shard(rank, size)
        both = epochs.EpochParts(plan, shard, batch_size, 5, start, remainder, False)
        keys, places = ([*dataset.as_numpy_iterator()] for dataset in (both.keys(), both.places()))

        parts = [shard.part(plan, cursor, **settings) for cursor in (start, plan.cursor(3), plan.cursor(4))]
        expected = [(part, f) for part in parts for f in range(0, part.rows, batch_size)]
        assert len(keys) == len(places) == sum(part.steps for part in parts)
        for (part, first), batch, place in zip(expected, keys, places, strict=True):
            last = min(first + batch_size, part.rows)
            assert batch.tobytes() == part.keys(first, last).tobytes()
            assert place["position"].tolist() == part.positions(first, last).tolist()
            assert place["weight"].tolist() == part.weights(first, last).tolist()
            assert set(place["epoch"]) == {part.cursor.epoch}


@pytest.mark.parametrize("whole_batches", [False, True])
def test_padding_does_not_count_in_metrics(whole_batches) -> None:
    plan = Plan(split(metadata([0, 1] * 31), ratios={"train": 1}), "train", seed=7)
    label_of = dict(
        zip(map(bytes, plan.splits.keys("train")), plan.splits.table("train").column("label").to_pylist(), strict=True)
    )
    model = keras.Sequential([keras.layers.Input((16,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")])

    def accuracy(keys: np.ndarray, weights: np.ndarray) -> float:
        labels = np.array([label_of[bytes(key)] for key in keys])
        batches = tf.data.Dataset.from_tensor_slices((keys.astype(np.float32), labels, weights)).batch(4)
        return model.evaluate(batches, verbose=0, return_dict=True)["accuracy"]

    settings = {"batch_size": 4, "remainder": "pad", "whole_batches": whole_batches}
    parts = [Shard(rank, 5).part(plan, plan.cursor(1), **settings) for rank in range(5)]
    of_ranks = [accuracy(part.keys(0, part.rows), part.weights(0, part.rows)) for part in parts]
    counted = [part.counted_rows for part in parts]

    assert len({part.rows for part in parts}) == 1
    assert sum(counted) == 62 < sum(part.rows for part in parts)
    whole = accuracy(plan.splits.keys("train"), np.ones(62, np.float32))
    assert np.average(of_ranks, weights=counted) == pytest.approx(whole, abs=1e-6)


def test_an_input_pipeline_of_tf_distribute_is_a_shard() -> None:
    context = tf.distribute.InputContext(num_input_pipelines=4, input_pipeline_id=2, num_replicas_in_sync=8)

    assert Shard.from_input_context(context) == Shard(2, 4)


def test_start_is_checked_when_the_dataset_is_made(stored: Patches) -> None:
    plan, other = (Plan(splits_of(stored, rows), "train", seed=7) for rows in (ROWS, ROWS - 1))
    settings = {"batch_size": 4, "epochs": 3}

    with pytest.raises(SplitError, match="the saved state is of another split"):
        training.key_batches(plan, Shard(0, 2), start=other.cursor(1), **settings)
    with pytest.raises(tfcass.OptionError, match=r"the start's epoch=4 is not in \[0, epochs=3\]"):
        training.key_batches(plan, Shard(0, 2), start=plan.cursor(4), **settings)
    with pytest.raises(tfcass.OptionError, match="first_epoch=1 and start=.*pass one of them"):
        training.epochs_of_keys(
            plan.splits, "train", Shard(0, 2), seed=7, first_epoch=1, start=plan.cursor(1), **settings
        )
    assert list(training.key_batches(plan, Shard(0, 2), start=plan.cursor(3), **settings)) == []


@pytest.mark.horovod
@pytest.mark.timeout(700)
def test_two_processes_stop_and_three_go_on_with_a_plan_that_had_grown(stored: Patches, tmp_path: Path) -> None:
    splits_of(stored, 80).save(tmp_path / "splits")
    splits_of(stored, ROWS).save(tmp_path / "grown")
    plan = Plan(splits_of(stored, ROWS), "train", seed=7)
    out = tmp_path / "out"
    args = ["--contact-point", stored.cluster.contact_points[0], "--port", stored.cluster.port]
    args += ["--table", stored.table, "--splits", tmp_path / "splits", "--grown", tmp_path / "grown", "--out", out]
    script = ROOT / "tests" / "support" / "resume_ranks.py"

    def run(size: int, *more: object) -> list[dict]:
        process = run_on_ranks(script, [*args, *more], size=size, timeout_s=300)
        assert process.returncode == 0, process.stdout
        logged.append(process.stdout)
        return [json.loads((out / f"rank{rank}.json").read_text()) for rank in range(size)]

    logged: list[str] = []
    two = run(2, "--batch", 5, "--steps", 3)
    saved = (out / "state.json").read_text()
    three = run(3, "--batch", 4)

    assert json.loads(saved) == json.loads(plan.cursor(1, 30).to_json())
    assert logged[0].count("train: 12 rows joined, 0 are gone: 92 in all") == 1
    assert {result["digest"] for result in two + three} == {plan.digest}
    assert [result["steps"] for result in three] == [6, 6, 5]  # 62 rows: the last two of them make one more step.
    positions = [position for result in two + three for position in result["positions"]]
    assert sorted(positions) == list(range(ROWS))
    assert sorted(position for result in two for position in result["positions"]) == list(range(30))
    labels = [label for result in two + three for label in result["labels"]]
    assert labels == labels_at(stored, plan, 1, positions)
    assert sum(sum(result["weights"]) for result in two + three) == ROWS - len(GONE)
    assert two[0]["sums"] == two[1]["sums"]  # Each exchange was of the same step.
    assert sum(two[0]["sums"]) == sum(labels_at(stored, plan, 1, list(range(30))))
    assert sum(three[0]["sums"]) == sum(labels_at(stored, plan, 1, list(range(30, ROWS))))
    assert Cursor.from_json((out / "state.json").read_text()) == plan.cursor(2)
    for results, all_but_last, last in ((two, "rank 0", 1), (three, "ranks 0, 1", 2)):
        for result in results:
            assert result["told"].startswith(
                f"ranks train on different data: plan is {plan.digest[:12]}... on {all_but_last} and "
            )
            assert f"... on rank {last}; give all the same splits" in result["told"]
