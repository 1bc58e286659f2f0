"""The collective operations that training needs. In a process of its own (size 1) each is the identity, without
Horovod.

All ranks must call the same ones in the same order.
"""

import types
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfcass.sharding import Shard


def horovod() -> types.ModuleType | None:
    """horovod.tensorflow, started, or None in a process of its own."""
    if Shard.from_horovod().size == 1:
        return None
    import horovod.tensorflow as hvd

    return hvd


def is_first() -> bool:
    """True on the one rank that writes files."""
    return Shard.from_horovod().rank == 0


def sum_over_ranks(values: np.ndarray, *, name: str) -> np.ndarray:
    """Elementwise sum; `values` has the same shape and dtype on every rank."""
    hvd = horovod()
    return values if hvd is None else hvd.allreduce(tf.constant(values), op=hvd.Sum, name=name).numpy()


def from_first(value: object) -> object:
    """What rank 0 gave; any picklable object."""
    hvd = horovod()
    return value if hvd is None else hvd.broadcast_object(value, root_rank=0)


def of_all(value: object) -> list[object]:
    """What each rank gave, by rank."""
    hvd = horovod()
    return [value] if hvd is None else hvd.allgather_object(value)


def broadcast_variables(variables: Sequence[keras.Variable]) -> None:
    """Gives each rank the values of rank 0."""
    hvd = horovod()
    if hvd is not None:
        hvd.broadcast_variables([variable.value for variable in variables], root_rank=0)


def average_variables(variables: Sequence[keras.Variable], *, name: str) -> None:
    """Gives each rank the mean over ranks."""
    hvd = horovod()
    if hvd is not None and variables:
        means = hvd.grouped_allreduce([variable.value for variable in variables], op=hvd.Average, name=name)
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)


def statistics(model: keras.Model) -> list[keras.Variable]:
    """Variables that layers update themselves, without gradients: the real-valued ones, so not the random seeds."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [
        variable
        for variable in model.non_trainable_variables
        if id(variable) not in metrics and keras.backend.is_float_dtype(variable.dtype)
    ]


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """All that decides how training goes on: weights, statistics, random seeds and the optimizer's state, not the
    metrics'.

    Builds the optimizer if it has not been used yet.
    """
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    metrics = {id(variable) for variable in model.metrics_variables}
    of_model = [variable for variable in model.variables if id(variable) not in metrics]
    seen = {id(variable) for variable in of_model}
    return of_model + [variable for variable in model.optimizer.variables if id(variable) not in seen]
