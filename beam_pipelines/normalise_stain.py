"""Writes a second data table, of the same ids, in which all slides are stained alike.

    python -m beam_pipelines.normalise_stain --keyspace wsi --host 10.0.0.1 --to data_macenko --method macenko \\
        --output out/macenko

First how each slide is stained is found from the tissue in --fit-patches of its patches, and stored, once, in the
table stain_by_slide. Then every patch is read, brought to the reference and written under its own id, so that splits
and metadata hold for both tables. Slides of which the statistics tell nothing (too little tissue, one stain only) keep
their patches as they are, and are named.

The table stain_by_slide is all that training needs to do the same while it reads (tfcass/stain.py): to try a method, or
to save the space, stop after it with --fit-only.

A second run skips what is stored: statistics of slides, and patches. --refit finds the statistics again. A table holds
one method and one reference, which its comment names.

Exit: 0 complete, 1 failed, 2 wrong usage, 3 partial (what failed is listed), 130 interrupted.
"""

import argparse
import collections
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines import command, files
from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.slides.encode import check_encoding
from tfcass.cluster import Cluster
from tfcass.errors import OptionError
from tfcass.stain_statistics import StainStatistics, check_method, check_reference

PROG = "python -m beam_pipelines.normalise_stain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StainRun:
    """What to normalise.

    Attributes:
      keyspace, cluster: Where the tables are.
      to: Name of the second data table; made when absent. Empty with `fit_only`.
      output: Folder for summary.json and dead_letters.jsonl.
      method: "macenko" or "reinhard".
      reference: What all slides are brought to: "default", a slide by name, or a file (a picture, or JSON).
      metadata_table, data_table: The present tables.
      stain_table: Of the statistics.
      fit_patches: Of each slide, as many patches make its statistics: those with the smallest ids, which is as good as
        drawn by lot, and the same on every run.
      fit_only: Stops when the statistics are stored.
      refit: Finds statistics again that are stored.
      encoding: Of the new patches: "jpeg", "png", "tiff"; None keeps that of each patch.
      quality: Of JPEG.
      write: Bounds and retries of the writes.
      workers, progress, beam_flags: As in TilingRun.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    keyspace: str
    cluster: Cluster
    output: str
    to: str = ""
    method: str = "macenko"
    reference: str = "default"
    metadata_table: str = "metadata_by_nat"
    data_table: str = "data_by_uuid"
    stain_table: str = "stain_by_slide"
    fit_patches: int = 200
    fit_only: bool = False
    refit: bool = False
    encoding: str | None = None
    quality: int = 90
    write: WriteOptions = WriteOptions()
    workers: int = 2
    progress: bool = True
    beam_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cluster is None:
            raise OptionError("no cluster given; pass --host ADDRESS")
        if not self.keyspace:
            raise OptionError("no keyspace given; pass --keyspace NAME")
        check_method(self.method)
        check_encoding(self.encoding or "png", self.quality)
        if not self.to and not self.fit_only:
            raise OptionError("no table given; pass --to NAME, or --fit-only to store the statistics alone")
        if self.to in (self.data_table, self.metadata_table, self.stain_table):
            raise OptionError(f"to={self.to!r} is a table that is read; give another name")
        for name in ("fit_patches", "workers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name}={value!r} is not a whole number of at least 1")
        object.__setattr__(self, "output", files.absolute(self.output))

    def name_of(self, table: str) -> str:
        """ "keyspace.table"."""
        return f"{self.keyspace}.{table}"


def run(options: StainRun, *, debug: bool = False) -> dict[str, Any]:
    """Normalises; returns the content of summary.json once all rows are written.

    Raises:
      tfcass.OptionError: The reference is none, or `to` holds something else.
      tfcass.ClusterError, tfcass.SchemaError: The cluster cannot be reached, or its tables do not fit.
      beam_pipelines.slides.errors.OutputError: The output folder cannot be written.
      beam_pipelines.local_runner.PipelineError: The pipeline failed as a whole; the next run skips what it stored.
    """
    from beam_pipelines import stain_pipeline
    from beam_pipelines.row_tables import make_table_like
    from beam_pipelines.stain_table import find_reference, make_stain_table, read_stain_table
    from tfcass.schema import describe_table

    for table in (options.metadata_table, options.data_table):
        describe_table(options.cluster, options.name_of(table))
    command.make_output(options.output)
    make_stain_table(options.cluster, options.keyspace, options.stain_table)
    stain_name = options.name_of(options.stain_table)
    before = {} if options.refit else read_stain_table(options.cluster, stain_name)
    if not options.fit_only:
        _check_early(options, before)
    jobs = [_job(stain_pipeline.build_fit, options, frozenset(before), "patches looked at", debug)]
    stored = read_stain_table(options.cluster, stain_name)
    if not options.fit_only:
        reference = find_reference(options.reference, stored)
        check_reference(reference, options.method)
        comment = _comment(options, reference)
        make_table_like(options.cluster, options.name_of(options.data_table), options.to, comment)
        statistics = {slide: found for slide, (_, found) in stored.items()}
        jobs.append(_job(stain_pipeline.build_normalise, options, (statistics, reference), "patches normalised", debug))
    summary, dead = _summary(options, jobs, {slide: found for slide, (_, found) in stored.items()}, len(before))
    command.write_summary(options.output, summary, dead)
    return summary


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    from beam_pipelines.command_flags import FlagParser
    from beam_pipelines.options import add_cluster_flags
    from tfcass.stain_statistics import METHODS

    flags = FlagParser(prog=PROG, allow_abbrev=False, description="Writes patches as if all slides were stained alike.")
    add = flags.add_argument
    add("--keyspace", default="", help="keyspace of the tables")
    add("--metadata-table", default=StainRun.metadata_table, help="(default: %(default)s)")
    add("--data-table", default=StainRun.data_table, help="the present patches (default: %(default)s)")
    add("--to", metavar="TABLE", default="", help="the second data table; made when absent")
    add("--stain-table", default=StainRun.stain_table, help="statistics of slides (default: %(default)s)")
    add("--method", default=StainRun.method, help=f"{', '.join(METHODS)} (default: %(default)s)")
    add(
        "--reference",
        default=StainRun.reference,
        metavar="WHAT",
        help="default, a slide's name, a picture, or JSON (default: %(default)s)",
    )
    add("--fit-patches", type=int, default=StainRun.fit_patches, help="of each slide (default: %(default)s)")
    add("--fit-only", action="store_true", help="store the statistics and stop: training can apply them")
    add("--refit", action="store_true", help="find statistics again that are stored")
    add("--encoding", help="jpeg, png, tiff (default: that of each patch)")
    add("--quality", type=int, default=StainRun.quality, help="of JPEG, 1 to 100 (default: %(default)s)")
    add_cluster_flags(flags)
    command.add_run_flags(flags, StainRun.workers)
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return command.run_command(
        _command, arguments, again="run it again: statistics and patches that are stored are skipped"
    )


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    from beam_pipelines.command_flags import cluster_of

    flags, rest = command.parse(parser(), arguments, ("--output",))
    same = ("keyspace", "output", "to", "method", "reference", "metadata_table", "data_table", "stain_table")
    same += ("fit_patches", "fit_only", "refit", "encoding", "quality", "workers")
    options = StainRun(
        **{name: getattr(flags, name) for name in same},
        cluster=cluster_of(flags),
        write=WriteOptions(consistency=flags.consistency, max_in_flight=flags.max_in_flight),
        progress=not flags.no_progress,
        beam_flags=rest,
    )
    summary = run(options, debug=debug)
    if flags.json:
        print(json.dumps(summary, indent=2))
    else:
        _print(summary)
    return 0 if summary["complete"] else 3


def _print(summary: Mapping[str, Any]) -> None:
    slides, patches = summary["slides"], summary["patches"]
    print(
        f"{slides['with_statistics']} slides with statistics in {summary['stain_table']}: {slides['fitted']} new, "
        f"{slides['stored_before']} stored before"
    )
    if summary["to"]:
        print(
            f"{patches['planned']:,} patches = {patches['written']:,} written to {summary['to']} + "
            f"{patches['skipped']:,} stored before + {patches['failed']:,} failed; "
            f"{patches['unchanged']:,} of them left as they are"
        )
    command.print_remarks("slides left as they are", summary["slides_unusable"])
    command.print_remarks("not complete", summary["complaints"])


def _check_early(options: StainRun, stored: Mapping[Any, Any]) -> None:
    """A reference that is a file or the default is refused before any patch is read; a slide may yet be fitted."""
    import os

    from beam_pipelines.stain_table import find_reference

    if options.reference == "default" or os.path.exists(options.reference):
        check_reference(find_reference(options.reference, stored), options.method)


def _comment(options: StainRun, reference: StainStatistics) -> str:
    digest = hashlib.sha256(reference.vector().tobytes()).hexdigest()[:12]
    how = f"{options.method}, reference {options.reference} ({digest})"
    return f"tfcass: patches of {options.name_of(options.data_table)}, stain normalised: {how}"


def _job(build: Any, options: StainRun, known: Any, what: str, debug: bool) -> list[Any]:
    from beam_pipelines.progress import shown_progress

    shown = options.progress and not files.is_url(options.output)
    progress_file = Path(options.output) / ".progress"
    return command.run_job(
        lambda pipeline: build(pipeline, options, known),
        options.output,
        workers=options.workers,
        flags=options.beam_flags,
        debug=debug,
        progress=shown_progress(progress_file, 0, line=_Line(what)) if shown else None,
    ).records


class _Line:
    """The line of progress."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __call__(self, sums: Mapping[str, int], elapsed_s: float) -> str:
        return f"{sums['patches']:,} {self._what}, {elapsed_s:.0f} s"


def _summary(
    options: StainRun,
    jobs: Iterable[list[Any]],
    stored: Mapping[tuple[str, int], StainStatistics],
    before: int,
) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    counts: collections.Counter[str] = collections.Counter()
    dead = []
    for job in jobs:
        for kind, content in job:
            if kind == "count":
                counts[content[0]] += content[1]
            else:
                dead.append(content)
    failed = sum(letter["stage"] != "fit" for letter in dead)
    unusable = [
        f"{patient} slide {number}: {found.note}"
        for (patient, number), found in sorted(stored.items())
        if not found.usable(options.method)
    ]
    complaints = [f"{len(dead):,} patches failed; see {command.DEAD_LETTERS_FILE}"] if dead else []
    lost = counts["planned"] - counts["written"] - counts["skipped"] - failed
    if lost and not options.fit_only:
        complaints.append(f"{lost:,} patches are unaccounted for; run it again")
    if not stored:
        complaints.append(f"{options.name_of(options.metadata_table)} has no rows")
    summary = {
        "complete": not complaints,
        "method": options.method,
        "reference": options.reference,
        "stain_table": options.name_of(options.stain_table),
        "to": "" if options.fit_only else options.name_of(options.to),
        "slides": {"with_statistics": len(stored), "fitted": counts["fitted"], "stored_before": before},
        "slides_unusable": unusable,
        "patches": {name: counts[name] for name in ("planned", "written", "skipped", "unchanged")} | {"failed": failed},
        "complaints": complaints,
    }
    return summary, dead


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.normalise_stain import main as entry

    sys.exit(entry())
