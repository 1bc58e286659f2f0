"""Collects what the report shows: rows from Cassandra, pictures from slides, numbers from the stages' files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.drawing.views import Outline, PatchPicture, SlideView
from beam_pipelines.slides.annotations import Region, read_annotations
from beam_pipelines.slides.open import open_slide
from beam_pipelines.slides.tiles import LABELS
from tfcass.demo.contents import Confusion, History, SplitCount, TableCount
from tfcass.demo.workplace import read_json
from tfcass.errors import TfcassError
from tfcass.splits import Splits

THUMBNAIL_PX = 900  # Longest side: sharp on a dense screen at a third of the page, and about 100 kB.

_CLASSES = len(LABELS)


def slide_views(
    slides: Iterable[Path],
    annotations: Iterable[Path],
    metadata: pa.Table,
    *,
    splits: Splits,
    probabilities: Mapping[bytes, float],
    patch_side_l0: float,
) -> list[SlideView]:
    """One view a slide, ordered by split (as the splits name them) and name.

    Args:
      slides: Slide files. One that cannot be opened raises SlideError.
      annotations: CSV and GeoJSON files.
      metadata: Rows of the metadata table: patch_id, patient_id, slide, label, x, y.
      splits: Says in which split a patient is.
      probabilities: patch_id -> predicted probability of tumour, of all patches of some slides.
      patch_side_l0: Side of a patch in level-0 pixels.
    """
    regions = read_annotations(annotations)
    split_of = split_of_patient(splits)
    views = [_slide_view(path, regions.of(path), metadata, split_of, probabilities, patch_side_l0) for path in slides]
    order = {name: place for place, name in enumerate(splits.names)}
    return sorted(views, key=lambda view: (order.get(view.split, len(order)), view.name))


def split_of_patient(splits: Splits) -> dict[str, str]:
    """patient_id -> name of the split that has its patches."""
    return {patient: name for name in splits.names for patient in _distinct(splits.table(name), "patient_id")}


def _slide_view(
    path: Path,
    regions: Sequence[Region],
    metadata: pa.Table,
    split_of: Mapping[str, str],
    probabilities: Mapping[bytes, float],
    patch_side_l0: float,
) -> SlideView:
    rows = metadata.filter(pc.equal(metadata["slide"], path.name))
    patients = _distinct(rows, "patient_id")
    ids = rows["patch_id"].to_pylist()
    with open_slide(path) as slide:
        thumbnail = slide.thumbnail(max_size_px=THUMBNAIL_PX)
        size_l0 = (slide.width_l0, slide.height_l0)
        mpp = slide.mpp[0] if slide.mpp else None
    return SlideView(
        name=path.name,
        patient_id=patients[0] if patients else "",
        split=split_of.get(patients[0], "") if patients else "",
        thumbnail=thumbnail,
        downsample=max(1.0, max(size_l0) / THUMBNAIL_PX),
        corners_l0=np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], axis=1),
        labels=rows["label"].to_numpy(),
        patch_side_l0=patch_side_l0,
        outlines=[outline for region in regions for outline in _outlines(region)],
        size_l0=size_l0,
        mpp=mpp,
        probabilities=np.array([probabilities[key] for key in ids])
        if ids and all(key in probabilities for key in ids)
        else None,
    )


def _outlines(region: Region) -> Iterable[Outline]:
    """Outer and inner rings of a region's polygons."""
    polygons = getattr(region.polygon, "geoms", [region.polygon])
    for polygon in polygons:
        for ring in (polygon.exterior, *polygon.interiors):
            yield Outline(LABELS[region.label], np.asarray(ring.coords)[:-1, :2])


def choose_patches(metadata: pa.Table, per_class: int, seed: int) -> pa.Table:
    """Rows for the contact sheet: as many of each class, in turn over the slides, at random within a slide."""
    chosen = []
    for label in range(_CLASSES):
        rows = metadata.filter(pc.equal(metadata["label"], label))
        rng = np.random.default_rng([seed, label])
        by_slide = [rng.permutation(np.flatnonzero(_mask(rows, "slide", slide))) for slide in _distinct(rows, "slide")]
        in_turn = [
            queue[turn] for turn in range(max(map(len, by_slide), default=0)) for queue in by_slide if turn < len(queue)
        ]
        chosen.append(rows.take(pa.array(in_turn[:per_class], pa.int64())))
    return pa.concat_tables(chosen)


def patch_pictures(chosen: pa.Table, encoded: Sequence[bytes]) -> list[PatchPicture]:
    """Rows of the metadata table and, in the same order, the bytes that the database returned for them."""
    return [
        PatchPicture(picture, row["label"], row["patient_id"], row["slide"], row["x"], row["y"])
        for row, picture in zip(chosen.to_pylist(), encoded, strict=True)
    ]


def count_table(name: str, rows: pa.Table) -> TableCount:
    """Counts rows that were read back, by label."""
    return TableCount(name, rows.num_rows, _by_label(rows))


def count_splits(splits: Splits, metadata: pa.Table) -> list[SplitCount]:
    counts = []
    for name in splits.names:
        taken = splits.table(name)
        patients = _distinct(taken, "patient_id")
        stored = metadata.filter(pc.is_in(metadata["patient_id"], pa.array(patients)))
        counts.append(SplitCount(name, patients, len(_distinct(stored, "slide")), _by_label(taken), _by_label(stored)))
    return counts


def count_leaks(splits: Splits) -> dict[tuple[str, str], int]:
    """Pair of splits -> patients that are in both, by comparing the rows themselves."""
    patients = {name: set(_distinct(splits.table(name), "patient_id")) for name in splits.names}
    names = list(splits.names)
    return {(a, b): len(patients[a] & patients[b]) for i, a in enumerate(names) for b in names[i + 1 :]}


def read_history(path: Path, confusion: Confusion) -> History:
    """Training curves from the trainer's history.json, and the majority of `confusion` as the line to beat."""
    epochs = read_json(path)["epochs"]
    try:
        curves = [[epoch[name] for epoch in epochs] for name in ("loss", "val_loss", "accuracy", "val_accuracy")]
    except KeyError as error:
        raise TfcassError(f"{path} has no {error} for an epoch; remove it and run the demo again") from error
    return History(*curves, majority=confusion.majority)


def read_confusion(path: Path) -> Confusion:
    """The trainer's confusion.json."""
    content = read_json(path)
    return Confusion(content["split"], np.array(content["matrix"]))


def confusion_of_predictions(split: str, predictions: pa.Table) -> Confusion:
    """Counts truth against prediction over the patches that the split took.

    Args:
      predictions: label, probability, in_split.
    """
    taken = predictions.filter(predictions["in_split"])
    predicted = (taken["probability"].to_numpy() >= 0.5).astype(int)
    counts = np.zeros((_CLASSES, _CLASSES), int)
    np.add.at(counts, (taken["label"].to_numpy(), predicted), 1)
    return Confusion(split, counts)


def _by_label(rows: pa.Table) -> tuple[int, ...]:
    return tuple(np.bincount(rows["label"].to_numpy(), minlength=_CLASSES).tolist())


def _distinct(rows: pa.Table, column: str) -> list[str]:
    return sorted(rows[column].unique().to_pylist())


def _mask(rows: pa.Table, column: str, value: str) -> np.ndarray:
    return pc.equal(rows[column], value).to_numpy(zero_copy_only=False)
