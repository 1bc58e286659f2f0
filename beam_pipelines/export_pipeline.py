"""The transforms of export: metadata rows -> their bytes -> files by class, or TFRecord files."""

import collections
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from cassandra.concurrent import execute_concurrent_with_args

from beam_pipelines import files
from beam_pipelines.cassandraio import ReadFromCassandra
from beam_pipelines.progress import note_progress
from beam_pipelines.sessions import SESSIONS
from beam_pipelines.statements import prepare
from beam_pipelines.stored_images import KEY, class_of, split_keys, suffix_of, where_from
from beam_pipelines.tfrecords import WriteTFRecords, example
from tfcass.schema import describe_table

if TYPE_CHECKING:
    from beam_pipelines.export import ExportRun

_NAMESPACE = "tfcass.export"
_CONCURRENT_READS = 32
RECORDS = "records"

# A record tells what became of rows: ("written", (class, count)) or ("dead", fields).
Record = tuple[str, Any]


def build(
    pipeline: beam.Pipeline,
    run: "ExportRun",
    facts: Sequence[str],
    progress: str,
) -> list[beam.PCollection]:
    """Adds the transforms; the records of what became of rows.

    Args:
      pipeline: Where to.
      run: Settings.
      facts: Columns of the metadata table to read.
      progress: File for note_progress().
    """
    rows = pipeline | "Metadata" >> ReadFromCassandra(
        run.full(run.metadata_table), cluster=run.cluster, columns=facts, where=run.where, consistency=run.consistency
    )
    if run.splits is not None:
        rows = rows | "Split" >> beam.ParDo(OfSplitFn(run.splits, run.split))
    fetched = (
        rows
        # Together with the key: two rows of one image would write one file twice at the same time.
        | "By id" >> beam.Map(lambda row: (row[KEY].bytes, row))
        | "Same id" >> beam.GroupByKey()
        | "One of each" >> beam.MapTuple(lambda _, rows: min(rows, key=lambda row: (row["label"], class_of(row))))
        | "Batch" >> beam.BatchElements(min_batch_size=8, max_batch_size=64)
        | "Fetch" >> beam.ParDo(FetchFn(run)).with_outputs(RECORDS, main="images")
    )
    images = fetched["images"]
    if run.format == "tfrecord":
        written = images | "Note" >> beam.Map(_noted, progress)
        _ = (
            images
            | "Example" >> beam.Map(_example)
            | "TFRecord" >> WriteTFRecords(files.join(run.output, run.split or "images"), shards=run.shards)
        )
    else:
        written = images | "Files" >> beam.ParDo(WriteFileFn(run.output, progress))
    told = [fetched[RECORDS], written] | "Told of rows" >> beam.Flatten()
    return [told | "Sum by class" >> beam.ParDo(SumRecordsFn())]


class OfSplitFn(beam.DoFn):
    """Keeps the rows of one split that was saved."""

    def __init__(self, folder: str, split: str) -> None:
        self._folder = folder
        self._split = split

    def setup(self) -> None:
        self._keys = split_keys(self._folder, self._split)

    def process(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if row[KEY].bytes in self._keys:
            yield row


class FetchFn(beam.DoFn):
    """Batch of metadata rows -> each with `data` and `mask` of the data table; one without bytes is a record."""

    def __init__(self, run: "ExportRun") -> None:
        self._run = run
        self._session: Any = None
        self._images_missing = Metrics.counter(_NAMESPACE, "images_missing")

    def setup(self) -> None:
        run = self._run
        self._session = SESSIONS.acquire(run.cluster, wait_s=60.0)
        table = describe_table(run.cluster, run.full(run.data_table)).cql_name
        self._data = prepare(
            self._session, f"SELECT data, label FROM {table} WHERE {KEY} = ?", consistency=run.consistency
        )

    def process(self, rows: Sequence[dict[str, Any]]) -> Iterator[Any]:
        keys = [(row[KEY],) for row in rows]
        replies = execute_concurrent_with_args(self._session, self._data, keys, concurrency=_CONCURRENT_READS)
        for row, reply in zip(rows, replies, strict=True):
            stored = reply.result_or_exc.one()
            if stored is None or stored.data is None:
                self._images_missing.inc()
                error = f"no bytes in {self._run.full(self._run.data_table)}"
                yield TaggedOutput(RECORDS, ("dead", _fields(row, "fetch", error)))
            else:
                yield {**row, "data": stored.data, "mask": stored.label if isinstance(stored.label, bytes) else None}

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._run.cluster)


class WriteFileFn(beam.DoFn):
    """Image -> a file in the folder of its class, named by its id. No room to write is no image's fault: it raises."""

    def __init__(self, output: str, progress: str) -> None:
        self._output = output
        self._progress = progress

    def setup(self) -> None:
        self._made: set[str] = set()

    def process(self, row: dict[str, Any]) -> Iterator[Any]:
        folder = files.join(self._output, class_of(row).replace("/", "_"))
        if folder not in self._made:
            files.make_folder(folder)
            self._made.add(folder)
        files.write_bytes(files.join(folder, f"{row[KEY]}.{suffix_of(row['data'])}"), row["data"])
        if row["mask"] is not None:
            files.write_bytes(files.join(folder, f"{row[KEY]}_mask.{suffix_of(row['mask'])}"), row["mask"])
        yield _noted(row, self._progress)


class SumRecordsFn(beam.DoFn):
    """Adds up the counts of a bundle, so that a million images do not end as a million records in one list."""

    def start_bundle(self) -> None:
        self._sums: collections.Counter[str] = collections.Counter()

    def process(self, record: Record) -> Iterator[Record]:
        kind, content = record
        if kind == "dead":
            yield record
        else:
            class_name, count = content
            self._sums[class_name] += count

    def finish_bundle(self) -> Iterator[Any]:
        for item in self._sums.items():
            yield beam.transforms.window.GlobalWindows.windowed_value(("written", item))


def _noted(row: dict[str, Any], progress: str) -> Record:
    note_progress(progress, "done", 1)
    return "written", (class_of(row), 1)


def _example(row: dict[str, Any]) -> bytes:
    """With the names of features that TensorFlow's own ImageNet files use, and the id."""
    features: dict[str, Any] = {
        "image/encoded": row["data"],
        "image/format": {"jpg": "jpeg", "tif": "tiff"}.get(suffix := suffix_of(row["data"]), suffix),
        "image/class/label": row["label"],
        "image/class/text": class_of(row),
        "image/filename": where_from(row),
        "image/patch_id": row[KEY].bytes,
    }
    if row["mask"] is not None:
        features["image/segmentation/encoded"] = row["mask"]
    return example(features)


def _fields(row: dict[str, Any], stage: str, error: str) -> dict[str, Any]:
    return {
        "patch_id": str(row[KEY]),
        "class_name": class_of(row),
        "source": where_from(row),
        "stage": stage,
        "error": error,
    }
