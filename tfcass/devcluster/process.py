"""Processes that outlive the one that started them, known again by pid, start time and an argument."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from tfcass.errors import DevClusterError

# Clocks step and psutil derives start times from the boot time: within this the start times are the same.
_SAME_START_S = 5.0
_KILL_S = 30.0


@dataclasses.dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one that got the same pid.

    Attributes:
      pid: Its number.
      started: When it started, seconds since the epoch.
    """

    pid: int
    started: float


def spawn(command: Sequence[str], *, output: Path) -> ProcessId:
    """Starts a process in a session of its own: Ctrl-C in our terminal does not reach it and it stays when we end.

    Args:
      command: Absolute path of the program, then its arguments.
      output: File that gets its standard output and errors, overwritten.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        command[0],
        list(command),
        os.environ,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    return ProcessId(pid, psutil.Process(pid).create_time())


def find(process_id: ProcessId | None, *, marker: str) -> psutil.Process | None:
    """The running process of that identity; None if it ended, even if its pid belongs to another one now.

    Args:
      marker: An argument that the command line of the process holds.
    """
    if process_id is None:
        return None
    try:
        process = psutil.Process(process_id.pid)
        if _ended(process):
            return None
        same = abs(process.create_time() - process_id.started) < _SAME_START_S and _may_have(process, marker)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process if same else None


def _may_have(process: psutil.Process, argument: str) -> bool:
    try:
        arguments = process.cmdline()
    except psutil.ZombieProcess:
        arguments = []
    return not arguments or argument in arguments  # None to be seen: it is just starting, or just ending.


def ask_to_end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()


def stop(process: psutil.Process, *, grace_s: float) -> None:
    """Asks a process to end and, `grace_s` seconds later, makes it.

    Raises:
      DevClusterError: The system does not end it, as when its disk hangs.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        if grace_s > 0:
            process.terminate()
            if _ends(process, within_s=grace_s):
                return
        process.kill()
        if not _ends(process, within_s=_KILL_S):
            raise DevClusterError(f"process {process.pid} was killed and does not end; look at it with `ps`")


def _ends(process: psutil.Process, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not _ended(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _ended(process: psutil.Process) -> bool:
    """True for a process that is gone, or is left only until its parent, perhaps this process, asks how it ended.

    Not yet true while one of its threads still ends, as then it may hold its ports.
    """
    try:
        if process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1:
            return False
    except psutil.NoSuchProcess:
        return True
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(timeout=0)
    return True
