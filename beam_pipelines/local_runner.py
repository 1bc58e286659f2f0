"""Runs a pipeline: on Beam's local runner with worker processes, or on whatever runner the flags name."""

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult, PipelineState
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from beam_pipelines.lifeline import Lifeline
from tfcass.errors import TfcassError

# A runner, or a running mode of the local one: either way the user decides how the pipeline runs.
_OWN_RUNNER = ("--runner", "--direct_running_mode", "--direct_num_workers")
_WORKER = Path(__file__).with_name("worker.py")

_RAISED = re.compile(
    r"^((?:\w+\.)*)([A-Z]\w*): (.+)$", re.MULTILINE
)  # How a traceback ends: package.module.Error: message
_WHILE_RUNNING = re.compile(r" \[while running '[^']*'\]")  # Beam adds it.


class PipelineError(TfcassError, RuntimeError):
    """The pipeline failed as a whole; the message is the cause, without the way it took through Beam."""


def run_pipeline(
    build: Callable[[beam.Pipeline], None], *, workers: int, flags: Sequence[str], debug: bool = False
) -> PipelineResult:
    """Builds a pipeline and runs it to its end.

    Args:
      build: Adds the transforms.
      workers: Processes of the local runner; 1 runs in this process. Without meaning when `flags` name a runner.
      flags: Beam's pipeline options.
      debug: Lets the workers log to stderr.
    Raises:
      PipelineError: A bundle failed, or a worker died.
    """
    with Lifeline() as lifeline:
        pipeline = beam.Pipeline(**_where_to_run(workers, list(flags), lifeline, debug=debug))
        build(pipeline)
        try:
            with lifeline.watch_interrupt():
                result = pipeline.run()
                state = result.wait_until_finish()
        except Exception as error:
            if lifeline.interrupted:  # Beam may have wrapped it, or complains of workers that are gone.
                raise KeyboardInterrupt from None
            raise PipelineError(cause(error)) from error
    if state != PipelineState.DONE:
        raise PipelineError(f"the runner says that the pipeline is {state}; its own log tells why")
    return result


def _where_to_run(workers: int, flags: list[str], lifeline: Lifeline, *, debug: bool) -> dict[str, Any]:
    """Arguments of beam.Pipeline."""
    if any(flag.split("=")[0] in _OWN_RUNNER for flag in flags):
        # Not CRITICAL: job servers in Java know no such level, and refuse the job.
        return {"options": PipelineOptions([f"--default_sdk_harness_log_level={'INFO' if debug else 'ERROR'}", *flags])}
    flags = [f"--default_sdk_harness_log_level={'INFO' if debug else 'CRITICAL'}", *flags]
    if workers == 1:
        return {"options": PipelineOptions(flags), "runner": FnApiRunner()}
    # What --direct_running_mode=multi_processing does, with a worker of our own. exec: the shell that Beam starts
    # becomes the worker, so that stopping one stops the other.
    words = [sys.executable, str(_WORKER), lifeline.path, *(["--debug"] if debug else [])]
    environment = SubprocessSDKEnvironment.from_command_string(f"exec {shlex.join(words)}")
    options = PipelineOptions([f"--direct_num_workers={workers}", *flags])
    return {"options": options, "runner": FnApiRunner(default_environment=environment)}


def cause(error: BaseException) -> str:
    """The error that started it all, in one line: Beam hands over the traceback of a worker as one long text."""
    text = str(error)
    if "Channel closed prematurely" in text:
        return (
            "a worker process died, perhaps for lack of memory; run it again, with fewer --workers if that repeats: "
            "patches that are stored are skipped"
        )
    named = _RAISED.findall(text)
    if named and not isinstance(error, TfcassError):
        module, name, message = named[-1]
        ours = module.startswith(("tfcass.", "beam_pipelines."))
    else:
        name, message, ours = type(error).__name__, text, isinstance(error, TfcassError)
    message = _WHILE_RUNNING.sub("", message).strip()
    return message if ours else f"{name}: {message}"
