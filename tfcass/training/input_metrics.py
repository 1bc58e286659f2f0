"""Whether training waits for its input: said after each epoch, and put into its logs."""

import time
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from tfcass.dataset import CassandraDataset
from tfcass.errors import OptionError
from tfcass.metrics import Summary, dataset_counters, summarize


class InputMetrics(keras.callbacks.Callback):
    """Prints one sentence per epoch: whether input or model is the bottleneck. Adds rows_per_s and input_wait to logs.

        ds = tfcass.CassandraDataset(keys, ...)
        model.fit(ds.map(decode).prefetch(2), callbacks=[training.InputMetrics(ds)])

    `input_wait` is the part of the epoch's training time, in [0, 1], that the model waited for its next batch. It is
    measured in the training loop, at the end of the pipeline, so that a .prefetch() there counts for what it does.
    Keras fetches batches inside its compiled step, where no callback sees them; this one takes them out of the iterator
    and hands them to the step, which costs some 0.1 ms a step and changes nothing else. Where that cannot be done
    (steps_per_execution above 1, a distribution strategy), `input_wait` is the part of the time that the dataset's
    reader waited for rows (Summary.wait_share). On a device that computes while Python goes on, waiting that the
    computation hides is counted too.

    Args:
      dataset: The dataset of rows itself, before .map(), .batch(), .prefetch().
      log: Takes the sentence; None for none.

    After an epoch, `summary` is its Summary.
    """

    def __init__(self, dataset: CassandraDataset, *, log: Callable[[str], object] | None = print) -> None:
        super().__init__()
        if not hasattr(dataset, "_metrics_id"):
            raise OptionError(
                f"InputMetrics({type(dataset).__name__}): give the CassandraDataset, or what .apply(tfcass.fetch(...)) "
                "returned, and not what .map() or .prefetch() made of it"
            )
        self._metrics_id, self._log = dataset._metrics_id, log
        self._counters: dict | None = None
        self.summary: Summary | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        # One left behind by a fit() that an error ended is not wrapped once more.
        function = getattr(self.model.train_function, "step", self.model.train_function)
        self._step = _TimedStep(function)
        if getattr(self.model, "steps_per_execution", 1) == 1:
            self.model.train_function = self._step

    def on_train_end(self, logs: dict | None = None) -> None:
        if self.model.train_function is self._step:
            self.model.train_function = self._step.step

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._counters = dataset_counters(self._metrics_id)
        self._step.clear()
        self._begin_s = time.perf_counter()
        self._trained = None

    def on_test_begin(self, logs: dict | None = None) -> None:
        if self._counters is not None and self._trained is None:  # Else it is no validation within fit().
            self._trained = self._measure()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        summary = self.summary = self._trained or self._measure()
        if logs is not None:
            logs["rows_per_s"] = summary.rows_per_s
            waited = summary.model_wait_share
            logs["input_wait"] = summary.wait_share if waited is None else waited
        if self._log is not None:
            self._log(f"epoch {epoch + 1}: {summary.rows_per_s:,.0f} rows/s. {summary.verdict()}")

    def _measure(self) -> Summary:
        took_s = time.perf_counter() - self._begin_s
        share = None if self._step.steps == 0 else min(self._step.waited_s / took_s, 1.0)
        return summarize(dataset_counters(self._metrics_id), self._counters, model_wait_share=share)


class _TimedStep:
    """Keras's train_function, with the time that each step waits for its batch.

    Keras's own takes an iterator of tf.data, and batches from it inside of a graph; or any other iterator, and batches
    from that in Python, as for a generator. The second is what it is given here, one batch at a time.
    """

    def __init__(self, step: Callable) -> None:
        self.step = step
        self.clear()

    def clear(self) -> None:
        self.waited_s = 0.0
        self.steps = 0

    def __call__(self, iterator: Iterator) -> object:
        if not isinstance(iterator, tf.data.Iterator):
            return self.step(iterator)
        asked_s = time.perf_counter()
        batch = next(iterator)  # StopIteration at the end, as from Keras's own.
        self.waited_s += time.perf_counter() - asked_s
        self.steps += 1
        return self.step(iter([batch]))
