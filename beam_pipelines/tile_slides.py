"""Cuts whole slides into patches and writes them to Cassandra.

    python -m beam_pipelines.tile_slides --slides 'slides/*.svs' --annotations 'annotations/*.geojson' \\
        --keyspace wsi --host 10.0.0.1 --output out/tiling

or, from Python:

    from beam_pipelines.tile_slides import run
    from beam_pipelines.tiling_run import TilingRun

    summary = run(TilingRun(slides=("slides/*.svs",), annotations=("annotations/*.geojson",), keyspace="wsi",
                            cluster=tfcass.Cluster(["10.0.0.1"]), output="out/tiling"))

Each slide's annotations become masks of normal and tumour (output/masks/), and each pixel of the masks at the decision
level one patch, kept where it shows enough tissue. Patch ids are made from the slide's content and the patch's place: a
second run writes nothing twice, and a run that was cut short goes on where it ended. A slide or patch that cannot be
read is told in output/summary.json and output/dead_letters.jsonl, and does not keep the others from being tiled.
What was left out, and why, is in output/ledger/; output/report.html shows all of it in pictures.

Exit: 0 complete, 1 failed, 2 wrong usage, 3 partial (something failed and is listed), 130 interrupted.
"""

import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from beam_pipelines.command import DEAD_LETTERS_FILE, SUMMARY_FILE, counters_of, run_command, timed
from beam_pipelines.quiet import quiet_libraries

if TYPE_CHECKING:
    from beam_pipelines.slide_list import SlideTask
    from beam_pipelines.slide_store import SlideStore
    from beam_pipelines.summary import Summary
    from beam_pipelines.tiling_run import TilingRun

REPORT_FILE = "report.html"
_RECORDS_FILE = ".records.jsonl"


def run(options: "TilingRun", *, debug: bool = False) -> "Summary":
    """Tiles slides; returns once all rows are written and counted, and the summary, dead letters and report are there.

    Args:
      options: What to tile and where to.
      debug: Leaves the logs of Beam and the driver as they are.
    Raises:
      tfcass.OptionError: No slide matches, or slides cannot be told apart.
      tfcass.ClusterError, tfcass.SchemaError: The cluster cannot be reached, or its tables do not fit.
      beam_pipelines.slides.errors.OutputError: The output folder cannot be written.
      beam_pipelines.local_runner.PipelineError: The pipeline failed as a whole; the next run skips what it stored.
    """
    with quiet_libraries(debug=debug):
        # Here, not at the top: these take a second to import and say more than they should.
        from beam_pipelines import files
        from beam_pipelines.slide_list import list_slides
        from beam_pipelines.summary import summarise

        seconds: dict[str, float] = {}
        with timed(seconds, "check"):
            slides = list_slides(options)
            _make_output(options.output)
            store = nullcontext() if options.dry_run else _open_store(options)
        with store as database:
            with timed(seconds, "look"):
                finished = {} if database is None or options.overwrite else database.finished(slides.tasks)
            rest = [task for task in slides.tasks if task.name not in finished]
            with timed(seconds, "tile"):
                records, counters = _tile(rest, finished, options, debug=debug) if rest else ([], {})
            records += [("plan", plan) for plan in finished.values()]
            with timed(seconds, "count"):
                ids = None if database is None else database.ids(slides.tasks)
                stored = None if ids is None else {name: len(found) for name, found in ids.items()}
                summary = summarise(slides, records, stored, seconds=seconds, counters=counters)
                if database is not None:
                    database.finish(slides.tasks, summary, ids)
            with timed(seconds, "report"):
                _write_pages(summary, options, database)
        text = json.dumps(summary.as_dict(), indent=2) + "\n"
        files.write_bytes(files.join(options.output, SUMMARY_FILE), text.encode())
        return summary


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command(_command, arguments, again="run it again to go on: patches that are stored are skipped")


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    from rich.console import Console

    from beam_pipelines.options import parse_flags
    from beam_pipelines.report import print_summary

    options, flags = parse_flags(arguments, prog="python -m beam_pipelines.tile_slides")
    if flags.job_graph is not None:
        return _write_job_graph(options, flags.job_graph)
    summary = run(options, debug=debug)
    if flags.json:
        print(json.dumps(summary.as_dict(), indent=2))
    else:
        print_summary(summary, options.output, Console())
    return summary.exit_code


def _write_job_graph(options: "TilingRun", path: str) -> int:
    from beam_pipelines.job_graph import build_graph, write_graph
    from beam_pipelines.slide_list import list_slides

    graph = build_graph(list_slides(options), options)
    write_graph(graph, path)
    print(f"{path}: {graph}")
    return 0


def _make_output(output: str) -> None:
    """Makes the folder, and removes what an earlier run said: after a failure, nothing may look like a result."""
    from beam_pipelines import files
    from beam_pipelines.slides.errors import OutputError

    try:
        files.make_folder(output)
        for name in (SUMMARY_FILE, DEAD_LETTERS_FILE, _RECORDS_FILE):
            files.remove(files.join(output, name))
    except OSError as error:
        raise OutputError(
            f"cannot write to {output!r}: {error.strerror}; check the folder and its permissions"
        ) from None


@contextmanager
def _open_store(options: "TilingRun") -> Iterator["SlideStore"]:
    from beam_pipelines.slide_store import SlideStore

    with SlideStore.opened(options) as store:
        yield store


def _tile(
    tasks: "list[SlideTask]", finished: Mapping[str, Mapping[str, Any]], options: "TilingRun", *, debug: bool
) -> tuple[list[Any], dict[str, Any]]:
    """Runs the pipeline; returns its records and counters."""
    from beam_pipelines import files, output_files, tiling_pipeline
    from beam_pipelines.ledger import add_rejected
    from beam_pipelines.local_runner import run_pipeline
    from beam_pipelines.progress import shown_progress

    records_file = files.join(options.output, _RECORDS_FILE)
    shown = options.progress and not files.is_url(options.output)
    progress_file = output_files.progress_file(options.output)
    with shown_progress(progress_file, len(tasks)) if shown else nullcontext():
        result = run_pipeline(
            lambda pipeline: tiling_pipeline.build(
                pipeline,
                tasks,
                options,
                functools.partial(_write_records, records_file),
                finished={plan["content_id"]: name for name, plan in finished.items()},
            ),
            workers=options.workers,
            flags=options.beam_flags,
            debug=debug,
        )
    lines = files.read_bytes(records_file).decode().splitlines()
    files.remove(records_file)
    records = [json.loads(line) for line in lines]
    add_rejected(options.output, [row for kind, row in records if kind == "rejected" and not row.get("known")])
    return records, counters_of(result)


def _write_pages(summary: "Summary", options: "TilingRun", database: "SlideStore | None") -> None:
    from beam_pipelines import files

    letters = "".join(json.dumps(letter) + "\n" for letter in summary.dead_letters)
    files.write_bytes(files.join(options.output, DEAD_LETTERS_FILE), letters.encode())
    page = files.join(options.output, REPORT_FILE)
    # Pictures that are there stay where nothing was done: a rerun over finished slides costs a look at each.
    if options.report and not (all(slide.untouched for slide in summary.slides) and files.exists(page)):
        from beam_pipelines.report_page import render

        files.write_bytes(page, render(summary, options, database).encode())
    files.write_bytes(
        files.join(options.output, SUMMARY_FILE), (json.dumps(summary.as_dict(), indent=2) + "\n").encode()
    )


def _write_records(path: str, records: list[Any]) -> None:
    """Runs on a worker. Lines, as a UUID or another value that JSON lacks becomes its text."""
    from beam_pipelines import files

    files.write_bytes(path, "".join(json.dumps(record, default=str) + "\n" for record in records).encode())


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.tile_slides import main as command

    sys.exit(command())
