"""The transforms of verify: both tables read in full, every image decoded, rows matched by id.

metadata -> (id, facts) ─┐
data -> decode -> (id, Stored) ─┴─ CoGroupByKey -> CompareFn -> problems and counts

The images themselves go no further than the worker that reads them.
"""

import dataclasses
import hashlib
import io
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from beam_pipelines.cassandraio import ReadFromCassandra
from beam_pipelines.progress import note_progress
from beam_pipelines.standard_image import IMAGE_NAMESPACE, ImageError, ImageSpec, standard_picture
from beam_pipelines.stored_images import KEY, class_of, where_from

if TYPE_CHECKING:
    from beam_pipelines.verify import VerifyRun

_KEPT = str(ImageSpec(size=None))
_SPEC = ImageSpec(size=None)
_MODULUS = 2**256

# ("problem", fields), ("count", (name, number)) or ("digest", (table, number)).
Record = tuple[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A data row without its bytes.

    Attributes:
      label: Of the data table; None when it is a mask.
      error: Why it cannot be decoded; "" when it can.
      size: "width x height" of the picture.
      content: SHA-256 of the bytes, in hex.
      row_hash: SHA-256 of id, label and bytes: the sum over a table is the table's digest.
    """

    label: int | None
    error: str
    size: str
    content: str
    row_hash: int


def build(
    pipeline: beam.Pipeline,
    run: "VerifyRun",
    facts: Sequence[str],
    progress: str,
) -> list[beam.PCollection]:
    """Adds the transforms; the records of problems and sums.

    Args:
      pipeline: Where to.
      run: Settings.
      facts: Columns of the metadata table to read.
      progress: File for note_progress().
    """
    sides = {
        run.metadata_table: pipeline
        | "Metadata"
        >> ReadFromCassandra(
            run.full(run.metadata_table), cluster=run.cluster, columns=facts, consistency=run.consistency
        )
        | "Metadata by id" >> beam.Map(lambda row: (row[KEY].bytes, row))
    }
    for table in run.data_tables:
        sides[table] = (
            pipeline
            | f"Data of {table}"
            >> ReadFromCassandra(
                run.full(table), cluster=run.cluster, columns=(KEY, "label", "data"), consistency=run.consistency
            )
            | f"Decode {table}" >> beam.Map(decoded, progress)
        )
    compared = (
        sides
        | "Match" >> beam.CoGroupByKey()
        | "Compare" >> beam.ParDo(CompareFn(run.metadata_table, run.data_tables)).with_outputs("sums", main="problems")
    )
    sums = compared["sums"] | "Sum" >> beam.CombinePerKey(sum) | "As records" >> beam.Map(lambda item: ("sum", item))
    return [compared["problems"], sums]


def decoded(row: dict[str, Any], progress: str) -> tuple[bytes, Stored]:
    """A data row -> its id and what is known of it once every pixel is decoded."""
    note_progress(progress, "done", 1)
    data, label = row["data"] or b"", row["label"]
    error, size = "", ""
    try:
        rgb = standard_picture(data, _SPEC).rgb
        size = f"{rgb.shape[1]} x {rgb.shape[0]}"
        if isinstance(label, bytes) and not _is_picture(label):
            error = "its mask cannot be decoded"
    except ImageError as problem:
        error = str(problem)
    label_bytes = label if isinstance(label, bytes) else str(label).encode()
    row_hash = hashlib.sha256(row[KEY].bytes + len(label_bytes).to_bytes(8, "big") + label_bytes + data).digest()
    number = None if isinstance(label, bytes) else label
    content = hashlib.sha256(data).hexdigest()
    return row[KEY].bytes, Stored(number, error, size, content, int.from_bytes(row_hash, "big"))


class CompareFn(beam.DoFn):
    """(id, rows of each table) -> problems, and on the side ((kind, name), number) to add up."""

    def __init__(self, metadata_table: str, data_tables: Sequence[str]) -> None:
        self._metadata_table = metadata_table
        self._data_tables = tuple(data_tables)

    def process(self, item: tuple[bytes, dict[str, Iterable[Any]]]) -> Iterator[Any]:
        key, rows = item
        id = uuid.UUID(bytes=key)
        facts = list(rows[self._metadata_table])
        first = facts[0] if facts else {}

        def problem(kind: str, table: str, detail: str) -> tuple[str, dict[str, Any]]:
            what = {"patch_id": str(id), "class_name": class_of(first) if first else "", "source": where_from(first)}
            return "problem", {"problem": kind, "table": table, **what, "detail": detail}

        yield self._sum("rows", self._metadata_table, len(facts))
        if len(facts) > 1:
            places = "; ".join(sorted(f"{class_of(row)} {where_from(row)}".strip() for row in facts))
            yield problem("several metadata rows", self._metadata_table, f"{len(facts)} rows: {places}")
        if first.get("content") and uuid.uuid5(IMAGE_NAMESPACE, f"{first['content']} {first['spec']}") != id:
            yield problem("wrong id", self._metadata_table, "the id is not that of its content and spec")
        for table in self._data_tables:
            found = list(rows[table])
            yield self._sum("rows", table, len(found))
            if not found:
                yield problem("no data row", table, "")
            for stored in found:
                yield self._sum("digest", table, stored.row_hash)
                yield self._sum(f"sizes of {table}", stored.size or "not decoded", 1)
                if stored.error:
                    yield problem("not decodable", table, stored.error)
                if not facts:
                    yield problem("no metadata row", table, "")
                elif stored.label is not None and stored.label not in {row["label"] for row in facts}:
                    yield problem("other label", table, f"{stored.label} in the data, {first['label']} in the metadata")
                if first.get("spec") == _KEPT and first.get("content") != stored.content:
                    yield problem("other bytes", table, "the SHA-256 of the kept bytes is not the one that was stored")

    def _sum(self, kind: str, name: str, number: int) -> Any:
        return beam.pvalue.TaggedOutput("sums", ((kind, name), number % _MODULUS))


def _is_picture(data: bytes) -> bool:
    from PIL import Image

    try:
        Image.open(io.BytesIO(data)).load()
    except Exception:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more.
        return False
    return True
