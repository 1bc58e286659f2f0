"""Which rows the model has been trained on while processes came and went."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tfcass.errors import TfcassError
from tfcass.keys import key_text
from tfcass.sharding import Cursor, Part, Shard


class ElasticJournal:
    """The journal of one process: JSON lines in a file of its own, each written before its step.

    {"generation", "rank", "size", "start": {"epoch", "samples", ...}} whenever the processes have changed, and
    {"generation", "epoch", "positions", "patch_ids"} for each batch, repeats of "pad" left out.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def begin(self, generation: int, shard: Shard, start: Cursor) -> None:
        """Processes have changed: all go on at `start`."""
        entry = {"generation": generation, "rank": shard.rank, "size": shard.size}
        self._write({**entry, "start": json.loads(start.to_json())})

    def add(self, generation: int, part: Part, step: int, keys: np.ndarray) -> None:
        """The batch of a step of `part`, counted from 1; uint8 [b, 16]."""
        first, last = (step - 1) * part.batch_size, min(step * part.batch_size, part.rows)
        positions, counted = part.positions(first, last), part.weights(first, last) > 0
        self._write(
            {
                "generation": generation,
                "epoch": part.cursor.epoch,
                "positions": positions[counted].tolist(),
                "patch_ids": [key_text(key) for key in keys[counted]],
            }
        )

    def _write(self, entry: dict) -> None:
        try:
            with open(self._path, "a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise TfcassError(f"cannot write the journal {self._path}: {error.strerror or error}") from error


def committed_keys(journals: Iterable[str | os.PathLike[str]], epoch: int) -> dict[int, str]:
    """Which keys the model has been trained on in an epoch, from the journals of all processes, those that were lost
    included.

    Lines of batches that a change of the processes undid do not count: those at or behind the cursor with which a later
    generation began.

    Args:
      journals: Files of one run, from its start to now. One that was stopped and begun again has others.
      epoch: Counted from 0.
    Returns:
      {position in the epoch's order: UUID}. Of a finished epoch without "drop": each position of [0, plan.samples).
    Raises:
      TfcassError: A journal cannot be read, or two batches that count have the same position: which is the proof that
        this did not happen.
    """
    entries = []
    for path in journals:
        try:
            *lines, _ = Path(path).read_text().split("\n")  # A line without end is one that its process died in.
            entries += [json.loads(line) for line in lines]
        except (OSError, ValueError) as error:
            raise TfcassError(f"journal {path} cannot be read: {error}") from error
    starts = {entry["generation"]: entry["start"] for entry in entries if "start" in entry}
    found: dict[int, str] = {}
    for entry in entries:
        if "start" in entry or entry["epoch"] != epoch:
            continue
        later = [start for generation, start in starts.items() if generation > entry["generation"]]
        for position, key in zip(entry["positions"], entry["patch_ids"], strict=True):
            if any((epoch, position) >= (start["epoch"], start["samples"]) for start in later):
                continue
            if position in found:
                raise TfcassError(f"position {position} of epoch {epoch} counts twice: {found[position]} and {key}")
            found[position] = key
    return found
