"""Learning rates for the larger batches of several ranks."""

import keras

from tfcass.errors import OptionError


@keras.saving.register_keras_serializable(package="tfcass")
class LinearScaling(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of one rank, times the number of ranks, which it comes to step by step.

        steps = shard.steps(splits, "train", batch_size=64)
        rate = training.LinearScaling(1e-3, size=shard.size, warmup_steps=5 * steps)
        optimizer = training.distributed_optimizer(keras.optimizers.SGD(rate, momentum=0.9))

    `size` ranks take one step with the mean gradient of size batches where one rank would take size steps: the rate is
    multiplied by size. That holds while weights change slowly, which they do not at first: so the factor grows from 1
    to size over `warmup_steps`.

    A model saved with it loads where tfcass.training is imported, or with load_model(..., compile=False).

    Args:
      learning_rate: Of one rank: a number, or a schedule of the steps, such as keras.optimizers.schedules.CosineDecay.
      size: Ranks, or any other factor by which the batch of all ranks together is larger.
      warmup_steps: Steps until the whole factor is reached; 0 for at once. Five epochs in the paper.
    Raises:
      OptionError: A rate that is not positive, size below 1, or a negative number of steps.
    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv 1706.02677, sections 2.1 and 2.2.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        *,
        size: float,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__()
        is_schedule = isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule)
        if not is_schedule and not (_is_number(learning_rate) and learning_rate > 0):
            raise OptionError(f"learning_rate={learning_rate!r} is neither a positive number nor a Keras schedule")
        if not (_is_number(size) and size >= 1):
            raise OptionError(f"size={size!r} is not at least 1; pass shard.size")
        if not (_is_number(warmup_steps) and warmup_steps >= 0):
            raise OptionError(f"warmup_steps={warmup_steps!r} is not a number of steps")
        self._rate, self._size, self._warmup_steps = learning_rate, size, warmup_steps

    def __call__(self, step):
        rate = self._rate(step) if callable(self._rate) else self._rate
        if not self._warmup_steps:
            return rate * self._size
        done = keras.ops.minimum(keras.ops.cast(step, "float32") / self._warmup_steps, 1.0)
        return rate * (1.0 + (self._size - 1.0) * done)

    def get_config(self) -> dict:
        rate = keras.saving.serialize_keras_object(self._rate) if callable(self._rate) else self._rate
        return {"learning_rate": rate, "size": self._size, "warmup_steps": self._warmup_steps}

    @classmethod
    def from_config(cls, config: dict) -> "LinearScaling":
        rate = config["learning_rate"]
        rate = keras.saving.deserialize_keras_object(rate) if isinstance(rate, dict) else rate
        return cls(**{**config, "learning_rate": rate})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
