"""Which keys the training steps were given."""

import hashlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfcass.splits.rows import key_order


class KeyJournal:
    """Writes down the keys that pass a point of a pipeline, 16 bytes each, in memory.

    journal = KeyJournal()
    rows = keys.apply(tfcass.fetch(...)).apply(journal.watch("patch_id"))
    """

    def __init__(self) -> None:
        self._batches: list[np.ndarray] = []

    def watch(self, column: str):
        """For Dataset.apply: elements pass unchanged; `column` holds uint8 [b, 16]."""

        def note(keys: np.ndarray) -> np.ndarray:
            self._batches.append(keys.copy())
            return keys

        def watched(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            keys = tf.numpy_function(note, [row[column]], tf.uint8)
            return {**row, column: tf.ensure_shape(keys, row[column].shape)}

        return lambda dataset: dataset.map(watched)  # Not in parallel: the order is what is noted.

    def epochs(self, steps_per_epoch: int) -> Iterator[np.ndarray]:
        """uint8 [m, 16] for each complete epoch, in the order read."""
        for start in range(0, len(self._batches) - steps_per_epoch + 1, steps_per_epoch):
            yield np.concatenate(self._batches[start : start + steps_per_epoch])


def keys_digest(keys: np.ndarray) -> str:
    """sha256 of keys as a set: the order does not matter."""
    return hashlib.sha256(keys[key_order(keys)].tobytes()).hexdigest()
