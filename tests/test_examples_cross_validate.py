"""examples/cross_validate.py on a real server: every group is validated on once, and a stopped run goes on."""

import json
import statistics
from pathlib import Path

import pytest

import tfcass
from tests.support.examples import FOLDER, address, error_of_example, load_example, run_example
from tests.support.horovod_processes import run_on_ranks
from tests.support.patch_tables import write_patches

pytestmark = pytest.mark.timeout(300)

EXAMPLE = load_example("cross_validate")
FOLDS = 3


@pytest.fixture(scope="module")
def patches(cassandra: tfcass.Cluster, shared_keyspace: str) -> str:
    """A keyspace with 36 patches of 3 patients."""
    write_patches(cassandra, shared_keyspace, patients=FOLDS, per_class=6)
    return shared_keyspace


@pytest.fixture
def flags(cassandra: tfcass.Cluster, patches: str, tmp_path: Path) -> list[object]:
    small = ["--image-size", 32, "--batch", 6, "--epochs", 2]
    return [*address(cassandra, patches), "--folds", FOLDS, "--out", tmp_path / "out", *small]


def test_each_patient_is_validated_on_once_and_a_stopped_run_goes_on(
    flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    out = tmp_path / "out"
    train = EXAMPLE.train_patches.main
    trained = []

    def stop_in_the_second(args) -> None:
        if trained:
            raise tfcass.TfcassError("the power went out")
        trained.append(args.out)
        train(args)

    monkeypatch.setattr(EXAMPLE.train_patches, "main", stop_in_the_second)
    assert "the power went out" in error_of_example(EXAMPLE, flags, capsys)
    assert (out / "fold0" / "result.json").exists() and not (out / "fold1" / "result.json").exists()
    monkeypatch.setattr(EXAMPLE.train_patches, "main", lambda args: (trained.append(args.out), train(args)))

    run_example(EXAMPLE, flags)

    assert trained == [out / f"fold{fold}" for fold in range(FOLDS)]  # The first one was not trained again.
    printed = capsys.readouterr().out
    assert "fold 1 of 3 was finished before" in printed and "cross-validation" in printed
    found = json.loads((out / "cross_validation.json").read_text())
    accuracies = [fold["accuracy"] for fold in found["folds"]]
    assert found["mean"]["accuracy"] == pytest.approx(sum(accuracies) / FOLDS)
    assert found["sd"]["accuracy"] == pytest.approx(statistics.stdev(accuracies))
    assert f"{found['mean']['accuracy']:.4f}" in printed
    patients = [
        set(tfcass.Splits.load(out / f"fold{fold}" / "splits").table("val")["patient_id"].to_pylist())
        for fold in range(FOLDS)
    ]
    assert sorted(patient for fold in patients for patient in fold) == ["p0", "p1", "p2"]
    for fold, result in enumerate(found["folds"]):
        confusion = json.loads((out / f"fold{fold}" / "confusion.json").read_text())["matrix"]
        assert (result["train_rows"], result["val_rows"]) == (24, 12)
        assert result["accuracy"] == pytest.approx((confusion[0][0] + confusion[1][1]) / 12)
        assert result["balanced_accuracy"] == pytest.approx((confusion[0][0] / 6 + confusion[1][1] / 6) / 2)


@pytest.mark.horovod
def test_two_processes_share_each_fold_and_other_settings_are_refused(flags, tmp_path: Path, capsys) -> None:
    command = [*flags, "--folds", 2, "--epochs", 1]

    process = run_on_ranks(FOLDER / "cross_validate.py", command, size=2, timeout_s=280)

    assert process.returncode == 0, process.stdout
    assert process.stdout.count("fold 2 of 2\n") == 1
    assert process.stdout.count("balanced") == 1
    for fold in range(2):
        assert json.loads((tmp_path / "out" / f"fold{fold}" / "summary.json").read_text())["ranks"] == 2
    other = [*flags, "--folds", 3]
    assert "holds a cross-validation with folds=2, not 3; pass another --out" in error_of_example(
        EXAMPLE, other, capsys
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--folds", 1], "folds=1 is not an integer of at least 2"),
        (["--folds", 4], "of 3 groups of"),
        (["--group-by", "patients"], "did you mean"),
        (["--metadata-table", "meta"], "has no table 'meta'"),
    ],
)
def test_a_mistake_is_told_in_one_line(flags, change: list[object], message: str, capsys) -> None:
    assert message in error_of_example(EXAMPLE, [*flags, *change], capsys)


def test_flags_of_a_fold_are_not_taken(flags, capsys) -> None:
    with pytest.raises(SystemExit):
        EXAMPLE.parse_args([*map(str, flags), "--splits", "here"])
    assert "--splits is set for each fold by cross-validation itself" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        EXAMPLE.parse_args([*map(str, flags), "--epoch-count", "3"])
    assert "--epoch-count" in capsys.readouterr().err
