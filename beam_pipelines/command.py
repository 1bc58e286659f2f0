"""What the commands of the pipelines share: exit codes, errors in one line, times, counters."""

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from beam_pipelines.quiet import quiet_libraries


def run_command(body: Callable[..., int], arguments: Sequence[str] | None, *, again: str) -> int:
    """Runs a command and turns what it raises into a line on stderr and an exit code.

    Args:
      body: Called with the arguments and `debug`; returns the exit code.
      arguments: Of the command line; None means those of this process.
      again: What to tell who pressed Ctrl-C.
    Returns:
      What `body` returned; 1 failed, 2 wrong usage, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    try:
        with quiet_libraries(debug=debug):
            return body(arguments, debug=debug)
    except KeyboardInterrupt:
        print(f"interrupted; {again}", file=sys.stderr)
        return 130
    except Exception as error:
        from tfcass.errors import OptionError, TfcassError

        if debug or not isinstance(error, TfcassError):
            traceback.print_exc()
        if isinstance(error, TfcassError):
            print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, OptionError) else 1


@contextmanager
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
            name = f"{metric.key.metric.name} ({metric.key.step.split('/')[0]})"
            counters[name] = {"mean": round(metric.result.mean, 1), "max": metric.result.max}
    return counters
