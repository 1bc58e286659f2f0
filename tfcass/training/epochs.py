"""Keys of several epochs as one dataset."""

import tensorflow as tf

from tfcass.errors import OptionError
from tfcass.sharding import Shard, check_order
from tfcass.splits import Splits


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
) -> tf.data.Dataset:
    """Batches of keys: what this rank reads in the epochs [first_epoch, epochs), one epoch after the other.

    Fetched as one dataset, rows of the next epoch are on their way while the last batches of this one are trained on,
    and during validation. Pass steps_per_epoch=shard.steps(...) to model.fit. A batch never mixes epochs: the last
    one of an epoch may be smaller, by the same number on every rank.

    Args:
      splits, name, shard, seed, remainder: As for Shard.keys.
      batch_size: Keys in a batch.
      epochs: Epochs in all, those before first_epoch included, as in model.fit.
      first_epoch: Where a resumed run goes on.
    Returns:
      Dataset of uint8 [b, 16]. The order of an epoch is computed when reading comes to it. The cardinality is left
      unknown: with a known one Keras would start reading everything again after the last epoch.
    Raises:
      SplitError, OptionError: As Shard.keys.
    """
    # Bad settings are refused now, not in a thread of tf.data.
    check_order(epoch=first_epoch, seed=seed)
    shard.steps(splits, name, batch_size=batch_size, remainder=remainder)
    if not 0 <= first_epoch <= epochs:
        raise OptionError(f"first_epoch={first_epoch!r} is not in [0, epochs={epochs!r}]")

    def keys_of(epoch: int):
        return shard.keys(splits, name, epoch=int(epoch), seed=seed, remainder=remainder)

    def batches_of(epoch: tf.Tensor) -> tf.data.Dataset:
        keys = tf.ensure_shape(tf.numpy_function(keys_of, [epoch], tf.uint8), [None, 16])
        return tf.data.Dataset.from_tensor_slices(keys).batch(batch_size)

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(batches_of)
