"""Shards: disjoint, complete up to the declared remainder, equal, and a pure function of (seed, epoch, rank, size)."""

import functools
import json
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split_rows import metadata
from tfcass import MissingExtraError, OptionError, Shard, SplitError
from tfcass.splits import Splits, split


@functools.cache
def splits_of(rows: int) -> Splits:
    """ "train" has `rows` rows."""
    return split(metadata([0] * (rows + 3)), ratios={"train": rows, "other": 3})


def read(splits: Splits, size: int, **options) -> list[list[bytes]]:
    """The keys of each rank."""
    return [[bytes(key) for key in Shard(rank, size).keys(splits, "train", **options)] for rank in range(size)]


all_sizes = st.integers(1, 40).flatmap(lambda size: st.tuples(st.integers(size, 300), st.just(size)))


@given(rows_and_size=all_sizes, epoch=st.integers(0, 10**6), seed=st.integers(0, 2**70))
@settings(max_examples=60, deadline=None)
def test_drop_is_disjoint_and_equal_and_leaves_out_less_than_one_row_per_rank(rows_and_size, epoch, seed) -> None:
    rows, size = rows_and_size
    parts = read(splits_of(rows), size, epoch=epoch, seed=seed)

    together = [key for part in parts for key in part]
    assert len(set(together)) == len(together)
    assert {len(part) for part in parts} == {rows // size}
    assert set(together) <= {bytes(key) for key in splits_of(rows).keys("train")}


@given(rows_and_size=all_sizes, epoch=st.integers(0, 100), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_uneven_reads_every_row_once(rows_and_size, epoch, seed) -> None:
    rows, size = rows_and_size
    parts = read(splits_of(rows), size, epoch=epoch, seed=seed, remainder="uneven")

    together = sorted(key for part in parts for key in part)
    assert together == sorted(bytes(key) for key in splits_of(rows).keys("train"))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(rows=st.integers(1, 300), size=st.integers(1, 40), epoch=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_pad_is_equal_and_its_weights_count_every_row_once(rows, size, epoch) -> None:
    splits = splits_of(rows)
    parts = read(splits, size, epoch=epoch, seed=1, remainder="pad")
    weights = [Shard(rank, size).weights(splits, "train", remainder="pad") for rank in range(size)]

    counted = sorted(
        key for part, weight in zip(parts, weights, strict=True) for key, w in zip(part, weight, strict=True) if w
    )
    assert counted == sorted(bytes(key) for key in splits.keys("train"))
    assert {len(part) for part in parts} == {-(-rows // size)}
    assert all(weight.dtype == np.float32 for weight in weights)


def test_what_is_dropped_is_the_end_of_the_order_and_falls_on_all_rows_alike() -> None:
    times = {bytes(key): 0 for key in splits_of(10).keys("train")}
    for epoch in range(700):  # 3 dropped per epoch, 2,100 in all.
        alone = [bytes(key) for key in Shard(0, 1).keys(splits_of(10), "train", epoch=epoch, seed=0)]
        kept = {key for part in read(splits_of(10), 7, epoch=epoch, seed=0) for key in part}
        assert kept == set(alone[:7])
        for key in alone[7:]:
            times[key] += 1

    # Chi-squared, 9 degrees of freedom, p = 0.001; three of one epoch are not independent, which makes it smaller.
    assert sum((count - 210) ** 2 / 210 for count in times.values()) < 27.9


def test_each_epoch_and_seed_has_its_own_order() -> None:
    splits = splits_of(200)
    orders = {Shard(0, 2).keys(splits, "train", epoch=e, seed=s).tobytes() for e in range(5) for s in range(5)}

    assert len(orders) == 25


def test_the_order_is_that_of_earlier_versions() -> None:
    # Written out once: resumed trainings rely on it.
    keys = Shard(1, 2).keys(splits_of(9), "train", epoch=3, seed=5)

    assert [bytes(key)[:2].hex() for key in keys] == ["a4c0", "751a", "b7d5", "9090"]


def test_together_the_ranks_read_a_prefix_of_one_order() -> None:
    splits = splits_of(60)
    alone = [bytes(key) for key in Shard(0, 1).keys(splits, "train", epoch=2, seed=8)]

    for size in (2, 3, 5):
        parts = read(splits, size, epoch=2, seed=8)
        together = [parts[i % size][i // size] for i in range(60)]
        assert together == alone


def test_a_shuffle_is_uniform() -> None:
    # Where row 0 lands, over 4,000 epochs of 8 rows: 500 each, give or take.
    splits = splits_of(8)
    first = splits.keys("train")[0].tobytes()
    places = [read(splits, 1, epoch=epoch, seed=3)[0].index(first) for epoch in range(4000)]

    counts = np.bincount(places, minlength=8)
    assert ((counts - 500) ** 2 / 500).sum() < 24.3  # Chi-squared, 7 degrees of freedom, p = 0.001.


def test_steps_count_a_smaller_last_batch_and_are_equal_over_ranks() -> None:
    assert [Shard(rank, 3).steps(splits_of(100), "train", batch_size=8) for rank in range(3)] == [5, 5, 5]
    assert Shard(0, 3).rows(splits_of(100), "train") == 33
    assert Shard(0, 3).rows(splits_of(100), "train", remainder="uneven") == 34


def test_a_shard_of_tf_distribute() -> None:
    assert Shard.from_input_context(types.SimpleNamespace(input_pipeline_id=2, num_input_pipelines=4)) == Shard(2, 4)


def test_a_shard_of_multi_worker_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(config: object) -> Shard:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        return Shard.from_tf_config()

    workers = {"worker": ["a:1", "b:1", "c:1"]}
    with_chief = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}

    assert of({"cluster": workers, "task": {"type": "worker", "index": 2}}) == Shard(2, 3)
    assert of({"cluster": with_chief, "task": {"type": "chief", "index": 0}}) == Shard(0, 3)
    assert of({"cluster": with_chief, "task": {"type": "worker", "index": 0}}) == Shard(1, 3)
    assert of({}) == Shard(0, 1)
    monkeypatch.delenv("TF_CONFIG")
    assert Shard.from_tf_config() == Shard(0, 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "does not say which chief or worker this process is"),
        ('{"cluster": {"worker": ["a:1"]}}', "does not say which chief or worker"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "does not say which"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "worker 1 is not in its cluster"),
    ],
)
def test_bad_tf_config(config, message, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config)

    with pytest.raises(OptionError, match=message):
        Shard.from_tf_config()


@pytest.mark.parametrize(
    ("rank", "size", "message"),
    [
        (2, 2, r"rank=2 is not in \[0, size=2\)"),
        (-1, 2, "rank=-1 is not in"),
        (0, 0, "size=0 is not a positive integer"),
        (0, 1.5, "size=1.5 is not"),
        (True, 2, "rank=True is not"),
    ],
)
def test_bad_ranks(rank, size, message) -> None:
    with pytest.raises(OptionError, match=message):
        Shard(rank, size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": -1}, "epoch=-1 is not a non-negative integer"),
        ({"epoch": 0.5}, "epoch=0.5 is not"),
        ({"seed": -1}, "seed=-1 is not"),
        ({"remainder": "wrap"}, "remainder='wrap' is not one of 'drop', 'pad', 'uneven'"),
    ],
)
def test_bad_settings(options, message) -> None:
    with pytest.raises(OptionError, match=message):
        Shard(0, 2).keys(splits_of(9), "train", **{"epoch": 0, "seed": 0, **options})


def test_bad_batch_size() -> None:
    with pytest.raises(OptionError, match="batch_size=0 is not"):
        Shard(0, 2).steps(splits_of(9), "train", batch_size=0)


@pytest.mark.parametrize("remainder", ["drop", "uneven"])
def test_more_ranks_than_rows(remainder) -> None:
    with pytest.raises(SplitError, match="split 'train' has 9 rows for size=10 processes"):
        Shard(0, 10).keys(splits_of(9), "train", epoch=0, seed=0, remainder=remainder)


def test_an_unknown_split() -> None:
    with pytest.raises(SplitError, match="split='tarin' is not in these splits .*did you mean 'train'"):
        Shard(0, 1).keys(splits_of(9), "tarin", epoch=0, seed=0)


def test_without_horovod_a_process_is_alone_unless_it_was_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", None)
    monkeypatch.delenv("HOROVOD_SIZE", raising=False)

    assert Shard.from_horovod() == Shard(0, 1)

    monkeypatch.setenv("HOROVOD_SIZE", "2")
    with pytest.raises(MissingExtraError, match=r"2 processes were launched.*pip install 'tfcass\[horovod\]'"):
        Shard.from_horovod()
