"""A bar on stderr over what workers note with progress.note_progress: done, rate, time left."""

import collections
import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

_TERMINAL_S, _LOG_S = 0.5, 10.0  # Between updates of a bar on a terminal, and between lines of a log.
_BAR = 24


@contextlib.contextmanager
def shown_bar(path: Path, stages: Mapping[str, str], total: int, *, stream: TextIO | None = None) -> Iterator[None]:
    """Shows how far the stages are while the block runs; the file is gone afterwards.

    Args:
      path: What workers note in.
      stages: Kind of note -> word for what is done, in the order in which the stages end.
      total: What each stage comes to.
      stream: Where to; stderr by default. A terminal has one line that changes, anything else a line now and then.
    """
    stream = sys.stderr if stream is None else stream
    with contextlib.suppress(OSError):  # Then nothing is shown. A result that cannot be written is told by its writer.
        path.write_bytes(b"")
    stop = threading.Event()
    bar = Bar(stages, total)

    def show() -> None:
        terminal = stream.isatty()
        while not stop.wait(_TERMINAL_S if terminal else _LOG_S):
            with contextlib.suppress(OSError, ValueError):  # Progress never ends a run: a closed pipe, a file gone.
                line = bar.line(path.read_text(), time.monotonic())
                stream.write(f"\r{line}\x1b[K" if terminal else f"{line}\n")
                stream.flush()
        if terminal:
            with contextlib.suppress(OSError, ValueError):
                stream.write("\r\x1b[K")
                stream.flush()

    thread = threading.Thread(target=show, name="progress-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


class Bar:
    """Notes and the time -> a line. The rate is that of the stage since its first note."""

    def __init__(self, stages: Mapping[str, str], total: int) -> None:
        self._stages = stages
        self._total = total
        self._began: dict[str, tuple[float, int]] = {}  # Kind -> when it was first seen, and how far it was then.

    def line(self, notes: str, now: float) -> str:
        """The line for these notes ("kind count", one a line) at this time in seconds."""
        sums: collections.Counter[str] = collections.Counter()
        for note in notes.splitlines():
            kind, _, count = note.partition(" ")
            sums[kind] += int(count)
        *_, last = self._stages
        kind = next((kind for kind in self._stages if sums[kind] < self._total), last)
        done = min(sums[kind], self._total)
        began, before = self._began.setdefault(kind, (now, done))
        filled = _BAR * done // max(1, self._total)
        rate = (done - before) / (now - began) if now > began else 0.0
        text = f"[{'#' * filled}{'.' * (_BAR - filled)}] {done:,} of {self._total:,} {self._stages[kind]}"
        if rate > 0:
            text += f", {rate:,.0f}/s, {_duration((self._total - done) / rate)} left"
        return text


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
