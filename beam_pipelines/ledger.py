"""The ledger: what was left out of each slide, and by how much. OUTPUT/ledger/<slide>.parquet, one file a slide.

    from beam_pipelines.ledger import read_ledger

    left_out = read_ledger("out/tiling")                   # pyarrow.Table of all slides
    near = left_out.filter((pc.field("metric") == "tissue") & (pc.field("value") > 0.2))

A row is a place of the grid, or a patch, that is not in the database: slide, x, y (level-0 pixels), reason, metric,
value, threshold; besides, the shares of it that show tissue and that are annotated as `label`, and the patch_id of a
patch that was cut and then rejected. So the effect of other thresholds is known without the slide, and a rerun does not
cut again what the same thresholds would reject.

Files, not a table of the database: nine tenths of a slide are left out, are only ever looked at slide by slide, and
have no part in training.
"""

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beam_pipelines import files
from beam_pipelines.output_files import ledger_path
from beam_pipelines.slides.tiles import REASONS, Rejections
from tfcass.errors import OptionError

SCHEMA = pa.schema(
    [
        ("slide", pa.dictionary(pa.int32(), pa.string())),
        ("x", pa.int32()),
        ("y", pa.int32()),
        ("patch_id", pa.string()),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
        ("metric", pa.dictionary(pa.int32(), pa.string())),
        ("value", pa.float32()),
        ("threshold", pa.float32()),
        ("tissue", pa.float32()),
        ("annotated", pa.float32()),
        ("label", pa.int32()),
    ]
)
_FOLDER = "ledger"


def planned_ledger(slide: str, rejections: Rejections, rejected: Sequence[Mapping[str, Any]]) -> pa.Table:
    """What planning left out of a slide, and the patches that an earlier run rejected for their pixels."""
    count, code = len(rejections), rejections.reason.astype(np.int32)
    metrics = [REASONS[reason][0] for reason in rejections.reasons]
    thresholds = np.array([rejections.thresholds[reason] for reason in rejections.reasons], np.float32)
    of_tissue = np.array([metric == "tissue" for metric in metrics])
    planned = pa.table(
        {
            "slide": pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [slide]),
            "x": rejections.x_l0,
            "y": rejections.y_l0,
            "patch_id": pa.nulls(count, pa.string()),
            "reason": pa.DictionaryArray.from_arrays(code, list(rejections.reasons)),
            "metric": pa.DictionaryArray.from_arrays(code, metrics).cast(pa.string()),
            "value": np.where(of_tissue[code], rejections.tissue, rejections.annotated),
            "threshold": thresholds[code],
            "tissue": rejections.tissue,
            "annotated": rejections.annotated,
            "label": pa.array(rejections.label, mask=rejections.label < 0),
        }
    )
    return pa.concat_tables([planned.cast(SCHEMA), _rows(rejected)]).unify_dictionaries()


def write_ledger(output: str, slide: str, rows: pa.Table) -> None:
    """Writes a slide's file, whole or not at all.

    Raises:
      OutputError: The folder cannot be written.
    """
    content = io.BytesIO()
    pq.write_table(rows, content, compression="zstd")
    files.write_bytes(ledger_path(output, slide), content.getvalue())


def add_rejected(output: str, rejected: Iterable[Mapping[str, Any]]) -> None:
    """Adds patches that were cut and rejected for their pixels: mappings with the names of SCHEMA."""
    by_slide: dict[str, list[Mapping[str, Any]]] = {}
    for row in rejected:
        by_slide.setdefault(row["slide"], []).append(row)
    for slide, found in by_slide.items():
        rows = pa.concat_tables([_read(ledger_path(output, slide)), _rows(found)])
        write_ledger(output, slide, rows.unify_dictionaries())


def judged_before(output: str, slide: str) -> dict[str, dict[str, Any]]:
    """patch_id -> the row of a patch that an earlier run cut and rejected for its pixels."""
    rows = _read(ledger_path(output, slide))
    return {row["patch_id"]: row for row in rows.filter(pc.is_valid(rows["patch_id"])).to_pylist()}


def read_ledger(output: str | os.PathLike[str], slide: str | None = None) -> pa.Table:
    """Everything that was left out, of one slide or of all.

    Raises:
      OptionError: The folder holds no ledger.
    """
    if slide is not None:
        return _read(ledger_path(os.fspath(output), slide))
    paths = files.match(files.join(output, _FOLDER, "*.parquet"))
    if not paths:
        raise OptionError(f"{os.fspath(output)!r} holds no ledger/*.parquet: it is no output folder of tile_slides")
    return pa.concat_tables([_read(path) for path in paths]).unify_dictionaries()


def _read(path: str) -> pa.Table:
    """An absent file is a slide of which nothing is known."""
    if not files.exists(path):
        return SCHEMA.empty_table()
    return pq.read_table(io.BytesIO(files.read_bytes(path))).cast(SCHEMA)


def _rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """As the ledger has them; other entries of the mappings are left out."""
    plain = [{name: row.get(name) for name in SCHEMA.names} for row in rows]
    return pa.Table.from_pylist(plain, pa.schema([(field.name, _plain(field.type)) for field in SCHEMA])).cast(SCHEMA)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
