"""Ctrl-C ends training between two steps."""

import signal
import threading
from types import FrameType, TracebackType

import keras


class StopOnInterrupt(keras.callbacks.Callback):
    """Turns the first Ctrl-C (SIGINT) into a KeyboardInterrupt at the end of the step that runs.

        with training.StopOnInterrupt() as stop:
            model.fit(..., callbacks=[..., stop])

    Python raises KeyboardInterrupt wherever the main thread happens to be. Inside a destructor it is printed and
    forgotten, and training goes on; between two writes it leaves one of them out. A second Ctrl-C is raised at once,
    for a step that does not end. Outside the main thread, which alone gets signals, this does nothing.

    Attributes:
      requested: Whether Ctrl-C was pressed. An error that leaves the block after that counts as its consequence.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requested = False
        self._before = None

    def __enter__(self) -> "StopOnInterrupt":
        self.requested = False
        # A program that ignores SIGINT, as those that a shell starts in the background do, goes on ignoring it.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._remember)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._restore()
        if self.requested and isinstance(error, Exception):
            raise KeyboardInterrupt from error  # Such as the loss of another rank, which stopped a moment earlier.

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._stop_if_requested()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._stop_if_requested()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._restore()  # The next one is not held back.
        self.requested = True

    def _stop_if_requested(self) -> None:
        if self.requested:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
