"""Annotation files -> records: what a file says, before any of it is judged.

Two formats, told apart by the file's suffix:

  .csv              one region a row: columns `slide`, `label`, `path`. `path` is JSON: [[x, y], ...], or a list of
                    such rings, the outer one first and then its holes.
  .geojson, .json   as QuPath exports it: a FeatureCollection, a bare list of features or one feature. Polygon or
                    MultiPolygon, with holes; the label is `properties.classification.name`. The slide is
                    `properties.slide` of the feature, else the file's own name ("S1.geojson" and "S1.svs.geojson"
                    both belong to slide S1).
"""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_CSV_COLUMNS = ("slide", "label", "path")


class FileError(Exception):
    """A whole file cannot be used, with the reason."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One region as the file has it, nothing checked.

    Attributes:
      where: "row 3" (the line on which it ends; the header is line 1), or "feature 2" (counted from 1).
      slide: Path, file name or name of the slide.
      label: As written; should be text.
      polygons: Should be a list of polygons, each a list of rings, each a list of [x, y].
    """

    where: str
    slide: str
    label: Any
    polygons: Any


@dataclasses.dataclass(frozen=True)
class Unusable:
    """A row or feature in which no region is to be found."""

    where: str
    reason: str


def read_records(path: str) -> Iterator[Record | Unusable]:
    """Yields the records of one file.

    Raises:
      FileError: the file cannot be read, or is not of its format as a whole; records before the trouble have been
        yielded.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".csv", ".json", ".geojson"):
        raise FileError(f"suffix {suffix!r} is not known; annotations are .csv, .geojson or .json files")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from _csv_records(file) if suffix == ".csv" else _geojson_records(file.read(), Path(path).stem)
    except FileNotFoundError:
        raise FileError("no such file") from None
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"is not UTF-8 text (byte {error.start})") from error


def _csv_records(file: Iterable[str]) -> Iterator[Record | Unusable]:
    # A drawn outline is easily longer than csv's default of 131,072 characters.
    csv.field_size_limit(sys.maxsize)
    rows = csv.DictReader(file)
    try:
        header = [name.strip() for name in rows.fieldnames or ()]
        if missing := [name for name in _CSV_COLUMNS if name not in header]:
            raise FileError(f"columns missing: {', '.join(missing)}; found: {', '.join(header) or 'an empty file'}")
        rows.fieldnames = header
        for row in rows:
            yield _csv_record(f"row {rows.line_num}", row)
    except csv.Error as error:
        raise FileError(f"malformed CSV near line {rows.line_num}: {error}") from error


def _csv_record(where: str, row: dict[str, Any]) -> Record | Unusable:
    slide = (row["slide"] or "").strip()
    if not slide:
        return Unusable(where, "the slide is empty")
    try:
        path = json.loads(row["path"] or "")
    except (ValueError, RecursionError) as error:
        return Unusable(where, f"path is not JSON: {error}")
    # [[x, y], ...] is one ring, [[[x, y], ...], ...] several.
    one_ring = (
        isinstance(path, list) and path and isinstance(path[0], list) and not any(isinstance(v, list) for v in path[0])
    )
    return Record(where, slide, row["label"], [[path] if one_ring else path])


def _geojson_records(text: str, stem: str) -> Iterator[Record | Unusable]:
    try:
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"malformed JSON: {error}") from error
    features = root
    if isinstance(root, dict):
        features = root.get("features") if root.get("type") == "FeatureCollection" else [root]
    if not isinstance(features, list):
        raise FileError("holds no GeoJSON features; expected a FeatureCollection, a list of features or one feature")
    for number, feature in enumerate(features, start=1):
        yield _geojson_record(f"feature {number}", feature, stem)


def _geojson_record(where: str, feature: Any, stem: str) -> Record | Unusable:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict):
        return Unusable(where, "not a GeoJSON feature with a geometry")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        return Unusable(where, f"geometry {kind!r} has no area; only Polygon and MultiPolygon are used")
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    classification = properties.get("classification")
    label = classification.get("name") if isinstance(classification, dict) else classification
    polygons = [coordinates] if kind == "Polygon" else coordinates
    return Record(where, str(properties.get("slide") or stem), label, polygons)
