"""How many rows of a class, and of which groups."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split_rows import metadata, patients
from tfcass.errors import SplitError
from tfcass.splits import draw, split
from tfcass.splits.randomness import Stream


def counts(splits, name: str) -> dict[str, int]:
    return dict(splits.report().splits[name].classes)


def test_targets_of_classes_are_shared_by_the_ratios() -> None:
    splits = split(metadata([0] * 800 + [1] * 200), ratios={"train": 8, "val": 2}, targets={0: 100})

    assert counts(splits, "train") == {"0": 80, "1": 160}
    assert counts(splits, "val") == {"0": 20, "1": 40}
    assert splits.report().splits["train"].left_out == {"targets": 560}


def test_targets_of_splits_and_a_quota_above_the_supply_is_stated() -> None:
    splits = split(
        metadata([0] * 800 + [1] * 200),
        ratios={"train": 8, "val": 2},
        targets={"val": {0: 10, 1: 10}, "train": {1: 500}},
    )

    assert counts(splits, "train") == {"0": 640, "1": 160}
    assert counts(splits, "val") == {"0": 10, "1": 10}
    assert splits.report().notes == ("targets: split 'train' has 160 of the 500 rows of class 1 asked",)


def test_a_cap_by_split() -> None:
    report = split(metadata([0, 1] * 500), ratios={"train": 8, "val": 2}, max_patches={"val": 50}).report()

    assert (report.splits["train"].rows, report.splits["val"].rows) == (800, 50)


def test_a_cap_above_the_supply_is_stated() -> None:
    report = split(metadata([0, 1] * 50), ratios={"train": 8, "val": 2}, max_patches=1_000).report()

    assert report.notes == (
        "max_patches: split 'train' has 80 of the 800 rows asked",
        "max_patches: split 'val' has 20 of the 200 rows asked",
    )


def test_few_rows_of_many_classes_show_as_many_groups_as_they_can() -> None:
    # 30 patients have all of 5 classes; 6 rows of each class could all be of the same 6 patients.
    splits = split(patients([(9,) * 5] * 60), ratios={"a": 1, "b": 1}, group_by="patient_id", max_patches=60)

    report = splits.report()
    assert [of.groups for of in report.splits.values()] == [30, 30]
    assert [set(of.classes.values()) for of in report.splits.values()] == [{6}, {6}]


@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_rows_are_drawn_in_turns_to_the_quota(sizes, data) -> None:
    supply = np.array(sizes)
    group = np.repeat(np.arange(len(sizes)), supply.sum(axis=1))
    cls = np.concatenate([np.repeat([0, 1], of) for of in sizes]).astype(np.int64)
    taken = np.array([[data.draw(st.integers(0, int(n))) for n in supply.sum(axis=0)]])
    quotas = draw.Quotas(supply.sum(axis=0)[None], supply.sum(axis=0)[None], taken)
    if not len(group):
        return

    kept = draw.draw_in_turn(np.zeros(len(group), int), cls, group, len(sizes), quotas, Stream(1))

    for c in (0, 1):
        given_by = np.bincount(group[kept & (cls == c)], minlength=len(sizes))
        assert given_by.sum() == taken[0, c]
        # Nobody gives a second row while another has not given a first.
        unexhausted = given_by[given_by < supply[:, c]]
        assert given_by.max(initial=0) - unexhausted.min(initial=99) <= 1


def test_cells_whose_random_words_were_all_high_still_give_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, options = metadata([0] * 300 + [1] * 100), {"ratios": {"a": 1, "b": 1}, "max_patches": 40}
    expected = split(rows, **options).digest

    monkeypatch.setattr(draw, "_SPREAD", -99.0)  # No candidate is found at first.

    assert split(rows, **options).digest == expected


def test_draws_differ_by_seed_and_are_spread_over_a_group() -> None:
    rows = patients([(50,), (50,)])
    drawn = [
        split(rows, ratios={"a": 1, "b": 1}, group_by="patient_id", max_patches=20, seed=seed) for seed in range(60)
    ]

    times = collections.Counter(bytes(key) for splits in drawn for name in splits.names for key in splits.keys(name))
    assert len(times) > 95 and max(times.values()) < 30  # Of 60 draws of 20 of 100 rows: 12 times each.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": {}}, "targets={} is empty"),
        ({"targets": {2: 5}}, "targets names class 2, which no row has"),
        ({"targets": {0: 0}}, r"targets\[0\]=0 is not a positive"),
        ({"targets": {"trian": {0: 5}}}, "targets names split 'trian'.*did you mean 'train'"),
        ({"targets": {"train": {7: 5}}}, r"targets\['train'\] names class 7"),
        ({"targets": {"train": {0: 5}, 1: 3}}, "targets mixes splits and classes"),
        ({"max_patches": {"vla": 5}}, "max_patches names split 'vla'.*did you mean 'val'"),
        ({"max_patches": {"val": 0}}, r"max_patches\['val'\]=0 is not a positive"),
        ({"max_patches": 1}, "split 'val' is empty under max_patches=1"),
        ({"absent": "ignore"}, "absent='ignore' is not one of 'error', 'report'"),
        ({"tolerance": 5}, "tolerance=5 is not a share"),
        ({"cover": "sight"}, "cover='sight' is not a column"),
        ({"stratify": ["label", "label"]}, "stratify=.*names a column twice"),
    ],
)
def test_bad_quotas(options, message) -> None:
    with pytest.raises(SplitError, match=message):
        split(metadata([0, 1] * 50), ratios={"train": 8, "val": 2}, **options)
