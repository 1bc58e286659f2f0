"""The transforms of ingest_images.

manifest -> ImageFile -> Reshuffle -> HashFn -> group by content -> FirstOfCopiesFn -> UnstoredFn -> Reshuffle
Reshuffle -> EncodeFn -> a data table per encoding -> metadata table

Files are read twice, once for their hash and once, if they are not stored, for their pixels: what lies between is a
shuffle, and pixels should not go through one. An image's metadata row is written after the cluster has acknowledged its
data rows. All transforms also give records of what became of files, which end in one list.
"""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from cassandra.concurrent import execute_concurrent_with_args

from beam_pipelines import files
from beam_pipelines.cassandraio import DeadLetter, WriteToCassandra
from beam_pipelines.image_list import ImageFile
from beam_pipelines.image_run import KEPT, ImageRun
from beam_pipelines.image_tables import IMAGE_COLUMNS, bucket_of
from beam_pipelines.progress import note_progress
from beam_pipelines.sessions import SESSIONS
from beam_pipelines.slides.encode import encode
from beam_pipelines.standard_image import ImageError, image_id, standard_picture
from beam_pipelines.statements import prepare
from tfcass.schema import DATA_COLUMNS, describe_table

_NAMESPACE = "tfcass.images"
_CONCURRENT_READS = 64
_LARGEST_FILE = 2**29
RECORDS = "records"
READ, COMPARE, DECODE = "read", "compare with other files", "decode"  # Stages of dead letters.

# A record tells what became of files: ("copies" | "skipped" | "written", (class, count)) or ("dead", fields).
Record = tuple[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class HashedFile:
    """A file and the SHA-256 of its bytes, in hex."""

    file: ImageFile
    content: str


def manifest_line(file: ImageFile) -> str:
    """A file as a line of the manifest."""
    return json.dumps(dataclasses.astuple(file))


def build(pipeline: beam.Pipeline, manifest: str, run: ImageRun, progress: str) -> list[beam.PCollection]:
    """Adds the transforms; the records of what became of files.

    Args:
      pipeline: Where to.
      manifest: File of manifest_line()s.
      run: Settings.
      progress: File for note_progress().
    """
    hashed = (
        pipeline
        | "Files" >> beam.io.ReadFromText(manifest)
        | "Parse" >> beam.Map(lambda line: ImageFile(*json.loads(line)))
        | "Spread files" >> beam.Reshuffle()
        | "Hash" >> beam.ParDo(HashFn(progress)).with_outputs(RECORDS, main="hashed")
    )
    originals = (
        hashed["hashed"]
        | "Content" >> beam.Map(lambda hashed: (hashed.content, hashed))
        | "Same content" >> beam.GroupByKey()
        | "First of copies" >> beam.ParDo(FirstOfCopiesFn(progress)).with_outputs(RECORDS, main="files")
    )
    records = [hashed[RECORDS], originals[RECORDS]]
    files = originals["files"]
    if not run.overwrite:
        unstored = (
            files
            | "Batch" >> beam.BatchElements(min_batch_size=16, max_batch_size=512)
            | "Unstored" >> beam.ParDo(UnstoredFn(run, progress)).with_outputs(RECORDS, main="files")
        )
        files = unstored["files"]
        records.append(unstored[RECORDS])
    encoded = (
        files
        | "Spread work" >> beam.Reshuffle()
        | "Encode" >> beam.ParDo(EncodeFn(run, progress)).with_outputs(RECORDS, main="rows")
    )
    records += [encoded[RECORDS], *_write(encoded["rows"], run, progress)]
    return [records | "Told of files" >> beam.Flatten() | "Sum by class" >> beam.ParDo(SumRecordsFn())]


def _write(rows: beam.PCollection, run: ImageRun, progress: str) -> list[beam.PCollection]:
    settings = {**dataclasses.asdict(run.write), "cluster": run.cluster, "keep_input": False}
    facts = tuple(IMAGE_COLUMNS)
    waiting = list(run.tables)
    dead = []
    for encoding, table in run.tables.items():
        waiting.remove(encoding)
        result = (
            rows
            | f"Data of {encoding}" >> beam.Map(_with_data, encoding)
            | f"Write {encoding}"
            >> WriteToCassandra(run.full(table), columns=tuple(DATA_COLUMNS), emit=(*facts, *waiting), **settings)
        )
        dead.append(result.dead | f"{encoding} not written" >> beam.Map(_dead, progress))
        rows = result.written
    result = rows | "Write metadata" >> WriteToCassandra(
        run.full(run.metadata_table), columns=facts, emit=("class_name", "source"), **settings
    )
    written = result.written | "Written" >> beam.Map(_written, progress)
    return [*dead, result.dead | "Metadata not written" >> beam.Map(_dead, progress), written]


def _read(path: str) -> bytes:
    """Raises OSError when it cannot be read, or is so large that it is no image of a data set."""
    if not files.is_url(path) and (size := os.path.getsize(path)) > _LARGEST_FILE:
        raise OSError(f"the file has {size:,} bytes; at most {_LARGEST_FILE:,} are read")
    return files.read_bytes(path)


def _with_data(row: dict[str, Any], encoding: str) -> dict[str, Any]:
    return {**row, "data": row[encoding]}


def _written(row: dict[str, Any], progress: str) -> Record:
    note_progress(progress, "done", 1)
    return "written", (row["class_name"], 1)


def _dead(letter: DeadLetter, progress: str) -> Record:
    note_progress(progress, "done", 1)
    return "dead", _fields(letter)


def _fields(letter: DeadLetter) -> dict[str, Any]:
    row = {name: str(letter.row[name]) for name in ("source", "class_name", "patch_id") if name in letter.row}
    return {**row, "stage": letter.stage, "error": letter.error, "attempts": letter.attempts}


def _failed(file: ImageFile, stage: str, error: str, progress: str) -> TaggedOutput:
    note_progress(progress, "done", 1)
    fields = {"source": file.path, "class_name": file.class_name, "stage": stage, "error": error, "attempts": 1}
    return TaggedOutput(RECORDS, ("dead", fields))


class HashFn(beam.DoFn):
    """File -> file and the hash of its bytes; one that cannot be read is a record."""

    def __init__(self, progress: str) -> None:
        self._progress = progress
        self._files_unreadable = Metrics.counter(_NAMESPACE, "files_unreadable")

    def process(self, file: ImageFile) -> Iterator[Any]:
        note_progress(self._progress, "read", 1)
        try:
            content = hashlib.sha256(_read(file.path)).hexdigest()
        except OSError as error:
            self._files_unreadable.inc()
            yield _failed(file, READ, f"{type(error).__name__}: {error}", self._progress)
        else:
            yield HashedFile(file, content)


class FirstOfCopiesFn(beam.DoFn):
    """Files of the same bytes -> the first by path. A copy in the same class is no loss; in another it contradicts."""

    def __init__(self, progress: str) -> None:
        self._progress = progress

    def process(self, same: tuple[str, Iterable[HashedFile]]) -> Iterator[Any]:
        first, *copies = sorted(same[1], key=lambda hashed: hashed.file.path)
        yield first
        for copy in copies:
            if copy.file.class_name == first.file.class_name:
                note_progress(self._progress, "done", 1)
                yield TaggedOutput(RECORDS, ("copies", (copy.file.class_name, 1)))
            else:
                error = (
                    f"has the same bytes as {first.file.path!r} of class {first.file.class_name!r}, which is kept; "
                    "remove one, or correct its class"
                )
                yield _failed(copy.file, COMPARE, error, self._progress)


class UnstoredFn(beam.DoFn):
    """Batch of files -> those that not all tables hold with these facts."""

    def __init__(self, run: ImageRun, progress: str) -> None:
        self._run = run
        self._progress = progress
        self._session: Any = None

    def setup(self) -> None:
        run = self._run
        self._session = SESSIONS.acquire(run.cluster, wait_s=run.write.fail_after_s)
        consistency = run.write.consistency
        consistency = "LOCAL_QUORUM" if consistency == "EACH_QUORUM" else consistency  # The former is for writes only.

        def prepared(columns: str, table: str, condition: str) -> Any:
            name = describe_table(run.cluster, run.full(table)).cql_name
            return prepare(self._session, f"SELECT {columns} FROM {name} WHERE {condition}", consistency=consistency)

        self._facts = prepared(
            "label, subset, group_name", run.metadata_table, "class_name = ? AND bucket = ? AND patch_id = ?"
        )
        self._data = [prepared("patch_id, label", table, "patch_id = ?") for table in run.tables.values()]

    def process(self, batch: Sequence[HashedFile]) -> Iterator[Any]:
        ids = [image_id(hashed.content, self._run.spec) for hashed in batch]
        keys = [(hashed.file.class_name, bucket_of(id), id) for hashed, id in zip(batch, ids, strict=True)]
        stored = [
            (row.label, row.subset, row.group_name) == (file.label, file.subset, file.group_name)
            if (row := reply.one())
            else False
            for reply, file in zip(self._ask(self._facts, keys), (h.file for h in batch), strict=True)
        ]
        for statement in self._data:
            replies = self._ask(statement, [(id,) for id in ids])
            for position, reply in enumerate(replies):
                row = reply.one()
                stored[position] &= row is not None and row.label == batch[position].file.label
        skipped = collections.Counter(h.file.class_name for h, there in zip(batch, stored, strict=True) if there)
        if skipped:
            note_progress(self._progress, "done", skipped.total())
        yield from (hashed for hashed, there in zip(batch, stored, strict=True) if not there)
        yield from (TaggedOutput(RECORDS, ("skipped", item)) for item in skipped.items())

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._run.cluster)

    def _ask(self, statement: Any, arguments: list[tuple[Any, ...]]) -> list[Any]:
        replies = execute_concurrent_with_args(self._session, statement, arguments, concurrency=_CONCURRENT_READS)
        return [reply.result_or_exc for reply in replies]


class EncodeFn(beam.DoFn):
    """File -> its facts and its bytes by encoding, in one dict; one that is no good picture is a record."""

    def __init__(self, run: ImageRun, progress: str) -> None:
        self._run = run
        self._progress = progress
        self._images_encoded = Metrics.counter(_NAMESPACE, "images_encoded")
        self._images_unreadable = Metrics.counter(_NAMESPACE, "images_unreadable")

    def process(self, hashed: HashedFile) -> Iterator[Any]:
        run, file = self._run, hashed.file
        try:
            data = _read(file.path)
            picture = standard_picture(data, run.spec)
        except (OSError, ImageError) as error:
            self._images_unreadable.inc()
            text = str(error) if isinstance(error, ImageError) else f"{type(error).__name__}: {error}"
            yield _failed(file, DECODE, text, self._progress)
            return
        id = image_id(hashed.content, run.spec)
        self._images_encoded.inc()
        yield {
            "class_name": file.class_name,
            "bucket": bucket_of(id),
            "patch_id": id,
            "label": file.label,
            "subset": file.subset,
            "group_name": file.group_name,
            "source": file.path,
            "width": picture.width,
            "height": picture.height,
            "format": picture.format,
            "mode": picture.mode,
            "file_bytes": len(data),
            "content": hashed.content,
            "spec": str(run.spec),
            **{
                encoding: data if encoding == KEPT else encode(picture.rgb, encoding, run.quality)
                for encoding in run.tables
            },
        }


class SumRecordsFn(beam.DoFn):
    """Adds up the counts of a bundle, so that a million files do not end as a million records in one list."""

    def start_bundle(self) -> None:
        self._sums: collections.Counter[tuple[str, str]] = collections.Counter()

    def process(self, record: Record) -> Iterator[Record]:
        kind, content = record
        if kind == "dead":
            yield record
        else:
            class_name, count = content
            self._sums[kind, class_name] += count

    def finish_bundle(self) -> Iterator[Any]:
        for (kind, class_name), count in self._sums.items():
            yield beam.transforms.window.GlobalWindows.windowed_value((kind, (class_name, count)))
