"""Which keys the training steps were given."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfcass.errors import TfcassError
from tfcass.keys import key_text
from tfcass.splits.columns import key_order


class KeyJournal:
    """Writes down the keys that pass a point of a pipeline, 16 bytes each, in memory, and to a file if one is given.

        journal = KeyJournal("out/journal-rank0.jsonl")
        rows = keys.apply(tfcass.fetch(...)).apply(journal.watch("patch_id"))

    The file has a line for each batch: {"step": 0, "patch_ids": ["09b34ae6-...", ...]}, and with the rows of
    row_batches() also "epoch" and "positions", by which it is known what a cursor stands for: `grep` finds the steps
    that saw a row. Lines are written when batches are made, which reading ahead (.prefetch) does before their step; a
    run that was stopped has lines that no step consumed, and the run that goes on repeats them. Steps are counted from
    0 in each process.

    Args:
      path: File of this rank; lines are added to it. None: in memory only.
    Raises:
      TfcassError: The file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._batches: list[np.ndarray] = []
        self._path = None if path is None else Path(path)
        self._write(b"")

    def watch(self, column: str):
        """For Dataset.apply: elements pass unchanged; `column` holds uint8 [b, 16]."""

        def note(keys: np.ndarray, *place: np.ndarray) -> np.ndarray:
            self._note(keys.copy(), *place)
            return keys

        def watched(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            place = [row["epoch"][0], row["position"]] if "epoch" in row and "position" in row else []
            keys = tf.numpy_function(note, [row[column], *place], tf.uint8)
            return {**row, column: tf.ensure_shape(keys, row[column].shape)}

        return lambda dataset: dataset.map(watched)  # Not in parallel: the order is what is noted.

    def epochs(self, steps_per_epoch: int, *, first: int | None = None) -> Iterator[np.ndarray]:
        """uint8 [m, 16] for each complete epoch, in the order read.

        Args:
          steps_per_epoch: Batches in an epoch.
          first: Batches in the first epoch, if that was begun in the middle.
        """
        start, steps = 0, steps_per_epoch if first is None else first
        while start + steps <= len(self._batches) and steps > 0:
            yield np.concatenate(self._batches[start : start + steps])
            start, steps = start + steps, steps_per_epoch

    def _note(self, keys: np.ndarray, epoch: np.ndarray | None = None, positions: np.ndarray | None = None) -> None:
        entry = {"step": len(self._batches)}
        if epoch is not None:
            entry |= {"epoch": int(epoch), "positions": positions.tolist()}
        entry["patch_ids"] = [key_text(key) for key in keys]
        self._batches.append(keys)
        self._write(json.dumps(entry).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        if self._path is None:
            return
        try:
            with open(self._path, "ab") as file:
                file.write(line)
        except OSError as error:
            raise TfcassError(f"cannot write the journal {self._path}: {error.strerror or error}") from error


def keys_digest(keys: np.ndarray) -> str:
    """sha256 of keys as a set: the order does not matter."""
    return hashlib.sha256(keys[key_order(keys)].tobytes()).hexdigest()
