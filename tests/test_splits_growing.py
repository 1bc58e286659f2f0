"""Rows that come later, other splits, rows that are gone: nothing moves, nothing leaks, everything is counted."""

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfcass
from tests.support.split_rows import key_column, metadata, patients, shuffled
from tfcass.errors import KeyFormatError, SplitError
from tfcass.splits import Splits, split

RATIOS = {"train": 3, "val": 1}
counts_of_patients = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=9)


def keys(splits, name: str) -> set[bytes]:
    return {bytes(key) for key in splits.keys(name)}


def table_of(cells: list[tuple[str, int, int]]) -> pa.Table:
    """(patient, class, number): a row each, with a key of its own."""
    return pa.table(
        {
            "patch_id": key_column(cells),
            "label": pa.array([cls for _, cls, _ in cells], pa.int32()),
            "patient_id": [patient for patient, _, _ in cells],
        }
    )


def cells_of(counts, prefix: str, first: int = 0) -> list[tuple[str, int, int]]:
    return [(f"{prefix}{p}", c, first + i) for p, of in enumerate(counts) for c, n in enumerate(of) for i in range(n)]


@given(
    old=counts_of_patients, grown=counts_of_patients, new=counts_of_patients, full=st.booleans(), grouped=st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_rows_that_came_later_move_no_old_one(old, grown, new, full, grouped) -> None:
    before = table_of(cells_of(old, "old"))
    later = table_of(cells_of(grown[: len(old)], "old", first=100) + cells_of(new, "new"))
    splits = split(before, ratios=RATIOS, group_by="patient_id" if grouped else None)

    longer = splits.extend(shuffled(pa.concat_tables([before, later]), 1) if full else later)

    report = longer.report()
    for name in splits.names:
        assert keys(splits, name) <= keys(longer, name)
        assert longer.keys(name).tolist() == sorted(longer.keys(name).tolist())
    assert report.leaks == {}
    assert report.rows == before.num_rows + later.num_rows == report.input_rows
    for counts in report.splits.values():
        assert all(abs(off) <= 1 for off in counts.off.values())


def test_new_groups_bring_the_splits_closer_to_their_ratios(tmp_path) -> None:
    splits = split(patients([(10, 10)] * 4), ratios={"train": 1, "val": 1}, group_by="patient_id")
    more = table_of(cells_of([(10, 10)] * 40, "new"))

    longer = splits.extend(more)
    longer.save(tmp_path)

    report = Splits.load(tmp_path).report()
    assert [of.classes for of in report.splits.values()] == [{"0": 220, "1": 220}] * 2
    assert report.history == ("extended by 800 rows, 400 to train, 400 to val; 40 new groups, 0 old ones grew",)
    assert "then: extended by 800 rows" in str(report)


def test_single_rows_that_come_later_fill_up_to_the_ratios() -> None:
    splits = split(metadata([0, 1] * 20), ratios={"train": 3, "val": 1})
    more = table_of([("", cls, i) for cls in (0, 1) for i in range(100)]).drop_columns("patient_id")

    report = splits.extend(more).report()

    assert [of.classes for of in report.splits.values()] == [{"0": 90, "1": 90}, {"0": 30, "1": 30}]


def test_the_condition_of_the_splits_holds_for_new_rows() -> None:
    rows = metadata([0, 1] * 20, level=pa.array([1, 1, 2, 2] * 10))
    splits = split(rows.slice(0, 20), ratios=RATIOS, where="level == 1")

    report = splits.extend(rows).report()

    assert (report.rows, report.dropped, report.input_rows) == (20, {"where": 20}, 40)


@pytest.mark.parametrize(
    ("made", "rows", "given", "message"),
    [
        (
            {"max_patches": 20},
            "all",
            {},
            "40 rows are in these splits, which left rows out .max_patches.*new rows only",
        ),
        ({}, "half", {}, "have 10 of the 40 rows of these splits; give all of them, or new rows only"),
        ({"exclude": {"patient_id": ["p0"]}}, "new", {}, "were made with exclude, .*pass exclude=... again"),
        ({"where": pc.field("label") >= 0}, "new", {}, "were made with where, .*pass where=... again"),
        ({}, "class", {}, r"label 7 of 1 rows is not a class of these splits .has: 0, 1"),
        ({}, "column", {}, "the rows lack column 'patient_id' that these splits have"),
        ({}, "type", {}, "columns of other types"),
        ({}, "list", {}, "rows is a list"),
        ({}, "twice", {}, "repeat a key of column 'patch_id'"),
    ],
)
def test_rows_that_cannot_be_added(made, rows, given, message) -> None:
    before = patients([(5, 5)] * 4)
    splits = split(before, ratios={"a": 1, "b": 1}, group_by="patient_id", **made)
    new = table_of(cells_of([(2, 2)] * 4, "new"))
    tables = {
        "all": pa.concat_tables([before, new]),
        "half": pa.concat_tables([before.slice(0, 10), new]),
        "new": new,
        "class": table_of([("new", 7, 0)]),
        "column": new.drop_columns("patient_id"),
        "type": new.set_column(1, "label", pa.array(["x"] * len(new))),
        "list": [1],
        "twice": pa.concat_tables([new, new]),
    }
    message = message.replace("40 rows are", "rows are")

    with pytest.raises(SplitError, match=message):
        splits.extend(tables[rows], **given)


def test_new_rows_alone_extend_capped_splits_and_nothing_is_nothing() -> None:
    splits = split(patients([(5, 5)] * 4), ratios={"a": 1, "b": 1}, group_by="patient_id", max_patches=20)

    assert splits.extend(table_of(cells_of([(2, 2)] * 4, "new"))).report().rows == 36
    assert splits.extend(splits.table("a").slice(0, 0)) is splits


def test_merged_splits_have_the_rows_of_both(tmp_path) -> None:
    a = split(table_of(cells_of([(4, 4)] * 8, "a")), ratios=RATIOS, group_by="patient_id")
    b = split(table_of(cells_of([(4, 4)] * 8, "b")), ratios={"train": 1, "test": 1}, group_by="patient_id")

    merged = a.merge(b)
    merged.save(tmp_path)

    report = Splits.load(tmp_path).report()
    assert merged.names == ("train", "val", "test")
    assert keys(merged, "train") == keys(a, "train") | keys(b, "train")
    assert (report.rows, report.input_rows, report.leaks) == (128, 128, {})


def test_splits_that_cannot_be_merged() -> None:
    rows = table_of(cells_of([(4, 4)] * 8, "a"))
    splits = split(rows, ratios=RATIOS, group_by="patient_id")
    others = table_of(cells_of([(4, 4)] * 8, "a", first=50))
    swapped = split(
        others,
        ratios=RATIOS,
        group_by="patient_id",
        bags={"train": splits.table("val").column("patient_id").unique().to_pylist()},
    )

    with pytest.raises(SplitError, match="64 keys are in both splits .first: .*subtract"):
        splits.merge(split(rows, ratios=RATIOS, group_by="patient_id", seed=1))
    with pytest.raises(SplitError, match=r"group 'a.' of patient_id would be in several splits \(train, val\)"):
        splits.merge(swapped)
    with pytest.raises(SplitError, match="with group_by=.*cannot be merged"):
        splits.merge(split(others, ratios=RATIOS))


def test_subtracting_rows_and_their_groups() -> None:
    splits = split(patients([(4, 4)] * 8), ratios=RATIOS, group_by="patient_id")
    gone = splits.keys("train")[:3]

    rows = splits.subtract(gone)
    groups = splits.subtract(gone, groups=True)

    assert splits.rows("train") - rows.rows("train") == 3
    assert rows.report().splits["train"].left_out == {"subtracted": 3}
    lost = set(splits.table("train").column("patient_id").to_pylist()) - set(
        groups.table("train").column("patient_id").to_pylist()
    )
    assert splits.rows("train") - groups.rows("train") == 8 * len(lost) > 3
    assert groups.report().rows + groups.report().left_out == 64


def test_subtracting_splits_takes_their_groups_even_where_rows_differ() -> None:
    splits = split(table_of(cells_of([(4, 4)] * 8, "p")), ratios=RATIOS, group_by="patient_id")
    other = split(table_of(cells_of([(2, 2)] * 2, "p", first=70)), ratios={"x": 1, "y": 1}, group_by="patient_id")

    left = splits.subtract(other, groups=True)

    patients_left = {p for name in left.names for p in left.table(name).column("patient_id").to_pylist()}
    assert patients_left == {f"p{i}" for i in range(2, 8)}
    assert splits.subtract(other) is splits


@given(
    counts=counts_of_patients, lost=st.sets(st.integers(0, 200), max_size=8), form=st.sampled_from(["numpy", "arrow"])
)
@settings(max_examples=40, deadline=None)
def test_rows_that_a_table_lost_are_named_and_can_be_pruned(counts, lost, form) -> None:
    rows = patients(counts)
    splits = split(rows, ratios=RATIOS, group_by="patient_id")
    lost = {i for i in lost if i < rows.num_rows}
    there = rows["patch_id"].take(pa.array([i for i in range(rows.num_rows) if i not in lost], pa.int64()))
    there = np.frombuffer(b"".join(there.to_pylist()), np.uint8).reshape(-1, 16) if form == "numpy" else there
    expected = {rows["patch_id"][i].as_py() for i in lost}

    missing = splits.missing_from(there)

    assert {bytes(key) for of in missing.values() for key in of} == expected
    if any(len(of) == splits.rows(name) for name, of in missing.items()):
        with pytest.raises(SplitError, match="would be empty: all of its .* rows are pruned"):
            splits.prune(there)
        return
    pruned = splits.prune(there)
    assert pruned.missing_from(there) == {}
    assert pruned.report().rows + pruned.report().left_out == rows.num_rows
    assert {bytes(key) for name in splits.names for key in splits.keys(name)} - expected == {
        bytes(key) for name in pruned.names for key in pruned.keys(name)
    }


def test_a_table_that_lost_rows_is_told_which_and_how_to_prune() -> None:
    rows = patients([(5, 5)] * 4)
    splits = split(rows, ratios={"a": 1, "b": 1}, group_by="patient_id")
    lost = uuid.UUID(bytes=bytes(splits.keys("b")[2]))
    there = np.concatenate([splits.keys("a"), splits.keys("b")[:2], splits.keys("b")[3:]])

    with pytest.raises(
        SplitError, match=rf"data_by_uuid lacks 1 rows .* 1 of split 'b' \({lost}\).*splits.prune\(keys\)"
    ):
        splits.check_in(there, "data_by_uuid")
    splits.check_in(rows["patch_id"])


@pytest.mark.parametrize("bad", [[uuid.uuid4()], np.zeros((2, 16)), np.zeros((2, 15), np.uint8), pa.array(["x"])])
def test_keys_of_another_form(bad) -> None:
    splits = split(patients([(5, 5)] * 4), ratios={"a": 1, "b": 1}, group_by="patient_id")

    with pytest.raises(KeyFormatError, match=r"expected (uint8 \[n, 16\]|fixed_size_binary)"):
        splits.missing_from(bad)


def test_pruned_splits_keep_what_they_are_after_a_round_trip(tmp_path) -> None:
    splits = split(patients([(5, 5)] * 4), ratios={"a": 1, "b": 1}, group_by="patient_id")
    pruned = splits.prune(tfcass.keys([uuid.UUID(bytes=bytes(k)) for n in splits.names for k in splits.keys(n)[1:]]))

    pruned.save(tmp_path)

    loaded = Splits.load(tmp_path)
    assert loaded.digest == pruned.digest and loaded.recipe == pruned.recipe
    assert loaded.report() == pruned.report()
