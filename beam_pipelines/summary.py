"""What a run did, slide by slide: counts that add up, and everything that went wrong. No Beam.

Summary        the run             start here
SlideOutcome   one slide
SlideStatus    how a slide can end
summarise      records of the pipeline + rows counted in the database -> Summary
"""

import collections
import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beam_pipelines.slide_list import SlideList, SlideTask

# Stages at which a slide as a whole can fail; at any other, a patch failed.
COPIES, PLAN, COMPARE = "compare with other slides", "plan", "compare with stored"


class SlideStatus(str, enum.Enum):
    """How a slide ended; the values are shown."""

    TILED = "tiled"
    NOT_ANNOTATED = "without annotations"
    NO_TISSUE = "without tissue"
    NOTHING_KEPT = "no patch qualifies"
    UNREADABLE = "unreadable"
    COPY = "copy of another slide"
    STORED_OTHERWISE = "stored in another encoding"


_FAILED_AT = {
    COPIES: SlideStatus.COPY,
    PLAN: SlideStatus.UNREADABLE,
    COMPARE: SlideStatus.STORED_OTHERWISE,
}


@dataclasses.dataclass(frozen=True)
class SlideOutcome:
    """One slide.

    Attributes:
      slide, patient_id, slide_num: File name; from the slide table or the name.
      status: A SlideStatus.
      error: Why none of it was tiled, else "".
      planned: Patches that qualify by tissue and annotation; all of them are kept, rejected for their pixels, or
        failed.
      written: Patches whose rows this run wrote to both tables.
      skipped: Patches that both tables held before. Both together are the kept ones.
      low_quality: Reason -> planned patches that were rejected once cut, for their pixels.
      failed: Patches with a dead letter.
      stored: Metadata rows counted in the database afterwards; None in a dry run.
      stale: Among them, rows from earlier runs that the plan does not have.
      rejected: Reason -> grid positions left out. With `planned`, they make up the whole grid.
      notes: What a user may want to know.
      size_l0, mpp: Width and height of the slide in pixels; micrometres per pixel, across and down, when known.
      patch_l0: Width and height of a patch in level-0 pixels.
      content_id: Hash of the slide's content, which the ids of its patches are made from.
      untouched: An earlier run completed it, and nothing has changed since: it was not opened.
    """

    slide: str
    patient_id: str
    slide_num: int
    status: str
    error: str = ""
    planned: int = 0
    written: int = 0
    skipped: int = 0
    failed: int = 0
    stored: int | None = None
    stale: int = 0
    rejected: Mapping[str, int] = dataclasses.field(default_factory=dict)
    low_quality: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    size_l0: tuple[int, int] | None = None
    mpp: tuple[float, float] | None = None
    patch_l0: tuple[float, float] | None = None
    content_id: str = ""
    untouched: bool = False

    @property
    def kept(self) -> int:
        """Patches that both tables hold."""
        return self.written + self.skipped

    @property
    def dropped(self) -> int:
        """Planned patches that were rejected for their pixels."""
        return sum(self.low_quality.values())

    @property
    def lost(self) -> int:
        """Patches that are neither kept, rejected nor failed, or not in the database although they should be."""
        if self.stored is None:
            return 0
        unaccounted = abs(self.planned - self.kept - self.dropped - self.failed)
        # Stale rows may have been overwritten by this run, so that they make no lower bound.
        return unaccounted or max(0, self.kept - self.stored)

    @property
    def complete(self) -> bool:
        """Whether every planned patch is stored or rejected: a rerun has nothing to do on it."""
        return not (self.error or self.failed or self.lost)


@dataclasses.dataclass(frozen=True)
class Summary:
    """A run.

    Attributes:
      slides: Every slide of the run, by file name.
      annotation_problems: Text of each, and whether the region was repaired and used.
      absent_slides: Named by annotations or the slide table, matched by no pattern.
      dead_letters: Each slide or patch that failed: slide, stage, error and what identifies it.
      seconds: Stage -> time it took.
      counters: Beam's metrics: name -> sum, or name -> {"mean", "max"} for distributions.
      dry_run: Nothing was read from or written to the database.
      tasks: The slides as they were listed.
    """

    slides: tuple[SlideOutcome, ...]
    annotation_problems: tuple[tuple[str, bool], ...]
    absent_slides: tuple[str, ...]
    dead_letters: tuple[Mapping[str, Any], ...]
    seconds: Mapping[str, float]
    counters: Mapping[str, Any]
    dry_run: bool
    tasks: tuple[SlideTask, ...] = ()

    def total(self, name: str) -> int:
        """Sum of a field over the slides, as in total("written")."""
        return sum(getattr(slide, name) or 0 for slide in self.slides)

    def by_status(self) -> dict[str, int]:
        """Number of slides of each status."""
        counts = collections.Counter(slide.status for slide in self.slides)
        return {status.value: counts[status.value] for status in SlideStatus}

    def complaints(self) -> list[str]:
        """What keeps the run from being complete, a sentence each; empty when it is."""
        found = []
        found += [f"slide {slide.slide} failed: {slide.error}" for slide in self.slides if slide.error]
        found += [f"{s.slide}: {s.failed:,} of {s.planned:,} patches failed" for s in self.slides if s.failed]
        found += [f"{s.slide}: {s.lost:,} patches are unaccounted for; run it again" for s in self.slides if s.lost]
        found += [text for text, repaired in self.annotation_problems if not repaired]
        if not self.total("planned"):
            found.append("no slide has a patch that qualifies: see the reasons of each slide")
        return found

    @property
    def exit_code(self) -> int:
        """0 when complete, 3 when something failed."""
        return 3 if self.complaints() else 0

    def as_dict(self) -> dict[str, Any]:
        """The content of summary.json."""
        totals = ("planned", "kept", "written", "skipped", "dropped", "failed", "stored", "stale")
        return {
            "complete": self.exit_code == 0,
            "dry_run": self.dry_run,
            "slides_by_status": self.by_status(),
            "patches": {name: self.total(name) for name in totals},
            "complaints": self.complaints(),
            "slides": [dataclasses.asdict(slide) for slide in self.slides],
            "annotation_problems": [
                {"problem": text, "repaired": repaired} for text, repaired in self.annotation_problems
            ],
            "absent_slides": list(self.absent_slides),
            "dead_letters": len(self.dead_letters),
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "counters": dict(self.counters),
        }


def summarise(
    slides: SlideList,
    records: Iterable[Sequence[Any]],
    stored: Mapping[str, int] | None,
    *,
    seconds: Mapping[str, float],
    counters: Mapping[str, Any],
) -> Summary:
    """Adds up what the pipeline told of each slide. A slide of which it told nothing is unreadable, and never left out.

    Args:
      slides: The input.
      records: See tiling_pipeline.Record.
      stored: Slide -> metadata rows counted after the run; None in a dry run.
      seconds, counters: As in Summary.
    """
    plans: dict[str, Mapping[str, Any]] = {}
    written: collections.Counter[str] = collections.Counter()
    failed: collections.Counter[str] = collections.Counter()
    low_quality: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    errors: dict[str, tuple[SlideStatus, str]] = {}
    dead = []
    for kind, content in records:
        if kind == "plan":
            plans[content["slide"]] = content
        elif kind == "written":
            slide, count = content
            written[slide] += count
        elif kind == "rejected":
            low_quality[content["slide"]][content["reason"]] += 1
        else:
            dead.append(content)
            if status := _FAILED_AT.get(content["stage"]):
                errors[content["slide"]] = (status, content["error"])
            else:
                failed[content["slide"]] += 1
    outcomes = []
    for task in slides.tasks:
        status, error = errors.get(task.name, (SlideStatus.UNREADABLE, "the pipeline told nothing of it"))
        outcome = SlideOutcome(
            task.name,
            task.ref.patient_id,
            task.ref.slide_num,
            status=status.value,
            error=error,
            stored=None if stored is None else stored[task.name],
            notes=task.notes,
        )
        if plan := plans.get(task.name):
            fields = {name: value for name, value in plan.items() if name != "slide"}
            fields |= {name: tuple(plan[name]) for name in ("notes", "size_l0", "patch_l0", "mpp") if plan[name]}
            if not plan.get("untouched"):
                fields |= {"written": written[task.name], "failed": failed[task.name]}
                fields |= {"low_quality": dict(low_quality[task.name])}
            outcome = dataclasses.replace(outcome, error="", **fields)
        outcomes.append(outcome)
    problems = tuple((str(problem), problem.repaired) for problem in slides.problems)
    return Summary(
        tuple(outcomes),
        problems,
        slides.absent_slides,
        tuple(dead),
        seconds,
        counters,
        dry_run=stored is None,
        tasks=slides.tasks,
    )
