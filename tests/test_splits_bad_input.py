"""split(): each impossible request is one error that names the value, where it is, and what to do."""

import uuid

import pyarrow as pa
import pytest

from tests.support.split_rows import key_column, metadata, patients
from tfcass.errors import KeyFormatError, SplitError
from tfcass.splits import split

RATIOS = {"train": 8, "val": 2}
ROWS = patients([(5, 5)] * 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratios": {}}, "ratios={} is empty"),
        ({"ratios": {"train": 1, "val": 0}}, r"ratios\['val'\]=0 is not a positive number"),
        ({"ratios": {"train": 1, "val": -2}}, r"ratios\['val'\]=-2 is not a positive"),
        ({"ratios": {"train": float("nan")}}, "nan is not a positive"),
        ({"ratios": {"train": "8"}}, "'8' is not a positive number"),
        ({"ratios": {"../train": 1}}, "split name '../train'"),
        ({"ratios": None}, "give either ratios"),
        ({"ratios": RATIOS, "folds": 3}, "give either ratios"),
        ({"ratios": None, "folds": 1}, "folds=1 is not an integer of at least 2"),
        ({"label": "lable"}, "label='lable' is not a column .*did you mean 'label'"),
        ({"key": "patch"}, "key='patch' is not a column .*did you mean 'patch_id'"),
        ({"group_by": "patient"}, "group_by='patient' is not a column .*did you mean 'patient_id'"),
        ({"group_by": ["patient_id", "patient_id"]}, "names a column twice"),
        ({"seed": -1}, "seed=-1 is not"),
        ({"seed": None}, "seed=None is not"),
        ({"max_patches": 0}, "max_patches=0 is not a positive"),
        ({"max_patches": 3}, "class . is absent from split 'val' under max_patches=3"),
        ({"balance": "even"}, "balance='even' is not one of None, 'equal'"),
        ({"balance": {0: 1}}, "balance has no weight for class 1"),
        ({"balance": {0: 1, 1: 1, 2: 1}}, "balance names class 2"),
        ({"balance": {0: 1, 1: 0}}, r"balance\[1\]=0 is not a positive"),
        ({"bags": {"val": ["p3"]}}, "bags place groups, and there are none"),
        ({"group_by": "patient_id", "bags": {"vla": ["p3"]}}, "split 'vla'.*did you mean 'val'"),
        ({"group_by": "patient_id", "bags": {"val": ["p33"]}}, "group 'p33', which no row has .*did you mean 'p3'"),
        ({"group_by": "patient_id", "bags": {"val": ["p3"], "train": ["p3"]}}, "group 'p3' twice"),
        ({"group_by": "patient_id", "bags": {"val": "p3"}}, "is a single value"),
    ],
)
def test_bad_settings(options, message) -> None:
    with pytest.raises(SplitError, match=message):
        split(ROWS, **{"ratios": RATIOS, **options})


def test_an_empty_table() -> None:
    with pytest.raises(SplitError, match="the table is empty"):
        split(ROWS.slice(0, 0), ratios=RATIOS)


def test_rows_that_are_no_table() -> None:
    with pytest.raises(SplitError, match="rows is a list; pass a pyarrow.Table"):
        split([{"label": 1}], ratios=RATIOS)


def test_more_splits_than_groups() -> None:
    with pytest.raises(SplitError, match=r"3 splits \(a, b, c\) of 2 groups of patient_id"):
        split(patients([(5, 5), (5, 5)]), ratios={"a": 1, "b": 1, "c": 1}, group_by="patient_id")


def test_a_class_that_too_few_groups_hold() -> None:
    rows = patients([(5, 0)] * 6 + [(5, 3)])

    with pytest.raises(
        SplitError, match="class 1 is absent from split '(train|val)'.* 3 rows in 1 groups of patient_id"
    ):
        split(rows, ratios=RATIOS, group_by="patient_id")


def test_null_labels_tell_how_many_and_which() -> None:
    rows = metadata([0, None, 1, None])
    key = uuid.UUID(bytes=rows.column("patch_id")[1].as_py())

    with pytest.raises(SplitError, match=f"column 'label' is null in 2 of 4 rows .first: row 1, patch_id={key}"):
        split(rows, ratios=RATIOS)


def test_null_groups() -> None:
    with pytest.raises(SplitError, match="column 'patient_id' is null in 1 of 3 rows"):
        split(metadata([0, 1, 0], ["a", None, "b"]), ratios=RATIOS, group_by="patient_id")


def test_duplicate_keys() -> None:
    rows = pa.concat_tables([ROWS, ROWS.slice(4, 2)])

    with pytest.raises(SplitError, match="2 of 102 rows repeat a key of column 'patch_id'"):
        split(rows, ratios=RATIOS)


def test_keys_that_are_not_uuid_bytes() -> None:
    rows = pa.table({"patch_id": ["a", "b"], "label": [0, 1]})

    with pytest.raises(KeyFormatError, match=r"key='patch_id' has type string; expected fixed_size_binary\(16\)"):
        split(rows, ratios=RATIOS)


def test_labels_that_are_not_classes() -> None:
    rows = pa.table({"patch_id": key_column(range(2)), "label": [0.5, 1.5]})

    with pytest.raises(SplitError, match="label='label' has type double"):
        split(rows, ratios=RATIOS)


def test_an_unknown_split_suggests_the_near_one() -> None:
    with pytest.raises(
        SplitError, match=r"split='trian' is not in these splits \(has: train, val\); did you mean 'train'"
    ):
        split(ROWS, ratios=RATIOS).keys("trian")


def test_a_fold_of_splits_without_folds() -> None:
    with pytest.raises(SplitError, match=r"fold\(0\) needs splits made with split\(folds=...\)"):
        split(ROWS, ratios=RATIOS).fold(0)
    with pytest.raises(SplitError, match=r"fold\(2\) is not in \[0, 2\)"):
        split(ROWS, folds=2).fold(2)
