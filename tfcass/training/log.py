"""history.json: one entry per epoch, written while training goes on."""

import json
import os
import time
from pathlib import Path

import keras

from tfcass._files import replace_file
from tfcass.errors import TfcassError
from tfcass.training import ranks


class TrainingLog(keras.callbacks.Callback):
    """Rank 0 writes {"epochs": [{"epoch": 1, "loss": ..., "val_loss": ..., "seconds": ..., "rows_per_s": ...}, ...]}.

    "epoch" counts from 1. "seconds" is the whole epoch, "rows_per_s" the rows of all ranks over the training part of
    it. A resumed run keeps the entries of the epochs before it.

    Args:
      path: The file.
      rows_per_epoch: Rows that all ranks together train on in an epoch.
    """

    def __init__(self, path: str | os.PathLike[str], *, rows_per_epoch: int) -> None:
        super().__init__()
        self._path, self._rows = Path(path), rows_per_epoch
        self.epochs: list[dict[str, float]] = []

    def keep_until(self, epoch: int) -> None:
        """Takes over what the file says of the epochs before `epoch` (from 0), for a run that goes on there."""
        try:
            self.epochs = [entry for entry in json.loads(self._path.read_text())["epochs"] if entry["epoch"] <= epoch]
        except (OSError, ValueError, KeyError, TypeError):
            self.epochs = []  # The log is for people: a lost one does not stop the training.

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._begin_s = time.perf_counter()
        self._trained_s = None

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._trained_s = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        now_s = time.perf_counter()
        entry = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        entry["seconds"] = round(now_s - self._begin_s, 3)
        entry["rows_per_s"] = round(self._rows / ((self._trained_s or now_s) - self._begin_s), 1)
        self.epochs.append(entry)
        if ranks.is_first():
            self._write()

    def _write(self) -> None:
        try:
            replace_file(self._path, (json.dumps({"epochs": self.epochs}, indent=1) + "\n").encode())
        except OSError as error:
            raise TfcassError(f"cannot write {self._path}: {error.strerror or error}; free some space") from error
