"""The ledger: what was left out of each slide, and by how much. OUTPUT/ledger/<slide>.parquet, one file a slide.

    from beam_pipelines.ledger import read_ledger

    left_out = read_ledger("out/tiling")                   # pyarrow.Table of all slides
    near = left_out.filter((pc.field("metric") == "tissue") & (pc.field("value") > 0.2))

A row is a place of the grid, or a patch, that is not in the database: slide, x, y (level-0 pixels), reason, metric,
value, threshold, and the patch_id of one that was cut and then rejected. So the effect of another threshold is known
without the slide, and a rerun does not cut again what the same thresholds would reject.

Files, not a table of the database: nine tenths of a slide are left out, are only ever looked at slide by slide, and
have no part in training.
"""

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beam_pipelines import files
from beam_pipelines.slides.annotations import slide_key
from beam_pipelines.slides.tiles import Rejections
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
    ]
)
_FOLDER = "ledger"


def ledger_path(output: str, slide: str) -> str:
    return files.join(output, _FOLDER, f"{slide_key(slide)}.parquet")


def planned_ledger(slide: str, rejections: Rejections, rejected: Sequence[Mapping[str, Any]]) -> pa.Table:
    """What planning left out of a slide, and the patches that an earlier run rejected for their pixels."""
    count = len(rejections.x_l0)
    planned = pa.table(
        {
            "slide": pa.array([slide] * count, pa.string()),
            "x": rejections.x_l0,
            "y": rejections.y_l0,
            "patch_id": pa.nulls(count, pa.string()),
            "reason": pa.array(rejections.reasons, pa.string()),
            "metric": pa.array(rejections.metrics, pa.string()),
            "value": rejections.value,
            "threshold": rejections.threshold,
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
    plain = [{name: row[name] for name in SCHEMA.names} for row in rows]
    return pa.Table.from_pylist(plain, pa.schema([(field.name, _plain(field.type)) for field in SCHEMA])).cast(SCHEMA)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
