"""Rows that are missing or damaged, on a real table: batches keep their sizes, and what failed is told, counted, listed
and left out by the next run."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

import tfcass
from tests.support.fetch_rows import keyspace as keyspace_of
from tests.support.fetch_rows import write
from tfcass import OptionError, Shard, TfcassError, training
from tfcass.sharding import Plan
from tfcass.splits import Splits, split
from tfcass.training import Failures, Quarantine

ROWS = 60
ABSENT, NULL, CUT, EMPTY, NO_IMAGE = (3, 4), (5,), (7, 8), (9,), (10,)
FAILING = {*ABSENT, *NULL, *CUT, *EMPTY, *NO_IMAGE}
IDS = [uuid.uuid5(uuid.NAMESPACE_OID, f"failures {i}") for i in range(ROWS)]


@pytest.fixture(scope="module")
def table(cassandra_session) -> Iterator[str]:
    """Rows of 8 x 8 JPEGs whose shade is twice their number, some of them damaged."""

    def image(number: int) -> bytes | None:
        jpeg = tf.io.encode_jpeg(tf.fill([8, 8, 3], tf.cast(2 * number, tf.uint8))).numpy()
        if number in NULL:
            return None
        if number in CUT:
            return jpeg[:100]
        return b"" if number in EMPTY else b"no image" if number in NO_IMAGE else jpeg

    with keyspace_of(cassandra_session) as name:
        cassandra_session.execute(f"CREATE TABLE {name}.data (patch_id uuid PRIMARY KEY, label int, data blob)")
        rows = [(IDS[i], i, image(i)) for i in range(ROWS) if i not in ABSENT]
        write(cassandra_session, f"INSERT INTO {name}.data (patch_id, label, data) VALUES (?, ?, ?)", rows)
        yield f"{name}.data"


@pytest.fixture(scope="module")
def splits() -> Splits:
    rows = pa.table({"patch_id": pa.array([i.bytes for i in IDS], pa.binary(16)), "label": [0] * ROWS})
    return split(rows, ratios={"train": 1})


def decode(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    pixels = tf.io.decode_jpeg(row["data"], channels=3)
    return {"pixels": tf.ensure_shape(pixels, [8, 8, 3]), "label": row["label"]}


@pytest.fixture
def batches(cassandra: tfcass.Cluster, table: str, splits: Splits):
    """Reads batches as numpy dicts."""

    def read(shard: Shard | None = None, plan: Plan | None = None, **settings) -> list[dict[str, np.ndarray]]:
        shard, plan = shard or Shard(0, 1), plan or Plan(splits, "train", seed=1)
        settings = {"batch_size": 8, "epochs": 1, "decode": decode, **settings}
        rows = training.row_batches(plan, shard, table=table, cluster=cassandra, **settings)
        return list(rows.as_numpy_iterator())

    return read


def column(batches: list[dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.concatenate([batch[name] for batch in batches])


def numbers(batches: list[dict[str, np.ndarray]]) -> list[int]:
    """Which rows these are, by their keys."""
    by_key = {i.bytes: number for number, i in enumerate(IDS)}
    return [by_key[bytes(key)] for key in column(batches, "patch_id")]


def message(error: pytest.ExceptionInfo) -> str:
    return training.plain_message(error.value)


def test_zero_weight_keeps_every_place_and_counts_only_good_rows(batches) -> None:
    ranks = [batches(Shard(rank, 2), failures=Failures(policy="zero_weight", budget=20)) for rank in (0, 1)]

    assert [[len(batch["weight"]) for batch in of_rank] for of_rank in ranks] == [[8, 8, 8, 6]] * 2
    together = [batch for of_rank in ranks for batch in of_rank]
    rows = numbers(together)
    assert sorted(rows) == list(range(ROWS))
    for number, weight, label, pixels in zip(
        rows, *(column(together, name) for name in ("weight", "label", "pixels")), strict=True
    ):
        assert weight == (0 if number in FAILING else 1)
        assert label == (0 if number in FAILING else number)
        assert abs(int(pixels.mean()) - (0 if number in FAILING else 2 * number)) <= 3


def test_replacement_puts_good_rows_of_the_split_there_the_same_in_every_run(batches, splits: Splits) -> None:
    failures = Failures(policy="replace", budget=20)
    first, again = (batches(failures=failures) for _ in range(2))

    rows = numbers(first)
    assert len(rows) == ROWS
    assert not set(rows) & FAILING
    assert set(rows) == set(range(ROWS)) - FAILING
    assert column(first, "weight").tolist() == [1] * ROWS
    assert column(first, "label").tolist() == rows
    assert numbers(again) == rows
    plan = Plan(splits, "train", seed=1)
    after = Shard(0, 1).part(plan, batch_size=8).after(3)
    assert numbers(batches(failures=failures, start=after, batch_size=5)) == rows[24:]  # Resumed: the same ones too.


def test_what_failed_is_listed_with_the_reason_and_the_next_run_leaves_it_out(
    batches, splits: Splits, tmp_path: Path
) -> None:
    file = tmp_path / "quarantine.jsonl"
    failures = Failures(policy="zero_weight", budget=0.5, quarantine=file)
    for rank in (0, 1):
        batches(Shard(rank, 2), failures=failures)

    reasons = Quarantine.read(file).reasons
    assert set(reasons) == {str(IDS[i]) for i in FAILING}
    for number in (*ABSENT, *NULL):
        assert reasons[str(IDS[number])] == "missing"
    for number in (*CUT, *EMPTY, *NO_IMAGE):
        assert reasons[str(IDS[number])].startswith("undecodable: ")
    assert "JPEG" in reasons[str(IDS[CUT[0]])]
    entry = json.loads(file.read_text().splitlines()[0])
    assert (entry["split"], entry["epoch"], entry["rank"]) == ("train", 0, 0)

    plan = Plan(splits, "train", seed=1, leave_out=Quarantine.read(file).keys)
    clean = batches(plan=plan, failures=Failures(policy="error", quarantine=file))
    assert sorted(numbers(clean)) == sorted(set(range(ROWS)) - FAILING)
    assert len(file.read_text().splitlines()) == len(FAILING)


def test_a_row_that_fails_in_each_epoch_is_counted_in_each_and_by_the_budget_of_each(batches) -> None:
    assert len(batches(epochs=3, failures=Failures(policy="zero_weight", budget=len(FAILING)))) == 3 * 8


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (len(FAILING) - 1, "7 rows failed in epoch 0 on rank 0, and budget=6 allows 6 of its 60; the last: row "),
        (0.1, "7 rows failed in epoch 0 on rank 0, and budget=0.1 allows 6 of its 60"),
    ],
)
@pytest.mark.parametrize("policy", ["zero_weight", "replace"])
def test_above_the_budget_the_run_stops(batches, policy, budget, told, tmp_path: Path) -> None:
    failures = Failures(policy=policy, budget=budget, quarantine=tmp_path / "q.jsonl")

    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        batches(failures=failures)

    assert message(error).startswith(told)
    assert message(error).endswith(
        f"all of them are in {tmp_path}/q.jsonl; ingest them again, leave them out of the Plan, or raise the budget"
    )


def test_the_policy_error_names_the_row(batches, tmp_path: Path) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        batches(failures=Failures(quarantine=tmp_path / "q.jsonl"))

    (patch_id, reason), *_ = Quarantine.read(tmp_path / "q.jsonl").reasons.items()
    assert message(error).startswith("row ")
    assert "(split 'train', epoch 0, position " in message(error)
    assert uuid.UUID(patch_id) in {IDS[i] for i in FAILING}
    assert reason == "missing" or reason.startswith("undecodable")


def test_without_a_policy_the_pipeline_raises(batches) -> None:
    with pytest.raises(tf.errors.OpError):
        batches()


def test_when_nothing_can_take_its_place_the_run_stops(cassandra, cassandra_session, splits: Splits) -> None:
    with keyspace_of(cassandra_session) as name:
        cassandra_session.execute(f"CREATE TABLE {name}.data (patch_id uuid PRIMARY KEY, label int, data blob)")
        rows = training.row_batches(
            Plan(splits, "train", seed=1),
            Shard(0, 1),
            table=f"{name}.data",
            cluster=cassandra,
            batch_size=8,
            epochs=1,
            failures=Failures(policy="replace", budget=1.0),
        )
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            next(iter(rows))

    assert "no replacement for row " in message(error)
    assert "8 other rows failed as well; is this the right table" in message(error)


def test_padding_and_places_come_with_the_rows(batches, splits: Splits) -> None:
    plan = Plan(splits, "train", seed=1, leave_out=tfcass.keys([IDS[i] for i in FAILING]))
    ranks = [batches(Shard(r, 4), plan, batch_size=7, epochs=2, remainder="pad", whole_batches=True) for r in range(4)]

    assert {tuple(len(batch["weight"]) for batch in of_rank) for of_rank in ranks} == {(7, 7, 7, 7)}
    for epoch in (0, 1):
        of_epoch = [batch for of_rank in ranks for batch in of_rank if batch["epoch"][0] == epoch]
        counted = column(of_epoch, "weight") == 1
        positions = column(of_epoch, "position")
        assert sorted(positions.tolist()) == list(range(56))
        assert (counted == (positions < 53)).all()
        assert sorted(np.array(numbers(of_epoch))[counted]) == sorted(set(range(ROWS)) - FAILING)
        expected = plan.keys(epoch, positions % 53)
        assert column(of_epoch, "patch_id").tobytes() == expected.tobytes()


def test_rows_without_decode_are_the_columns(batches) -> None:
    failing = Failures(policy="zero_weight", budget=20)
    rows = batches(decode=None, failures=failing)

    found = {number: data for number, data in zip(numbers(rows), column(rows, "data"), strict=True)}
    assert {number for number, data in found.items() if data == b""} == {*ABSENT, *NULL, *EMPTY}
    weights = dict(zip(numbers(rows), column(rows, "weight"), strict=True))
    assert {number for number, weight in weights.items() if not weight} == {*ABSENT, *NULL}


def test_the_journal_says_which_rows_each_step_was_given(
    cassandra: tfcass.Cluster, table: str, splits: Splits, tmp_path: Path
) -> None:
    plan = Plan(splits, "train", seed=1)
    start = plan.cursor(1, 16)
    journal = training.KeyJournal(tmp_path / "journal.jsonl")
    rows = training.row_batches(
        plan,
        Shard(0, 2),
        table=table,
        cluster=cassandra,
        batch_size=8,
        epochs=3,
        start=start,
        failures=Failures(policy="zero_weight", budget=20),
    ).apply(journal.watch("patch_id"))
    for _ in rows:
        pass

    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(7))
    assert [line["epoch"] for line in lines] == [1, 1, 1, 2, 2, 2, 2]
    assert lines[0]["positions"] == list(range(16, 32, 2))
    expected = plan.keys(1, np.arange(16, 32, 2))
    assert lines[0]["patch_ids"] == [str(uuid.UUID(bytes=bytes(key))) for key in expected]
    whole = list(journal.epochs(4, first=3))
    assert [len(keys) for keys in whole] == [22, 30]
    assert whole[1].tobytes() == Shard(0, 2).keys_from(plan, plan.cursor(2)).tobytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decode": lambda row: {"pixels": tf.io.decode_jpeg(row["data"])}}, "'pixels' as .*one shape; resize"),
        ({"decode": lambda row: (row["data"], row["label"])}, "it must give a dict of tensors"),
        ({"decode": lambda row: {"weight": row["label"]}}, "'weight' is added to each row"),
        ({"options": tfcass.FetchOptions(missing="skip")}, r"missing='skip'\): batches must keep their size"),
        ({"options": tfcass.FetchOptions(deterministic=False)}, "rows must come in the order of their weights"),
        ({"options": "fast"}, "options='fast' must be a tfcass.FetchOptions"),
        ({"failures": "replace"}, r"failures='replace' is not a Failures\(...\)"),
        ({"batch_size": 0}, "batch_size=0 is not a positive integer"),
    ],
)
def test_bad_settings_are_refused_at_once(batches, settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        batches(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "skip"}, "policy='skip' is not one of 'error', 'replace', 'zero_weight'"),
        ({"budget": -1}, "budget=-1 is neither a number of rows"),
        ({"budget": 1.5}, "budget=1.5 is neither"),
        ({"budget": float("nan")}, "budget=nan is neither"),
        ({"budget": True}, "budget=True is neither"),
    ],
)
def test_bad_failures(settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        Failures(**settings)


def test_a_quarantine_that_cannot_be_written_is_refused_at_once(batches, tmp_path: Path) -> None:
    with pytest.raises(TfcassError, match="cannot write the quarantine list .*absent/q.jsonl: No such file"):
        batches(failures=Failures(quarantine=tmp_path / "absent" / "q.jsonl"))
