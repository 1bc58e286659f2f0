"""Cross-validation: nested validation, repetitions."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from tests.support.split_rows import metadata, patients
from tfcass.errors import SplitError
from tfcass.splits import Splits, repeated_folds, split

ROWS = patients([(6 + p % 4, 3 + p % 3) for p in range(30)])


def groups(splits, name: str) -> set[str]:
    return set(splits.table(name).column("patient_id").to_pylist())


@pytest.mark.parametrize("turn", range(5))
def test_nested_validation_keeps_groups_apart_and_classes_alike(turn: int) -> None:
    splits = split(ROWS, folds=5, group_by="patient_id")

    fold = splits.fold(turn, validation=0.25)

    assert fold.names == ("train", "val", "test")
    assert np.array_equal(fold.keys("test"), splits.keys(f"fold{turn}"))
    for a, b in itertools.combinations(fold.names, 2):
        assert not groups(fold, a) & groups(fold, b)
    assert sum(map(fold.rows, fold.names)) == ROWS.num_rows
    report = fold.report()
    assert [of.target for of in report.splits.values()] == pytest.approx([0.6, 0.2, 0.2])
    assert report.off_target < 0.03


def test_nested_validation_is_the_same_each_time_and_another_each_turn(tmp_path) -> None:
    splits = split(ROWS, folds=5, group_by="patient_id", seed=3)
    splits.save(tmp_path)

    digests = [splits.fold(turn, validation=0.2).digest for turn in range(5)]

    assert digests == [Splits.load(tmp_path).fold(turn, validation=0.2).digest for turn in range(5)]
    assert len(set(digests)) == 5


def test_folds_of_covered_multi_label_rows() -> None:
    random = np.random.default_rng(0)
    rows = metadata(
        [0] * 240,
        [f"p{i // 6}" for i in range(240)],
        tissues=pa.array([[name for name in "abc" if random.random() < 0.5] for _ in range(240)]),
        site=pa.array(["A", "B"]).dictionary_encode().take(pa.array(np.arange(240) // 6 % 2)),
    )

    fold = split(rows, folds=4, label="tissues", group_by="patient_id", cover="site").fold(2, validation=0.3)

    assert all(min(of.covers["site"].values()) > 0 for of in fold.report().splits.values())
    assert fold.report().leaks == {}
    assert sum(map(fold.rows, fold.names)) == 240


def test_one_turn_counts_how_far_off_it_is() -> None:
    report = split(ROWS, folds=5, group_by="patient_id").fold(0).report()

    assert report.splits["val"].target == pytest.approx(0.2)
    assert abs(report.splits["val"].off["0"]) < 0.03
    assert report.splits["train"].off["1"] == pytest.approx(-report.splits["val"].off["1"])


def test_repetitions_have_other_folds_and_are_the_same_each_time() -> None:
    made = repeated_folds(ROWS, folds=3, repeats=4, seed=1, group_by="patient_id")
    again = repeated_folds(ROWS, folds=3, repeats=4, seed=1, group_by="patient_id")

    assert len({splits.digest for splits in made}) == 4
    assert [splits.digest for splits in made] == [splits.digest for splits in again]
    assert all(splits.report().off_target < 0.03 for splits in made)


@pytest.mark.parametrize(
    ("turn", "validation", "message"),
    [
        (5, None, r"fold\(5\) is not in \[0, 5\)"),
        (True, None, r"fold\(True\) is not in"),
        (0, 0.0, "validation=0.0.: the share is not between 0 and 1"),
        (0, 1, "validation=1.: the share is not between"),
        (0, "0.1", "validation='0.1'.: the share is not"),
    ],
)
def test_bad_turns(turn, validation, message) -> None:
    with pytest.raises(SplitError, match=message):
        split(ROWS, folds=5, group_by="patient_id").fold(turn, validation=validation)


def test_bad_repetitions() -> None:
    with pytest.raises(SplitError, match="repeats=0 is not a positive"):
        repeated_folds(ROWS, folds=3, repeats=0)
    with pytest.raises(SplitError, match="seed=-1 is not"):
        repeated_folds(ROWS, folds=3, repeats=2, seed=-1)
