"""Keras optimizers whose gradients are averaged over ranks."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfcass.errors import OptionError
from tfcass.sharding import Shard
from tfcass.training import ranks


def distributed_optimizer(
    optimizer: keras.optimizers.Optimizer, *, scale_learning_rate: bool = False
) -> keras.optimizers.Optimizer:
    """An optimizer like `optimizer` that averages gradients over all ranks before it uses them, clipping included.

    Compile the model with jit_compile=False: XLA cannot compile Horovod's operations. A model saved with this optimizer
    loads where neither tfcass nor Horovod is installed: it is saved as the optimizer it was made of.

    Args:
      optimizer: Any Keras 3 optimizer that no model was trained with, LossScaleOptimizer included.
      scale_learning_rate: Multiplies the learning rate by the number of ranks, since a step then sees that many
        batches.
    Returns:
      A new optimizer of a subclass; `optimizer` itself in a process of its own.
    Raises:
      OptionError: `optimizer` is no Keras 3 optimizer, was used before, or has a schedule that cannot be scaled.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise OptionError(
            f"optimizer={optimizer!r} is not a Keras 3 optimizer; pass an instance, as keras.optimizers.Adam(1e-3)"
        )
    if isinstance(optimizer, _Averaging):
        raise OptionError("this optimizer averages over ranks already; call distributed_optimizer once")
    size = Shard.from_horovod().size
    if size == 1:
        return optimizer
    if optimizer.built:
        raise OptionError(
            "this optimizer has been used for training; pass a new one, and restore its state with Checkpoint"
        )
    config = optimizer.get_config()
    if scale_learning_rate:
        if not isinstance(config.get("learning_rate"), float):
            raise OptionError("scale_learning_rate needs a number as learning rate; scale the schedule itself instead")
        config["learning_rate"] *= size
    base = type(optimizer)
    averaging = type(base.__name__, (_Averaging, base), {"__module__": base.__module__})
    return averaging.from_config(config)


class _Averaging:
    """Mixed in before a Keras optimizer. Every entry, fit and custom loops alike, goes through apply()."""

    def apply(
        self, grads: Sequence[tf.Tensor | None], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        hvd = ranks.horovod()
        grads = list(grads)
        present = [i for i, grad in enumerate(grads) if grad is not None]
        # Sparse gradients (embeddings) are made dense: the group is then one fused exchange.
        dense = [tf.convert_to_tensor(grads[i]) for i in present]
        averaged = hvd.grouped_allreduce(dense, op=hvd.Average, name=f"{self.name}_gradients")
        for i, grad in zip(present, averaged, strict=True):
            grads[i] = grad
        return super().apply(grads, trainable_variables)
