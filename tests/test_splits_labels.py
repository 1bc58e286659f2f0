"""What classes are: mapped, chosen, several a row, ranges of a number."""

import collections

import numpy as np
import pyarrow as pa
import pytest

from tests.support.split_rows import metadata, shuffled
from tfcass.errors import SplitError
from tfcass.splits import Splits, split

HALVES = {"a": 1, "b": 1}


def test_a_label_map_joins_values_and_leaves_others_out(tmp_path) -> None:
    rows = metadata(["benign", "gleason3", "gleason4", "artefact"] * 10)
    chosen = {"benign": 0, "gleason3": 1, "gleason4": 1, "artefact": None}

    splits = split(rows, ratios=HALVES, label_map=chosen)
    splits.save(tmp_path)

    report = Splits.load(tmp_path).report()
    assert splits.classes == (0, 1)
    assert report.splits["a"].classes == {"0": 5, "1": 10}
    assert report.dropped == {"label_map": 10}
    assert np.bincount(Splits.load(tmp_path).class_codes("b")).tolist() == [5, 10]
    assert report.rows + report.left_out == report.input_rows == 40


def test_labels_choose_classes_and_the_others_are_counted() -> None:
    report = split(metadata([0, 1, 2, 9] * 10), ratios=HALVES, labels=[2, 0]).report()

    assert report.splits["a"].classes == {"0": 5, "2": 5}
    assert report.dropped == {"labels": 20}
    assert "not taking part: 20 (labels)" in str(report)


def test_num_classes_is_checked() -> None:
    assert split(metadata([0, 1] * 4), ratios=HALVES, num_classes=2).classes == (0, 1)
    with pytest.raises(SplitError, match=r"label 7 of column 'label' is out of range \[0, 2\)"):
        split(metadata([0, 1, 7] * 4), ratios=HALVES, num_classes=2)
    with pytest.raises(SplitError, match="class 2 of num_classes=3 is absent: no row"):
        split(metadata([0, 1] * 4), ratios=HALVES, num_classes=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_map": {0: "n", 2: "t"}}, "label_map has nothing for 1 of column 'label'.*or to None"),
        ({"label_map": {0: "n", 1: "t", 5: "x"}}, "label_map names 5, which no row has"),
        ({"label_map": {0: 0.5, 1: 1}}, r"label_map\[0\]=0.5 is not a class"),
        ({"label_map": {0: "n", 1: 1}}, "classes of several kinds"),
        ({"label_map": {0: None, 1: None}}, "no row has a class"),
        ({"label_map": {}}, "label_map={} is empty"),
        ({"labels": [0, 3]}, "labels names class 3, which no row has"),
        ({"labels": 0}, "labels=0 is a single value"),
        ({"labels": [0, 0]}, "names a class twice"),
        ({"num_classes": 0}, "num_classes=0 is not a positive"),
        ({"quantiles": 1}, r"quantiles=1 is not an integer in \[2"),
        ({"quantiles": 4, "labels": [1]}, "does not go with quantiles=4"),
        ({"label": ["label", "label"]}, "names no column, or one twice"),
        ({"label": ["label", "patient"]}, "label='patient' is not a column"),
        ({"weight": "wieght"}, "weight='wieght' is not a column .*did you mean 'weight'"),
        ({"weight": "name"}, "weight='name' has type string"),
        ({"weight": "weight"}, "weight='weight' is 0.0 in 1 rows .first: row 2, patch_id="),
        ({"label": "name", "quantiles": 3}, "label='name' has type string; it must be a number"),
        ({"label": ["label", "name"]}, "'name' has type string; each must say whether"),
        ({"label": ["label", "three"]}, "'three' has the value 3; each must be 0 or 1"),
        ({"balance": "equal", "targets": {0: 1}}, "balance and targets both say"),
    ],
)
def test_bad_settings_of_labels(options, message) -> None:
    rows = metadata(
        [0, 1, 0, 1, 0, 1], name=list("abcdef"), weight=[1.0, 2.0, 0.0, 1.0, 1.0, 1.0], three=[0, 1, 3, 0, 1, 0]
    )

    with pytest.raises(SplitError, match=message):
        split(rows, **{"ratios": HALVES, **options})


def multi_label(n_groups: int = 40) -> tuple[pa.Table, list[list[str]]]:
    random = np.random.default_rng(0)
    names = np.array(["tumour", "stroma", "necrosis"])
    lists = [sorted(names[random.random(3) < (0.6, 0.4, 0.15)].tolist()) for _ in range(n_groups * 10)]
    rows = metadata(
        [0] * len(lists),
        [f"p{i // 10}" for i in range(len(lists))],
        tissues=pa.array(lists, pa.list_(pa.string())),
        **{name: [name in has for has in lists] for name in names},
    )
    return rows, lists


@pytest.mark.parametrize("label", ["tissues", ["necrosis", "stroma", "tumour"]])
@pytest.mark.parametrize("grouped", [True, False])
def test_multi_label_rows_keep_the_share_of_every_label(label, grouped, tmp_path) -> None:
    rows, lists = multi_label()

    splits = split(rows, ratios={"train": 3, "val": 1}, label=label, group_by="patient_id" if grouped else None, seed=1)
    splits.save(tmp_path)

    report = Splits.load(tmp_path).report()
    counted = collections.Counter(value for has in lists for value in has)
    assert splits.classes == ("necrosis", "stroma", "tumour")
    for name in splits.classes:
        have = report.splits["train"].classes[name]
        assert have + report.splits["val"].classes[name] == counted[name]
        assert abs(have / counted[name] - 0.75) < 0.03
    assert report.rows == rows.num_rows  # Rows without a label are in a split, too.
    assert report.leaks == {}


def test_multi_label_as_a_list_and_as_columns_is_the_same_whatever_the_order() -> None:
    rows, _ = multi_label()
    options = {"ratios": HALVES, "group_by": "patient_id", "max_patches": 100}

    digests = {
        split(of, label=label, **options).digest
        for of in (rows, shuffled(rows, 3))
        for label in ("tissues", ["necrosis", "stroma", "tumour"])
    }

    assert len(digests) == 1


def test_a_cap_on_multi_label_rows_keeps_the_proportions_of_sets() -> None:
    rows, _ = multi_label()

    report = split(rows, ratios={"train": 3, "val": 1}, label="tissues", max_patches=200).report()

    assert (report.splits["train"].rows, report.splits["val"].rows) == (150, 50)
    assert report.splits["train"].left_out == {"max_patches": 150}
    assert abs(report.splits["train"].classes["tumour"] / 150 - 0.6) < 0.06


def test_multi_label_rows_cannot_be_balanced_by_class() -> None:
    with pytest.raises(SplitError, match="balance counts rows by class, and multi-label rows have several"):
        split(multi_label()[0], ratios=HALVES, label="tissues", balance="equal")
    with pytest.raises(SplitError, match="multi-label rows have several classes"):
        split(multi_label()[0], ratios=HALVES, label="tissues").class_codes("a")


def test_labels_chosen_of_multi_label_rows() -> None:
    report = split(multi_label()[0], ratios=HALVES, label="tissues", labels=["tumour", "stroma"]).report()

    assert set(report.splits["a"].classes) == {"stroma", "tumour"}
    assert report.rows == 400


def test_null_lists_and_null_labels_in_lists() -> None:
    null_list = metadata([0, 1, 0], tissues=pa.array([["a"], None, ["b"]]))
    null_label = metadata([0, 1, 0], tissues=pa.array([["a"], ["b", None], ["b"]]))

    with pytest.raises(SplitError, match="column 'tissues' is null in 1 of 3 rows .first: row 1"):
        split(null_list, ratios=HALVES, label="tissues")
    with pytest.raises(SplitError, match="null among the labels of 1 of 3 rows .first: row 1, patch_id="):
        split(null_label, ratios=HALVES, label="tissues")


def test_quantiles_stratify_a_number() -> None:
    random = np.random.default_rng(1)
    survival = random.exponential(10.0, 600)
    rows = metadata([0] * 600, [f"p{i // 6}" for i in range(600)], survival=survival)

    splits = split(rows, ratios={"train": 3, "val": 1}, label="survival", quantiles=5, group_by="patient_id")

    report = splits.report()
    assert [sum(of.classes[cls] for of in report.splits.values()) for cls in map(str, splits.classes)] == [120] * 5
    assert report.off_target < 0.02
    means = [float(np.mean(splits.table(name).column("survival").to_numpy())) for name in splits.names]
    assert abs(means[0] - means[1]) < 1.5


def test_quantiles_of_numbers_that_repeat() -> None:
    splits = split(
        metadata([0] * 40, score=[1.0] * 30 + [2.0] * 5 + [3.0] * 5), ratios=HALVES, label="score", quantiles=4
    )

    assert len(splits.classes) == 2  # 1 and above; more ranges would be empty.
    assert sum(of.classes[splits.classes[0]] for of in splits.report().splits.values()) == 30


def test_a_null_number() -> None:
    with pytest.raises(SplitError, match="column 'score' is null in 1 of 4 rows"):
        split(metadata([0] * 4, score=[1.0, None, 2.0, 3.0]), ratios=HALVES, label="score", quantiles=2)


def test_a_dictionary_may_hold_values_that_no_row_has() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 2] * 6, pa.int32()), ["x", "unused", "y"])
    rows = metadata([0] * 12, tissue=column)

    assert split(rows, ratios=HALVES, label="tissue").classes == ("x", "y")
    assert split(rows, ratios=HALVES, label="tissue", labels=["y"]).report().dropped == {"labels": 6}
