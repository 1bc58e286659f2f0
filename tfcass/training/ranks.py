"""The collective operations that training needs. In a process of its own (size 1) each is the identity, without
Horovod.

All ranks must call the same ones in the same order.
"""

import os
import types
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfcass.sharding import Shard


def is_elastic() -> bool:
    """Whether horovodrun was asked to let processes come and go (--host-discovery-script)."""
    return os.environ.get("HOROVOD_ELASTIC") == "1"


def horovod() -> types.ModuleType | None:
    """horovod.tensorflow, started, or None in a process of its own, which no other can join."""
    if Shard.from_horovod().size == 1 and not is_elastic():
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


def join(variables: Sequence[keras.Variable]) -> None:
    """For loops of different length: call it after the last step. Ends on all ranks with the values of the rank that
    made most steps.

    A rank that waits here takes part in the allreduces of the others with zeros, but in no update: hence the values of
    the last one. Those allreduces must be single ones of the same name on each rank, as hvd.DistributedGradientTape
    makes inside of a tf.function with one input_signature: grouped ones, or names that a retracing for a smaller batch
    has changed, are waited for in vain.
    """
    hvd = horovod()
    if hvd is not None:
        # A graph of its own: TensorFlow takes Horovod's operation for a constant, so that a second hvd.join() of the
        # process would return what the first one did, at once.
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            last = int(session.run(hvd.join()))
        hvd.broadcast_variables([variable.value for variable in variables], root_rank=last)


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


def state_variables(model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None) -> list[keras.Variable]:
    """All that decides how training goes on: weights, statistics, random seeds and the optimizer's state, not the
    metrics'.

    Builds the optimizer if it has not been used yet; without one, takes that of the compiled model.
    """
    optimizer = optimizer or model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    metrics = {id(variable) for variable in model.metrics_variables}
    of_model = [variable for variable in model.variables if id(variable) not in metrics]
    seen = {id(variable) for variable in of_model}
    return of_model + [variable for variable in optimizer.variables if id(variable) not in seen]
