"""Annotation files -> records: what a file says, before any of it is judged. The suffix, then the content, tells which.

  .csv              CSV with JSON paths, one region a row: columns `slide`, `label`, `path`. `path` is JSON:
                    [[x, y], ...], or a list of such rings, the outer one first and then its holes.
  .geojson, .json   GeoJSON, as QuPath writes it or another program (annotation_geojson.py)
  .xml              ASAP, Aperio ImageScope (annotation_xml.py)

Each format has a frame, the origin that its coordinates count from. QuPath crops a slide to its scanned box, so that
what it writes counts from there; the others count from the corner of the whole plane.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beam_pipelines.slides.annotation_geojson import geojson_content
from beam_pipelines.slides.annotation_records import LEVEL0, Content, FileError, Record, Unusable
from beam_pipelines.slides.annotation_xml import xml_content

SUFFIXES = (".csv", ".geojson", ".json", ".xml")
_CSV_COLUMNS = ("slide", "label", "path")


def read_content(path: str) -> Content:
    """Opens a file, and tells its format, frame and records.

    Raises:
      FileError: the file cannot be read, or is not of its format as a whole. Iterating the records may raise it too;
        records before the trouble have been yielded then.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(f"suffix {suffix!r} is not known; annotations are .csv, .geojson, .json or .xml files")
    try:
        if suffix == ".csv":
            open(path, "rb").close()
            return Content("CSV", LEVEL0, _csv_records(path))
        if suffix == ".xml":
            return xml_content(path)
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _unreadable(error) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from error
    return geojson_content(text, Path(path).stem)


def _csv_records(path: str) -> Iterator[Record | Unusable]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            # A drawn outline is easily longer than csv's default of 131,072 characters.
            csv.field_size_limit(sys.maxsize)
            rows = csv.DictReader(file)
            header = [name.strip() for name in rows.fieldnames or ()]
            if missing := [name for name in _CSV_COLUMNS if name not in header]:
                raise FileError(f"columns missing: {', '.join(missing)}; found: {', '.join(header) or 'an empty file'}")
            rows.fieldnames = header
            for row in rows:
                yield _csv_record(f"row {rows.line_num}", row)
    except csv.Error as error:
        raise FileError(f"malformed CSV near line {rows.line_num}: {error}") from error
    except OSError as error:
        raise _unreadable(error) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from error


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
    return Record(where, slide, (row["label"],), [[path] if one_ring else path])


def _unreadable(error: OSError) -> FileError:
    if isinstance(error, FileNotFoundError):
        return FileError("no such file")
    return FileError(f"cannot be read: {error.strerror or error}")


def _not_utf8(error: UnicodeDecodeError) -> FileError:
    return FileError(f"is not UTF-8 text (byte {error.start})")
