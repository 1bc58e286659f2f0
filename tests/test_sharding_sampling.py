"""Epochs that draw by class or weight: shares that are exact, rows that take turns, the same draws on every rank."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split_rows import metadata
from tfcass import OptionError, Shard, SplitError
from tfcass.sharding import ByClass, ByWeight, Plan
from tfcass.splits import Splits, split


def splits_of(labels: list, **columns) -> Splits:
    """All rows in "train"."""
    return split(metadata(labels, **columns), ratios={"train": 1})


def drawn(plan: Plan, epoch: int) -> list[int]:
    """Numbers of the rows of an epoch, in its order."""
    return plan.draws(epoch, np.arange(plan.samples)).tolist()


def labels_of(splits: Splits) -> np.ndarray:
    return splits.table("train").column("label").to_numpy()


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=5), draws=st.integers(1, 200), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_classes_are_drawn_equally_and_their_rows_take_turns(counts, draws, seed) -> None:
    splits = splits_of([label for label, count in enumerate(counts) for _ in range(count)])
    plan = Plan(splits, "train", seed=seed, sampling=ByClass(draws=draws))
    labels, times = labels_of(splits), Counter()

    for epoch in range(4):
        rows = drawn(plan, epoch)
        by_class = np.bincount(labels[rows], minlength=len(counts))
        assert len(rows) == draws
        assert by_class.max() - by_class.min() <= 1
        times.update(rows)

    for label in range(len(counts)):  # Over the epochs, no row of a class is drawn twice more than another.
        of_class = [times[row] for row in np.flatnonzero(labels == label)]
        assert max(of_class) - min(of_class) <= 1


def test_shares_of_classes() -> None:
    splits = splits_of(["normal"] * 30 + ["tumor"] * 6 + ["other"] * 4)
    plan = Plan(splits, "train", seed=1, sampling=ByClass({"normal": 1, "tumor": 3, "other": 0}, draws=80))

    assert Counter(labels_of(splits)[drawn(plan, 0)]) == {"normal": 20, "tumor": 60}
    statement = plan.drawn(0)
    assert statement.by_class == {"normal": 20, "other": 0, "tumor": 60}
    assert (statement.draws, statement.rows, statement.distinct, statement.most_often) == (80, 40, 26, 10)
    assert str(statement) == (
        "epoch 0: 80 draws of 26 of 40 rows, none more than 10 times; by class: normal 20, other 0, tumor 60"
    )


def test_without_sampling_an_epoch_draws_every_row_once() -> None:
    statement = Plan(splits_of([0, 0, 1]), "train", seed=1).drawn(5)

    assert (statement.epoch, statement.draws, statement.distinct, statement.most_often) == (5, 3, 3, 1)
    assert statement.by_class == {0: 2, 1: 1}


def test_classes_of_another_column() -> None:
    splits = splits_of([0] * 12, site=["a"] * 8 + ["b"] * 3 + ["c"])
    plan = Plan(splits, "train", seed=1, sampling=ByClass(column="site"))

    sites = splits.table("train").column("site").to_numpy()
    assert Counter(sites[drawn(plan, 2)]) == {"a": 4, "b": 4, "c": 4}


@given(
    weights=st.lists(st.floats(0, 10) | st.just(0.0), min_size=1, max_size=60).filter(any),
    draws=st.integers(1, 150),
    epoch=st.integers(0, 10**6),
)
@settings(max_examples=80, deadline=None)
def test_a_row_is_drawn_as_often_as_it_is_due_rounded_up_or_down(weights, draws, epoch) -> None:
    splits = splits_of([0] * len(weights), w=weights)
    plan = Plan(splits, "train", seed=3, sampling=ByWeight("w", draws=draws))
    weights = splits.table("train").column("w").to_numpy()

    times = np.bincount(drawn(plan, epoch), minlength=len(weights))

    due = weights / weights.sum() * draws
    assert times.sum() == draws
    assert (times >= np.floor(due - 1e-9)).all() and (times <= np.ceil(due + 1e-9)).all()


def test_over_epochs_a_row_is_drawn_by_its_weight() -> None:
    splits = splits_of([0] * 50, w=[1.0] * 25 + [3.0] * 25)
    plan = Plan(splits, "train", seed=3, sampling=ByWeight("w", draws=10))
    times = np.zeros(50)
    for epoch in range(200):  # 2,000 draws: 20 for a row of weight 1, 60 for one of 3.
        times += np.bincount(drawn(plan, epoch), minlength=50)

    assert abs(times - 20 * splits.table("train").column("w").to_numpy()).max() <= 2


@pytest.mark.parametrize("sampling", [ByClass(draws=97), ByWeight("w", draws=97)])
def test_ranks_share_the_draws_and_a_resumed_run_goes_on_in_them(sampling) -> None:
    splits = splits_of([0, 0, 0, 1] * 10, w=[float(i % 7) for i in range(40)])
    plan, again = (Plan(splits, "train", seed=5, sampling=sampling) for _ in range(2))
    alone = [bytes(key) for key in Shard(0, 1).keys_from(plan, plan.cursor(3))]

    first = [bytes(k) for r in range(4) for k in Shard(r, 4).part(again, again.cursor(3), batch_size=5).keys(0, 10)]
    after = Shard(0, 4).part(again, again.cursor(3), batch_size=5).after(2)
    rest = [bytes(key) for r in range(3) for key in Shard(r, 3).keys_from(again, after, remainder="uneven")]

    assert len(alone) == 97
    assert Counter(first + rest) == Counter(alone)


def test_each_sampling_is_another_plan() -> None:
    splits = splits_of([0, 0, 1, 1], w=[1, 2, 3, 4])
    samplings = [None, ByClass(), ByClass({0: 1, 1: 3}), ByClass(draws=9), ByWeight("w"), ByWeight("w", draws=9)]
    digests = {Plan(splits, "train", seed=1, sampling=sampling).digest for sampling in samplings}

    assert len(digests) == len(samplings)
    other_weights = splits_of([0, 0, 1, 1], w=[1, 2, 3, 5])
    assert Plan(other_weights, "train", seed=1, sampling=ByWeight("w")).digest not in digests


def test_classes_of_many_rows_are_drawn_in_pieces() -> None:
    labels = [0] * 90_000 + [1] * 500
    splits = splits_of(labels)
    plan = Plan(splits, "train", seed=1, sampling=ByClass())
    rows = np.concatenate([plan.draws(1, np.arange(i, i + 9050)) for i in range(0, 90_500, 9050)])

    of_class = np.bincount(labels_of(splits)[rows])
    assert of_class.tolist() == [45_250, 45_250]
    times = np.bincount(rows, minlength=len(labels))
    assert times[labels_of(splits) == 0].max() == 2  # 45,250 of 90,000 in each epoch: 500 come again in the second.
    assert times[labels_of(splits) == 1].min() >= 90


def with_rows(values: pa.Array) -> Splits:
    return split(metadata([0, 1, 1]).append_column("w", values), ratios={"train": 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([1.0, -2.0, 1.0]), "'w' is -2.0 in row patch_id=.* weights are finite and at least 0"),
        (pa.array([1.0, None, 1.0]), "'w' is None in row patch_id="),
        (pa.array([1.0, float("nan"), 1.0]), "'w' is nan in row"),
        (pa.array([1.0, float("inf"), 1.0]), "'w' is inf in row"),
        (pa.array([0, 0, 0]), "all weights in column 'w' are 0"),
        (pa.array(["a", "b", "c"]), "column 'w' has type string; weights are numbers"),
    ],
)
def test_bad_weights(values, message) -> None:
    with pytest.raises(SplitError, match=message):
        Plan(with_rows(values), "train", seed=1, sampling=ByWeight("w"))


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (ByWeight("weihgt"), "column 'weihgt' is not in these splits .*did you mean 'weight'"),
        (ByClass({0: 1}), "no share for class 1; give 0 to leave it out"),
        (ByClass({0: 1, 1: 1, 2: 1}), r"class 2 is not in this split \(has: 0, 1\)"),
        (ByClass(column="weight"), "column 'weight' has type double; classes are"),
        (ByClass(column="site"), "column 'site' is null in row patch_id="),
    ],
)
def test_sampling_that_does_not_fit_the_rows(sampling, message) -> None:
    splits = splits_of([0, 1, 1], weight=[1.0, 2.0, 3.0], site=["a", None, "b"])

    with pytest.raises(SplitError, match=message):
        Plan(splits, "train", seed=1, sampling=sampling)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ByClass({0: -1}), "share -1 of class 0 is not a number of at least 0"),
        (lambda: ByClass({0: float("nan")}), "share nan of class 0"),
        (lambda: ByClass({0: 0}), "draw nothing"),
        (lambda: ByClass(draws=0), "draws=0 is not a positive integer"),
        (lambda: ByWeight("w", draws=1.5), "draws=1.5 is not a positive integer"),
        (lambda: Plan(splits_of([0, 1]), "train", seed=1, sampling="balanced"), "sampling='balanced' is neither"),
    ],
)
def test_bad_sampling(make, message) -> None:
    with pytest.raises(OptionError, match=message):
        make()
