"""Writes images of files to Cassandra, ImageNet style: a folder per class, or a table of paths and labels.

    python -m beam_pipelines.ingest_images --images imagenet/train --subset train --keyspace imagenet --host 10.0.0.1 \\
        --output out/train

or, from Python:

    from beam_pipelines.ingest_images import run
    from beam_pipelines.image_run import ImageRun

    summary = run(ImageRun(images=("imagenet/train",), keyspace="imagenet", cluster=tfcass.Cluster(["10.0.0.1"]),
                           output="out/train"))

**Input.** --images: folders (or gs://, s3:// URLs) with a folder per class in them; repeatable. --csv: a table with the
columns path and label, and optionally subset and group; relative paths start at --root, else at the table's folder.
Classes are numbered 0, 1, ... in the order of their names, or as --classes says (a name per line, or CSV with the
columns name and label); names that are all whole numbers keep these. The numbers are written to output/classes.csv,
which the next run may take as its --classes; a run whose numbers contradict those in the tables is refused.

**Pixels.** The shorter side is scaled to --size (or --resize-to), the centre is cut out, and the result is stored as
JPEG of --quality 90; `--encoding jpeg,tiff` fills two tables in one pass. EXIF rotation, CMYK, greyscale, 16 bits,
palettes and transparency are taken care of (see standard_image.py). --keep stores the files' bytes as they are, once it
is known that they can be decoded.

**Tables.** `images_by_class` (--metadata-table), a row per image: class_name, bucket, patch_id, label, subset,
group_name, source, width, height, format, mode, file_bytes, content, spec; PRIMARY KEY ((class_name, bucket),
patch_id). `data_by_uuid` (--data-table), its bytes: patch_id, label, data; TIFF in `data_by_uuid_tiff`, PNG in
`data_by_uuid_png`. For training: tfcass.read_rows("ks.images_by_class", columns=("patch_id", "label", "subset"), ...),
tfcass.split, and CassandraDataset on a data table.

**Again.** Ids are made from a file's content and the recipe of its pixels. A run that ended early, however it ended, is
completed by the same command: files whose rows are in all tables cost their reading. Files with the same bytes are one
image; where their classes contradict, the first by path is kept and the other is a dead letter. --overwrite writes all
again, for instance with another --quality.

**Output.** summary.json (per class: files = written + skipped + copies + failed, and the rows counted in the database),
dead_letters.jsonl (a line per file that failed: source, stage, error), classes.csv.

Exit: 0 complete, 1 failed, 2 wrong usage, 3 partial (something failed and is listed), 130 interrupted.
"""

import argparse
import csv
import functools
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from beam_pipelines.quiet import quiet_libraries

if TYPE_CHECKING:
    from beam_pipelines.image_list import ImageList
    from beam_pipelines.image_run import ImageRun
    from beam_pipelines.image_summary import ImageSummary

_CLASSES, _MANIFEST = "classes.csv", ".files.jsonl"
_LISTED = 20  # Classes and complaints on a terminal; the rest is in summary.json.


def run(options: "ImageRun", *, debug: bool = False) -> "ImageSummary":
    """Writes images; returns once all rows are written and counted, and the files in the output folder are there.

    Args:
      options: What to write and where to.
      debug: Leaves the logs of Beam and the driver as they are.
    Raises:
      tfcass.OptionError: No image is found, or classes contradict each other or the tables.
      tfcass.ClusterError, tfcass.SchemaError: The cluster cannot be reached, or its tables do not fit.
      beam_pipelines.slides.errors.OutputError: The output folder cannot be written.
      beam_pipelines.local_runner.PipelineError: The pipeline failed as a whole; the next run skips what it stored.
    """
    with quiet_libraries(debug=debug):
        # Here, not at the top: Beam takes a second to import and says more than it should.
        from beam_pipelines import files, text_files
        from beam_pipelines.image_list import list_images
        from beam_pipelines.image_summary import summarise_images

        seconds: dict[str, float] = {}
        place = functools.partial(files.join, options.output)
        with timed(seconds, "check"):
            images = list_images(options)
            make_output(options.output, _MANIFEST)
            if not options.dry_run:
                _prepare_tables(images, options)
            text_files.write_text(place(_CLASSES), _class_table(images))
        told, stored = Outcome([], {}), None
        if not options.dry_run:
            with timed(seconds, "write"):
                told = _run_pipeline(images, options, debug=debug)
                files.remove(place(_MANIFEST))
            with timed(seconds, "count"):
                stored = _count_stored(images, options)
        summary = summarise_images(images, told.records, stored, seconds=seconds, counters=told.counters)
        write_summary(options.output, summary.as_dict(), summary.dead_letters)
        return summary


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command(_command, arguments, again="run it again to go on: images that are stored are skipped")


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    from beam_pipelines.command_flags import FlagParser, add_cluster_flags
    from beam_pipelines.image_run import ImageRun
    from beam_pipelines.row_writer import WriteOptions
    from beam_pipelines.slides.encode import ENCODINGS
    from beam_pipelines.standard_image import RESAMPLINGS, ImageSpec

    spec, write = ImageSpec(), WriteOptions()
    made = FlagParser(
        prog="python -m beam_pipelines.ingest_images",
        allow_abbrev=False,
        description="Writes images to Cassandra: a folder per class, or a table of paths and labels.",
        epilog="Any other Beam pipeline option may follow, such as --runner.",
    )
    add = made.add_argument
    add("--images", action="append", metavar="DIR", help="folder or URL with a folder per class; repeatable")
    add("--csv", metavar="FILE", help="columns path and label, optionally subset and group; instead of --images")
    add("--root", metavar="DIR", help="where relative paths of --csv start (default: its own folder)")
    add("--classes", metavar="FILE", help="names and labels of the classes (default: numbered by name)")
    add("--subset", default="", help="stored with every image, as in 'train'")
    add("--keyspace", default="", help="keyspace of all tables; made when absent")
    add("--metadata-table", default=ImageRun.metadata_table, help="(default: %(default)s)")
    add("--data-table", default=ImageRun.data_table, help="of JPEG or kept bytes (default: %(default)s)")
    add_cluster_flags(made)
    add("--consistency", default=write.consistency, help="acknowledgement of writes (default: %(default)s)")
    add("--max-in-flight", type=int, default=write.max_in_flight, help="rows, per worker (default: %(default)s)")
    add("--size", type=int, default=spec.size, help="side of the stored square in pixels (default: %(default)s)")
    add("--resize-to", type=int, metavar="PIXELS", help="shorter side before the centre is cut out (default: --size)")
    add("--resampling", default=spec.resampling, help=f"{', '.join(RESAMPLINGS)} (default: %(default)s)")
    add("--encoding", default="jpeg", help=f"one or several of {', '.join(ENCODINGS)}, as in jpeg,tiff (default: jpeg)")
    add("--quality", type=int, default=ImageRun.quality, help="of JPEG, 1 to 100 (default: %(default)s)")
    add("--keep", action="store_true", help="store the files' bytes as they are")
    add("--limit", type=int, metavar="N", help="the first N files only")
    add("--overwrite", action="store_true", help="write stored images again instead of skipping them")
    add("--dry-run", action="store_true", help="list files and classes; touch no database, open no image")
    add_run_flags(made, ImageRun.workers)
    return made


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    from beam_pipelines.command_flags import cluster_of
    from beam_pipelines.image_run import ImageRun
    from beam_pipelines.row_writer import WriteOptions
    from beam_pipelines.standard_image import ImageSpec

    flags, rest = parse(parser(), arguments, required=["--output"])
    options = ImageRun(
        images=tuple(flags.images or ()),
        table=flags.csv,
        root=flags.root,
        classes=flags.classes,
        output=flags.output,
        keyspace=flags.keyspace,
        cluster=cluster_of(flags),
        spec=ImageSpec(size=None if flags.keep else flags.size, resize_to=flags.resize_to, resampling=flags.resampling),
        encodings=tuple(name.strip() for name in flags.encoding.split(",")),
        quality=flags.quality,
        subset=flags.subset,
        metadata_table=flags.metadata_table,
        data_table=flags.data_table,
        write=WriteOptions(consistency=flags.consistency, max_in_flight=flags.max_in_flight),
        workers=flags.workers,
        limit=flags.limit,
        overwrite=flags.overwrite,
        dry_run=flags.dry_run,
        progress=not flags.no_progress,
        beam_flags=rest,
    )
    summary = run(options, debug=debug)
    if flags.json:
        print(json.dumps(summary.as_dict(), indent=2))
    else:
        _print(summary, options.output)
    return summary.exit_code


def _print(summary: "ImageSummary", output: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False)
    names = ("files",) if summary.dry_run else ("files", "written", "skipped", "copies", "failed", "stored")
    for name in ("class", "label", *names):
        table.add_column(name, justify="left" if name == "class" else "right", no_wrap=name != "class")
    for outcome in summary.classes[:_LISTED]:
        counts = (f"{getattr(outcome, name) or 0:,}" for name in names)
        table.add_row(escape(outcome.name), str(outcome.label), *counts)
    console.print(table)
    lines = []
    if len(summary.classes) > _LISTED:
        lines.append(f"and {len(summary.classes) - _LISTED:,} more classes")
    lines += summary.notes
    if complaints := summary.complaints():
        lines += ["Not complete:", *(f"  {text}" for text in complaints[:_LISTED])]
    files, classes = summary.total("files"), len(summary.classes)
    if summary.dry_run:
        lines.append(f"{files:,} images of {classes:,} classes; dry run, nothing was read or written")
    else:
        written, seconds = summary.total("written"), summary.seconds["write"]
        rate = f" in {seconds:.1f} s ({written / seconds:,.0f} a second)" if written else ""
        skipped, copies, failed, stored = (summary.total(n) for n in ("skipped", "copies", "failed", "stored"))
        lines.append(
            f"{files:,} files of {classes:,} classes = {written:,} written{rate} + {skipped:,} stored before + "
            f"{copies:,} copies + {failed:,} failed; {stored:,} rows in the database"
        )
    lines.append(f"Details in {output}/{SUMMARY_FILE}")
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)


def _prepare_tables(images: "ImageList", options: "ImageRun") -> None:
    """Makes the tables; refuses labels that contradict those of the rows in them."""
    from beam_pipelines.image_tables import create_image_tables
    from tfcass.errors import OptionError
    from tfcass.schema import describe_table

    create_image_tables(options.cluster, options.keyspace, options.metadata_table, list(options.tables.values()))
    table = describe_table(options.cluster, options.full(options.metadata_table), refresh=True)
    with options.cluster.session() as session:
        # A row of each partition: with a million images of 1,000 classes 16,000 rows.
        found = session.execute(f"SELECT class_name, label FROM {table.cql_name} PER PARTITION LIMIT 1")
        for name, label in found:
            if images.classes.get(name, label) != label and not options.overwrite:
                raise OptionError(
                    f"class {name!r} is number {images.classes[name]} here, and {label} in {table.name}: were classes "
                    f"added or left out? Pass --classes with the classes.csv of the earlier run, or --overwrite"
                )


def _class_table(images: "ImageList") -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("name", "label"))
    rows.writerows(images.classes.items())
    return text.getvalue()


def _run_pipeline(images: "ImageList", options: "ImageRun", *, debug: bool) -> Outcome:
    from beam_pipelines import files, image_pipeline, text_files
    from beam_pipelines.progress_bar import shown_bar

    manifest = files.join(options.output, _MANIFEST)
    lines = (image_pipeline.manifest_line(file) + "\n" for file in images.files)
    text_files.write_text(manifest, "".join(lines))
    stages = {"read": "files read", "done": "images written or settled"}
    with tempfile.TemporaryDirectory(prefix="tfcass-images-") as folder:
        progress = Path(folder) / "progress"
        return run_job(
            lambda pipeline: image_pipeline.build(pipeline, manifest, options, str(progress)),
            options.output,
            workers=options.workers,
            flags=options.beam_flags,
            debug=debug,
            progress=shown_bar(progress, stages, len(images.files)) if options.progress else None,
        )


def _count_stored(images: "ImageList", options: "ImageRun") -> dict[str, int]:
    """Class -> metadata rows: the database's word, not the writer's."""
    from cassandra.concurrent import execute_concurrent_with_args

    from beam_pipelines.image_tables import BUCKETS
    from beam_pipelines.statements import prepare
    from tfcass.schema import describe_table

    table = describe_table(options.cluster, options.full(options.metadata_table)).cql_name
    keys = [(name, bucket) for name in images.classes for bucket in range(BUCKETS)]
    counts = dict.fromkeys(images.classes, 0)
    with options.cluster.session() as session:
        count = prepare(
            session,
            f"SELECT COUNT(*) FROM {table} WHERE class_name = ? AND bucket = ?",
            consistency="LOCAL_QUORUM",
        )
        replies = execute_concurrent_with_args(session, count, keys, concurrency=16)
        for (name, _), reply in zip(keys, replies, strict=True):
            counts[name] += reply.result_or_exc.one()[0]
    return counts


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.ingest_images import main as command

    sys.exit(command())
