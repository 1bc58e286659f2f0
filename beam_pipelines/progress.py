"""How far a run is: workers append to a file, one thread shows the sums on stderr.

A runner tells nothing of a bundle before its end, and a local run is little more than one bundle. So workers append a
short line per slide or group of patches; lines this short are appended whole even by many processes.
"""

import collections
import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TextIO

_TERMINAL_S, _LOG_S = 0.5, 10.0  # Between updates of a line on a terminal, and between lines of a log.
_BAR = 24  # Characters.


def note_progress(path: str | os.PathLike[str], kind: str, count: int) -> None:
    """Adds to a sum; a failure to write is no reason to fail the work."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)  # No O_CREAT: nothing unless somebody watches.
        try:
            os.write(descriptor, f"{kind} {count}\n".encode())
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def shown_progress(
    path: str | os.PathLike[str],
    slides: int,
    *,
    stream: TextIO | None = None,
    line: Callable[[Mapping[str, int], float], str] | None = None,
) -> Iterator[None]:
    """Shows on stderr, while the block runs, what workers note in `path`; the file is gone afterwards.

    Args:
      path: What note_progress is given.
      slides: How many there are.
      stream: Where to show it; None is stderr.
      line: Makes the line of the sums by kind and of the seconds; None is the one of tiling.
    """
    stream = sys.stderr if stream is None else stream
    path = Path(path)
    with contextlib.suppress(OSError):  # Then nothing is shown. A result that cannot be written is told by its writer.
        path.write_bytes(b"")
    ticker = _Ticker(path, stream, line or functools.partial(progress_line, slides, bar=stream.isatty()))
    try:
        with ticker:
            yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


class _Ticker:
    def __init__(self, path: Path, stream: TextIO, line: Callable[[Mapping[str, int], float], str]) -> None:
        self._path = path
        self._make_line = line
        self._stream = stream
        self._terminal = stream.isatty()
        self._started_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tiling-progress", daemon=True)

    def __enter__(self) -> "_Ticker":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _loop(self) -> None:
        while not self._stop.wait(_TERMINAL_S if self._terminal else _LOG_S):
            with contextlib.suppress(
                OSError, ValueError
            ):  # Progress never ends a run: a closed pipe, a file taken away.
                line = self._line()
                self._stream.write(f"\r{line}\x1b[K" if self._terminal else f"{line}\n")
                self._stream.flush()

    def _line(self) -> str:
        sums: collections.Counter[str] = collections.Counter()
        for line in self._path.read_text().splitlines():
            kind, _, count = line.partition(" ")
            sums[kind] += int(count)
        return self._make_line(sums, time.monotonic() - self._started_s)


def progress_line(slides: int, sums: Mapping[str, int], elapsed_s: float, *, bar: bool) -> str:
    """What is done, how fast, and how long the rest will take.

    Args:
      slides: Of the run.
      sums: What note_progress() added up: slides planned, patches planned, skipped and cut.
      elapsed_s: Since its start.
      bar: Draws one, of the patches expected in all: slides still to be planned count as the mean of the others.
    """
    planned, skipped, cut, seen = (sums.get(name, 0) for name in ("planned", "skipped", "cut", "slides"))
    parts = [f"{seen} of {slides} slides planned", f"{cut:,} of {planned - skipped:,} patches cut"]
    if skipped:
        parts.append(f"{skipped:,} stored before")
    expected = (planned - skipped) / seen * slides if seen else 0.0
    if cut and elapsed_s > 0:
        rate = cut / elapsed_s
        parts += [f"{rate:,.0f}/s", f"about {_clock(max(0.0, expected - cut) / rate)} left"]
    parts.append(_clock(elapsed_s))
    done = min(1.0, cut / expected) if expected else 0.0
    drawn = f"[{'#' * int(done * _BAR):.<{_BAR}}] {done:4.0%} " if bar else ""
    return drawn + ", ".join(parts)


def _clock(seconds: float) -> str:
    """59 -> "59 s"; 75 -> "1:15"; 3,700 -> "1:01:40"."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
