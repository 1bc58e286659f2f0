"""The transforms of the tiling pipeline.

SlideTask -> group by content -> FirstOfCopiesFn -> PlanSlideFn -> PatchGroup -> Reshuffle
Reshuffle -> CutPatchesFn -> rows -> data table -> metadata table

All of them also give records of what became of slides and patches, which end in one list.

A patch's metadata row is written after the cluster has acknowledged its data row, so that no metadata row points to
nothing, whenever a run ends. The stages after the Reshuffle run as one: pixels go from the slide to the database within
a worker and are never stored in between.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_pipelines.cassandraio import DeadLetter, WriteToCassandra
from beam_pipelines.progress import note_progress
from beam_pipelines.sessions import SESSIONS
from beam_pipelines.slide_list import SlideTask
from beam_pipelines.slides.annotations import slide_key
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.masks import write_mask_png
from beam_pipelines.slides.open import Slide, open_slide
from beam_pipelines.slides.plan import SlidePlan, cut_patch, plan_slide
from beam_pipelines.slides.tiles import PatchLocation
from beam_pipelines.stored import StoredOtherwise, StoredPatches, Unstored
from beam_pipelines.summary import COMPARE, COPIES, PLAN, SlideStatus
from beam_pipelines.tiling_run import TilingRun
from tfcass.schema import DATA_COLUMNS, METADATA_COLUMNS

_NAMESPACE = "tfcass.tiling"
_GROUP = 32  # Patches of one element: a second of work, so that workers end together and progress moves.
_OPEN_SLIDES = 4  # Per DoFn instance. Groups come in any order; OpenSlide keeps 32 MiB of decoded pixels for each.

RECORDS = "records"

# A record tells what became of a slide or a patch: ("plan" | "dead", fields) or ("written", (slide, count)).
Record = tuple[str, Any]


@dataclasses.dataclass(frozen=True)
class PatchGroup:
    """Neighbouring patches of one slide, cut by one worker."""

    path: str
    locations: tuple[PatchLocation, ...]


def progress_file(output: str) -> Path:
    return Path(output) / ".progress"


def build(
    pipeline: beam.Pipeline, tasks: list[SlideTask], run: TilingRun, deliver: Callable[[list[Record]], None]
) -> None:
    """Adds the transforms.

    Args:
      pipeline: Where to.
      tasks: The slides.
      run: Settings.
      deliver: Called once, on a worker, with all records.
    """
    originals = (
        pipeline
        | "Slides" >> beam.Create(tasks)
        | "Content" >> beam.Map(_by_content)
        | "Same content" >> beam.GroupByKey()  # Spreads the slides over workers, too.
        | "First of copies" >> beam.ParDo(FirstOfCopiesFn(run)).with_outputs(RECORDS, main="slides")
    )
    planned = originals["slides"] | "Plan" >> beam.ParDo(PlanSlideFn(run)).with_outputs(RECORDS, main="groups")
    records = [originals[RECORDS], planned[RECORDS]]
    if not run.dry_run:
        records += _cut_and_write(planned["groups"], run)
    (records | "All records" >> beam.Flatten() | "One list" >> beam.combiners.ToList() | "Deliver" >> beam.Map(deliver))


def _cut_and_write(groups: beam.PCollection, run: TilingRun) -> list[beam.PCollection]:
    settings = {**dataclasses.asdict(run.write), "cluster": run.cluster}
    cut = (
        groups
        | "Spread patches" >> beam.Reshuffle()
        | "Cut" >> beam.ParDo(CutPatchesFn(run)).with_outputs(RECORDS, main="rows")
    )
    data = cut["rows"] | "Write data" >> WriteToCassandra(
        run.data_name, columns=tuple(DATA_COLUMNS), emit=tuple(METADATA_COLUMNS), **settings
    )
    metadata = data.written | "Write metadata" >> WriteToCassandra(
        run.metadata_name, columns=tuple(METADATA_COLUMNS), emit=("slide", "patch_id"), **settings
    )
    written = (
        metadata.written
        | "Slide of row" >> beam.Map(lambda row: (row["slide"], 1))
        | "Count" >> beam.CombinePerKey(sum)
        | "Written" >> beam.Map(lambda counted: ("written", counted))
    )
    return [
        cut[RECORDS],
        data.dead | "Data not written" >> beam.Map(_dead),
        metadata.dead | "Metadata not written" >> beam.Map(_dead),
        written,
    ]


class FirstOfCopiesFn(beam.DoFn):
    """Slides of the same content -> the first by name; each other one is a record.

    A copy would have the ids of the first one's patches: the same pixels under two patients, in two splits.
    """

    def __init__(self, run: TilingRun) -> None:
        self._run = run
        self._slides_failed = Metrics.counter(_NAMESPACE, "slides_failed")

    def process(self, same: tuple[str, Iterable[SlideTask]]) -> Iterator[Any]:
        first, *copies = sorted(same[1], key=lambda task: task.name)
        yield first
        for task in copies:
            self._slides_failed.inc()
            note_progress(progress_file(self._run.output), "slides", 1)
            error = (
                f"shows the same pixels as {first.name!r}, which stands for both; remove one, or correct whose it is"
            )
            yield TaggedOutput(RECORDS, _dead(DeadLetter({"slide": task.name, "path": task.ref.path}, COPIES, error)))


class PlanSlideFn(beam.DoFn):
    """Slide -> groups of patches to cut, and a record of the plan. Writes the masks.

    A slide that cannot be opened is a record. Pixels are read after a Reshuffle, so that a large slide spreads over
    workers.
    """

    def __init__(self, run: TilingRun) -> None:
        self._run = run
        self._session: Any = None
        self._stored: StoredPatches | None = None
        self._slides_planned = Metrics.counter(_NAMESPACE, "slides_planned")
        self._slides_failed = Metrics.counter(_NAMESPACE, "slides_failed")

    def setup(self) -> None:
        if not self._run.dry_run:
            self._session = SESSIONS.acquire(self._run.cluster)
            self._stored = StoredPatches(self._session, self._run)

    def process(self, task: SlideTask) -> Iterator[Any]:
        try:
            plan = plan_slide(task.ref, task.regions, self._run.tiling)
            unstored = self._unstored(task, plan)
        except SlideError as error:  # A bad slide is data. Anything else is a bug, or no room for masks: the run fails.
            self._slides_failed.inc()
            note_progress(progress_file(self._run.output), "slides", 1)
            stage = COMPARE if isinstance(error, StoredOtherwise) else PLAN
            letter = DeadLetter({"slide": task.name, "path": task.ref.path}, stage, error.reason)
            yield TaggedOutput(RECORDS, _dead(letter))
            return
        folder = Path(self._run.output) / "masks"
        for label, mask in plan.annotated_masks.items():
            write_mask_png(folder / f"{slide_key(task.ref.path)}_{label}.png", mask)
        self._slides_planned.inc()
        for kind, count in (("slides", 1), ("planned", len(plan.locations)), ("skipped", unstored.skipped)):
            note_progress(progress_file(self._run.output), kind, count)
        yield TaggedOutput(RECORDS, ("plan", _plan_fields(task, plan, unstored)))
        for first in range(0, len(unstored.locations), _GROUP):
            yield PatchGroup(task.ref.path, unstored.locations[first : first + _GROUP])

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._run.cluster)

    def _unstored(self, task: SlideTask, plan: SlidePlan) -> Unstored:
        if self._stored is None:
            return Unstored(plan.locations, skipped=0, stale=0)
        unstored = self._stored.unstored(task.ref, plan.locations, check_encoding=not self._run.overwrite)
        if self._run.overwrite:
            return dataclasses.replace(unstored, locations=plan.locations, skipped=0)
        return unstored


class CutPatchesFn(beam.DoFn):
    """Group of patches -> rows of both tables in one dict each; a patch that cannot be read is a record."""

    def __init__(self, run: TilingRun) -> None:
        self._run = run
        self._patches_cut = Metrics.counter(_NAMESPACE, "patches_cut")
        self._patches_unreadable = Metrics.counter(_NAMESPACE, "patches_unreadable")
        self._patch_bytes = Metrics.distribution(_NAMESPACE, "patch_bytes")

    def start_bundle(self) -> None:
        self._slides: collections.OrderedDict[str, Slide] = collections.OrderedDict()

    def process(self, group: PatchGroup) -> Iterator[Any]:
        for location in group.locations:
            try:
                data = cut_patch(
                    self._slide(group.path), location, self._run.tiling, self._run.encoding, self._run.quality
                )
            except SlideError as error:
                self._patches_unreadable.inc()
                row = {name: value for name, value in _row(location).items() if name in ("slide", "patch_id", "x", "y")}
                yield TaggedOutput(RECORDS, _dead(DeadLetter(row, "cut", error.reason)))
            else:
                self._patches_cut.inc()
                self._patch_bytes.update(len(data))
                yield {**_row(location), "data": data}
        note_progress(progress_file(self._run.output), "cut", len(group.locations))

    def finish_bundle(self) -> None:
        while self._slides:
            self._slides.popitem()[1].close()

    # No teardown: a worker that is told to stop calls it while the bundle still runs, and closing a slide that another
    # thread reads aborts the process.

    def _slide(self, path: str) -> Slide:
        if path not in self._slides:
            self._slides[path] = open_slide(path)
            while len(self._slides) > _OPEN_SLIDES:
                self._slides.popitem(last=False)[1].close()
        self._slides.move_to_end(path)
        return self._slides[path]


def _by_content(task: SlideTask) -> tuple[str, SlideTask]:
    try:
        with open_slide(task.ref.path) as slide:
            return slide.content_id, task
    except SlideError:  # Like no other; planning says what is wrong with it.
        return task.ref.path, task


def _row(location: PatchLocation) -> dict[str, Any]:
    """The metadata row of a patch."""
    fields = {**vars(location), "x": location.x_l0, "y": location.y_l0}
    return {name: fields[name] for name in METADATA_COLUMNS}


def _plan_fields(task: SlideTask, plan: SlidePlan, unstored: Unstored) -> Mapping[str, Any]:
    if plan.locations:
        status = SlideStatus.TILED
    elif not task.regions:
        status = SlideStatus.NOT_ANNOTATED
    elif not plan.tissue.any():
        status = SlideStatus.NO_TISSUE
    else:
        status = SlideStatus.NOTHING_KEPT
    return {
        "slide": task.name,
        "status": status.value,
        "planned": len(plan.locations),
        "skipped": unstored.skipped,
        "stale": unstored.stale,
        "rejected": dict(plan.rejected),
        "notes": [*task.notes, *plan.notes],
    }


def _dead(letter: DeadLetter) -> Record:
    return "dead", {**letter.row, "stage": letter.stage, "error": letter.error, "attempts": letter.attempts}
