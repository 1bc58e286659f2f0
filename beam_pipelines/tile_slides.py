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

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from beam_pipelines.command import Outcome, make_output, run_command, run_job, timed, write_summary
from beam_pipelines.quiet import quiet_libraries

if TYPE_CHECKING:
    from beam_pipelines.slide_list import SlideTask
    from beam_pipelines.slide_store import SlideStore
    from beam_pipelines.summary import Summary
    from beam_pipelines.tiling_run import TilingRun

REPORT_FILE = "report.html"


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
        from beam_pipelines.slide_list import list_slides
        from beam_pipelines.summary import summarise

        seconds: dict[str, float] = {}
        with timed(seconds, "check"):
            slides = list_slides(options)
            make_output(options.output)
            store = nullcontext() if options.dry_run else _open_store(options)
        with store as database:
            with timed(seconds, "look"):
                finished = {} if database is None or options.overwrite else database.finished(slides.tasks)
            rest = [task for task in slides.tasks if task.name not in finished]
            with timed(seconds, "tile"):
                told = _tile(rest, finished, options, debug=debug) if rest else Outcome([], {})
            records = [*told.records, *(("plan", plan) for plan in finished.values())]
            with timed(seconds, "count"):
                ids = None if database is None else database.ids(slides.tasks)
                stored = None if ids is None else {name: len(found) for name, found in ids.items()}
                summary = summarise(slides, records, stored, seconds=seconds, counters=told.counters)
                if database is not None:
                    database.finish(slides.tasks, summary, ids)
            write_summary(options.output, summary.as_dict(), summary.dead_letters)
            _write_page(summary, options, database)
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


@contextmanager
def _open_store(options: "TilingRun") -> Iterator["SlideStore"]:
    from beam_pipelines.slide_store import SlideStore

    with SlideStore.opened(options) as store:
        yield store


def _tile(
    tasks: "list[SlideTask]", finished: Mapping[str, Mapping[str, Any]], options: "TilingRun", *, debug: bool
) -> Outcome:
    from beam_pipelines import files, output_files, tiling_pipeline
    from beam_pipelines.ledger import add_rejected
    from beam_pipelines.progress import shown_progress

    shown = options.progress and not files.is_url(options.output)
    known = {plan["content_id"]: name for name, plan in finished.items()}
    told = run_job(
        lambda pipeline: tiling_pipeline.build(pipeline, tasks, options, finished=known),
        options.output,
        workers=options.workers,
        flags=options.beam_flags,
        debug=debug,
        progress=shown_progress(output_files.progress_file(options.output), len(tasks)) if shown else None,
    )
    add_rejected(options.output, [row for kind, row in told.records if kind == "rejected" and not row.get("known")])
    return told


def _write_page(summary: "Summary", options: "TilingRun", database: "SlideStore | None") -> None:
    from beam_pipelines import files

    page = files.join(options.output, REPORT_FILE)
    # Pictures that are there stay where nothing was done: a rerun over finished slides costs a look at each.
    if options.report and not (all(slide.untouched for slide in summary.slides) and files.exists(page)):
        from beam_pipelines.report_page import render

        files.write_bytes(page, render(summary, options, database).encode())


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.tile_slides import main as command

    sys.exit(command())
