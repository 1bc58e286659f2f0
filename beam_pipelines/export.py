"""Writes stored images back to files: a folder per class, or TFRecord.

    python -m beam_pipelines.export --keyspace imagenet --metadata-table images_by_class --host 10.0.0.1 --output out
    python -m beam_pipelines.export --keyspace wsi --host 10.0.0.1 --format tfrecord --shards 16 --output out/records \\
        --splits splits/ --split train

**What.** Every image of a metadata table, of tile_slides (the default, metadata_by_nat) or ingest_images, with its
bytes from --data-table; with --splits and --split only those of a split that tfcass.split made and saved. Bytes are
written as they are stored.

**Files.** output/<class>/<patch_id>.jpg (or .png, .tif, as the bytes are), and <patch_id>_mask.png where the label is a
mask. The class is its name where the table has names, else its number. `ingest_images --images output --keep` reads it.

**TFRecord.** output/images-00000-of-00016.tfrecord (named by the split if there is one), tf.train.Example with
image/encoded, image/format, image/class/label, image/class/text, image/filename, image/patch_id (16 bytes), and
image/segmentation/encoded where the label is a mask. TensorFlow is not needed to write them.

Beside them: summary.json, and dead_letters.jsonl with the rows that have no bytes. Running it again writes the same
files again.

Exit: 0 complete, 1 failed, 2 wrong usage, 3 partial (something failed and is listed), 130 interrupted.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.command import (
    SUMMARY_FILE,
    Outcome,
    add_run_flags,
    make_output,
    parse,
    run_command,
    run_job,
    timed,
    write_summary,
)
from beam_pipelines.files import absolute
from beam_pipelines.quiet import quiet_libraries
from tfcass.cluster import Cluster
from tfcass.errors import OptionError

FORMATS = ("files", "tfrecord")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportRun:
    """One run of export.

    Attributes:
      output: Folder or URL to write to.
      keyspace: Keyspace of both tables.
      cluster: How the cluster is reached.
      metadata_table, data_table: Their names.
      format: "files" or "tfrecord".
      shards: Number of TFRecord files; 0 leaves it to the runner.
      where: As in ReadFromCassandra, on the metadata table.
      splits, split: Folder of saved splits, and which of them; None exports all.
      consistency: Of the reads.
      workers: Processes of the local runner; 1 runs everything in this process.
      dry_run: Counts rows; writes nothing.
      progress: Shows on stderr how far the run is.
      beam_flags: Further pipeline options. A runner or running mode in them replaces the local runner.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    output: str
    keyspace: str
    cluster: Cluster
    metadata_table: str = "metadata_by_nat"
    data_table: str = "data_by_uuid"
    format: str = "files"
    shards: int = 0
    where: Mapping[str, Any] | None = None
    splits: str | None = None
    split: str | None = None
    consistency: str = "LOCAL_QUORUM"
    workers: int = 2
    dry_run: bool = False
    progress: bool = True
    beam_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", absolute(self.output))
        if self.splits is not None:
            object.__setattr__(self, "splits", absolute(self.splits))
        if self.cluster is None:
            raise OptionError("no cluster given; pass --host ADDRESS")
        if not self.keyspace:
            raise OptionError("no keyspace given; pass --keyspace NAME")
        if self.format not in FORMATS:
            raise OptionError(f"format={self.format!r} is not one of {', '.join(FORMATS)}")
        if not isinstance(self.shards, int) or self.shards < 0:
            raise OptionError(f"shards={self.shards!r} is not a whole number of at least 0")
        if not isinstance(self.workers, int) or self.workers < 1:
            raise OptionError(f"workers={self.workers!r} is not a whole number of at least 1")
        if (self.splits is None) != (self.split is None):
            raise OptionError("--splits DIR and --split NAME go together: which folder, and which split of it")

    def full(self, table: str) -> str:
        """ "keyspace.table"."""
        return f"{self.keyspace}.{table}"


def run(options: ExportRun, *, debug: bool = False) -> dict[str, Any]:
    """Writes the files; returns the content of summary.json.

    Raises:
      tfcass.OptionError, tfcass.SplitError: Settings contradict each other, or there is no such split.
      tfcass.ClusterError, tfcass.SchemaError: The cluster cannot be reached, or has no such tables.
      beam_pipelines.local_runner.PipelineError: The pipeline failed as a whole, for instance as the disk is full.
    """
    with quiet_libraries(debug=debug):
        from beam_pipelines.stored_images import count_rows, fact_columns, split_keys
        from tfcass.schema import describe_table

        seconds: dict[str, float] = {}
        with timed(seconds, "count"):
            facts = fact_columns(describe_table(options.cluster, options.full(options.metadata_table), refresh=True))
            describe_table(options.cluster, options.full(options.data_table))
            wanted = len(split_keys(options.splits, options.split)) if options.splits else None
            rows = count_rows(
                options.cluster, options.full(options.metadata_table), options.consistency, where=options.where
            )
        told = Outcome([], {})
        if not options.dry_run:
            make_output(options.output)
            with timed(seconds, "write"):
                told = _run_pipeline(options, facts, wanted or rows, debug=debug)
        dead = [content for kind, content in told.records if kind == "dead"]
        classes: dict[str, int] = {}
        for kind, content in told.records:
            if kind == "written":
                classes[content[0]] = classes.get(content[0], 0) + content[1]
        written = sum(classes.values())
        missing = 0 if wanted is None or options.dry_run else wanted - written - len(dead)
        summary = {
            "complete": not dead and not missing,
            "dry_run": options.dry_run,
            "format": options.format,
            "metadata_rows": rows,
            "of_split": wanted,
            "written": written,
            "failed": len(dead),
            "not_in_metadata": missing,
            "classes": dict(sorted(classes.items())),
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
            "counters": told.counters,
        }
        if not options.dry_run:
            write_summary(options.output, summary, dead)
        return summary


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command(_command, arguments, again="run it again: files are written anew")


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    from beam_pipelines.command_flags import FlagParser, add_cluster_flags

    made = FlagParser(
        prog="python -m beam_pipelines.export",
        allow_abbrev=False,
        description="Writes stored images back to files: a folder per class, or TFRecord.",
        epilog="Any other Beam pipeline option may follow, such as --runner.",
    )
    add = made.add_argument
    add("--keyspace", default="", help="keyspace of both tables")
    add("--metadata-table", default=ExportRun.metadata_table, help="(default: %(default)s)")
    add("--data-table", default=ExportRun.data_table, help="(default: %(default)s)")
    add_cluster_flags(made)
    add("--format", default=ExportRun.format, help=f"{' or '.join(FORMATS)} (default: %(default)s)")
    add(
        "--shards",
        type=int,
        default=ExportRun.shards,
        metavar="N",
        help="TFRecord files (default: any number)",
    )
    add("--subset", help="only images of this subset (ingest_images)")
    add("--splits", metavar="DIR", help="folder of saved splits; needs --split")
    add("--split", metavar="NAME", help="only images of this split")
    add("--consistency", default=ExportRun.consistency, help="of the reads (default: %(default)s)")
    add("--dry-run", action="store_true", help="count rows; write nothing")
    add_run_flags(made, ExportRun.workers)
    return made


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    from beam_pipelines.command_flags import cluster_of

    flags, rest = parse(parser(), arguments, required=["--output"])
    options = ExportRun(
        output=flags.output,
        keyspace=flags.keyspace,
        cluster=cluster_of(flags),
        metadata_table=flags.metadata_table,
        data_table=flags.data_table,
        format=flags.format,
        shards=flags.shards,
        where=None if flags.subset is None else {"subset": flags.subset},
        splits=flags.splits,
        split=flags.split,
        consistency=flags.consistency,
        workers=flags.workers,
        dry_run=flags.dry_run,
        progress=not flags.no_progress,
        beam_flags=rest,
    )
    summary = run(options, debug=debug)
    if flags.json:
        print(json.dumps(summary, indent=2))
    else:
        _print(summary, options)
    return 0 if summary["complete"] else 3


def _print(summary: Mapping[str, Any], options: ExportRun) -> None:
    table = options.full(options.metadata_table)
    if options.dry_run:
        chosen = "" if summary["of_split"] is None else f", {summary['of_split']:,} keys in split {options.split!r}"
        print(f"{summary['metadata_rows']:,} rows in {table}{chosen}; dry run, nothing was written")
        return
    for name, count in summary["classes"].items():
        print(f"{count:>9,}  {name}")
    seconds = summary["seconds"]["write"]
    print(
        f"{summary['written']:,} images of {summary['metadata_rows']:,} rows in {table} written in {seconds:.1f} s, "
        f"{summary['failed']:,} failed"
    )
    if summary["not_in_metadata"]:
        print(f"{summary['not_in_metadata']:,} keys of split {options.split!r} are not in {table}")
    print(f"Details in {options.output}/{SUMMARY_FILE}")


def _run_pipeline(options: ExportRun, facts: Sequence[str], total: int, *, debug: bool) -> Outcome:
    from beam_pipelines import export_pipeline
    from beam_pipelines.progress_bar import shown_bar

    with tempfile.TemporaryDirectory(prefix="tfcass-export-") as folder:
        progress = Path(folder) / "progress"
        return run_job(
            lambda pipeline: export_pipeline.build(pipeline, options, facts, str(progress)),
            options.output,
            workers=options.workers,
            flags=options.beam_flags,
            debug=debug,
            progress=shown_bar(progress, {"done": "images"}, total) if options.progress else None,
        )


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.export import main as command

    sys.exit(command())
