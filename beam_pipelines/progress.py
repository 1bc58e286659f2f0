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
    path: Path,
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
    with contextlib.suppress(OSError):  # Then nothing is shown. A result that cannot be written is told by its writer.
        path.write_bytes(b"")
    ticker = _Ticker(path, stream, line or functools.partial(_tiling_line, slides))
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


def _tiling_line(slides: int, sums: Mapping[str, int], elapsed_s: float) -> str:
    cut = f"{sums['cut']:,} of {sums['planned']:,} patches cut"
    if sums["skipped"]:
        cut += f", {sums['skipped']:,} stored before"
    return f"{sums['slides']} of {slides} slides planned, {cut}, {elapsed_s:.0f} s"
