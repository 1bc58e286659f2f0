"""Ends worker processes at once when their launcher ends or is interrupted, however that happens.

The launcher holds a named pipe open; each worker waits on it in a thread. When the launcher closes it, or dies (killed
with SIGKILL included), the read ends, and the worker with it. Beam alone would let a worker finish its bundle. The pipe
has a name because Beam starts workers without our file descriptors.
"""

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator


class Lifeline:
    """The launcher's end.

    Attributes:
      path: Where workers find it.
      interrupted: Whether Ctrl-C came while watch_interrupt() was on.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tfcass-workers-")
        self.path = os.path.join(self._folder.name, "lifeline")
        self.interrupted = False
        os.mkfifo(self.path, 0o600)
        self._descriptor: int | None = os.open(
            self.path, os.O_RDWR
        )  # RDWR: opening for writing would wait for a reader.

    def __enter__(self) -> "Lifeline":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._folder.cleanup()

    def cut(self) -> None:
        """Ends all workers; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @contextlib.contextmanager
    def watch_interrupt(self) -> Iterator[None]:
        """Makes Ctrl-C cut the lifeline before it does what it did; off the main thread, it is not ours to catch."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def interrupt(number: int, frame: object) -> None:
            self.interrupted = True
            self.cut()
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def hold(path: str) -> None:
    """The worker's end: ends this process, from a thread, once the launcher is gone."""

    def wait() -> None:
        with contextlib.suppress(OSError):  # Gone already: the launcher ended before this worker was up.
            with open(path, "rb") as pipe:
                pipe.read()
        os._exit(1)  # No clean-up: another thread may be inside a C library. What was written can be written again.

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
