"""Keras 3 on two real Horovod processes: same model on both, disjoint rows, exact metrics, resume, no hang."""

import json
import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.horovod_processes import ROOT, run_alone, run_on_ranks
from tests.support.split_rows import metadata
from tfcass.splits import Splits, split

SCRIPT = ROOT / "tests" / "support" / "train_numbers.py"
TRAIN_ROWS, EPOCHS = 161, 3

pytestmark = [pytest.mark.horovod, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = metadata([0] * (TRAIN_ROWS + 81))  # Both odd: two ranks cannot share them evenly.
    folder = tmp_path_factory.mktemp("splits")
    split(rows, ratios={"train": TRAIN_ROWS, "val": 81}).save(folder)
    return folder


@pytest.fixture(scope="module")
def two_ranks(splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of an undisturbed training."""
    out = tmp_path_factory.mktemp("two")
    process = run_on_ranks(SCRIPT, ["--splits", splits, "--out", out, "--epochs", EPOCHS], size=2)
    assert process.returncode == 0, process.stdout
    return out


def result(out: Path, rank: int) -> dict:
    return json.loads((out / f"rank{rank}.json").read_text())


def test_ranks_read_disjoint_rows_of_each_epoch_in_a_new_order(splits: Path, two_ranks: Path) -> None:
    first, second = (result(two_ranks, rank)["epochs"] for rank in (0, 1))
    train = {bytes(key).hex() for key in Splits.load(splits).keys("train")}

    assert len(first) == len(second) == EPOCHS
    for ours, theirs in zip(first, second, strict=True):
        assert len(ours) == len(theirs) == len(set(ours)) == len(set(theirs)) == TRAIN_ROWS // 2
        assert not set(ours) & set(theirs)
        assert set(ours) | set(theirs) <= train
    assert len({tuple(epoch) for epoch in first}) == EPOCHS
    assert {key for epoch in [*first, *second] for key in epoch} == train  # What one epoch leaves out another reads.


def test_ranks_end_with_the_same_model_though_they_began_apart(two_ranks: Path) -> None:
    assert result(two_ranks, 0)["weights"] == result(two_ranks, 1)["weights"]


def test_learning_rate_is_scaled_by_the_number_of_ranks(two_ranks: Path) -> None:
    assert result(two_ranks, 0)["learning_rate"] == pytest.approx(2 * 5e-3)


def test_validation_over_uneven_shards_equals_that_over_all_rows(two_ranks: Path) -> None:
    for rank in (0, 1):
        history = result(two_ranks, rank)["history"]
        loss, accuracy = result(two_ranks, rank)["whole_val"]

        assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)
        assert history["val_accuracy"][-1] == pytest.approx(accuracy, rel=1e-5)


def test_the_confusion_matrix_counts_every_row_once(two_ranks: Path) -> None:
    matrix = np.array(result(two_ranks, 0)["confusion"])

    assert matrix.sum() == 81
    assert matrix.trace() / 81 == pytest.approx(result(two_ranks, 0)["whole_val"][1], rel=1e-5)
    assert result(two_ranks, 1)["confusion"] == matrix.tolist()


def test_the_log_has_an_entry_for_each_epoch(two_ranks: Path) -> None:
    epochs = json.loads((two_ranks / "history.json").read_text())["epochs"]

    assert [entry["epoch"] for entry in epochs] == [1, 2, 3]
    assert [entry["val_loss"] for entry in epochs] == result(two_ranks, 0)["history"]["val_loss"]
    assert all(entry["seconds"] > 0 and entry["rows_per_s"] > 0 for entry in epochs)


def test_the_saved_model_loads_without_tfcass_and_horovod(two_ranks: Path) -> None:
    model = keras.models.load_model(two_ranks / "model.keras")

    assert type(model.optimizer) is keras.optimizers.Adam


def test_a_killed_rank_ends_the_run_and_the_next_one_ends_as_if_nothing_had_happened(
    splits: Path, two_ranks: Path, tmp_path: Path
) -> None:
    args = ["--splits", splits, "--out", tmp_path, "--epochs", EPOCHS]
    killed = run_on_ranks(SCRIPT, [*args, "--kill-rank-1-in", 2], size=2)  # Fails if it does not end by itself.
    assert killed.returncode != 0
    assert f"Exit code: {128 + signal.SIGKILL}" in killed.stdout
    assert not (tmp_path / "rank0.json").exists()

    resumed = run_on_ranks(SCRIPT, args, size=2)

    assert resumed.returncode == 0, resumed.stdout
    for rank in (0, 1):
        assert result(tmp_path, rank)["first"] == 1
        assert result(tmp_path, rank)["epochs"] == result(two_ranks, rank)["epochs"][1:]
        assert result(tmp_path, rank)["weights"] == result(two_ranks, rank)["weights"]
    assert [entry["epoch"] for entry in json.loads((tmp_path / "history.json").read_text())["epochs"]] == [1, 2, 3]


def test_ranks_with_different_seeds_do_not_start(splits: Path, tmp_path: Path) -> None:
    process = run_on_ranks(SCRIPT, ["--splits", splits, "--out", tmp_path, "--seed-of-rank-1", 5], size=2)

    assert process.returncode != 0
    assert "SplitError: ranks train on different data" in process.stdout
    assert not (tmp_path / "history.json").exists()


def test_xla_is_refused_in_one_sentence(splits: Path, tmp_path: Path) -> None:
    process = run_on_ranks(SCRIPT, ["--splits", splits, "--out", tmp_path, "--jit"], size=2)

    assert process.returncode != 0
    assert "OptionError: the model is compiled with XLA: pass jit_compile=False" in process.stdout


def test_a_process_of_its_own_needs_no_horovod(splits: Path, tmp_path: Path) -> None:
    # An empty module of that name stands for a machine without Horovod.
    (tmp_path / "horovod").mkdir()
    (tmp_path / "horovod" / "__init__.py").write_text("raise ImportError('not here')")

    process = run_alone(
        SCRIPT,
        ["--splits", splits, "--out", tmp_path / "out", "--epochs", 1],
        env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )

    assert process.returncode == 0, process.stdout
    assert result(tmp_path / "out", 0)["size"] == 1
    assert len(result(tmp_path / "out", 0)["epochs"][0]) == TRAIN_ROWS
    assert np.sum(result(tmp_path / "out", 0)["confusion"]) == 81
