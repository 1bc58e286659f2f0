"""Keys of several epochs as one dataset."""

import tensorflow as tf

from tfcass.errors import OptionError
from tfcass.sharding import Cursor, Part, Plan, Shard, check_order
from tfcass.splits import Splits

_CHUNK = 4096  # Keys made at a time: what a pipeline holds of an epoch's order.


def epochs_of_keys(
    splits: Splits,
    name: str,
    shard: Shard,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    first_epoch: int = 0,
    remainder: str = "drop",
    start: Cursor | None = None,
) -> tf.data.Dataset:
    """Batches of keys: what this rank reads in the epochs [first_epoch, epochs), one epoch after the other.

    Pass steps_per_epoch=shard.steps(...) to model.fit. key_batches() is the same for a Plan, and says the rest.

    Args:
      splits, name, shard, seed, remainder: As for Shard.keys.
      batch_size: Keys in a batch.
      epochs: Epochs in all, those before first_epoch included, as in model.fit.
      first_epoch: Where a resumed run goes on, at the beginning of an epoch.
      start: Where a resumed run goes on, anywhere; not together with first_epoch.
    Returns, raises: As key_batches.
    """
    check_order(epoch=first_epoch, seed=seed)
    plan = Plan(splits, name, seed=seed)
    if start is None:
        _check_epochs("first_epoch", first_epoch, epochs)
        start = plan.cursor(first_epoch)
    elif first_epoch:
        raise OptionError(f"first_epoch={first_epoch} and start={start}: pass one of them")
    return key_batches(plan, shard, batch_size=batch_size, epochs=epochs, start=start, remainder=remainder)


def key_batches(
    plan: Plan,
    shard: Shard,
    *,
    batch_size: int,
    epochs: int,
    start: Cursor | None = None,
    remainder: str = "drop",
    whole_batches: bool = False,
) -> tf.data.Dataset:
    """Batches of keys: what this rank reads from `start` to the end of the last epoch, one epoch after the other.

    Fetched as one dataset, rows of the next epoch are on their way while the last batches of this one are trained on,
    and during validation. A batch never mixes epochs: the last one of an epoch may be smaller, by the same number on
    every rank. An epoch that is begun in the middle has fewer steps: shard.part(plan, start, ...).steps.

    Args:
      plan, shard, remainder, whole_batches: As for Shard.part.
      batch_size: Keys in a batch.
      epochs: Epochs in all, those before `start` included, as in model.fit.
      start: Where a resumed run goes on; None: at the beginning.
    Returns:
      Dataset of uint8 [b, 16]. The order is computed in small pieces when reading comes to them. The cardinality is
      left unknown: with a known one Keras would start reading everything again after the last epoch.
    Raises:
      SplitError, OptionError: As Shard.part.
    """
    return EpochParts(plan, shard, batch_size, epochs, start, remainder, whole_batches).keys()


class EpochParts:
    """What one rank reads in each epoch from a cursor on, as datasets of batches that fit together."""

    def __init__(
        self,
        plan: Plan,
        shard: Shard,
        batch_size: int,
        epochs: int,
        start: Cursor | None,
        remainder: str,
        whole_batches: bool,
    ) -> None:
        self._plan, self._shard, self._epochs = plan, shard, epochs
        self._settings = {"batch_size": batch_size, "remainder": remainder, "whole_batches": whole_batches}
        self._batch_size = batch_size
        self._start = plan.cursor() if start is None else start
        # Bad settings are refused now, not in a thread of tf.data.
        self.first = shard.part(plan, self._start, **self._settings)
        self.whole = shard.part(plan, plan.cursor(self._start.epoch + 1), **self._settings)
        _check_epochs("the start's epoch", self._start.epoch, epochs)

    def keys(self) -> tf.data.Dataset:
        """Of uint8 [b, 16]."""
        chunk = self._batch_size * max(1, _CHUNK // self._batch_size)

        def keys_of(epoch, first):
            part = self._part(int(epoch))
            return part.keys(int(first), min(int(first) + chunk, part.rows))

        def batches_of(epoch: tf.Tensor, first: tf.Tensor) -> tf.data.Dataset:
            keys = tf.ensure_shape(tf.numpy_function(keys_of, [epoch, first], tf.uint8), [None, 16])
            # Slices that are batches: batching key by key costs twice the CPU.
            whole = tf.shape(keys)[0] // self._batch_size
            batches = tf.reshape(keys[: whole * self._batch_size], [whole, self._batch_size, 16])
            rest = keys[whole * self._batch_size :]
            rests = tf.repeat(rest[None], tf.cast(tf.size(rest) > 0, tf.int32), axis=0)  # One, or none.
            return tf.data.Dataset.from_tensor_slices(batches).concatenate(tf.data.Dataset.from_tensor_slices(rests))

        def chunks_of(epoch: tf.Tensor) -> tf.data.Dataset:
            firsts = tf.data.Dataset.range(0, self._rows(epoch), chunk)
            return firsts.flat_map(lambda first: batches_of(epoch, first))

        return tf.data.Dataset.range(self._start.epoch, self._epochs).flat_map(chunks_of)

    def places(self) -> tf.data.Dataset:
        """Of {"epoch": int64 [b], "position": int64 [b], "weight": float32 [b]}, one element for each of keys()."""
        samples, rank, size = self._plan.samples, self._shard.rank, self._shard.size

        def place_of(epoch: tf.Tensor, first: tf.Tensor) -> dict[str, tf.Tensor]:
            begin = tf.where(epoch == self._start.epoch, tf.constant(self._start.samples, tf.int64), 0)
            last = tf.minimum(first + self._batch_size, self._rows(epoch))
            position = begin + rank + size * tf.range(first, last, dtype=tf.int64)
            return {
                "epoch": tf.fill(tf.shape(position), epoch),
                "position": position,
                "weight": tf.cast(position < samples, tf.float32),
            }

        def places_of(epoch: tf.Tensor) -> tf.data.Dataset:
            firsts = tf.data.Dataset.range(0, self._rows(epoch), self._batch_size)
            return firsts.map(lambda first: place_of(epoch, first))

        return tf.data.Dataset.range(self._start.epoch, self._epochs).flat_map(places_of)

    def _part(self, epoch: int) -> Part:
        if epoch == self._start.epoch:
            return self.first
        return self._shard.part(self._plan, self._plan.cursor(epoch), **self._settings)

    def _rows(self, epoch: tf.Tensor) -> tf.Tensor:
        return tf.where(epoch == self._start.epoch, tf.constant(self.first.rows, tf.int64), self.whole.rows)


def _check_epochs(what: str, first: int, epochs: int) -> None:
    if not 0 <= first <= epochs:
        raise OptionError(f"{what}={first!r} is not in [0, epochs={epochs!r}]")
