"""Reads everything back: every image is decoded, and both tables must tell the same.

    python -m beam_pipelines.verify --keyspace imagenet --metadata-table images_by_class --host 10.0.0.1 --output out
    python -m beam_pipelines.verify --keyspace wsi --data-table data_by_uuid,data_by_uuid_tiff --host 10.0.0.1 \\
        --output out/verify

What is looked for, of a metadata table (of tile_slides, the default, or ingest_images) and one or several data tables:

no data row, no metadata row   a row without its other half (an orphan), in either table
several metadata rows          one image in two places, as when an annotation or a file's class was changed
other label                    the tables contradict each other
not decodable                  bytes that are no picture any more, masks included; all pixels are decoded
wrong id, other bytes          of ingest_images: an id that is not that of its content and spec; kept bytes that changed

The report tells rows and picture sizes of each table, and its digest: a hash over ids, labels and bytes in no order,
which is equal for equal tables. A copy of a table, in another cluster, is whole when its digest is the same.
output/problems.jsonl has a line per problem.

Exit: 0 all is well, 1 failed, 2 wrong usage, 3 problems were found, 130 interrupted.
"""

import argparse
import collections
import dataclasses
import functools
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.command import Outcome, add_run_flags, parse, run_command, run_job, timed
from beam_pipelines.files import absolute
from beam_pipelines.quiet import quiet_libraries
from tfcass.cluster import Cluster
from tfcass.errors import OptionError

_REPORT, _PROBLEMS = "verify.json", "problems.jsonl"
_LISTED = 10  # Problems on a terminal; all are in the file.


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyRun:
    """One run of verify.

    Attributes:
      output: Folder or URL for verify.json and problems.jsonl.
      keyspace: Keyspace of all tables.
      cluster: How the cluster is reached.
      metadata_table: Its name.
      data_tables: Their names: each should have every image.
      consistency: Of the reads.
      workers: Processes of the local runner; 1 runs everything in this process.
      progress: Shows on stderr how far the run is.
      beam_flags: Further pipeline options. A runner or running mode in them replaces the local runner.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    output: str
    keyspace: str
    cluster: Cluster
    metadata_table: str = "metadata_by_nat"
    data_tables: tuple[str, ...] = ("data_by_uuid",)
    consistency: str = "LOCAL_QUORUM"
    workers: int = 2
    progress: bool = True
    beam_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", absolute(self.output))
        if self.cluster is None:
            raise OptionError("no cluster given; pass --host ADDRESS")
        if not self.keyspace:
            raise OptionError("no keyspace given; pass --keyspace NAME")
        if not self.data_tables or len({*self.data_tables, self.metadata_table}) <= len(self.data_tables):
            raise OptionError(
                f"data_tables={self.data_tables!r} must name tables once each, and not the metadata table"
            )
        if not isinstance(self.workers, int) or self.workers < 1:
            raise OptionError(f"workers={self.workers!r} is not a whole number of at least 1")

    def full(self, table: str) -> str:
        """ "keyspace.table"."""
        return f"{self.keyspace}.{table}"


def run(options: VerifyRun, *, debug: bool = False) -> dict[str, Any]:
    """Verifies tables; returns the content of verify.json.

    Raises:
      tfcass.ClusterError, tfcass.SchemaError: The cluster cannot be reached, or has no such tables.
      beam_pipelines.slides.errors.OutputError: The output folder cannot be written.
      beam_pipelines.local_runner.PipelineError: The pipeline failed as a whole.
    """
    with quiet_libraries(debug=debug):
        from beam_pipelines import files, text_files
        from beam_pipelines.stored_images import fact_columns
        from tfcass.schema import describe_table

        seconds: dict[str, float] = {}
        place = functools.partial(files.join, options.output)
        facts = fact_columns(describe_table(options.cluster, options.full(options.metadata_table), refresh=True))
        for table in options.data_tables:
            describe_table(options.cluster, options.full(table), refresh=True).select(("patch_id", "label", "data"))
        text_files.make_output(options.output, _REPORT, _PROBLEMS)
        with timed(seconds, "verify"):
            told = _run_pipeline(options, facts, debug=debug)
        problems = [content for kind, content in told.records if kind == "problem"]
        sums: dict[str, dict[str, int]] = collections.defaultdict(dict)
        for kind, content in told.records:
            if kind == "sum":
                (group, name), number = content
                sums[group][name] = number
        report = {
            "well": not problems and bool(sums),
            "rows": {table: sums["rows"].get(table, 0) for table in (options.metadata_table, *options.data_tables)},
            "problems": dict(collections.Counter(f"{p['problem']} ({p['table']})" for p in problems)),
            "sizes": {table: sums.get(f"sizes of {table}", {}) for table in options.data_tables},
            "digests": {table: f"{sums['digest'].get(table, 0) % 2**256:064x}" for table in options.data_tables},
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
            "counters": told.counters,
        }
        text_files.write_lines(place(_PROBLEMS), problems)
        text_files.write_text(place(_REPORT), json.dumps(report, indent=2) + "\n")
        return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command(_command, arguments, again="run it again: nothing was changed")


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    from beam_pipelines.command_flags import FlagParser, add_cluster_flags

    made = FlagParser(
        prog="python -m beam_pipelines.verify",
        allow_abbrev=False,
        description="Reads everything back: every image is decoded, and both tables must tell the same.",
        epilog="Any other Beam pipeline option may follow, such as --runner.",
    )
    add = made.add_argument
    add("--keyspace", default="", help="keyspace of all tables")
    add("--metadata-table", default=VerifyRun.metadata_table, help="(default: %(default)s)")
    add("--data-table", default=VerifyRun.data_tables[0], help="one or several, as in a,b (default: %(default)s)")
    add_cluster_flags(made)
    add("--consistency", default=VerifyRun.consistency, help="of the reads (default: %(default)s)")
    add_run_flags(made, VerifyRun.workers, files=f"{_REPORT} and {_PROBLEMS}")
    return made


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    from beam_pipelines.command_flags import cluster_of
    from beam_pipelines.stored_images import names

    flags, rest = parse(parser(), arguments, required=["--output"])
    options = VerifyRun(
        output=flags.output,
        keyspace=flags.keyspace,
        cluster=cluster_of(flags),
        metadata_table=flags.metadata_table,
        data_tables=names(flags.data_table, "--data-table"),
        consistency=flags.consistency,
        workers=flags.workers,
        progress=not flags.no_progress,
        beam_flags=rest,
    )
    report = run(options, debug=debug)
    if flags.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report, options)
    return 0 if report["well"] else 3


def _print(report: Mapping[str, Any], options: VerifyRun) -> None:
    for table, count in report["rows"].items():
        sizes = sorted(report["sizes"].get(table, {}).items(), key=lambda item: -item[1])[:3]
        seen = ", ".join(f"{size}: {number:,}" for size, number in sizes)
        digest = report["digests"].get(table)
        print(f"{options.full(table)}: {count:,} rows" + (f"; {seen}; digest {digest[:16]}" if digest else ""))
    for problem, count in report["problems"].items():
        print(f"  {problem}: {count:,}")
    if not any(report["rows"].values()):
        print("the tables are empty")
    elif report["well"]:
        print(f"all is well: every image was decoded and has its metadata, in {report['seconds']['verify']:.1f} s")
    else:
        print(f"Details in {options.output}/{_PROBLEMS}")


def _run_pipeline(options: VerifyRun, facts: Sequence[str], *, debug: bool) -> Outcome:
    from beam_pipelines import verify_pipeline
    from beam_pipelines.progress_bar import shown_bar
    from beam_pipelines.stored_images import count_rows

    total = 0
    if options.progress:
        total = count_rows(options.cluster, options.full(options.metadata_table), options.consistency)
    with tempfile.TemporaryDirectory(prefix="tfcass-verify-") as folder:
        progress = Path(folder) / "progress"
        stages, images = {"done": "images decoded"}, total * len(options.data_tables)
        return run_job(
            lambda pipeline: verify_pipeline.build(pipeline, options, facts, str(progress)),
            options.output,
            workers=options.workers,
            flags=options.beam_flags,
            debug=debug,
            progress=shown_bar(progress, stages, images) if options.progress else None,
        )


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.verify import main as command

    sys.exit(command())
