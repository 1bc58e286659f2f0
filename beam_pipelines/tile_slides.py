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

Exit: 0 complete, 1 failed, 2 wrong usage, 3 partial (something failed and is listed), 130 interrupted.
"""

import functools
import json
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_pipelines.quiet import quiet_libraries

if TYPE_CHECKING:
    from apache_beam.runners.runner import PipelineResult

    from beam_pipelines.slide_list import SlideList
    from beam_pipelines.summary import Summary
    from beam_pipelines.tiling_run import TilingRun

SUMMARY_FILE = "summary.json"
DEAD_LETTERS_FILE = "dead_letters.jsonl"
_RECORDS_FILE = ".records.jsonl"


def run(options: "TilingRun", *, debug: bool = False) -> "Summary":
    """Tiles slides; returns once all rows are written and counted, and summary.json and dead_letters.jsonl are there.

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
        # Here, not at the top: Beam takes a second to import and says more than it should.
        from beam_pipelines.slide_list import list_slides
        from beam_pipelines.summary import summarise
        from tfcass import schema

        seconds: dict[str, float] = {}
        output = Path(options.output)
        with _timed(seconds, "check"):
            slides = list_slides(options)
            _make_output(output)
            if not options.dry_run:
                schema.create_tables(
                    options.cluster,
                    options.keyspace,
                    metadata_table=options.metadata_table,
                    data_table=options.data_table,
                )
        with _timed(seconds, "tile"):
            result = _run_pipeline(slides, options, debug=debug)
            records = _take_records(output / _RECORDS_FILE)
        with _timed(seconds, "count"):
            stored = None if options.dry_run else _count_stored(slides, options)
        summary = summarise(slides, records, stored, seconds=seconds, counters=_counters(result))
        _write_text(output / DEAD_LETTERS_FILE, "".join(json.dumps(letter) + "\n" for letter in summary.dead_letters))
        _write_text(output / SUMMARY_FILE, json.dumps(summary.as_dict(), indent=2) + "\n")
        return summary


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    try:
        with quiet_libraries(debug=debug):
            return _command(arguments, debug=debug)
    except KeyboardInterrupt:
        print("interrupted; run it again to go on: patches that are stored are skipped", file=sys.stderr)
        return 130
    except Exception as error:
        from tfcass.errors import OptionError, TfcassError

        if debug or not isinstance(error, TfcassError):
            traceback.print_exc()
        if isinstance(error, TfcassError):
            print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, OptionError) else 1


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    from rich.console import Console

    from beam_pipelines.options import parse_flags
    from beam_pipelines.report import print_summary

    options, flags = parse_flags(arguments, prog="python -m beam_pipelines.tile_slides")
    summary = run(options, debug=debug)
    if flags.json:
        print(json.dumps(summary.as_dict(), indent=2))
    else:
        print_summary(summary, options.output, Console())
    return summary.exit_code


def _make_output(output: Path) -> None:
    """Makes the folder, and removes what an earlier run said: after a failure, nothing may look like a result."""
    from beam_pipelines.slides.errors import OutputError

    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in (SUMMARY_FILE, DEAD_LETTERS_FILE, _RECORDS_FILE):
            (output / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write to {str(output)!r}: {error.strerror}; check the folder and its permissions"
        ) from None


def _run_pipeline(slides: "SlideList", options: "TilingRun", *, debug: bool) -> "PipelineResult":
    from beam_pipelines import tiling_pipeline
    from beam_pipelines.local_runner import run_pipeline
    from beam_pipelines.progress import shown_progress

    output = Path(options.output)
    deliver = functools.partial(_write_records, str(output / _RECORDS_FILE))
    progress_file = tiling_pipeline.progress_file(options.output)
    with shown_progress(progress_file, len(slides.tasks)) if options.progress else nullcontext():
        return run_pipeline(
            lambda pipeline: tiling_pipeline.build(pipeline, list(slides.tasks), options, deliver),
            workers=options.workers,
            flags=options.beam_flags,
            debug=debug,
        )


def _count_stored(slides: "SlideList", options: "TilingRun") -> dict[str, int]:
    """Reads back how many metadata rows each slide has: the database's word, not the writer's."""
    from beam_pipelines.stored import StoredPatches

    with options.cluster.session() as session:
        stored = StoredPatches(session, options)
        return {task.name: len(stored.rows(task.ref)) for task in slides.tasks}


def _counters(result: "PipelineResult") -> dict[str, Any]:
    metrics = result.metrics().query()
    counters: dict[str, Any] = {}
    for metric in metrics["counters"]:
        name = metric.key.metric.name
        counters[name] = counters.get(name, 0) + metric.result
    for metric in metrics["distributions"]:
        if metric.result.count:
            name = f"{metric.key.metric.name} ({metric.key.step.split('/')[0]})"
            counters[name] = {"mean": round(metric.result.mean, 1), "max": metric.result.max}
    return counters


def _write_records(path: str, records: list[Any]) -> None:
    """Runs on a worker. Lines, as a UUID or another value that JSON lacks becomes its text."""
    _write_text(Path(path), "".join(json.dumps(record, default=str) + "\n" for record in records))


def _take_records(path: Path) -> list[Any]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.unlink()
    return records


def _write_text(path: Path, text: str) -> None:
    from beam_pipelines.slides.output import whole_file

    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started_s = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - started_s


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.tile_slides import main as command

    sys.exit(command())
