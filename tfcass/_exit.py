"""Lets a process end while tf.data pipelines are at work."""

import atexit
import ctypes
import functools
import gc


@functools.cache
def let_iterators_outlive_python() -> None:
    """Keeps tf.data's iterators from being destroyed while Python shuts down. Done once, when the op is first used.

    An iterator's destructor waits for the threads of its pipeline. While Python shuts down, a thread that comes out of
    a Python function of the pipeline (py_function, numpy_function, from_generator) is ended by Python on the spot and
    tells nobody, so that the destructor waits for ever. Whatever is left then is the system's to clear away.
    """
    atexit.register(_keep_iterators)


def _keep_iterators() -> None:
    iterators: dict[type, bool] = {}
    for thing in gc.get_objects():
        kind = type(thing)  # Not isinstance(): that asks the object, and some answer with an import.
        if kind not in iterators:
            iterators[kind] = issubclass(kind, _iterator_types())
        if iterators[kind]:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


@functools.cache
def _iterator_types() -> tuple[type, ...]:
    import tensorflow as tf

    kinds: tuple[type, ...] = (tf.data.Iterator,)
    try:  # What tf.distribute reads from, which has no public name.
        from tensorflow.python.data.ops.multi_device_iterator_ops import OwnedMultiDeviceIterator
    except ImportError:
        return kinds
    return (*kinds, OwnedMultiDeviceIterator)
