"""The transforms of normalise_stain.

Fit        metadata rows -> the patches of each slide with the smallest ids -> their colours, counted -> CombinePerKey
           -> statistics -> stain table
Normalise  metadata rows -> groups of patches -> read by id, brought to the reference, encoded -> the second data table

Patches are read by id, some dozens at a time, where they are needed: pixels never go through a shuffle.
"""

import collections
import dataclasses
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from cassandra.concurrent import execute_concurrent_with_args

from beam_pipelines.cassandraio import DeadLetter, ReadFromCassandra, WriteToCassandra
from beam_pipelines.progress import note_progress
from beam_pipelines.sessions import SESSIONS
from beam_pipelines.slides.encode import decode, encode, encoding_of
from beam_pipelines.slides.stain import ColourCounts, fit, merge_counts, normalise, tissue_colours
from beam_pipelines.stain_table import COLUMNS, SlideId, stain_row
from beam_pipelines.statements import prepare
from tfcass.schema import describe_table
from tfcass.stain_statistics import StainStatistics

if TYPE_CHECKING:
    from beam_pipelines.normalise_stain import StainRun

_NAMESPACE = "tfcass.stain"
_GROUP = 32  # Patches of one element: enough to read at a time, few enough to spread.
_CONCURRENT_READS = 32
_COMPACT = 500_000  # Codes that an accumulator holds before it is made compact.
_SLIDE_COLUMNS = ("patient_id", "slide_num", "slide", "patch_id")

RECORDS = "records"

# ("count", (name, number)) or ("dead", fields).
Record = tuple[str, Any]


@dataclasses.dataclass(frozen=True)
class PatchGroup:
    """Patches of one slide."""

    slide: SlideId
    name: str
    patch_ids: tuple[uuid.UUID, ...]


def build_fit(pipeline: beam.Pipeline, run: "StainRun", known: frozenset[SlideId]) -> list[beam.PCollection]:
    """Adds the transforms that store the statistics of slides that are not `known`; returns records."""
    settings = {**dataclasses.asdict(run.write), "cluster": run.cluster}
    counted = (
        _rows(pipeline, run)
        | "Unknown slides" >> beam.Filter(lambda row: _slide(row) not in known)
        | "By slide" >> beam.Map(lambda row: (_slide(row), (row["patch_id"].bytes, row["slide"] or "")))
        | "Smallest ids" >> beam.combiners.Top.SmallestPerKey(run.fit_patches)
        | "Groups" >> beam.FlatMap(_groups_to_fit)
        | "Spread groups" >> beam.Reshuffle()
        | "Count colours" >> beam.ParDo(CountColoursFn(run)).with_outputs(RECORDS, main="counts")
    )
    stored = (
        counted["counts"]
        | "Of slides" >> beam.CombinePerKey(MergeCountsFn())
        | "Fit" >> beam.Map(_fit)
        | "Write statistics"
        >> WriteToCassandra(run.name_of(run.stain_table), columns=tuple(COLUMNS), emit=("slide",), **settings)
    )
    fitted = stored.written | "Fitted" >> beam.Map(lambda _: "fitted")
    return [counted[RECORDS], _counted(fitted, "fits"), stored.dead | "Not stored" >> beam.Map(dead_record)]


def build_normalise(
    pipeline: beam.Pipeline, run: "StainRun", known: tuple[Mapping[SlideId, StainStatistics], StainStatistics]
) -> list[beam.PCollection]:
    """Adds the transforms that write the second table; `known`: statistics by slide, and the reference."""
    settings = {**dataclasses.asdict(run.write), "cluster": run.cluster}
    normalised = (
        _rows(pipeline, run)
        | "Batch" >> beam.BatchElements(min_batch_size=_GROUP, max_batch_size=_GROUP)
        | "Groups" >> beam.FlatMap(_groups)
        | "Spread groups" >> beam.Reshuffle()
        | "Normalise" >> beam.ParDo(NormaliseFn(run, *known)).with_outputs(RECORDS, main="rows")
    )
    stored = normalised["rows"] | "Write patches" >> WriteToCassandra(
        run.name_of(run.to), columns=("patch_id", "label", "data"), keep_input=False, **settings
    )
    written = stored.written | "Written" >> beam.Map(lambda _: "written")
    return [normalised[RECORDS], _counted(written, "writes"), stored.dead | "Not stored" >> beam.Map(dead_record)]


def dead_record(letter: DeadLetter) -> Record:
    """A dead letter, as a record."""
    return "dead", {**letter.row, "stage": letter.stage, "error": letter.error, "attempts": letter.attempts}


def _rows(pipeline: beam.Pipeline, run: "StainRun") -> beam.PCollection:
    return pipeline | ReadFromCassandra(
        run.name_of(run.metadata_table), cluster=run.cluster, columns=_SLIDE_COLUMNS, consistency=run.write.consistency
    )


def _counted(names: beam.PCollection, what: str) -> beam.PCollection:
    return (
        names
        | f"Count {what}" >> beam.combiners.Count.PerElement()
        | f"Counted {what}" >> beam.Map(lambda counted: ("count", counted))
    )


class _PatchesFn(beam.DoFn):
    """Reads patches by id; what the two stages share."""

    def __init__(self, run: "StainRun") -> None:
        self._run = run
        self._session: Any = None

    def setup(self) -> None:
        self._session = SESSIONS.acquire(self._run.cluster)
        data = describe_table(self._run.cluster, self._run.name_of(self._run.data_table)).cql_name
        self._patch = self._prepare(f"SELECT patch_id, label, data FROM {data} WHERE patch_id = ?")

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._run.cluster)

    def _prepare(self, cql: str) -> Any:
        consistency = self._run.write.consistency
        consistency = "LOCAL_QUORUM" if consistency == "EACH_QUORUM" else consistency  # The former is for writes only.
        return prepare(self._session, cql, consistency=consistency)

    def _read(self, statement: Any, ids: Iterable[uuid.UUID]) -> list[Any]:
        arguments = [(patch_id,) for patch_id in ids]
        replies = execute_concurrent_with_args(self._session, statement, arguments, concurrency=_CONCURRENT_READS)
        return [row for _, rows in replies for row in rows]

    def _patches(self, group: PatchGroup, ids: Iterable[uuid.UUID], stage: str) -> Iterator[Any]:
        """(patch_id, label, data, rgb) of each patch; a record of each one that is absent or damaged."""
        rows = {row[0]: row for row in self._read(self._patch, ids)}
        for patch_id in ids:
            try:
                if patch_id not in rows or rows[patch_id][2] is None:
                    raise ValueError(f"no such row in {self._run.name_of(self._run.data_table)}")
                rgb = decode(rows[patch_id][2])
                if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
                    raise ValueError(f"a picture of {rgb.dtype} {list(rgb.shape)}, not 8-bit RGB")
                yield *rows[patch_id], rgb
            except ValueError as error:
                letter = DeadLetter({"slide": group.name, "patch_id": str(patch_id)}, stage, str(error))
                yield TaggedOutput(RECORDS, dead_record(letter))

    def _note(self, patches: int) -> None:
        note_progress(Path(self._run.output) / ".progress", "patches", patches)


class CountColoursFn(_PatchesFn):
    """PatchGroup -> (slide and its name, (patches, colours of their tissue))."""

    def process(self, group: PatchGroup) -> Iterator[Any]:
        found = []
        for patch in self._patches(group, group.patch_ids, "fit"):
            if isinstance(patch, TaggedOutput):
                yield patch
            else:
                found.append(tissue_colours(patch[3]))
        self._note(len(group.patch_ids))
        if found:
            yield (group.slide, group.name), (len(found), merge_counts(found))


class MergeCountsFn(beam.CombineFn):
    """(patches, ColourCounts), added up: exactly, so in whatever order and on however many workers."""

    def create_accumulator(self) -> tuple[int, list[ColourCounts]]:
        return 0, []

    def add_input(
        self, accumulator: tuple[int, list[ColourCounts]], counted: tuple[int, ColourCounts]
    ) -> tuple[int, list[ColourCounts]]:
        patches, counts = accumulator
        counts.append(counted[1])
        if len(counts) > 1 and sum(len(one.codes) for one in counts) > _COMPACT:
            counts = [merge_counts(counts)]
        return patches + counted[0], counts

    def merge_accumulators(
        self, accumulators: Iterable[tuple[int, list[ColourCounts]]]
    ) -> tuple[int, list[ColourCounts]]:
        accumulators = list(accumulators)
        merged = merge_counts(one for _, counts in accumulators for one in counts)
        return sum(patches for patches, _ in accumulators), [merged]

    def compact(self, accumulator: tuple[int, list[ColourCounts]]) -> tuple[int, list[ColourCounts]]:
        return accumulator[0], [merge_counts(accumulator[1])]

    def extract_output(self, accumulator: tuple[int, list[ColourCounts]]) -> tuple[int, ColourCounts]:
        return accumulator[0], merge_counts(accumulator[1])


class NormaliseFn(_PatchesFn):
    """PatchGroup -> rows of the second data table; patches that it holds are skipped."""

    def __init__(
        self, run: "StainRun", statistics: Mapping[SlideId, StainStatistics], reference: StainStatistics
    ) -> None:
        super().__init__(run)
        self._statistics = dict(statistics)
        self._reference = reference
        self._patch_bytes = Metrics.distribution(_NAMESPACE, "patch_bytes")

    def setup(self) -> None:
        super().setup()
        target = describe_table(self._run.cluster, self._run.name_of(self._run.to)).cql_name
        self._stored = self._prepare(f"SELECT patch_id FROM {target} WHERE patch_id = ?")

    def process(self, group: PatchGroup) -> Iterator[Any]:
        stored = {row[0] for row in self._read(self._stored, group.patch_ids)}
        missing = [patch_id for patch_id in group.patch_ids if patch_id not in stored]
        counts = collections.Counter(planned=len(group.patch_ids), skipped=len(group.patch_ids) - len(missing))
        statistics = self._statistics.get(group.slide)
        for patch in self._patches(group, missing, "normalise"):
            if isinstance(patch, TaggedOutput):
                yield patch
                continue
            patch_id, label, data, rgb = patch
            before = encoding_of(data)
            encoding = self._run.encoding or before
            if statistics is not None and statistics.usable(self._run.method):
                rgb = normalise(rgb, statistics, self._run.method, self._reference)
                data = encode(rgb, encoding, self._run.quality)
            else:
                counts["unchanged"] += 1
                data = data if encoding == before else encode(rgb, encoding, self._run.quality)
            self._patch_bytes.update(len(data))
            yield {"patch_id": patch_id, "label": label, "data": data}
        self._note(len(group.patch_ids))
        for counted in counts.items():
            yield TaggedOutput(RECORDS, ("count", counted))


def _slide(row: Mapping[str, Any]) -> SlideId:
    return row["patient_id"], row["slide_num"]


def _groups_to_fit(slide: tuple[SlideId, list[tuple[bytes, str]]]) -> Iterator[PatchGroup]:
    identity, patches = slide
    name = max(name for _, name in patches)
    ids = [uuid.UUID(bytes=key) for key, _ in patches]
    for first in range(0, len(ids), _GROUP):
        yield PatchGroup(identity, name, tuple(ids[first : first + _GROUP]))


def _groups(rows: list[Mapping[str, Any]]) -> Iterator[PatchGroup]:
    """Rows of a batch by slide: neighbours in the token ring are mostly of one slide."""
    by_slide: dict[tuple[SlideId, str], list[uuid.UUID]] = {}
    for row in rows:
        by_slide.setdefault((_slide(row), row["slide"] or ""), []).append(row["patch_id"])
    for (slide, name), ids in by_slide.items():
        yield PatchGroup(slide, name, tuple(ids))


def _fit(counted: tuple[tuple[SlideId, str], tuple[int, ColourCounts]]) -> dict[str, Any]:
    (slide, name), (patches, counts) = counted
    return stain_row(slide, name, fit(counts), patches=patches, pixels=counts.pixels)
