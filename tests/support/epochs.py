"""An epoch that a test reads step by step, to do something in the middle of it.

How far reading has run ahead is known: `max_in_flight` rows beyond what the test has taken, and no prefetch.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

import tfcass
from tests.support.fetch_rows import Patches

Row = tuple[bytes, int, bytes]  # Key, label, data.

WINDOW = 16  # Rows that an epoch through a proxy has under way, unless a test wants otherwise.


class Epoch:
    """One iterator over a dataset of the columns label and data.

    Attributes:
      rows: What was taken so far.
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        at_once = tf.data.Options()
        at_once.experimental_optimization.inject_prefetch = False
        self._iterator = iter(dataset.with_options(at_once))
        self.rows: list[Row] = []

    def take(self, elements: int) -> None:
        for _ in range(elements):
            self._add(next(self._iterator))

    def rest(self) -> None:
        for element in self._iterator:
            self._add(element)

    def rest_despite_errors(self) -> list[tf.errors.OpError]:
        """Goes on after each error; the errors."""
        errors = []
        while True:
            try:
                self.take(1)
            except StopIteration:
                return errors
            except tf.errors.OpError as error:
                errors.append(error)

    def _add(self, element: dict[str, tf.Tensor]) -> None:
        keys, labels = element["patch_id"].numpy().reshape(-1, 16), np.ravel(element["label"].numpy())
        data = element["data"].numpy()
        cells = [data] if isinstance(data, bytes) else data  # Not through numpy, which drops zeros at the end.
        for key, label, cell in zip(keys, labels, cells, strict=True):
            self.rows.append((key.tobytes(), int(label), cell))


def truth(patches: Patches, rows: slice | list[int] = slice(None)) -> list[Row]:
    """The rows that were written, in the order of the keys."""
    numbers = np.arange(len(patches.keys))[rows]
    return [(patches.keys[i].tobytes(), patches.labels[i], patches.data[i]) for i in numbers]


def uuid_of(patches: Patches, row: int) -> str:
    return str(uuid.UUID(bytes=patches.keys[row].tobytes()))


@contextlib.contextmanager
def counted() -> Iterator[dict[str, int]]:
    """By how much each counter of tfcass.metrics() grows within the block; filled in at its end."""
    before, grown = tfcass.metrics(), {}
    yield grown
    after = tfcass.metrics()
    grown.update({name: after[name] - before[name] for name in after if isinstance(after[name], int)})


@contextlib.contextmanager
def meanwhile(act: Callable[[], Any]) -> Iterator[None]:
    """Runs `act` in a thread beside the block; its exception is raised at the end of the block."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # An assertion of the test too.
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join()
    if failed:
        raise failed[0]


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)
