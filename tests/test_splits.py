"""split(): groups stay whole, classes keep their proportions, every row is accounted for."""

import collections
import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split_rows import metadata, patients, shuffled
from tfcass.errors import SplitError
from tfcass.splits import split

RATIOS = {"train": 7, "val": 2, "test": 1}


def class_counts(splits, name: str) -> dict[object, int]:
    return dict(collections.Counter(splits.table(name).column("label").to_pylist()))


def patients_of(splits, name: str) -> set[object]:
    return set(splits.table(name).column("patient_id").to_pylist())


# Patients with rows of two classes each, so that every split can have both.
some_patients = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=3, max_size=25)


@given(counts=some_patients, seed=st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_no_patient_is_in_two_splits_and_no_row_is_lost(counts, seed) -> None:
    rows = patients(counts)

    splits = split(rows, ratios=RATIOS, group_by="patient_id", seed=seed)

    for a, b in itertools.combinations(splits.names, 2):
        assert not patients_of(splits, a) & patients_of(splits, b)
    keys = sorted(bytes(key) for name in splits.names for key in splits.keys(name))
    assert keys == sorted(rows.column("patch_id").to_pylist())


@given(counts=some_patients, seed=st.integers(0, 1000), order=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_does_not_matter(counts, seed, order) -> None:
    rows = patients(counts)
    options = {"ratios": RATIOS, "group_by": "patient_id", "balance": "equal", "max_patches": 40, "seed": seed}
    if min(min(pair) for pair in counts) * len(counts) < 12:
        options["max_patches"] = None

    assert split(rows, **options).digest == split(shuffled(rows, order), **options).digest


@given(
    counts=some_patients,
    max_patches=st.none() | st.integers(60, 400),
    balance=st.sampled_from([None, "equal", {0: 1, 1: 2}]),
)
@settings(max_examples=40, deadline=None)
def test_every_row_is_in_a_split_or_counted_with_a_reason(counts, max_patches, balance) -> None:
    rows = patients(counts)
    try:
        splits = split(rows, ratios=RATIOS, group_by="patient_id", balance=balance, max_patches=max_patches)
    except SplitError as error:
        assert "is absent from split" in str(error)  # A cap or balance that leaves nothing says so.
        return

    report = splits.report()

    left_out = sum(sum(counts.left_out.values()) for counts in report.splits.values())
    assert sum(len(splits.keys(name)) for name in splits.names) + left_out == rows.num_rows == report.input_rows
    if max_patches is not None:
        assert sum(len(splits.keys(name)) for name in splits.names) <= max_patches


def test_single_rows_are_split_exactly_by_class() -> None:
    rows = metadata([0] * 700 + [1] * 300)

    splits = split(rows, ratios=RATIOS)

    assert [class_counts(splits, name) for name in splits.names] == [
        {0: 490, 1: 210},
        {0: 140, 1: 60},
        {0: 70, 1: 30},
    ]


def cost(have: np.ndarray, counts: np.ndarray, ratios: np.ndarray) -> float:
    """What tfcass.splits.assign minimises: have [splits, classes], counts [groups, classes]."""
    total = counts.sum(axis=0)
    target = ratios[:, None] * total
    return float(((have - target) ** 2 / (target * total)).sum())


@pytest.mark.parametrize("seed", range(6))
def test_groups_reach_the_best_assignment_there_is(seed: int) -> None:
    counts = np.random.default_rng(seed).integers(1, 40, (8, 2))
    ratios = np.array([0.75, 0.25])
    choices = np.array(list(itertools.product([0, 1], repeat=8))[1:-1])
    best = min(
        cost(np.stack([counts[b == 0].sum(axis=0), counts[b == 1].sum(axis=0)]), counts, ratios) for b in choices
    )

    splits = split(patients([tuple(row) for row in counts.tolist()]), ratios={"a": 3, "b": 1}, group_by="patient_id")

    got = np.array([[class_counts(splits, name).get(c, 0) for c in (0, 1)] for name in ("a", "b")])
    assert cost(got, counts, ratios) <= best + 0.002  # One class wholly in the wrong split costs about 1.


def test_many_groups_come_close_to_the_ratios() -> None:
    rng = np.random.default_rng(1)
    counts = np.stack([rng.integers(1, 300, 120), rng.integers(0, 40, 120)], axis=1)

    report = split(patients([tuple(row) for row in counts.tolist()]), ratios=RATIOS, group_by="patient_id").report()

    assert report.off_target < 0.005
    assert report.leaks == {}


def test_a_rare_class_reaches_every_split() -> None:
    # The largest patients are all of class 0; class 1 is in three small ones.
    rows = patients([(500, 0)] * 6 + [(3, 4), (3, 5), (3, 90)])

    splits = split(rows, ratios=RATIOS, group_by="patient_id")

    assert all(class_counts(splits, name).get(1, 0) > 0 for name in splits.names)


def test_seeds_give_different_splits() -> None:
    rows = metadata([0, 1] * 100)

    digests = {split(rows, ratios=RATIOS, seed=seed).digest for seed in range(5)}

    assert len(digests) == 5


def test_several_columns_make_one_group() -> None:
    # Slide 1 of p0 and slide 1 of p1 are different groups; with the patient alone there would be only two.
    rows = metadata([0, 1] * 8, ["p0"] * 8 + ["p1"] * 8, slide_num=[1, 1, 2, 2, 3, 3, 4, 4] * 2)

    splits = split(rows, ratios={"a": 1, "b": 1, "c": 1, "d": 1}, group_by=["patient_id", "slide_num"])

    groups = [
        set(zip(t.column("patient_id").to_pylist(), t.column("slide_num").to_pylist(), strict=True))
        for t in map(splits.table, splits.names)
    ]
    assert [len(group) for group in groups] == [2, 2, 2, 2]
    assert len(set().union(*groups)) == 8


def test_a_cap_is_drawn_from_all_groups_in_turn() -> None:
    # p0 has 200 rows of each class, p1 to p4 have 10, p5 has 1.
    rows = patients([(200, 200)] + [(10, 10)] * 4 + [(1, 1)] + [(30, 30)])
    bags = {"train": ["p0", "p1", "p2", "p3", "p4", "p5"], "val": ["p6"]}

    splits = split(rows, ratios={"train": 1, "val": 1}, group_by="patient_id", bags=bags, max_patches=44, seed=3)

    train = splits.table("train")
    taken = collections.Counter(
        zip(train.column("patient_id").to_pylist(), train.column("label").to_pylist(), strict=True)
    )
    # 11 of each class: two turns over the patients, p5 having nothing for the second.
    assert taken == {(f"p{p}", c): 1 if p == 5 else 2 for p in range(6) for c in (0, 1)}


def test_max_patches_is_shared_by_the_ratios_and_keeps_class_proportions() -> None:
    rows = metadata([0] * 800 + [1] * 200)

    splits = split(rows, ratios={"train": 8, "val": 2}, max_patches=100)

    assert class_counts(splits, "train") == {0: 64, 1: 16}
    assert class_counts(splits, "val") == {0: 16, 1: 4}
    assert splits.report().splits["train"].left_out == {"max_patches": 720}


def test_equal_balance_takes_what_the_scarcest_class_allows() -> None:
    rows = metadata([0] * 800 + [1] * 200)

    splits = split(rows, ratios={"train": 8, "val": 2}, balance="equal")

    assert class_counts(splits, "train") == {0: 160, 1: 160}
    assert class_counts(splits, "val") == {0: 40, 1: 40}
    assert splits.report().splits["val"].left_out == {"balance": 120}


def test_balance_by_weights() -> None:
    rows = metadata(["normal"] * 800 + ["tumor"] * 200)

    splits = split(rows, ratios={"train": 8, "val": 2}, balance={"tumor": 1, "normal": 3}, max_patches=400)

    assert class_counts(splits, "train") == {"normal": 240, "tumor": 80}


def test_bags_fix_groups_and_the_others_follow() -> None:
    rows = patients([(10, 10)] * 10)

    splits = split(
        rows, ratios={"train": 8, "val": 2}, group_by="patient_id", bags={"val": ["p3"], "train": ["p0", "p1"]}
    )

    assert "p3" in patients_of(splits, "val")
    assert {"p0", "p1"} <= patients_of(splits, "train")
    assert len(splits.keys("val")) == 40


def test_bags_of_several_columns_are_tuples() -> None:
    rows = metadata([0, 1] * 4, ["p0"] * 8, slide_num=[1, 1, 2, 2, 3, 3, 4, 4])

    splits = split(
        rows, ratios={"train": 1, "val": 1}, group_by=["patient_id", "slide_num"], bags={"val": [("p0", 3), ("p0", 4)]}
    )

    assert set(splits.table("val").column("slide_num").to_pylist()) == {3, 4}


def test_folds_are_equal_and_each_is_validated_once() -> None:
    rows = patients([(6, 3)] * 10)

    splits = split(rows, folds=5, group_by="patient_id")

    assert [class_counts(splits, name) for name in splits.names] == [{0: 12, 1: 6}] * 5
    for turn in range(5):
        fold = splits.fold(turn)
        assert fold.names == ("train", "val")
        assert not patients_of(fold, "train") & patients_of(fold, "val")
        assert np.array_equal(fold.keys("val"), splits.keys(f"fold{turn}"))
        assert len(fold.keys("train")) == 72


def test_labels_may_be_text_or_boolean_and_groups_numbers() -> None:
    by_text = split(metadata(["b", "a"] * 6, list(range(12))), ratios={"x": 1, "y": 1}, group_by="patient_id")
    by_bool = split(metadata([True, False] * 6), ratios={"x": 1, "y": 1})

    assert by_text.classes == ("a", "b")
    assert by_bool.classes == (False, True)
    assert class_counts(by_bool, "x") == {True: 3, False: 3}


def test_dictionary_encoded_and_chunked_columns_are_the_same_as_plain_ones() -> None:
    plain = patients([(5, 5)] * 6)
    chunked = pa.concat_tables([plain.slice(0, 7), plain.slice(7)])
    encoded = chunked.set_column(2, "patient_id", chunked.column("patient_id").dictionary_encode())

    digests = {split(rows, ratios=RATIOS, group_by="patient_id").digest for rows in (plain, chunked, encoded)}

    assert len(digests) == 1


def test_splits_are_those_of_earlier_versions() -> None:
    # Written out once: a change of this digest means that every user's splits change under the same seed.
    splits = split(patients([(9, 4), (3, 8), (7, 7), (2, 5), (6, 1)]), ratios=RATIOS, group_by="patient_id", seed=42)

    assert splits.digest == "e3ba928788b8fe089aff604daa1dcc4e64f580538036378fb0f5d1dcd7c7dd82"


@pytest.mark.parametrize("grouped", [True, False])
def test_the_report_reads_well(grouped: bool) -> None:
    rows = patients([(10, 5)] * 10)

    report = split(rows, ratios={"train": 8, "val": 2}, group_by="patient_id" if grouped else None).report()

    first = "80 in 8" if grouped else "80"
    assert str(report).splitlines()[1].split()[:4] == ["train", "120", "80.0%", "80.0%"]
    assert first in str(report).splitlines()[1]
    assert "150 of 150 rows taken; 0 groups" in str(report)
    assert report.as_dict()["splits"]["val"]["classes"] == {"0": 20, "1": 10}
