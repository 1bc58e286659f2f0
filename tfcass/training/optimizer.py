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

    Under the policy "mixed_float16" the result is a LossScaleOptimizer, as Keras makes one in compile(). It averages
    before it looks for infinities: one on any rank makes all of them leave out the step and halve the scale. The other
    way round, ranks would differ in what they exchange, and wait for each other for ever.

    Args:
      optimizer: Any Keras 3 optimizer that no model was trained with, LossScaleOptimizer included.
      scale_learning_rate: Multiplies the learning rate by the number of ranks, since a step then sees that many
        batches. From the first step on; LinearScaling comes to it over some epochs, and takes schedules.
    Returns:
      A new optimizer of a subclass; `optimizer` itself in a process of its own, but for the loss scale. In an elastic
      run one that averages even while there is one process, as more may join.
    Raises:
      OptionError: `optimizer` is no Keras 3 optimizer, was used before, or has a schedule that cannot be scaled.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise OptionError(
            f"optimizer={optimizer!r} is not a Keras 3 optimizer; pass an instance, as keras.optimizers.Adam(1e-3)"
        )
    if averages_too_late(optimizer) or isinstance(optimizer, _Averaging):
        raise OptionError("this optimizer averages over ranks already; call distributed_optimizer once")
    alone = ranks.horovod() is None
    if not alone and optimizer.built:
        raise OptionError(
            "this optimizer has been used for training; pass a new one, and restore its state with Checkpoint"
        )
    if _policy_is_mixed_float16() and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    if alone:
        return optimizer
    base = type(optimizer)
    averaging = type(base.__name__, (_Averaging, base), {"__module__": base.__module__})
    averaging = averaging.from_config(optimizer.get_config())
    if scale_learning_rate:
        inner = getattr(averaging, "inner_optimizer", averaging)
        if not isinstance(inner.get_config().get("learning_rate"), float):
            raise OptionError(
                "scale_learning_rate needs a number as learning rate; scale a schedule with training.LinearScaling"
            )
        size = Shard.from_horovod().size
        inner.learning_rate = float(inner.learning_rate) * size
    return averaging


def averages_too_late(optimizer: keras.optimizers.Optimizer) -> bool:
    """True for a LossScaleOptimizer around one that averages: ranks whose gradients are finite would wait for those
    that left the step out."""
    return isinstance(getattr(optimizer, "inner_optimizer", None), _Averaging)


def _policy_is_mixed_float16() -> bool:
    return keras.mixed_precision.dtype_policy().name == "mixed_float16"


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
