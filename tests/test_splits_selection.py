"""Which rows take part: conditions, lists, and what they leave out, counted."""

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import tfcass
from tests.support.split_rows import metadata
from tfcass.errors import SplitError
from tfcass.splits import Splits, split
from tfcass.splits.filters import filter_mask

HALVES = {"a": 1, "b": 1}
ROWS = metadata(
    [0, 1] * 20,
    [f"p{i // 4}" for i in range(40)],
    level=pa.array([0, 1, 2, None] * 10),
    score=pa.array(np.arange(40) / 40),
    site=pa.array(["A", "B", "C", "it's"] * 10),
    good=pa.array([True, False, None, True] * 10),
)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("level == 1", 10),
        ("level != 1", 20),
        ("1 <= level < 2", 10),
        ("level is None", 10),
        ("level is not None and score >= 0.5", 15),
        ("site in ('A', \"B\") or level == 2", 30),
        ("site in ['A']", 10),
        ("site not in ('A', 'B')", 20),
        ("level not in (0,)", 20),
        ('site == "it\'s"', 10),
        ("not (site == 'A')", 30),
        ("not level == 1", 20),
        ("good", 20),
        ("good == False", 10),
        ("score > -1", 40),
        ("  level == 1 ", 10),
        (pc.field("level") == 1, 10),
        ((pc.field("score") * 2 < 1) & pc.field("site").isin(["A"]), 5),
    ],
    ids=str,
)
def test_conditions(where, rows) -> None:
    assert int(filter_mask(ROWS, where).to_numpy().sum()) == rows


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("levle == 1", "names 'levle', which is not a column .*did you mean 'level'"),
        ("level = 1", "cannot be parsed"),
        ("level ==", "cannot be parsed"),
        ("", "cannot be parsed"),
        ("__import__('os').system('true')", "is not understood"),
        ("level.real == 1", "'level.real' is not understood"),
        ("(lambda: 1)() == 1", "is not understood"),
        ("[x for x in level] == 1", "is not understood"),
        ("f'{level}' == 1", "is not understood"),
        ("level == 1 + 1", "'1 . 1' is not understood"),
        ("level == None", "a null equals nothing; ask `column is None`"),
        ("level is 1", "'1' is not understood"),
        ("level in site", "'site' is not understood"),
        ("1 == 1", "'1' is not understood"),
        ("level", "gives values of type int64; it must be true or false"),
        ("site == 3", "compares a column with a value of another kind"),
        ("level == b'x'", "is not understood"),
        ("a\0b == 1", "cannot be parsed"),
        ("not " * 9_000 + "good", "more than 10000"),
        ("(" * 4_000 + "good" + ")" * 4_000, "(cannot be parsed|nested too deeply)"),
        ("not " * 2_400 + "good", "nested too deeply"),
        (7, "where=7 is a int; pass text"),
        (pc.field("levle") == 1, "names 'levle', which is not a column .*did you mean 'level'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_conditions(where, message) -> None:
    with pytest.raises(SplitError, match=message):
        split(ROWS, ratios=HALVES, where=where)


def test_rows_that_take_no_part_are_counted_once_each(tmp_path) -> None:
    splits = split(
        ROWS,
        ratios=HALVES,
        group_by="patient_id",
        where="score >= 0.1",  # Leaves 4 out, all of p0.
        exclude={"patient_id": ["p1", "p2"], "site": ["A"]},  # 8 and of the others 7.
        include={"site": ["B", "C"]},  # 7 that are "it's".
    )
    splits.save(tmp_path)

    report = Splits.load(tmp_path).report()
    assert report.dropped == {"where": 4, "exclude": 15, "include": 7}
    assert report.rows + report.left_out == 40
    assert Splits.load(tmp_path).recipe.exclude == {"patient_id": ["p1", "p2"], "site": ["A"]}


def test_keys_can_be_included_and_excluded() -> None:
    keys = np.frombuffer(b"".join(ROWS["patch_id"].to_pylist()), np.uint8).reshape(-1, 16)
    as_uuids = [uuid.UUID(bytes=bytes(key)) for key in keys[:6]]

    by_bytes = split(ROWS, ratios=HALVES, include=keys[:20], exclude=keys[:6])
    by_uuids = split(ROWS, ratios=HALVES, include=keys[:20], exclude=as_uuids)

    assert by_bytes.digest == by_uuids.digest
    assert by_bytes.report().dropped == {"exclude": 6, "include": 20}


def test_keys_that_no_row_has_are_told() -> None:
    unknown = tfcass.keys([uuid.uuid4(), uuid.uuid4()])

    report = split(ROWS, ratios=HALVES, exclude=unknown).report()

    assert "exclude names 2 of 2 keys that no row has" in report.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": {"sit": ["A"]}}, "exclude names 'sit', which is not a column .*did you mean 'site'"),
        ({"include": {"patient_id": ["p44"]}}, r"include\['patient_id'\] names 'p44', which no row has .*mean 'p4'"),
        ({"include": {"site": "A"}}, r"include\['site'\]='A' is a single value"),
        ({"include": {"level": ["one"]}}, r"include\['level'\]=one does not fit the column, which is int64"),
        ({"exclude": "p0"}, "exclude='p0' is a single value; pass a list of keys, or a mapping"),
        ({"exclude": ["p0"]}, "exclude is neither keys nor a mapping"),
        ({"exclude": np.zeros((2, 3), np.uint8)}, r"exclude has keys of shape \[2, 3\]"),
        ({"exclude": {"site": ["A", "B", "C", "it's"]}}, "exclude leaves none of the 40 rows"),
        ({"where": "score > 5"}, "where leaves none of the 40 rows"),
    ],
)
def test_bad_lists(options, message) -> None:
    with pytest.raises(SplitError, match=message):
        split(ROWS, ratios=HALVES, **options)


def test_nulls_in_rows_that_take_no_part_are_no_error() -> None:
    rows = metadata([0, 1, None, 1, 0], ["a", "b", "c", None, "d"], site=["x", "x", "y", "y", "x"])

    splits = split(rows, ratios=HALVES, group_by="patient_id", where="site == 'x'", absent="report")

    assert splits.report().dropped == {"where": 2}


def test_selected_rows_split_as_if_they_were_all() -> None:
    chosen = split(ROWS, ratios=HALVES, group_by="patient_id", where="level == 1 or level == 2", seed=4)
    alone = split(ROWS.filter(pc.field("level") > 0), ratios=HALVES, group_by="patient_id", seed=4)

    assert chosen.digest == alone.digest
