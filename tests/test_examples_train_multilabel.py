"""examples/train_multilabel.py on a real server: labels in three forms, AUC of each class, changes that come again."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support.examples import address, error_of_example, load_example, run_example
from tests.support.multilabel_tables import CLASSES, SIZE_PX, write_multilabel

pytestmark = pytest.mark.timeout(300)

EXAMPLE = load_example("train_multilabel")
COLUMNS = ["--label-columns", "has_nuclei", "has_fat"]


@pytest.fixture(scope="module")
def flags(cassandra: tfcass.Cluster, shared_keyspace: str, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """For a keyspace with 48 patches and saved splits."""
    write_multilabel(cassandra, shared_keyspace)
    rows = tfcass.read_rows(f"{shared_keyspace}.metadata_by_nat", cluster=cassandra)
    splits = tmp_path_factory.mktemp("multilabel") / "splits"
    tfcass.split(rows, ratios={"train": 3, "val": 1}, group_by="patient_id").save(splits)
    small = ["--image-size", SIZE_PX, "--batch", 6, "--learning-rate", 0.003]
    return [*address(cassandra, shared_keyspace), "--splits", splits, *small]


def test_it_learns_each_class_and_goes_on(flags, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"

    run_example(EXAMPLE, [*flags, *COLUMNS, "--out", out, "--augment", "strong", "--epochs", 5])
    run_example(EXAMPLE, [*flags, *COLUMNS, "--out", out, "--augment", "strong", "--epochs", 6])

    result = json.loads((out / "auc.json").read_text())
    assert set(result["auc"]) == {"has_nuclei", "has_fat"}
    assert result["mean"] > 0.8
    assert (result["rows"], result["positive"]) == (12, {"has_nuclei": 6, "has_fat": 6})
    assert [entry["epoch"] for entry in json.loads((out / "history.json").read_text())["epochs"]] == list(range(1, 7))
    assert "val: has_fat: AUC " in capsys.readouterr().out


def test_the_same_seed_gives_the_same_training_whatever_form_the_labels_have(flags, tmp_path: Path) -> None:
    names = ["--classes", *CLASSES]
    forms = [COLUMNS, ["--label-columns", "label", *names], ["--label-columns", "findings", *names]]
    for i, form in enumerate(forms):
        run_example(EXAMPLE, [*flags, *form, "--out", tmp_path / f"out{i}", "--augment", "light", "--epochs", 1])

    losses = [json.loads((tmp_path / f"out{i}" / "history.json").read_text())["epochs"] for i in range(3)]
    for (epoch,) in losses[1:]:
        assert epoch["loss"] == pytest.approx(losses[0][0]["loss"], rel=1e-4)
        assert epoch["val_loss"] == pytest.approx(losses[0][0]["val_loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--label-columns", "label"], "--classes must name what the one label column 'label' holds"),
        (["--label-columns", "label", "--classes", "nuclei"], "a label of this batch has bits beyond the 1 classes"),
        (["--label-columns", "findings", "--classes", "fat"], "which is not one of fat"),
        (["--label-columns", "has_fat", "--classes", "fat"], "label column 'has_fat' is float32: a bitmask is an int"),
        (["--label-columns", "findings", "label"], "findings, label must be numbers or booleans"),
        ([*COLUMNS, "--classes", "a"], "--classes names 1 classes for 2 label columns"),
        ([*COLUMNS, "--label-smoothing", "1"], "--label-smoothing 1.0 is not in [0, 1)"),
        (["--label-columns", "has_fats", "has_nuclei"], "did you mean 'has_fat'"),
    ],
)
def test_a_mistake_is_told_in_one_line(flags, tmp_path: Path, change: list[str], message: str, capsys) -> None:
    assert message in error_of_example(EXAMPLE, [*flags, "--out", tmp_path / "out", "--epochs", 1, *change], capsys)


def test_bits_and_names_become_labels() -> None:
    bits = EXAMPLE.labels_of_bits(tf.constant([0, 5, 2]), 3)
    names = EXAMPLE.labels_of_names(tf.constant(["", "a;c", " b "]), ["a", "b", "c"])

    np.testing.assert_array_equal(bits, [[0, 0, 0], [1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(names, bits)
