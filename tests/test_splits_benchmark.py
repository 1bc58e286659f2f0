"""The benchmark of splits runs and saves what it measured. No time is asserted."""

from pathlib import Path

import pytest

from benchmarks import splits
from benchmarks.harness import Bench, Result


def test_it_runs_beside_scikit_learn(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")

    results = splits.splits(Bench(servers=None, rounds=1, quick=True, scratch=tmp_path))

    assert [result.name for result in results] == ["splits", "splits_seconds"]
    loaded = Result.load(results[0].save(tmp_path))
    assert loaded.samples[0].ours > 0 and loaded.samples[0].against > 0
    assert "10,000 rows, 50 groups, 10 classes" in loaded.detail


def test_rows_are_those_of_the_shape() -> None:
    rows = splits.rows(splits.Shape(5_000, 20, 7))

    assert rows.num_rows == 5_000
    assert len(rows["patient_id"].unique()) == 20
    assert sorted(rows["label"].unique().to_pylist()) == list(range(7))
