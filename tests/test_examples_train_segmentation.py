"""examples/train_segmentation.py on a real server: it learns masks, reports IoU, goes on, and names wrong rows."""

import io
import json
import uuid
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfcass
from tests.support.examples import address, error_of_example, load_example, run_example
from tests.support.mask_tables import SIZE_PX, png, write_masks
from tfcass import images

pytestmark = pytest.mark.timeout(300)

EXAMPLE = load_example("train_segmentation")


@pytest.fixture(scope="module")
def splits(cassandra: tfcass.Cluster, shared_keyspace: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved splits of 32 patches with masks, which are in the keyspace then."""
    write_masks(cassandra, shared_keyspace)
    rows = tfcass.read_rows(f"{shared_keyspace}.metadata_by_nat", cluster=cassandra)
    folder = tmp_path_factory.mktemp("segmentation") / "splits"
    tfcass.split(rows, ratios={"train": 3, "val": 1}, group_by="patient_id").save(folder)
    return folder


@pytest.fixture
def flags(cassandra: tfcass.Cluster, shared_keyspace: str, splits: Path, tmp_path: Path) -> list[object]:
    paths = ["--splits", splits, "--out", tmp_path / "out"]
    small = ["--image-size", SIZE_PX, "--batch", 4, "--filters", 4, "--learning-rate", 0.005]
    return [*address(cassandra, shared_keyspace), *paths, *small, "--classes", "tissue", "nucleus"]


def test_it_learns_and_goes_on_where_it_stopped(flags, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"

    run_example(EXAMPLE, [*flags, "--epochs", 5])
    run_example(EXAMPLE, [*flags, "--epochs", 6])

    epochs = json.loads((out / "history.json").read_text())["epochs"]
    assert [entry["epoch"] for entry in epochs] == list(range(1, 7))
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    result = json.loads((out / "iou.json").read_text())
    assert set(result["iou"]) == {"tissue", "nucleus"}
    assert result["iou"]["nucleus"] > 0.5  # Colour alone tells them apart.
    assert result["pixels"] == 8 * (SIZE_PX - 4) * SIZE_PX  # The strip that nobody annotated is not counted.
    assert "val: IoU tissue 0." in capsys.readouterr().out
    # The same IoU from the model that was left behind, on masks read here.
    model = keras.models.load_model(out / "segmentation.keras", compile=False)
    assert model.output_shape == (None, SIZE_PX, SIZE_PX, 2)
    # The picture has a row a patch, of three panels.
    with Image.open(out / "examples.png") as picture:
        assert picture.width == 3 * 160 + 4 * 8 and picture.height == 28 + 4 * 168 + 24


def test_a_mask_of_another_size_than_its_image_is_named(
    flags, splits: Path, cassandra_session, shared_keyspace: str, capsys
) -> None:
    key = uuid.UUID(bytes=tfcass.Splits.load(splits).keys("train")[3].tobytes())
    table = f"{shared_keyspace}.data_by_uuid"
    stored = cassandra_session.execute(f"SELECT label FROM {table} WHERE patch_id = {key}").one().label
    change = f"UPDATE {table} SET label = %s WHERE patch_id = %s"
    cassandra_session.execute(change, (png(np.zeros((SIZE_PX // 2, SIZE_PX), np.uint8)), key))
    try:
        told = error_of_example(EXAMPLE, [*flags, "--epochs", 1], capsys)
    finally:
        cassandra_session.execute(change, (stored, key))

    assert f"mask of row {key} is 32 x 16 pixels, and its image 32 x 32" in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--image-size", 30], "--image-size 30 does not divide by 8"),
        (["--splits", "/nowhere"], "no splits in /nowhere"),
        (["--table", "data_by_uid"], "did you mean"),
        (["--train", "trian"], "split='trian' is not in these splits"),
    ],
)
def test_a_mistake_is_told_in_one_line(flags, change: list[object], message: str, capsys) -> None:
    assert message in error_of_example(EXAMPLE, [*flags, "--epochs", 1, *change], capsys)


def test_labels_that_are_numbers_are_told(flags, cassandra_session, shared_keyspace: str, capsys) -> None:
    cassandra_session.execute(
        f"CREATE TABLE {shared_keyspace}.numbers (patch_id uuid PRIMARY KEY, label int, data blob)"
    )

    told = error_of_example(EXAMPLE, [*flags, "--table", "numbers"], capsys)

    assert f"column label of {shared_keyspace}.numbers is int32: segmentation needs masks there, a blob" in told


# The op of the masks, without a server --------------------------------------------------------------------------------


KEY = uuid.UUID("0b9f2a52-7e43-5d4a-9c3e-6f2f0a1b2c00")
MASK = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)


def decoded(contents: bytes, **settings) -> np.ndarray:
    settings = {"classes": 3, "size": tf.constant([2, 3]), **settings}
    # As in tf.data: traced, nothing known of the file.
    return tf.function(lambda data: images.decode_mask(data, key=tfcass.keys([KEY])[0], **settings))(contents).numpy()


def test_a_mask_gives_back_its_classes() -> None:
    np.testing.assert_array_equal(decoded(png(MASK)), MASK)


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(MASK).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("contents", "settings", "message"),
    [
        (png(MASK), {"classes": 2}, f"mask of row {KEY} has the value 2, which is not in [0, 2)"),
        (png(MASK), {"ignored": None}, "has the value 255, which is not in [0, 3)"),
        (png(MASK), {"size": tf.constant([3, 3])}, "is 3 x 2 pixels, and its image 3 x 3"),
        (png(MASK, "RGB"), {}, "has 3 channels; write it in grey, without palette"),
        (png(MASK, "P"), {}, "channels; write it in grey, without palette"),
        (_jpeg(), {}, f"mask of row {KEY} is not a PNG"),
        (b"", {}, "is not a PNG"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(contents: bytes, settings: dict, message: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as told:
        decoded(contents, **settings)

    assert message in str(told.value)
