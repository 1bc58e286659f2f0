"""Draws the masks of annotated slides: one PNG for each slide and class, normal and tumour by default.

    python -m beam_pipelines.make_masks --slides 'slides/*.mrxs' --annotations 'annotations/*.csv' --output out/masks

or, from Python:

    from beam_pipelines.make_masks import MaskRun, run

    summary = run(MaskRun(slides=("slides/*.mrxs",), annotations=("annotations/*.csv",), output="out/masks"))

output/masks/<slide>_<class>.png is grey, 0 and 255, with one pixel for 64 x 64 of level 0 (--mask-level 6). Pixels of
the slide are read only to see whether the annotations lie on tissue; no database is touched. tile_slides draws the same
masks by itself: this is for looking at them first, and for other tools.

Exit: 0 complete, 1 failed, 2 wrong usage, 3 partial (something failed, is left out or lies beside the tissue, and is
listed), 130 interrupted.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_pipelines import command, files
from beam_pipelines.local_copies import CopyCache, local_copy
from beam_pipelines.slides.annotations import Region, check_frame, clip_to_slide, slide_key
from beam_pipelines.slides.classes import DEFAULT_CLASSES, ClassMap
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.masks import mask_png, rasterise
from beam_pipelines.slides.placement import misplacement
from beam_pipelines.slides.tissue import tissue_mask
from tfcass.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

PROG = "python -m beam_pipelines.make_masks"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskRun:
    """What to draw.

    Attributes:
      slides: Patterns of slide files; a folder stands for the slides in it.
      annotations: Patterns of annotation files (see slides/annotation_files.py).
      output: Folder or URL; the masks go to masks/ in it.
      classes: What labels mean, and what covers what.
      frame: "auto", "level0" or "bounds": what coordinates count from.
      mask_level: One pixel of a mask covers 2**mask_level x 2**mask_level of level 0.
      workers: Processes of the local runner; 1 runs everything in this process.
      limit: The first so many slides only; None means all.
      progress: Shows on stderr how far the run is.
      beam_flags: Further pipeline options, such as ("--runner=FlinkRunner",).
      copies: Where workers keep local copies of slides given by URL.
    Raises:
      OptionError, AnnotationError: A field is outside what is accepted.
    """

    slides: tuple[str, ...]
    annotations: tuple[str, ...]
    output: str
    classes: ClassMap = DEFAULT_CLASSES
    frame: str = "auto"
    mask_level: int = 6
    workers: int = 2
    limit: int | None = None
    progress: bool = True
    beam_flags: tuple[str, ...] = ()
    copies: CopyCache = CopyCache()

    def __post_init__(self) -> None:
        for name in ("slides", "annotations"):
            if not getattr(self, name):
                raise OptionError(f"no {name} given; pass --{name} 'folder/*'")
        check_frame(self.frame)
        object.__setattr__(self, "output", files.absolute(self.output))
        for name, lowest in (("workers", 1), ("mask_level", 0)):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int)
                or not lowest <= value <= (16 if lowest == 0 else 999)
            ):
                raise OptionError(f"{name}={value!r} is not a whole number of at least {lowest}")


@dataclasses.dataclass(frozen=True)
class MaskSummary:
    """What was drawn.

    Attributes:
      slides: For each: "slide", "path", "status" ("drawn", "without annotations", "unreadable"), "regions", "area"
        (class -> share of the slide), "files", "notes", "alarms" (is it drawn on this slide at all?), "error".
      problems: What is wrong with the annotation files, and whether it was repaired.
      files: Of each annotation file its path, format, frame and number of regions.
      absent_slides: Annotated, and matched by no pattern.
    """

    slides: tuple[Mapping[str, Any], ...]
    problems: tuple[tuple[str, bool], ...]
    files: tuple[Mapping[str, Any], ...]
    absent_slides: tuple[str, ...]

    def complaints(self) -> list[str]:
        """What keeps the run from being complete."""
        found = [f"{slide['slide']}: {slide['error']}" for slide in self.slides if slide["error"]]
        found += [f"{slide['slide']}: {alarm}" for slide in self.slides for alarm in slide["alarms"]]
        found += [text for text, repaired in self.problems if not repaired]
        if not any(slide["status"] == "drawn" for slide in self.slides):
            found.append("no slide is annotated: annotations find a slide by its file name")
        return found

    @property
    def exit_code(self) -> int:
        """0 when complete, 3 when something is to be looked at."""
        return 3 if self.complaints() else 0

    def as_dict(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {
            "complete": self.exit_code == 0,
            "complaints": self.complaints(),
            "slides": list(self.slides),
            "annotation_files": list(self.files),
            "annotation_problems": [{"problem": text, "repaired": repaired} for text, repaired in self.problems],
            "absent_slides": list(self.absent_slides),
        }


@dataclasses.dataclass(frozen=True)
class DrawnMasks:
    """The masks of one slide, and what there is to say of them.

    Attributes:
      masks: Class -> bool [height, width].
      notes: What a user may want to know.
      alarms: What makes it doubtful that these are the annotations of this slide.
    """

    masks: Mapping[str, "np.ndarray"]
    notes: tuple[str, ...]
    alarms: tuple[str, ...]


def draw_masks(path: str, regions: Sequence[Region], classes: ClassMap, mask_level: int = 6) -> DrawnMasks:
    """Draws the masks of one slide.

    Args:
      path: The slide.
      regions: Of this slide, in any frame.
      classes: What covers what.
      mask_level: Nominal level of the masks.
    Raises:
      SlideError: the slide cannot be opened, or its thumbnail not be read.
    """
    # Here: OpenSlide is not needed to check a command line.
    from beam_pipelines.slides.open import open_slide

    with open_slide(path) as slide:
        inside, problems = clip_to_slide(regions, slide.width_l0, slide.height_l0, slide.bounds_l0)
        drawn = dataclasses.replace(classes, outside=None)  # What nobody drew may well be glass.
        outlines = rasterise(inside, slide.width_l0, slide.height_l0, mask_level, drawn)
        annotated = sum(mask.astype("uint8") for mask in outlines.values()) > 0
        tissue = tissue_mask(slide.thumbnail(downsample=2**mask_level))
        beside = misplacement(annotated, tissue, 2.0**mask_level, bounds_l0=slide.bounds_l0)
        masks = (
            outlines
            if classes.outside is None
            else rasterise(inside, slide.width_l0, slide.height_l0, mask_level, classes)
        )
    alarms = [problem for problem in problems if problem.startswith("most of")]
    alarms += [] if beside is None else [str(beside)]
    return DrawnMasks(masks, tuple(problem for problem in problems if problem not in alarms), tuple(alarms))


def run(options: MaskRun, *, debug: bool = False) -> MaskSummary:
    """Draws the masks; returns once they and summary.json are there.

    Raises:
      tfcass.OptionError: A pattern matches nothing.
      beam_pipelines.slides.errors.OutputError: The output folder cannot be written.
      beam_pipelines.local_runner.PipelineError: The pipeline failed as a whole.
    """
    from beam_pipelines.progress import shown_progress
    from beam_pipelines.slide_list import list_slides, read_all_annotations
    from beam_pipelines.tiling_run import TilingRun

    # Whose the slides are does not matter here: a pattern without a match takes each for a patient of its own.
    listed = TilingRun(
        slides=options.slides,
        output=options.output,
        dry_run=True,
        limit=options.limit,
        name_pattern=r"(?P<patient_id>$.)(?P<slide_num>\d)",
    )
    paths = [task.ref.path for task in list_slides(listed).tasks]
    annotations = read_all_annotations(options.annotations, options.classes, options.frame)
    command.make_output(options.output)
    shown = options.progress and not files.is_url(options.output)
    progress_file = Path(options.output) / ".progress"
    drawn = command.run_job(
        lambda pipeline: _build(pipeline, [(path, annotations.of(path)) for path in paths], options),
        options.output,
        workers=options.workers,
        flags=options.beam_flags,
        debug=debug,
        progress=shown_progress(progress_file, len(paths), line=_Line(len(paths))) if shown else None,
    ).records
    keys = {slide_key(path) for path in paths}
    summary = MaskSummary(
        tuple(sorted(drawn, key=lambda slide: slide["slide"])),
        tuple((str(problem), problem.repaired) for problem in annotations.problems),
        tuple(dataclasses.asdict(file) for file in annotations.files),
        tuple(sorted(set(annotations.regions_by_slide) - keys)) if options.limit is None else (),
    )
    dead = [slide for slide in summary.slides if slide["error"]]
    command.write_summary(options.output, summary.as_dict(), dead)
    return summary


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    from beam_pipelines.command_flags import FlagParser

    flags = FlagParser(prog=PROG, allow_abbrev=False, description="Draws the masks of annotated slides as PNG files.")
    add = flags.add_argument
    add("--slides", action="append", metavar="PATTERN", help="slide files, as in 'dir/*.svs', or a folder; repeatable")
    add("--annotations", action="append", metavar="PATTERN", help=".csv, .geojson, .json or .xml files; repeatable")
    command.add_class_flags(flags)
    add("--mask-level", type=int, default=MaskRun.mask_level, help="level of the masks (default: %(default)s)")
    add("--limit", type=int, metavar="N", help="the first N slides only")
    command.add_run_flags(flags, MaskRun.workers)
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return command.run_command(
        _command, arguments, again="run it again: masks that are there are drawn again, which is quick"
    )


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    flags, rest = command.parse(parser(), arguments, ("--output",))
    options = MaskRun(
        slides=tuple(flags.slides or ()),
        annotations=tuple(flags.annotations or ()),
        output=flags.output,
        classes=command.classes_of(flags),
        frame=flags.annotation_frame,
        mask_level=flags.mask_level,
        workers=flags.workers,
        limit=flags.limit,
        progress=not flags.no_progress,
        beam_flags=rest,
    )
    summary = run(options, debug=debug)
    if flags.json:
        print(json.dumps(summary.as_dict(), indent=2))
    else:
        _print(summary, options)
    return summary.exit_code


def _print(summary: MaskSummary, options: MaskRun) -> None:
    for slide in summary.slides:
        shares = ", ".join(f"{share:.2%} {name}" for name, share in slide["area"].items())
        print(f"{slide['slide']}: {slide['status']}{', ' if shares else ''}{shares}")
        for note in slide["notes"]:
            print(f"  {note}")
    drawn = sum(slide["status"] == "drawn" for slide in summary.slides)
    print(f"{drawn} of {len(summary.slides)} slides drawn in {files.join(options.output, 'masks')}")
    command.print_remarks("annotated, but no such slide", summary.absent_slides)
    command.print_remarks("repaired", [text for text, repaired in summary.problems if repaired])
    command.print_remarks("not complete", summary.complaints())


class _Line:
    """The line of progress."""

    def __init__(self, slides: int) -> None:
        self._slides = slides

    def __call__(self, sums: Mapping[str, int], elapsed_s: float) -> str:
        return f"{sums['slides']} of {self._slides} slides drawn, {elapsed_s:.0f} s"


def _build(pipeline: Any, tasks: list[tuple[str, tuple[Region, ...]]], options: MaskRun) -> list[Any]:
    import apache_beam as beam

    return [
        pipeline
        | "Slides" >> beam.Create(tasks)
        | "Spread slides" >> beam.Reshuffle()
        | "Draw" >> beam.FlatMap(_draw, options=options)
    ]


def _draw(task: tuple[str, tuple[Region, ...]], options: MaskRun) -> Iterator[dict[str, Any]]:
    """Runs on a worker: one slide, told as a record."""
    from beam_pipelines.progress import note_progress

    path, regions = task
    record: dict[str, Any] = {"slide": Path(path).name, "path": path, "regions": len(regions), "status": "drawn"}
    record |= {"area": {}, "files": [], "notes": [], "alarms": [], "error": ""}
    try:
        if not regions and options.classes.outside is None:
            record["status"] = "without annotations"
        else:
            with local_copy(path, options.copies) as local:
                drawn = draw_masks(local, regions, options.classes, options.mask_level)
            for name, mask in drawn.masks.items():
                file = files.join(options.output, "masks", f"{slide_key(path)}_{name}.png")
                files.write_bytes(file, mask_png(mask))
                record["files"].append(file)
                record["area"][name] = float(mask.mean())
            record["notes"], record["alarms"] = list(drawn.notes), list(drawn.alarms)
    except SlideError as error:
        record |= {"status": "unreadable", "error": error.reason}
    note_progress(Path(options.output) / ".progress", "slides", 1)
    yield record


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.make_masks import main as entry

    sys.exit(entry())
