"""What the report says is counted from rows, slides and files, and from nothing else."""

import json
import uuid

import numpy as np
import pyarrow as pa
import pytest

import tfcass
from beam_pipelines.slides.errors import SlideError
from tests.support.slide_files import PINK, paint_tissue, write_pyramid
from tfcass.demo import gather
from tfcass.demo.contents import Confusion
from tfcass.demo.predict import rows_of_test_patients, write_results
from tfcass.demo.settings import Paths
from tfcass.errors import TfcassError

_SCHEMA = pa.schema(
    [
        ("patch_id", pa.binary(16)),
        ("patient_id", pa.string()),
        ("slide", pa.string()),
        ("label", pa.int32()),
        ("x", pa.int32()),
        ("y", pa.int32()),
    ]
)


def _metadata(*slides):
    """Rows of slides (name, patient, labels): patches side by side from (512, 1024) on."""
    rows = []
    for name, patient, labels in slides:
        for place, label in enumerate(labels):
            patch_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {place}").bytes
            rows.append((patch_id, patient, name, label, 512 * (place + 1), 1024))
    return pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in rows], schema=_SCHEMA)


@pytest.fixture
def metadata():
    return _metadata(
        ("P1-1.tiff", "P1", [0, 0, 1]),
        ("P1-2.tiff", "P1", [0, 1, 1]),
        ("P2-1.tiff", "P2", [0, 0, 1, 1]),
        ("P3-1.tiff", "P3", [0, 1]),
    )


@pytest.fixture
def splits(metadata):
    bags = {"train": ["P1"], "val": ["P2"], "test": ["P3"]}
    ratios = {"train": 2, "val": 1, "test": 1}
    return tfcass.split(metadata, ratios=ratios, group_by=["patient_id"], bags=bags, max_patches=8)


def test_counts_of_splits_tell_what_was_used_and_what_is_stored(splits, metadata):
    train, val, test = gather.count_splits(splits, metadata)

    assert (train.name, train.patients, train.slides, train.stored_by_label) == ("train", ["P1"], 2, (3, 3))
    assert (val.name, val.patients, val.slides, val.stored) == ("val", ["P2"], 1, 4)
    assert (train.used, val.used, test.used) == tuple(splits.table(name).num_rows for name in splits.names)
    assert train.used < train.stored


def test_leaks_are_found_by_comparing_the_rows(splits, metadata):
    class Leaking:
        names = splits.names

        def table(self, name):
            return metadata.slice(0, 7) if name == "train" else splits.table(name)  # The 7th row is of P2.

    assert gather.count_leaks(splits) == {("train", "val"): 0, ("train", "test"): 0, ("val", "test"): 0}
    assert gather.count_leaks(Leaking()) == {("train", "val"): 1, ("train", "test"): 0, ("val", "test"): 0}


def test_the_contact_sheet_shows_every_slide_and_as_many_of_each_class(metadata):
    chosen = gather.choose_patches(metadata, per_class=4, seed=1)

    assert chosen["label"].to_pylist() == [0] * 4 + [1] * 4
    for label in (0, 1):
        assert set(chosen.slice(4 * label, 4)["slide"].to_pylist()) == set(metadata["slide"].to_pylist())
    assert len(set(chosen["patch_id"].to_pylist())) == 8
    assert chosen.equals(gather.choose_patches(metadata, per_class=4, seed=1))


def test_the_contact_sheet_takes_what_there_is_of_a_rare_class(metadata):
    chosen = gather.choose_patches(metadata, per_class=100, seed=1)

    assert chosen.num_rows == metadata.num_rows


def test_all_patches_of_test_patients_are_predicted_and_those_of_the_split_marked(splits, metadata):
    splits_with_fewer = tfcass.split(
        metadata,
        ratios={"train": 1, "test": 1},
        group_by=["patient_id"],
        bags={"test": ["P1"], "train": ["P2", "P3"]},
        max_patches=6,
    )

    rows = rows_of_test_patients(metadata, splits_with_fewer)

    assert set(rows["patient_id"].to_pylist()) == {"P1"}
    assert rows.num_rows == 6
    marked = rows.filter(rows["in_split"])["patch_id"].to_pylist()
    assert set(marked) == set(splits_with_fewer.table("test")["patch_id"].to_pylist())
    assert 0 < len(marked) < 6


def test_predictions_on_a_full_disk_are_one_clear_error_and_the_old_ones_stay(metadata, tmp_path, monkeypatch):
    paths = Paths(tmp_path)
    paths.predictions.parent.mkdir(parents=True, exist_ok=True)
    write_results(metadata, {"accuracy": 0.5}, paths)
    before = paths.predictions.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tfcass._files.os.fsync", full)
    with pytest.raises(TfcassError, match="cannot write .*predictions.parquet.*No space left on device"):
        write_results(metadata.slice(3), {"accuracy": 0.6}, paths)

    assert paths.predictions.read_bytes() == before


def test_the_confusion_counts_only_what_the_split_took():
    predictions = pa.table(
        {
            "label": pa.array([0, 0, 1, 1, 1], pa.int32()),
            "probability": pa.array([0.2, 0.5, 0.49, 0.9, 0.1], pa.float32()),
            "in_split": [True, True, True, True, False],
        }
    )

    confusion = gather.confusion_of_predictions("test", predictions)

    assert confusion.counts.tolist() == [[1, 1], [1, 1]]


def test_curves_come_from_the_history_by_epoch(tmp_path):
    path = tmp_path / "history.json"
    epochs = [
        {"epoch": 1, "loss": 0.6, "val_loss": 0.5, "accuracy": 0.7, "val_accuracy": 0.8, "seconds": 1},
        {"epoch": 2, "loss": 0.3, "val_loss": 0.4, "accuracy": 0.9, "val_accuracy": 0.85, "seconds": 1},
    ]
    path.write_text(json.dumps({"epochs": epochs}))

    history = gather.read_history(path, Confusion("val", np.array([[3, 0], [1, 0]])))

    assert (history.loss, history.val_accuracy, history.majority) == ([0.6, 0.3], [0.8, 0.85], 0.75)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot read .*history.json"), ("{", "cannot read .*history.json"), ('{"epochs": [{}]}', "no 'loss'")],
    ids=["absent", "cut short", "without loss"],
)
def test_a_history_that_cannot_be_used_is_named(tmp_path, content, told):
    path = tmp_path / "history.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(TfcassError, match=told):
        gather.read_history(path, Confusion("val", np.eye(2, dtype=int)))


@pytest.mark.slides
def test_a_slide_is_shown_with_its_patches_outlines_and_predictions(tmp_path, splits, metadata):
    slide = write_pyramid(tmp_path / "P3-1.tiff", paint_tissue(2048, {(0, 0, 2048, 1024): PINK}))
    square = [[0, 0], [1000, 0], [1000, 500], [0, 500]]
    annotation = tmp_path / "regions.csv"
    annotation.write_text('slide,label,path\nP3-1.tiff,tumor,"' + json.dumps(square) + '"\n')
    ids = metadata.filter(pa.compute.equal(metadata["slide"], "P3-1.tiff"))["patch_id"].to_pylist()

    (view,) = gather.slide_views(
        [slide],
        [annotation],
        metadata,
        splits=splits,
        probabilities={ids[0]: 0.1, ids[1]: 0.8},
        patch_side_l0=512,
    )

    assert (view.name, view.patient_id, view.split, view.size_l0) == ("P3-1.tiff", "P3", "test", (2048, 2048))
    assert view.thumbnail.shape == (gather.THUMBNAIL_PX, gather.THUMBNAIL_PX, 3)
    assert view.downsample == pytest.approx(2048 / gather.THUMBNAIL_PX)
    assert view.mpp == pytest.approx(0.25)
    assert view.corners_l0.tolist() == [[512, 1024], [1024, 1024]]
    assert view.labels.tolist() == [0, 1]
    assert view.probabilities.tolist() == [0.1, 0.8]
    assert view.right == 1.0
    (outline,) = view.outlines
    assert outline.label == 1
    assert {tuple(vertex) for vertex in outline.vertices_l0.tolist()} == {tuple(vertex) for vertex in square}


@pytest.mark.slides
def test_a_slide_without_patches_and_predictions_is_shown_all_the_same(tmp_path, splits, metadata):
    slide = write_pyramid(tmp_path / "Q1-1.tiff", paint_tissue(1024, {}))

    (view,) = gather.slide_views([slide], [], metadata, splits=splits, probabilities={}, patch_side_l0=512)

    assert (view.patient_id, view.split, len(view.corners_l0), view.probabilities) == ("", "", 0, None)


@pytest.mark.slides
def test_a_slide_that_cannot_be_opened_is_named(tmp_path, splits, metadata):
    (tmp_path / "P1-1.tiff").write_text("not a slide")

    with pytest.raises(SlideError, match="P1-1.tiff"):
        gather.slide_views([tmp_path / "P1-1.tiff"], [], metadata, splits=splits, probabilities={}, patch_side_l0=512)
