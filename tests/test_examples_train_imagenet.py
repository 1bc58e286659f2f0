"""Folders of images -> beam_pipelines.ingest_images -> examples/train_imagenet.py on two Horovod processes."""

import json
from pathlib import Path

import pytest

import tfcass
from beam_pipelines.ingest_images import main as ingest
from tests.support.examples import FOLDER, address, error_of_example, load_example, run_example
from tests.support.horovod_processes import run_on_ranks
from tests.support.image_folders import CLASSES, write_image_folders

pytestmark = pytest.mark.timeout(300)

EXAMPLE = load_example("train_imagenet")
SMALL = ["--model", "small", "--image-size", 32, "--batch", 6, "--learning-rate", 0.8, "--smallest-crop", 0.4]


@pytest.fixture(scope="module")
def images(cassandra: tfcass.Cluster, shared_keyspace: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A keyspace with 36 images to train on and 12 to validate on, as JPEG and TIFF, 48 px wide."""
    folder = tmp_path_factory.mktemp("images")
    where = ["--host", cassandra.contact_points[0], "--port", cassandra.port, "--keyspace", shared_keyspace]
    how = ["--size", 48, "--encoding", "jpeg,tiff", "--workers", 1, "--no-progress"]
    for seed, (subset, per_class) in enumerate({"train": 12, "val": 4}.items()):
        source = write_image_folders(folder / subset, per_class=per_class, seed=seed)
        command = ["--images", source, "--subset", subset, "--output", folder / f"out_{subset}", *where, *how]
        assert ingest([str(word) for word in command]) == 0
    return shared_keyspace


@pytest.mark.horovod
def test_two_processes_train_on_ingested_folders(images: str, cassandra: tfcass.Cluster, tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = [*address(cassandra, images), *SMALL, "--out", out, "--warmup-epochs", 2]

    process = run_on_ranks(FOLDER / "train_imagenet.py", [*flags, "--epochs", 8], size=2, timeout_s=280)

    assert process.returncode == 0, process.stdout
    assert "WARNING" not in process.stdout
    summary = json.loads((out / "summary.json").read_text())
    assert summary["ranks"] == 2
    assert (summary["train_rows"], summary["val_rows"], summary["classes"]) == (36, 12, 3)
    assert summary["peak_learning_rate"] == pytest.approx(0.8 * 12 / 256)
    assert summary["val_top1"] > 0.6  # Guessing gives a third.
    epochs = json.loads((out / "history.json").read_text())["epochs"]
    assert [entry["epoch"] for entry in epochs] == list(range(1, 9))
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    splits = tfcass.Splits.load(out / "splits")
    assert {name: set(splits.table(name)["subset"].to_pylist()) for name in splits.names} == {
        "train": {"train"},
        "val": {"val"},
    }


def test_a_table_of_tiff_and_a_network_of_keras_train_as_well(
    images: str, cassandra: tfcass.Cluster, tmp_path: Path, capsys
) -> None:
    flags = [*address(cassandra, images), *SMALL, "--out", tmp_path / "out", "--table", "data_by_uuid_tiff"]

    run_example(EXAMPLE, [*flags, "--epochs", 1])

    assert "val: top-1" in capsys.readouterr().out
    assert EXAMPLE.make_model("VGG16", 32, len(CLASSES)).output_shape == (None, 3)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    args = EXAMPLE.parse_args(["--epochs", "10", "--warmup-epochs", "2", "--learning-rate", "0.1"])

    rate = EXAMPLE.learning_rate(args, steps=50, images_of_step=1024)

    values = [float(rate(step)) for step in (0, 50, 100, 300, 500)]
    assert values == pytest.approx([0.0, 0.2, 0.4, 0.2, 0.0], abs=1e-6)


def test_without_subsets_a_share_of_each_class_is_set_aside(images: str, cassandra: tfcass.Cluster) -> None:
    rows = tfcass.read_rows(f"{images}.images_by_class", cluster=cassandra, columns=["patch_id", "label", "subset"])
    bare = rows.set_column(2, "subset", [[""] * rows.num_rows])

    splits = EXAMPLE.make_splits(bare, EXAMPLE.parse_args(["--val-share", "0.25"]))

    assert sorted(splits.table("val")["label"].to_pylist()) == [0] * 4 + [1] * 4 + [2] * 4
    assert len(splits.keys("train")) == 36
    one_subset = rows.filter([value == "train" for value in rows["subset"].to_pylist()])
    with pytest.raises(tfcass.OptionError, match="has images of the subsets train: ingest both"):
        EXAMPLE.make_splits(one_subset, EXAMPLE.parse_args([]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--model", "ResNet"], "--model ResNet is not 'small' or one of keras.applications: "),
        (["--table", "data_by_uuid_png"], "did you mean"),
        (["--metadata-table", "images"], "has no table 'images'"),
        (["--smallest-crop", 0], "is not a range in (0, 1]"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    images: str, cassandra: tfcass.Cluster, tmp_path: Path, change: list[object], message: str, capsys
) -> None:
    flags = [*address(cassandra, images), *SMALL, "--out", tmp_path / "out", "--epochs", 1]

    assert message in error_of_example(EXAMPLE, [*flags, *change], capsys)
