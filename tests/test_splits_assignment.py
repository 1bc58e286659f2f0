"""Groups are placed as well as whole groups can be: against all assignments, against scikit-learn, and in number."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split_rows import key_column, metadata, patients
from tfcass.errors import SplitError
from tfcass.splits import assign, every, search, split
from tfcass.splits.cells import Cells, Strata
from tfcass.splits.columns import key_order
from tfcass.splits.randomness import Stream


def shares(splits) -> np.ndarray:
    """Split, class -> share of the class."""
    report = splits.report()
    counts = np.array([list(of.classes.values()) for of in report.splits.values()], float)
    return counts / counts.sum(axis=0)


def costs_of_all(counts: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """The cost of every assignment in which no class is absent; counts [groups, classes]."""
    share = counts / counts.sum(axis=0)
    costs = []
    for choice in itertools.product(range(len(ratios)), repeat=len(counts)):
        have = np.zeros((len(ratios), counts.shape[1]))
        np.add.at(have, list(choice), share)
        if (have > 0).all():
            costs.append(((have - ratios[:, None]) ** 2 / ratios[:, None]).sum())
    return np.array(costs)


def cost_of(splits, ratios: np.ndarray) -> float:
    return float(((shares(splits) - ratios[:, None]) ** 2 / ratios[:, None]).sum())


@given(
    counts=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=4, max_size=7),
    ratios=st.sampled_from([(0.75, 0.25), (0.5, 0.3, 0.2)]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_few_groups_are_placed_in_the_best_way_there_is(counts, ratios, seed) -> None:
    if sum(b > 0 for _, b in counts) < len(ratios):
        counts = [(a, b + 1) for a, b in counts]
    ratios = np.array(ratios)
    named = {f"s{i}": ratio for i, ratio in enumerate(ratios.tolist())}

    splits = split(patients(counts), ratios=named, group_by="patient_id", seed=seed)

    assert cost_of(splits, ratios) == pytest.approx(costs_of_all(np.array(counts), ratios).min(), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_search_finds_about_the_best_of_all_assignments(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(every, "_MOST", 0)  # As with groups too many to try every assignment.
    random = np.random.default_rng(seed)
    counts = random.integers(1, 60, (9, 3))
    ratios = np.array([0.6, 0.25, 0.15])

    splits = split(
        patients([tuple(row) for row in counts.tolist()]),
        ratios={"a": 12, "b": 5, "c": 3},
        group_by="patient_id",
        seed=seed,
    )

    all_costs = np.sort(costs_of_all(counts, ratios))
    assert cost_of(splits, ratios) <= all_costs[len(all_costs) // 2000]  # Among the best 0.05 %.


def test_classes_come_closer_to_their_ratio_than_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.model_selection")
    random = np.random.default_rng(5)
    group = np.repeat(np.arange(300), random.integers(2, 60, 300))
    label = (group % 7 + random.integers(0, 3, len(group))) % 8
    rows = metadata(label.tolist(), group.tolist())

    ours = split(rows, folds=5, group_by="patient_id").report().off_target

    theirs = max(
        np.abs(np.bincount(label[test], minlength=8) / np.bincount(label) - 0.2).max()
        for _, test in sklearn.StratifiedGroupKFold(5).split(label, label, group)
    )
    assert ours < theirs


def test_very_many_groups_are_dealt_out_and_come_as_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_ONE_BY_ONE", 200)
    random = np.random.default_rng(2)
    group = np.repeat(np.arange(4_000), random.integers(1, 5, 4_000))
    rows = metadata(random.integers(0, 6, len(group)).tolist(), group.tolist())

    report = split(rows, ratios={"train": 8, "val": 1, "test": 1}, group_by="patient_id").report()

    assert report.off_target < 0.002
    assert report.leaks == {}


def test_swaps_help_where_no_move_does() -> None:
    # Two groups of 10 and two of 6 in halves of 16: from (10, 10 | 6, 6) no single move is better.
    cells = Cells.count_rows(
        np.repeat(np.arange(4), [10, 10, 6, 6]), [Strata("class", ("a",), np.zeros(32, np.int32))], 4
    )
    problem = assign.Problem(cells, np.array([0.5, 0.5]), np.full(4, assign.FREE), np.ones(1, bool))
    begun = search.Search(problem, Stream(0))
    begun.split_of = np.array([0, 0, 1, 1])
    begun._recount()

    assert not begun._move_round_by_round()
    assert begun._swap_all_pairs()
    assert begun.cost() == (0, 0.0)


def test_sums_of_masses_cannot_overflow() -> None:
    # One group has all of 5,000 classes: the largest sum of squares there can be.
    code = np.arange(5_000, dtype=np.int32)
    group = np.append(np.zeros(5_000, np.int64), [1, 2])
    cells = Cells.count_rows(group, [Strata("class", range(5_000), np.append(code, [0, 1]).astype(np.int32))], 3)
    problem = assign.Problem(cells, np.array([0.5, 0.5]), np.full(3, assign.FREE), np.zeros(5_000, bool))

    found = search.Search(problem, Stream(0)).run()

    assert (problem.square >= 0).all() and found.cost()[1] >= 0
    assert float(problem.square[0]) == pytest.approx(5_000 * 4.0**problem.unit_bits, rel=0.01)


def test_every_site_is_in_every_split_and_keeps_its_share() -> None:
    random = np.random.default_rng(3)
    group = np.repeat(np.arange(60), 20)
    site = np.where(group < 5, "rare", np.where(group % 3 == 0, "north", "south"))
    rows = metadata(random.integers(0, 2, len(group)).tolist(), group.tolist(), site=pa.array(site))

    splits = split(rows, ratios={"train": 6, "val": 2, "test": 2}, group_by="patient_id", cover="site")

    counts = {name: of.covers["site"] for name, of in splits.report().splits.items()}
    assert all(of[value] > 0 for of in counts.values() for value in ("rare", "north", "south"))
    assert abs(counts["train"]["south"] / (site == "south").sum() - 0.6) < 0.05


def test_several_columns_are_covered_by_single_rows_too() -> None:
    rows = metadata([0, 1] * 60, site=pa.array(["A", "A", "B", "B", "B", "C"] * 20), scanner=pa.array([1, 2, 3] * 40))

    splits = split(rows, ratios={"train": 8, "val": 1, "test": 1}, cover=["site", "scanner"])

    for of in splits.report().splits.values():
        assert min(of.covers["site"].values()) > 0 and min(of.covers["scanner"].values()) > 0
        assert of.classes["0"] == of.classes["1"]


def test_a_site_that_too_few_groups_have() -> None:
    rows = metadata([0, 1] * 8, [f"p{i // 2}" for i in range(16)], site=pa.array(["A"] * 12 + ["B"] * 4))

    with pytest.raises(SplitError, match="site 'B' is absent from split '.'.* 4 rows in 2 groups of patient_id for 3"):
        split(rows, ratios={"a": 1, "b": 1, "c": 1}, group_by="patient_id", cover="site")


def test_stratify_keeps_shares_and_requires_nothing() -> None:
    rows = metadata([0, 1] * 50, stain=pa.array(["H&E"] * 99 + ["PAS"]))

    splits = split(rows, ratios={"a": 1, "b": 1}, stratify="stain")

    assert sorted(of.covers["stain"]["PAS"] for of in splits.report().splits.values()) == [0, 1]


def test_absent_classes_can_be_stated_instead() -> None:
    rows = patients([(5, 0)] * 6 + [(5, 3)])

    report = split(rows, ratios={"train": 8, "val": 2}, group_by="patient_id", absent="report").report()

    assert sorted(of.classes["1"] for of in report.splits.values()) == [0, 3]
    assert any("class 1 is absent from split" in note for note in report.notes)


def test_how_far_off_and_why_is_stated() -> None:
    rows = patients([(100, 100), (1, 1), (1, 1)])

    report = split(rows, ratios={"train": 1, "val": 1}, group_by="patient_id").report()

    assert report.off_target == pytest.approx(100 / 102 - 0.5)
    assert report.splits["train"].off["0"] == pytest.approx(-report.splits["val"].off["0"])
    assert any("3 groups have it, and 'p0' alone 98.0%" in note for note in report.notes)


def test_a_tolerance_makes_that_an_error() -> None:
    rows = patients([(100, 100), (1, 1), (1, 1)])

    with pytest.raises(SplitError, match=r"has (2|98).0% of it, 50.0% asked .*not within tolerance=0.1"):
        split(rows, ratios={"train": 1, "val": 1}, group_by="patient_id", tolerance=0.1)
    split(rows, ratios={"train": 1, "val": 1}, group_by="patient_id", tolerance=0.5)


def test_weights_take_the_place_of_rows() -> None:
    # p0 has few rows that weigh as much as all others.
    rows = metadata(
        [0] * 44, ["p0"] * 4 + [f"p{1 + i // 10}" for i in range(40)], pixels=pa.array([10.0] * 4 + [1.0] * 40)
    )

    splits = split(rows, ratios={"a": 1, "b": 1}, group_by="patient_id", weight="pixels")

    assert sorted(splits.rows(name) for name in splits.names) == [4, 40]
    assert splits.report().off_target == pytest.approx(0.0, abs=1e-6)


@given(
    words=st.lists(st.binary(min_size=16, max_size=16) | st.sampled_from([b"\0" * 16, b"\xff" * 16]), max_size=60),
    prefix=st.integers(0, 16),
)
@settings(max_examples=60, deadline=None)
def test_keys_are_ordered_as_byte_strings_even_when_they_begin_alike(words, prefix) -> None:
    words = [b"\x07" * prefix + word[prefix:] for word in words]
    keys = np.frombuffer(b"".join(words), np.uint8).reshape(-1, 16)

    order = key_order(keys)

    assert order.tolist() == sorted(range(len(words)), key=lambda i: (words[i], i))


def test_pieces_and_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = patients([(30, 20), (7, 9), (12, 3), (5, 5), (8, 8), (3, 6)])
    chunked = pa.concat_tables([rows.slice(i, 13) for i in range(0, rows.num_rows, 13)])
    options = {"ratios": {"a": 2, "b": 1}, "group_by": "patient_id", "seed": 3}
    whole = split(rows, **options)

    monkeypatch.setattr("tfcass.splits.columns.CHUNK", 10)

    in_pieces = split(chunked, **options)
    assert in_pieces.digest == whole.digest
    assert in_pieces.recipe.input_sha256 == whole.recipe.input_sha256


def test_sparse_and_dense_counts_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    group, code = random.integers(0, 50, 1_000), random.integers(0, 9, 1_000).astype(np.int32)
    weight = random.integers(1, 5, 1_000)

    def counted() -> list[np.ndarray]:
        cells = [Cells.count_rows(group, [Strata("class", range(9), code)], 50, of) for of in (None, weight)]
        return [array for of in cells for array in (of.start, of.stratum, of.count)]

    dense = counted()
    monkeypatch.setattr("tfcass.splits.cells._DENSE", 0)

    assert all(np.array_equal(a, b) for a, b in zip(dense, counted(), strict=True))


def test_a_thousand_classes_and_a_shortfall_read_well() -> None:
    random = np.random.default_rng(0)
    rows = metadata(random.permutation(np.repeat(np.arange(100), 20)).tolist())

    text = str(split(rows, ratios={"train": 3, "val": 1}, max_patches={"val": 9_999}).report())

    assert max(map(len, text.splitlines())) < 200
    assert "100 classes; furthest from their ratio: " in text
    assert "note: max_patches: split 'val' has 500 of the 9999 rows asked" in text


def test_uuid_columns_of_arrow_are_keys() -> None:
    plain = patients([(4, 4)] * 4)
    typed = plain.set_column(0, "patch_id", key_column(range(32)).cast(pa.uuid()) if hasattr(pa, "uuid") else plain[0])

    assert split(typed, ratios={"a": 1, "b": 1}).digest == split(plain, ratios={"a": 1, "b": 1}).digest


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    have=st.none() | st.lists(st.integers(0, 9), min_size=3, max_size=3),
    ratios=st.sampled_from([(0.9, 0.05, 0.05), (1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1)]),
)
@settings(max_examples=60, deadline=None)
def test_single_rows_reach_every_split_if_they_can(counts, have, ratios) -> None:
    code = np.repeat(np.arange(len(counts)), counts)
    before = None if have is None else np.repeat(np.array(have)[:, None], len(counts), axis=1)

    split_of = assign.assign_rows(code, np.array(ratios), len(counts), Stream(0), have=before)

    for cls, count in enumerate(counts):
        given_to = np.bincount(split_of[code == cls], minlength=3)
        after = given_to + (0 if before is None else before[:, cls])
        lacking = 3 if before is None else int((before[:, cls] == 0).sum())
        assert given_to.sum() == count
        assert (after == 0).sum() == max(0, lacking - count)
        if before is None and count >= 3:
            assert np.abs(after - count * np.array(ratios)).max() < 2
