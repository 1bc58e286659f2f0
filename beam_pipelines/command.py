"""What the commands share: flags, a run that ends in records, exit codes, one line for a user's mistake.

run_command          arguments -> exit code: 0 complete, 1 failed, 2 wrong usage, 3 partial, 130 interrupted
run_job              transforms -> what they told of each thing
timed, counters_of   for summaries
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beam_pipelines import files, text_files
from beam_pipelines.quiet import quiet_libraries
from beam_pipelines.slides.classes import CLASS_MAPS, ClassMap
from beam_pipelines.slides.errors import AnnotationError
from tfcass.errors import OptionError, TfcassError

if TYPE_CHECKING:
    import apache_beam as beam

SUMMARY_FILE = "summary.json"
DEAD_LETTERS_FILE = "dead_letters.jsonl"
RECORDS_FILE = ".records.jsonl"
_LISTED = 20


def run_command(command: Callable[..., int], arguments: Sequence[str] | None, *, again: str) -> int:
    """Runs a command and turns what it raises into an exit code and a line on stderr.

    Args:
      command: Takes the arguments and `debug`, and returns an exit code.
      arguments: None means those of the process.
      again: What to tell who pressed Ctrl-C, as in "run it again to go on".
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    try:
        with quiet_libraries(debug=debug):
            return command(arguments, debug=debug)
    except KeyboardInterrupt:
        print(f"interrupted; {again}", file=sys.stderr)
        return 130
    except Exception as error:
        if debug or not isinstance(error, TfcassError):
            traceback.print_exc()
        if isinstance(error, TfcassError):
            print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, OptionError | AnnotationError) else 1


@contextlib.contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Notes how long the block took."""
    started_s = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - started_s


def counters_of(result: Any) -> dict[str, Any]:
    """Beam's metrics of a pipeline: name -> sum, or "name (step)" -> {"mean", "max"} for distributions."""
    metrics = result.metrics().query()
    counters: dict[str, Any] = {}
    for metric in metrics["counters"]:
        name = metric.key.metric.name
        counters[name] = counters.get(name, 0) + metric.result
    for metric in metrics["distributions"]:
        if metric.result.count:
            step = (metric.key.step or "").split("/")[0]  # Portable runners may not tell it.
            name = metric.key.metric.name + (f" ({step})" if step else "")
            counters[name] = {"mean": round(metric.result.mean, 1), "max": metric.result.max}
    return counters


def add_run_flags(
    parser: argparse.ArgumentParser, workers: int, *, files: str = f"{SUMMARY_FILE} and {DEAD_LETTERS_FILE}"
) -> None:
    """Flags of every command."""
    parser.add_argument("--output", metavar="DIR", help=f"folder or URL for {files}, and what else is written")
    parser.add_argument("--workers", type=int, default=workers, help="local processes (default: %(default)s)")
    parser.add_argument("--no-progress", action="store_true", help="no progress on stderr")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of text")
    parser.add_argument("--debug", action="store_true", help="show the log and tracebacks")


def add_class_flags(flags: argparse.ArgumentParser, *, frame: bool = True) -> None:
    """The flags that `classes_of` reads, and with `frame` --annotation-frame."""
    flags.add_argument(
        "--class-map",
        metavar="JSON",
        default="prostate",
        help=f"file (see slides/classes.py), or one of {', '.join(CLASS_MAPS)} (default: %(default)s)",
    )
    if not frame:
        return
    flags.add_argument(
        "--annotation-frame",
        default="auto",
        metavar="FRAME",
        help="what coordinates count from: level0 (the plane), bounds (the scanned box), or auto: as the program that "
        "wrote the file does it (default: %(default)s)",
    )


def classes_of(flags: argparse.Namespace) -> ClassMap:
    """The class map that the flags name.

    Raises:
      AnnotationError: There is none of this name, or the file cannot be used.
    """
    name = flags.class_map
    return ClassMap.load(name) if name.endswith(".json") else ClassMap.named(name)


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str], required: Sequence[str] = ()
) -> tuple[argparse.Namespace, tuple[str, ...]]:
    """The flags, and those that are Beam's.

    Args:
      parser: Of the command.
      arguments: The command line.
      required: Names of flags, as in "--output". Not argparse's own: a YAML file may give them, too.
    Raises:
      OptionError: Unknown flags, values that do not fit, or a required one that is absent.
    """
    from beam_pipelines.command_flags import refuse_unknown

    flags, rest = parser.parse_known_args(arguments)
    refuse_unknown(rest)
    for name in required:
        if not getattr(flags, name.lstrip("-").replace("-", "_")):
            raise OptionError(f"{name} is not given; see --help")
    return flags, tuple(rest)


def in_one_list(records: Sequence["beam.PCollection"], deliver: Callable[[list[Any]], None]) -> None:
    """Adds the transforms that call `deliver` once, on a worker, with all records."""
    import apache_beam as beam

    (
        tuple(records)
        | "All records" >> beam.Flatten()
        | "One list" >> beam.combiners.ToList()
        | "Deliver" >> beam.Map(deliver)
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a pipeline told.

    Attributes:
      records: What became of each thing, in no order.
      counters: As counters_of() has them.
    """

    records: list[Any]
    counters: dict[str, Any]


def run_job(
    build: Callable[["beam.Pipeline"], Sequence["beam.PCollection"]],
    output: str,
    *,
    workers: int,
    flags: Sequence[str] = (),
    debug: bool = False,
    progress: contextlib.AbstractContextManager[None] | None = None,
) -> "Outcome":
    """Runs a pipeline to its end.

    Args:
      build: Adds the transforms, and returns PCollections of records: JSON can hold them, tuples come back as lists.
      output: Folder or URL that workers and this process see: the records go through it.
      workers, flags, debug: As in local_runner.run_pipeline.
      progress: Open while the pipeline runs.
    Raises:
      PipelineError: It failed as a whole.
      OutputError: The folder cannot be written.
    """
    from beam_pipelines.local_runner import run_pipeline

    path = files.join(output, RECORDS_FILE)
    files.remove(path)
    deliver = functools.partial(text_files.write_lines, path)
    with progress or contextlib.nullcontext():
        result = run_pipeline(
            lambda pipeline: in_one_list(build(pipeline), deliver), workers=workers, flags=flags, debug=debug
        )
    return Outcome(text_files.take_lines(path), counters_of(result))


def make_output(output: str, *names: str) -> None:
    """Makes the folder, and removes what an earlier run said, in these files too: after a failure, nothing may look
    like a result.

    Raises:
      OutputError: It cannot be written to.
    """
    text_files.make_output(output, SUMMARY_FILE, DEAD_LETTERS_FILE, RECORDS_FILE, *names)


def write_summary(output: str, summary: Mapping[str, Any], dead_letters: Sequence[Mapping[str, Any]]) -> None:
    """Writes summary.json and dead_letters.jsonl.

    Raises:
      OutputError: They cannot be written.
    """
    text_files.write_lines(files.join(output, DEAD_LETTERS_FILE), dead_letters)
    text_files.write_text(files.join(output, SUMMARY_FILE), json.dumps(summary, indent=2) + "\n")


def print_remarks(title: str, remarks: Sequence[str]) -> None:
    """A title and so many lines as a person reads."""
    if not remarks:
        return
    print(f"{title}:")
    for text in remarks[:_LISTED]:
        print(f"  {text}")
    if len(remarks) > _LISTED:
        print(f"  and {len(remarks) - _LISTED} more")
