"""A run that goes on in the middle of an epoch, with another number of processes and batch size: every row once."""

import functools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split_rows import metadata
from tfcass import OptionError, Shard, SplitError
from tfcass.sharding import Cursor, Plan
from tfcass.splits import Splits, split


@functools.cache
def splits_of(rows: int) -> Splits:
    """ "train" has `rows` rows."""
    return split(metadata([0] * (rows + 3)), ratios={"train": rows, "other": 3})


def parts(plan: Plan, cursor: Cursor, size: int, batch_size: int, **options) -> list:
    return [Shard(rank, size).part(plan, cursor, batch_size=batch_size, **options) for rank in range(size)]


def consumed(of_ranks: list, steps: int) -> list[int]:
    """Positions that count, of all ranks in so many steps."""
    positions = [
        part.positions(0, min(steps * part.batch_size, part.rows)).tolist()[: part.counted_rows] for part in of_ranks
    ]
    return [position for of_rank in positions for position in of_rank]


stages = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7), st.floats(0, 1)), min_size=1, max_size=4)


@given(rows=st.integers(9, 400), seed=st.integers(0, 2**70), epoch=st.integers(0, 50), stages=stages)
@settings(max_examples=120, deadline=None)
@pytest.mark.parametrize("remainder", ["uneven", "pad"])
def test_every_row_of_the_epoch_once_over_any_changes_of_size_and_batch(remainder, rows, seed, epoch, stages) -> None:
    plan = Plan(splits_of(rows), "train", seed=seed)
    cursor, seen = plan.cursor(epoch), []

    for size, batch_size, share in [*stages, (4, 3, 1.0)]:
        of_ranks = parts(plan, cursor, size, batch_size, remainder=remainder)
        steps = int(share * of_ranks[0].most_steps)
        seen += consumed(of_ranks, steps)
        after = {part.after(steps) for part in of_ranks}
        assert len(after) == 1  # Nothing in it belongs to a rank.
        cursor = Cursor.from_json(after.pop().to_json())
        if cursor.epoch > epoch:
            break
        assert sorted(seen) == list(range(cursor.samples))  # A prefix of the order after each step.

    assert cursor == plan.cursor(epoch + 1)
    assert sorted(seen) == list(range(rows))
    keys = plan.keys(epoch, np.array(seen))
    assert sorted(map(bytes, keys)) == sorted(map(bytes, splits_of(rows).keys("train")))


@given(rows=st.integers(9, 400), epoch=st.integers(0, 50), stages=stages)
@settings(max_examples=80, deadline=None)
def test_drop_never_reads_a_row_twice_and_leaves_out_less_than_one_per_rank_of_the_last(rows, epoch, stages) -> None:
    plan = Plan(splits_of(rows), "train", seed=1)
    cursor, seen = plan.cursor(epoch), []

    for size, batch_size, share in [*stages, (5, 3, 1.0)]:
        of_ranks = parts(plan, cursor, size, batch_size)
        assert {(part.rows, part.steps) for part in of_ranks} == {(of_ranks[0].rows, of_ranks[0].steps)}
        steps = int(share * of_ranks[0].most_steps)
        seen += consumed(of_ranks, steps)
        cursor = of_ranks[0].after(steps)
        if cursor.epoch > epoch:
            break

    assert sorted(seen) == list(range(len(seen)))
    assert rows - size < len(seen) <= rows


@given(rows=st.integers(9, 300), size=st.integers(1, 9), batch_size=st.integers(1, 9), samples=st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_whole_batches(rows, size, batch_size, samples) -> None:
    plan = Plan(splits_of(rows), "train", seed=1)
    cursor = plan.cursor(0, min(samples, rows))
    if rows < size * batch_size:
        with pytest.raises(SplitError, match="so that some would have none; use fewer processes or smaller batches"):
            Shard(0, size).part(plan, batch_size=batch_size, whole_batches=True)
        return
    left = rows - cursor.samples
    for remainder, steps in (("drop", left // (size * batch_size)), ("pad", -(-left // (size * batch_size)))):
        of_ranks = parts(plan, cursor, size, batch_size, remainder=remainder, whole_batches=True)
        assert {part.rows for part in of_ranks} == {steps * batch_size}
        counted = sum(part.weights(0, part.rows).sum() for part in of_ranks)
        assert counted == sum(part.counted_rows for part in of_ranks) == min(left, steps * size * batch_size)


@given(rows=st.integers(9, 300), size=st.integers(1, 9), rank=st.integers(0, 8), first=st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_keys_in_pieces_are_those_in_one(rows, size, rank, first) -> None:
    plan = Plan(splits_of(rows), "train", seed=2)
    shard = Shard(rank % size, size)
    part = shard.part(plan, plan.cursor(3, rows // 3), batch_size=4, remainder="pad")
    whole = shard.keys_from(plan, plan.cursor(3, rows // 3), remainder="pad")
    first = min(first, part.rows)

    assert np.concatenate([part.keys(0, first), part.keys(first, part.rows)]).tobytes() == whole.tobytes()


def test_a_cursor_is_one_line_with_nothing_of_a_rank() -> None:
    plan = Plan(splits_of(100), "train", seed=7)
    text = Shard(3, 8).part(plan, plan.cursor(2), batch_size=4).after(2).to_json()

    assert json.loads(text) == {
        "format": "tfcass cursor 1",
        "plan_digest": plan.digest,
        "seed": 7,
        "epoch": 2,
        "samples": 64,
    }
    assert Cursor.from_json(text) == plan.cursor(2, 64)


def test_the_last_step_ends_the_epoch_whatever_is_left_out() -> None:
    plan = Plan(splits_of(10), "train", seed=7)
    part = Shard(0, 4).part(plan, plan.cursor(5), batch_size=2)

    assert part.after(0) == plan.cursor(5)
    assert part.after(1) == plan.cursor(6)  # 8 rows in one step; the other two are not enough for four ranks.
    with pytest.raises(OptionError, match=r"steps=2 is not in \[0, 1\]"):
        part.after(2)


def test_what_is_left_may_be_less_than_a_row_per_rank() -> None:
    plan = Plan(splits_of(10), "train", seed=7)
    near_the_end = plan.cursor(0, 8)

    assert [len(Shard(r, 4).keys_from(plan, near_the_end)) for r in range(4)] == [0, 0, 0, 0]
    assert [len(Shard(r, 4).keys_from(plan, near_the_end, remainder="uneven")) for r in range(4)] == [1, 1, 0, 0]
    pad = [Shard(r, 4).part(plan, near_the_end, remainder="pad") for r in range(4)]
    assert [part.weights(0, part.rows).tolist() for part in pad] == [[1], [1], [0], [0]]


def test_state_of_another_split_is_refused() -> None:
    saved = Plan(splits_of(50), "train", seed=7).cursor(1, 10)

    for splits, name in ((splits_of(51), "train"), (splits_of(50), "other")):
        plan = Plan(splits, name, seed=7)
        with pytest.raises(SplitError, match="the saved state is of another split: its plan is .*, this one .*begin"):
            Shard(0, 1).part(plan, saved)


def test_state_of_another_seed_is_refused() -> None:
    saved = Plan(splits_of(50), "train", seed=7).cursor(1, 10)

    with pytest.raises(SplitError, match="the saved state has seed=7, this plan seed=8.*pass seed=7"):
        Shard(0, 1).part(Plan(splits_of(50), "train", seed=8), saved)


def test_a_position_behind_the_end_is_refused() -> None:
    with pytest.raises(SplitError, match="the cursor is at position 51 of an epoch that has 50"):
        Plan(splits_of(50), "train", seed=7).cursor(0, 51)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"format": "tfcass cursor 2"}',
        '{"format": "tfcass cursor 1", "plan_digest": "a", "seed": 1, "epoch": 0}',
        '{"format": "tfcass cursor 1", "plan_digest": "a", "seed": 1, "epoch": -1, "samples": 0}',
        '{"format": "tfcass cursor 1", "plan_digest": "a", "seed": 1, "epoch": 0, "samples": 1.5}',
        '{"format": "tfcass cursor 1", "plan_digest": "a", "seed": 1, "epoch": 0, "samples": 0, "rank": 1}',
        '{"format": "tfcass cursor 1", "plan_digest": 5, "seed": 1, "epoch": 0, "samples": 0}',
    ],
)
def test_a_damaged_cursor_is_refused(text) -> None:
    with pytest.raises(SplitError, match="is not the cursor of a run"):
        Cursor.from_json(text)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, OptionError, "batch_size=0 is not a positive integer"),
        ({"batch_size": 2.0}, OptionError, "batch_size=2.0 is not"),
        ({"remainder": "wrap"}, OptionError, "remainder='wrap' is not one of 'drop', 'pad', 'uneven'"),
        ({"remainder": "uneven", "whole_batches": True}, OptionError, "whole_batches needs remainder='drop' or 'pad'"),
        ({"cursor": "start"}, OptionError, "cursor='start' is not a Cursor"),
    ],
)
def test_bad_settings(options, error, message) -> None:
    with pytest.raises(error, match=message):
        Shard(0, 2).part(Plan(splits_of(50), "train", seed=7), **options)
