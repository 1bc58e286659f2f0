"""Programs that a stage runs: output to a log file, the whole family ended when we are."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tfcass.errors import TfcassError

_POLL_S = 0.25  # How often the last line of the log is looked at.
_TAIL_BYTES = 65536
_TAIL_LINES = 15


class StageError(TfcassError):
    """A stage failed. The message holds the end of its log."""


def run_program(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    telling: Callable[[str], bool] = lambda line: True,
    grace_s: float = 8.0,
) -> None:
    """Runs a program to its end. Its output, and its children's, goes to `log`, overwritten.

    The program gets a session of its own, so that Ctrl-C in a terminal reaches us alone; whatever exception ends the
    wait (KeyboardInterrupt above all) ends the program and its descendants before it is passed on.

    Args:
      env: Added to our environment.
      on_line: Called with the last line of the log, now and then.
      telling: Which lines to show after a failure, if there are such.
      grace_s: Seconds that the program gets to end by itself once it is asked to.
    Raises:
      StageError: the program cannot be started or ends with another status than 0.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                start_new_session=True,
            )
    except OSError as error:
        raise StageError(f"cannot start {command[0]!r} with its output in {str(log)!r}: {error.strerror}") from error
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = child.wait(_POLL_S)
                break
            if lines := tail(log, 1):
                on_line(lines[-1])
    except BaseException:
        end_family(child, grace_s=grace_s)
        raise
    if status != 0:
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"exited with {status}"
        lines = tail(log, 1000)
        lines = ([line for line in lines if telling(line)] or lines)[-_TAIL_LINES:]
        last = "".join(f"\n    {line}" for line in lines)
        raise StageError(f"{Path(command[0]).name} {how}; its last lines:{last}\n  all of it: {log}")


def end_family(child: subprocess.Popen, *, grace_s: float) -> None:
    """Ends a program and all its descendants: first as Ctrl-C would, then firmly, then by force.

    Descendants are listed before anything is ended (an orphan is nobody's child any more), and again afterwards, as the
    dying start helpers. psutil compares start times, so a reused pid is never hit.
    """
    with _no_interrupts():
        family = _family(child.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGINT)
        _wait(child, family[:1], grace_s)  # It ends its children itself, if it does that at all: horovodrun does.
        family += _family(child.pid)
        for action in (psutil.Process.terminate, psutil.Process.kill):
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    action(process)
            _wait(child, family, 3.0)


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a file that are not blank; carriage returns of progress bars count as line ends."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.replace("\r", "\n").split("\n") if line.strip()][-lines:]


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _wait(child: subprocess.Popen, family: list[psutil.Process], timeout_s: float) -> None:
    psutil.wait_procs(family, timeout=timeout_s)
    child.poll()


@contextlib.contextmanager
def _no_interrupts():
    """A second Ctrl-C while we clean up would leave children behind; cleaning up takes seconds at most."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # Not the main thread: it gets no signals.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
