"""The transforms of the tiling pipeline.

SlideTask -> group by content -> FirstOfCopiesFn -> PlanSlideFn -> PatchGroup -> Reshuffle
Reshuffle -> CutPatchesFn -> rows -> data table -> metadata table

Planning writes a slide's masks, its picture, its ledger of what is left out, and its row in the table of slides.

All of them also give records of what became of slides and patches, which end in one list.

A patch's metadata row is written after the cluster has acknowledged its data row, so that no metadata row points to
nothing, whenever a run ends. The stages after the Reshuffle run as one: pixels go from the slide to the database within
a worker and are never stored in between.
"""

import collections
import contextlib
import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

from beam_pipelines import files
from beam_pipelines.cassandraio import DeadLetter, WriteToCassandra
from beam_pipelines.ledger import judged_before, planned_ledger, write_ledger
from beam_pipelines.local_copies import CopyCache, local_copy
from beam_pipelines.output_files import mask_path, progress_file, thumbnail_path
from beam_pipelines.progress import note_progress
from beam_pipelines.sessions import SESSIONS
from beam_pipelines.slide_list import SlideTask
from beam_pipelines.slide_rows import SlideRows, options_json, versions_json
from beam_pipelines.slides.annotations import Region
from beam_pipelines.slides.encode import encode
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.labels import label_columns
from beam_pipelines.slides.masks import cut_out, encode_mask, mask_png, patch_mask
from beam_pipelines.slides.open import Slide, open_slide
from beam_pipelines.slides.plan import SlidePlan, cut_and_judge, plan_slide
from beam_pipelines.slides.quality import METRICS, QualityOptions, Rejection, judge
from beam_pipelines.slides.tiles import PatchLocation, SlideRef, TilingOptions
from beam_pipelines.stored import StoredOtherwise, StoredPatches, Unstored
from beam_pipelines.summary import COMPARE, COPIES, PLAN, SlideStatus
from beam_pipelines.tiling_run import TilingRun
from tfcass.schema import DATA_COLUMNS, METADATA_COLUMNS

THUMBNAIL_PX = 900  # Longest side: sharp on a dense screen at a third of a page, and about 100 kB.
_NAMESPACE = "tfcass.tiling"
_GROUP = 32  # Patches of one element: a second of work, so that workers end together and progress moves.
_OPEN_SLIDES = 4  # Per DoFn instance. Groups come in any order; OpenSlide keeps 32 MiB of decoded pixels for each.

RECORDS = "records"
_PLANNED_COLUMNS = ("patient_id", "slide_num", "label", "patch_id", "slide", "level", "mpp", "tissue")
_CLASS = "class_label"  # The metadata's label, while the data table's is a mask.

# What became of a slide or a patch: ("plan" | "dead" | "rejected", fields) or ("written", (slide, count)).
Record = tuple[str, Any]


@dataclasses.dataclass(frozen=True)
class PatchGroup:
    """Neighbouring patches of one slide, cut by one worker."""

    path: str
    locations: tuple[PatchLocation, ...]
    regions: tuple[Region, ...] = ()  # What is annotated on them, when their masks are asked.


def metadata_columns(run: TilingRun) -> tuple[str, ...]:
    """What a run writes to the metadata table: all that it has by name, but shares of classes only of the run's own."""
    others = set(label_columns()) - set(run.label_columns)
    return tuple(dict.fromkeys(name for name in (*METADATA_COLUMNS, *run.label_columns) if name not in others))


def build(
    pipeline: beam.Pipeline,
    tasks: list[SlideTask],
    run: TilingRun,
    *,
    finished: Mapping[str, str] = MappingProxyType({}),
) -> list[beam.PCollection]:
    """Adds the transforms; the records of what became of slides and patches.

    Args:
      pipeline: Where to.
      tasks: The slides.
      run: Settings.
      finished: content_id -> name of slides that are not among `tasks`, as nothing is left to do on them.
    """
    originals = (
        pipeline
        | "Slides" >> beam.Create(tasks)
        | "Content" >> beam.Map(_by_content, run.copies)
        | "Same content" >> beam.GroupByKey()  # Spreads the slides over workers, too.
        | "First of copies" >> beam.ParDo(FirstOfCopiesFn(run, finished)).with_outputs(RECORDS, main="slides")
    )
    planned = originals["slides"] | "Plan" >> beam.ParDo(PlanSlideFn(run)).with_outputs(RECORDS, main="groups")
    records = [originals[RECORDS], planned[RECORDS]]
    if not run.dry_run:
        records += _cut_and_write(planned["groups"], run)
    return records


def _cut_and_write(groups: beam.PCollection, run: TilingRun) -> list[beam.PCollection]:
    settings = {**dataclasses.asdict(run.write), "cluster": run.cluster}
    cut = (
        groups
        | "Spread patches" >> beam.Reshuffle()
        | "Cut" >> beam.ParDo(CutPatchesFn(run)).with_outputs(RECORDS, main="rows")
    )
    columns = metadata_columns(run)
    carried = (*(name for name in columns if name != "label"), _CLASS)
    data = cut["rows"] | "Write data" >> WriteToCassandra(
        run.data_name, columns=tuple(DATA_COLUMNS), emit=carried, **settings
    )
    metadata = (
        data.written
        | "Metadata" >> beam.Map(lambda row: {**row, "label": row[_CLASS]})
        | "Write metadata"
        >> WriteToCassandra(run.metadata_name, columns=columns, emit=("slide", "patch_id"), **settings)
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

    def __init__(self, run: TilingRun, finished: Mapping[str, str]) -> None:
        self._run = run
        self._finished = dict(finished)
        self._slides_failed = Metrics.counter(_NAMESPACE, "slides_failed")

    def process(self, same: tuple[str, Iterable[SlideTask]]) -> Iterator[Any]:
        content_id, tasks = same
        copies = sorted(tasks, key=lambda task: task.name)
        if content_id in self._finished:
            first = self._finished[content_id]
        else:
            first = copies[0].name
            yield copies.pop(0)
        for task in copies:
            self._slides_failed.inc()
            note_progress(progress_file(self._run.output), "slides", 1)
            error = f"shows the same pixels as {first!r}, which stands for both; remove one, or correct whose it is"
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
        self._rows: SlideRows | None = None
        self._slides_planned = Metrics.counter(_NAMESPACE, "slides_planned")
        self._slides_failed = Metrics.counter(_NAMESPACE, "slides_failed")

    def setup(self) -> None:
        if not self._run.dry_run:
            self._session = SESSIONS.acquire(self._run.cluster)
            self._stored = StoredPatches(self._session, self._run)
            self._rows = SlideRows(self._session, self._run)

    def process(self, task: SlideTask) -> Iterator[Any]:
        try:
            with contextlib.ExitStack() as held:
                path = held.enter_context(local_copy(task.ref.path, self._run.copies))
                plan = plan_slide(self._local(task.ref, path, held), task.regions, self._run.tiling, self._run.classes)
                picture = _picture(path, self._run.tiling)
            unstored = self._unstored(task, plan)
        except SlideError as error:  # A bad slide is data. Anything else is a bug, or no room for masks: the run fails.
            self._slides_failed.inc()
            note_progress(progress_file(self._run.output), "slides", 1)
            stage = COMPARE if isinstance(error, StoredOtherwise) else PLAN
            letter = DeadLetter({"slide": task.name, "path": task.ref.path}, stage, error.reason)
            yield TaggedOutput(RECORDS, _dead(letter))
            return
        rejected, left = self._rejected_before(task, unstored.locations)
        self._write_files(task, plan, picture, rejected)
        if self._rows is not None:
            self._rows.begin(task, _provenance(plan, self._run))
        self._slides_planned.inc()
        for kind, count in (
            ("slides", 1),
            ("planned", len(plan.locations)),
            ("skipped", len(plan.locations) - len(left)),
        ):
            note_progress(progress_file(self._run.output), kind, count)
        yield TaggedOutput(RECORDS, ("plan", _plan_fields(task, plan, unstored, self._run)))
        for row in rejected:
            yield TaggedOutput(RECORDS, ("rejected", {**row, "known": True}))
        for first in range(0, len(left), _GROUP):
            yield self._group(task, plan, left[first : first + _GROUP])

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._run.cluster)

    def _local(self, ref: SlideRef, path: str, held: contextlib.ExitStack) -> SlideRef:
        """The slide with local paths; copies stay until `held` closes."""
        mask = ref.tissue_mask
        if mask is not None:
            mask = held.enter_context(local_copy(mask, self._run.copies))
        return dataclasses.replace(ref, path=path, tissue_mask=mask)

    def _group(self, task: SlideTask, plan: SlidePlan, locations: Sequence[PatchLocation]) -> PatchGroup:
        """With no more of the annotations than lies on these patches: elements travel."""
        if not self._run.label_masks:
            return PatchGroup(task.ref.path, tuple(locations))
        left, top = (min(getattr(location, name) for location in locations) for name in ("x_l0", "y_l0"))
        right, bottom = (max(getattr(location, name) for location in locations) for name in ("x_l0", "y_l0"))
        box = (left, top, right - left + plan.grid.width_l0, bottom - top + plan.grid.height_l0)
        return PatchGroup(task.ref.path, tuple(locations), cut_out(plan.regions, *box))

    def _unstored(self, task: SlideTask, plan: SlidePlan) -> Unstored:
        if self._stored is None:
            return Unstored(plan.locations, skipped=0, stale=0)
        unstored = self._stored.unstored(task.ref, plan.locations, check_encoding=not self._run.overwrite)
        if self._run.overwrite:
            return dataclasses.replace(unstored, locations=plan.locations, skipped=0)
        return unstored

    def _rejected_before(
        self, task: SlideTask, locations: Sequence[PatchLocation]
    ) -> tuple[list[dict[str, Any]], tuple[PatchLocation, ...]]:
        """Patches that an earlier run cut and rejected, by thresholds that still stand; and the others."""
        judged = {} if self._run.overwrite else judged_before(self._run.output, task.name)
        rejected: list[dict[str, Any]] = []
        left: list[PatchLocation] = []
        for location in locations:
            row = judged.get(str(location.patch_id))
            again = None if row is None else _judge_again(row, self._run.tiling.quality)
            if again is None:
                left.append(location)
            else:
                rejected.append(_rejected(location, again))
        return rejected, tuple(left)

    def _write_files(
        self, task: SlideTask, plan: SlidePlan, picture: bytes, rejected: Sequence[Mapping[str, Any]]
    ) -> None:
        output = self._run.output
        for name, mask in {**plan.annotated_masks, "tissue": plan.tissue}.items():
            files.write_bytes(mask_path(output, task.name, name), mask_png(mask))
        files.write_bytes(thumbnail_path(output, task.name), picture)
        write_ledger(output, task.name, planned_ledger(task.name, plan.rejections, rejected))


class CutPatchesFn(beam.DoFn):
    """Group of patches -> rows of both tables in one dict each; a patch that cannot be read is a record."""

    def __init__(self, run: TilingRun) -> None:
        self._run = run
        self._patches_cut = Metrics.counter(_NAMESPACE, "patches_cut")
        self._patches_rejected = Metrics.counter(_NAMESPACE, "patches_rejected")
        self._patches_unreadable = Metrics.counter(_NAMESPACE, "patches_unreadable")
        self._patch_bytes = Metrics.distribution(_NAMESPACE, "patch_bytes")

    def start_bundle(self) -> None:
        self._slides: collections.OrderedDict[str, _OpenSlide] = collections.OrderedDict()

    def process(self, group: PatchGroup) -> Iterator[Any]:
        run = self._run
        for location in group.locations:
            try:
                slide = self._slide(group.path)
                patch = cut_and_judge(slide, location, run.tiling, run.encoding, run.quality)
            except SlideError as error:
                self._patches_unreadable.inc()
                place = {"slide": location.slide, "patch_id": location.patch_id, "x": location.x_l0, "y": location.y_l0}
                yield TaggedOutput(RECORDS, _dead(DeadLetter(place, "cut", error.reason)))
                continue
            self._patches_cut.inc()
            if patch.rejection is not None:
                self._patches_rejected.inc()
                yield TaggedOutput(RECORDS, ("rejected", _rejected(location, patch.rejection)))
                continue
            self._patch_bytes.update(len(patch.data))
            yield {**_row(location, patch.quality), "data": patch.data, **self._label(slide, location, group.regions)}
        note_progress(progress_file(run.output), "cut", len(group.locations))

    def _label(self, slide: Slide, location: PatchLocation, regions: Sequence[Region]) -> dict[str, Any]:
        """The label of the data table, and that of the metadata."""
        if not self._run.label_masks:
            return {_CLASS: location.label}
        mask = patch_mask(
            regions,
            location.x_l0,
            location.y_l0,
            self._run.tiling.patch_size,
            location.downsample,
            self._run.classes,
            size_l0=(slide.width_l0, slide.height_l0),
        )
        return {"label": encode_mask(mask), _CLASS: location.label}

    def finish_bundle(self) -> None:
        while self._slides:
            self._slides.popitem()[1].close()

    # No teardown: a worker that is told to stop calls it while the bundle still runs, and closing a slide that another
    # thread reads aborts the process.

    def _slide(self, path: str) -> Slide:
        if path not in self._slides:
            self._slides[path] = _OpenSlide(path, self._run.copies)
            while len(self._slides) > _OPEN_SLIDES:
                self._slides.popitem(last=False)[1].close()
        self._slides.move_to_end(path)
        return self._slides[path].slide


class _OpenSlide:
    """A slide held open, and its local copy held in place."""

    def __init__(self, path: str, copies: CopyCache) -> None:
        with contextlib.ExitStack() as opened:
            self.slide = opened.enter_context(open_slide(opened.enter_context(local_copy(path, copies))))
            self.close = opened.pop_all().close


def _by_content(task: SlideTask, copies: CopyCache) -> tuple[str, SlideTask]:
    try:
        with local_copy(task.ref.path, copies) as path, open_slide(path) as slide:
            return slide.content_id, task
    except SlideError:  # Like no other; planning says what is wrong with it.
        return task.ref.path, task


def _picture(path: str, options: TilingOptions) -> bytes:
    """The slide, small, as JPEG."""
    with open_slide(path) as slide:
        try:
            thumbnail = slide.thumbnail(max_size_px=THUMBNAIL_PX)
        except SlideError:  # Damage in a fine level must not lose the slide: planning has just read this one.
            thumbnail = slide.thumbnail(downsample=2**options.mask_level)
        return encode(thumbnail, "jpeg", 85)


def _row(location: PatchLocation, quality: Mapping[str, float]) -> dict[str, Any]:
    """The metadata row of a patch. What could not be measured is null."""
    row = {name: getattr(location, name) for name in _PLANNED_COLUMNS}
    measured = {name: None if math.isnan(value) else value for name, value in quality.items()}
    return {**row, "x": location.x_l0, "y": location.y_l0, **dict(location.labels), **measured}


def _judge_again(row: Mapping[str, Any], options: QualityOptions) -> Rejection | None:
    """Whether the metric by which a patch was rejected breaks today's limit, too."""
    return judge({**dict.fromkeys(METRICS, math.nan), row["metric"]: row["value"]}, options)


def _rejected(location: PatchLocation, why: Rejection) -> dict[str, Any]:
    """A line of the ledger."""
    return {
        "slide": location.slide,
        "x": location.x_l0,
        "y": location.y_l0,
        "patch_id": str(location.patch_id),
        "reason": why.reason,
        "metric": why.metric,
        "value": why.value,
        "threshold": why.threshold,
        "tissue": location.tissue,
        "annotated": location.annotated,
        "label": location.label,
    }


def _provenance(plan: SlidePlan, run: TilingRun) -> dict[str, Any]:
    """What the table of slides says of a slide before its first patch is cut."""
    geometry = plan.slide
    mpp_x, mpp_y = geometry.mpp or (None, None)
    return {
        "content_id": geometry.content_id,
        "vendor": geometry.vendor,
        "width": geometry.width_l0,
        "height": geometry.height_l0,
        "mpp_x": mpp_x,
        "mpp_y": mpp_y,
        "mpp_source": geometry.mpp_source,
        "patch_width": plan.grid.width_l0,
        "patch_height": plan.grid.height_l0,
        "levels": json.dumps(geometry.level_downsamples),
        "options": options_json(run),
        "versions": versions_json(),
        "planned": len(plan.locations),
    }


def _plan_fields(task: SlideTask, plan: SlidePlan, unstored: Unstored, run: TilingRun) -> Mapping[str, Any]:
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
        "size_l0": (plan.slide.width_l0, plan.slide.height_l0),
        "patch_l0": (plan.grid.width_l0, plan.grid.height_l0),
        "mpp": plan.slide.mpp,
        "content_id": plan.slide.content_id,
    }


def _dead(letter: DeadLetter) -> Record:
    return "dead", {**letter.row, "stage": letter.stage, "error": letter.error, "attempts": letter.attempts}
