"""What a plan is made of, rows that it leaves out, rows that join later, and the 2n splits of n workers."""

import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split_rows import metadata, shuffled
from tfcass import KeyFormatError, OptionError, Shard, SplitError, keys
from tfcass.sharding import ByClass, Plan, for_workers
from tfcass.sharding.find import find_keys
from tfcass.splits import Splits, split


def splits_of(train: int, val: int = 3) -> Splits:
    return split(metadata([0] * (train + val)), ratios={"train": train, "val": val})


def epoch_of(plan: Plan, epoch: int = 0) -> list[bytes]:
    return [bytes(key) for key in plan.keys(epoch, np.arange(plan.samples))]


def absent() -> np.ndarray:
    return keys([uuid.uuid5(uuid.NAMESPACE_URL, str(i)) for i in range(3)])


@given(rows=st.integers(2, 200), data=st.data())
@settings(max_examples=40, deadline=None)
def test_rows_left_out_are_not_read_and_all_others_are(rows, data) -> None:
    splits = splits_of(rows)
    numbers = data.draw(st.sets(st.integers(0, rows - 1), max_size=rows - 1))
    out = splits.keys("train")[sorted(numbers)]
    plan = Plan(splits, "train", seed=1, leave_out=np.concatenate([out, absent(), out[:1]]))

    assert plan.left_out == len(numbers)
    assert plan.rows == plan.samples == rows - len(numbers)
    expected = {bytes(key) for key in splits.keys("train")} - {bytes(key) for key in out}
    assert sorted(epoch_of(plan)) == sorted(expected)


def test_leaving_out_rows_is_another_plan_and_leaving_out_none_is_not() -> None:
    splits = splits_of(20)
    plan = Plan(splits, "train", seed=1)
    first = splits.keys("train")[:1]

    assert Plan(splits, "train", seed=1, leave_out=absent()).digest == plan.digest
    assert Plan(splits, "train", seed=1, leave_out=absent()[:0]).digest == plan.digest
    assert Plan(splits, "train", seed=1, leave_out=first).digest != plan.digest
    assert Plan(splits, "train", seed=2).digest == plan.digest
    assert epoch_of(Plan(splits, "train", seed=2)) != epoch_of(plan)
    with pytest.raises(SplitError, match=r"another split.*1 rows left out"):
        Plan(splits, "train", seed=1, leave_out=first).check(plan.cursor())


def test_sampling_among_the_rows_that_are_read() -> None:
    splits = split(metadata([0, 1] * 10), ratios={"train": 1})
    of_class_0 = splits.keys("train")[splits.table("train").column("label").to_numpy() == 0]
    plan = Plan(splits, "train", seed=1, leave_out=of_class_0[1:], sampling=ByClass(draws=10))

    assert epoch_of(plan).count(bytes(of_class_0[0])) == 5
    assert plan.drawn(0).by_class == {0: 5, 1: 5}


def test_a_row_is_replaced_by_another_one_that_is_the_same_in_every_run() -> None:
    splits = splits_of(20)
    out = splits.keys("train")[:5]
    plan, again = (Plan(splits, "train", seed=1, leave_out=out) for _ in range(2))
    attempts = [plan.replacements(3, np.array([4, 9]), attempt) for attempt in range(8)]

    assert len({bytes(keys[0]) for keys in attempts}) == 8
    assert attempts[2].tobytes() == again.replacements(3, np.array([4, 9]), 2).tobytes()
    assert not {bytes(key) for keys in attempts for key in keys} & {bytes(key) for key in out}
    assert attempts[0].tobytes() != plan.replacements(4, np.array([4, 9]), 0).tobytes()


def test_rows_that_joined_are_counted_and_those_before_stay() -> None:
    rows = metadata([0] * 40)
    before = split(rows.slice(0, 30), ratios={"train": 1})
    after = split(rows.slice(2), ratios={"train": 1})
    plan = Plan(before, "train", seed=1)

    grown, growth = plan.grown(after)

    assert (growth.new, growth.gone, growth.rows) == (10, 2, 38)
    assert str(growth) == "10 rows joined, 2 are gone: 38 in all"
    assert sorted(epoch_of(grown)) == sorted(bytes(key) for key in after.keys("train"))
    assert grown.digest != plan.digest
    same, none = plan.grown(before)
    assert same.digest == plan.digest
    assert (none.new, none.gone) == (0, 0)


def test_a_row_that_moved_to_another_split_is_refused() -> None:
    rows = metadata([0] * 40)
    plan = Plan(split(rows, ratios={"train": 30, "val": 10}, seed=1), "train", seed=1)

    with pytest.raises(SplitError, match=r"\d+ rows of split 'train' are in 'val' now \(first: .*stay where they are"):
        plan.grown(split(rows, ratios={"train": 30, "val": 10}, seed=2))


@given(
    words=st.lists(st.integers(0, 5), unique_by=lambda word: word, max_size=6),
    tails=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), unique=True, min_size=1, max_size=20),
    asked=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=20),
    shuffled=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_keys_are_found_though_many_begin_alike(words, tails, asked, shuffled) -> None:
    def key(pair: tuple[int, int]) -> bytes:
        return pair[0].to_bytes(8, "big") + pair[1].to_bytes(8, "big")

    have = [key(pair) for pair in (tails if shuffled else sorted(tails))]
    wanted = [key(pair) for pair in asked]
    as_array = [np.frombuffer(b"".join(some), np.uint8).reshape(-1, 16) for some in (have, wanted)]

    assert find_keys(*as_array).tolist() == [have.index(k) if k in have else -1 for k in wanted]


@given(n=st.integers(1, 12), rows=st.integers(12, 120), val=st.integers(12, 60), epoch=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_workers_have_2n_splits_that_are_dealt_out_anew_each_epoch(n, rows, val, epoch) -> None:
    splits = splits_of(rows, val)
    workers = splits.for_workers(n, seed=4)
    dealt = [[bytes(key) for key in workers.keys(i, epoch=epoch)] for i in range(2 * n)]

    train, validation = dealt[:n], dealt[n:]
    assert [name for name in workers.names] == [f"train{i}" for i in range(n)] + [f"validation{i}" for i in range(n)]
    assert {len(keys) for keys in train} == {rows // n}
    together = [key for keys in train for key in keys]
    assert len(set(together)) == len(together)
    assert set(together) <= {bytes(key) for key in splits.keys("train")}
    assert sorted(key for keys in validation for key in keys) == sorted(bytes(key) for key in splits.keys("val"))
    for rank in range(n):
        assert [bytes(key) for key in for_workers(splits, n, seed=4).train(rank, epoch=epoch)] == train[rank]
        assert [bytes(key) for key in workers.validation(rank)] == validation[rank]


def test_the_whole_train_set_is_shuffled_over_workers_at_the_end_of_an_epoch() -> None:
    workers = splits_of(400).for_workers(2, validation="val", seed=4)
    first, second = ({bytes(key) for key in workers.train(0, epoch=epoch)} for epoch in (0, 1))

    assert 70 < len(first & second) < 130  # Half of 200 by chance; all of them if workers shuffled their own only.


def test_splits_without_rows_to_read() -> None:
    splits = splits_of(5)

    with pytest.raises(SplitError, match="split 'train' has no rows to read; all its 5 rows are in leave_out"):
        Plan(splits, "train", seed=1, leave_out=splits.keys("train"))


@pytest.mark.parametrize(
    ("leave_out", "message"),
    [
        (["09b34ae6"], r"leave_out is \['09b34ae6'\], not uint8 \[m, 16\]"),
        (np.zeros((2, 15), np.uint8), r"leave_out is uint8 \[2, 15\]"),
        (np.zeros((2, 16), np.int64), r"leave_out is int64 \[2, 16\]"),
    ],
)
def test_bad_keys_to_leave_out(leave_out, message) -> None:
    with pytest.raises(KeyFormatError, match=message):
        Plan(splits_of(5), "train", seed=1, leave_out=leave_out)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, OptionError, "n=0 is not a positive integer"),
        ({"n": 2, "seed": -1}, OptionError, "seed=-1 is not"),
        ({"n": 2, "validation": "train"}, OptionError, "train and validation are both 'train'"),
        ({"n": 2, "validation": "vall"}, SplitError, "split='vall' is not in these splits .*did you mean 'val'"),
        ({"n": 4}, SplitError, "split 'val' has 3 rows for size=4 processes"),
    ],
)
def test_bad_workers(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        splits_of(20).for_workers(**arguments)


@pytest.mark.parametrize("number", [-1, 4, 0.5])
def test_a_split_that_no_worker_has(number) -> None:
    with pytest.raises(OptionError, match=r"is not in \[0, 4\): 2 workers have 2 splits each"):
        splits_of(20).for_workers(2).keys(number)


@given(rows=st.integers(4, 80), size=st.integers(1, 4), epoch=st.integers(0, 99), order=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_what_a_rank_reads_depends_on_plan_seed_epoch_and_shard_alone(rows, size, epoch, order) -> None:
    made_twice = [
        Plan(split(table, ratios={"train": 1}), "train", seed=9)
        for table in (metadata([0] * rows), shuffled(metadata([0] * rows), order))
    ]
    made_twice[1].keys(epoch + 1, np.arange(rows))  # What was read before does not matter.
    parts = [
        [Shard(rank, size).keys_from(plan, plan.cursor(epoch)).tobytes() for rank in range(size)] for plan in made_twice
    ]

    assert parts[0] == parts[1]


def test_a_table_of_arrow_uuids_is_read_as_well() -> None:
    rows = metadata([0] * 10)
    typed = rows.set_column(0, "patch_id", rows.column(0).cast(pa.uuid()) if hasattr(pa, "uuid") else rows.column(0))

    assert Plan(split(typed, ratios={"train": 1}), "train", seed=1).rows == 10
