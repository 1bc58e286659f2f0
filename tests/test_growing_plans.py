"""A table that grows while a model is trained: a plan holds for an epoch, new rows join at the next one."""

import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import tfcass
from tests.support.fetch_rows import keyspace as keyspace_of
from tests.support.fetch_rows import write
from tests.support.split_rows import metadata
from tfcass import Shard, SplitError, training
from tfcass.sharding import Cursor, Plan
from tfcass.splits import Splits, split
from tfcass.training import plan_check


@pytest.fixture(scope="module")
def rows_of_patients(cassandra_session) -> Iterator:
    """Adds rows of patients to a table; the table's name is its attribute `table`."""
    with keyspace_of(cassandra_session) as name:
        table = f"{name}.metadata_by_nat"
        cassandra_session.execute(
            f"CREATE TABLE {table} (patient_id text, slide_num int, label int, x int, y int, patch_id uuid, "
            "PRIMARY KEY ((patient_id, slide_num, label), x, y))"
        )
        insert = f"INSERT INTO {table} (patient_id, slide_num, label, x, y, patch_id) VALUES (?, ?, ?, ?, ?, ?)"

        def add(patients: range) -> None:
            rows = [
                (f"p{p}", 0, label, x, 0, uuid.uuid5(uuid.NAMESPACE_OID, f"{p} {label} {x}"))
                for p in patients
                for label in (0, 1)
                for x in range(5)
            ]
            write(cassandra_session, insert, rows)

        add.table = table
        yield add


def epoch_of(plan: Plan, epoch: int) -> set[bytes]:
    """What two ranks read."""
    keys = [Shard(rank, 2).keys_from(plan, plan.cursor(epoch), remainder="uneven") for rank in (0, 1)]
    return {bytes(key) for key in np.concatenate(keys)}


def test_rows_that_are_written_meanwhile_join_at_the_next_epoch(
    cassandra: tfcass.Cluster, rows_of_patients, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def read() -> pa.Table:
        return tfcass.read_rows(rows_of_patients.table, cluster=cassandra)

    rows_of_patients(range(8))
    splits = split(read(), ratios={"train": 3, "val": 1}, group_by=["patient_id"])
    plan = Plan(splits, "train", seed=7)
    rows_of_patients(range(8, 16))
    assert epoch_of(plan, 0) == {bytes(key) for key in splits.keys("train")}  # Pinned: none of the new ones.

    with caplog.at_level(logging.INFO, logger="tfcass.training"):
        grown = training.grown_plan(plan, lambda: splits.extend(read()), folder=tmp_path)

    joined = grown.rows - plan.rows
    assert joined > 0
    assert caplog.messages == [f"train: {joined} rows joined, 0 are gone: {grown.rows} in all"]
    assert epoch_of(grown, 1) > epoch_of(plan, 0)
    with pytest.raises(SplitError, match="the saved state is of another split"):
        grown.check(plan.cursor(0, 10))

    # A run that is resumed in this epoch finds its plan by the cursor alone, whatever came since.
    cursor = Cursor.from_json(grown.cursor(1, 10).to_json())
    resumed = Plan(training.pinned_splits(cursor, folder=tmp_path), "train", seed=7)
    assert resumed.digest == grown.digest
    assert resumed.keys(1, np.arange(10)).tobytes() == grown.keys(1, np.arange(10)).tobytes()


def test_without_new_rows_the_plan_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = split(metadata([0] * 20), ratios={"train": 1})
    plan = Plan(splits, "train", seed=7)

    with caplog.at_level(logging.INFO, logger="tfcass.training"):
        assert training.grown_plan(plan, lambda: splits, folder=tmp_path) is plan
    assert caplog.messages == ["train: 0 rows joined, 0 are gone: 20 in all"]


def test_splits_made_anew_instead_of_extended_are_refused(tmp_path: Path) -> None:
    rows = metadata([0] * 40)
    plan = Plan(split(rows, ratios={"train": 1, "val": 1}, seed=1), "train", seed=7)

    with pytest.raises(SplitError, match="are in 'val' now .*rows must stay where they are"):
        training.grown_plan(plan, lambda: split(rows, ratios={"train": 1, "val": 1}, seed=2), folder=tmp_path)


def test_what_refresh_raises_is_raised(tmp_path: Path) -> None:
    def refresh() -> Splits:
        raise tfcass.ClusterError("nobody there")

    plan = Plan(split(metadata([0] * 20), ratios={"train": 1}), "train", seed=7)
    with pytest.raises(tfcass.ClusterError, match="nobody there"):
        training.grown_plan(plan, refresh, folder=tmp_path)


def test_a_plan_that_was_never_saved_is_not_found(tmp_path: Path) -> None:
    plan = Plan(split(metadata([0] * 20), ratios={"train": 1}), "train", seed=7)

    with pytest.raises(SplitError, match=f"{tmp_path} has no splits of the plan {plan.digest[:12]}: give the folder"):
        training.pinned_splits(plan.cursor(), folder=tmp_path)


# What ranks are told is put together by one of them alone; real ranks are compared in test_resume.py.
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["a", "b"], "ranks train on different data: 'a' on rank 0 and 'b' on rank 1; give all the same"),
        ([{"plan": "p", "batch_size": b} for b in (8, 8, 9)], "data: batch_size is 8 on ranks 0, 1 and 9 on rank 2;"),
        ([{"seed": 1}, {"seed": 1, "size": 2}], "data: size is None on rank 0 and 2 on rank 1;"),
        (["1" * 64, "2" * 64], "data: 111111111111... on rank 0 and 222222222222... on rank 1;"),
    ],
)
def test_ranks_that_differ_are_named(given, told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_check.ranks, "of_all", lambda mine: [json.dumps(value) for value in given])

    with pytest.raises(SplitError) as error:
        plan_check.check_same(given[0])
    assert told in str(error.value)


def test_a_process_of_its_own_agrees_with_itself() -> None:
    plan = Plan(split(metadata([0] * 20), ratios={"train": 1}), "train", seed=7)

    training.check_same_plan(plan, batch_size=8)
