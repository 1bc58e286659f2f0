"""float16, padding, warm-up and checkpoints in the middle of an epoch, by model.fit on two real Horovod processes."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.horovod_processes import ROOT, run_alone, run_on_ranks
from tests.support.split_rows import metadata
from tfcass.sharding import Plan
from tfcass.splits import Splits, split

SCRIPT = ROOT / "tests" / "support" / "train_mixed.py"
TRAIN_ROWS, STEPS = 161, 11  # Two ranks read 81 rows each, one of them a repeat.

pytestmark = [pytest.mark.horovod, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splits")
    split(metadata([0] * (TRAIN_ROWS + 9)), ratios={"train": TRAIN_ROWS, "val": 9}).save(folder)
    return folder


@pytest.fixture(scope="module")
def killed(splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks left behind, one of which was killed in the second epoch."""
    out = tmp_path_factory.mktemp("out")
    process = run_on_ranks(SCRIPT, ["--splits", splits, "--out", out, "--kill"], size=2, timeout_s=300)
    assert process.returncode != 0
    assert (out / "epoch1-rank0.json").exists(), process.stdout
    return out


def note(out: Path, name: str) -> dict:
    return json.loads((out / f"{name}.json").read_text())


def test_an_infinity_on_one_rank_makes_all_ranks_leave_out_that_step(killed: Path) -> None:
    first, second = note(killed, "epoch1-rank0"), note(killed, "epoch1-rank1")

    assert first == second  # Weights, loss scale and iterations.
    assert first["finite"]
    assert first["iterations"] == STEPS - 1
    assert first["scale"] == 2.0**14  # Half of what Keras begins with.


def test_the_learning_rate_warms_up_to_that_of_all_ranks(killed: Path) -> None:
    # After 10 of the 11 warm-up steps: the one that was left out does not count.
    assert note(killed, "epoch1-rank0")["learning_rate"] == pytest.approx(0.01 * (1 + 10 / 11))


def test_one_process_goes_on_in_the_middle_of_the_epoch_of_two(splits: Path, killed: Path) -> None:
    process = run_alone(SCRIPT, ["--splits", splits, "--out", killed], timeout_s=300)

    assert process.returncode == 0, process.stdout
    result = note(killed, "rank0")
    assert result["began"] == [1, 4 * 2 * 8]  # The checkpoint of step 4; 5 and 6 are trained on again.
    plan = Plan(Splits.load(splits), "train", seed=3)
    left = plan.keys(1, np.arange(4 * 2 * 8, TRAIN_ROWS))
    assert result["read"] == [bytes(key).hex() for key in left]
    assert note(killed, "epoch2-rank0")["iterations"] == STEPS - 1 + 4 + -(-len(left) // 8)
