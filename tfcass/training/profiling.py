"""A trace of some training steps for TensorBoard, the fetching of rows included."""

import dataclasses
import os
from pathlib import Path

import keras
import tensorflow as tf

from tfcass.errors import OptionError, TfcassError
from tfcass.training import ranks


class Profile(keras.callbacks.Callback):
    """Rank 0 records what the process does during some steps of the first epoch that it trains.

        model.fit(..., callbacks=[..., training.Profile("out/profile", first=11, last=20)])
        tensorboard --logdir out/profile          # with the package tensorboard-plugin-profile; docs/profiling.md

    The trace has "train" (a step, the wait for its batch included), TfcassFetch::Rows (an element given to the
    pipeline: rows, bytes, table), TfcassFetch::Wait (the pipeline waited for Cassandra: hosts, replies) and
    TensorFlow's own events. Of an epoch shorter than `first` the last step is recorded.

    Args:
      folder: Made if it is absent; a new trace is added to those in it.
      first, last: Steps of the epoch, counted from 1. The first steps of a process trace functions and fill buffers:
        they tell nothing of the others.
    Raises:
      OptionError: Not 1 <= first <= last.
      TfcassError (in fit): The folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, first: int = 11, last: int = 20) -> None:
        super().__init__()
        if not 1 <= first <= last:
            raise OptionError(f"first={first!r}, last={last!r}: expected steps with 1 <= first <= last")
        self._folder, self._first, self._last = Path(folder), first, last
        self._state = "before"
        self._step: tf.profiler.experimental.Trace | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        if not ranks.is_first():
            self._state = "after"
        steps = self.params.get("steps")
        # An epoch that is too short for it is recorded in its last step rather than not at all.
        self._begin = min(self._first, steps) if steps else self._first

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._state == "before" and batch + 1 >= self._begin:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                tf.profiler.experimental.start(str(self._folder))
            except (OSError, tf.errors.OpError) as error:
                raise TfcassError(f"cannot write a trace to {self._folder}: {error}") from error
            self._state = "recording"
        if self._state == "recording":
            # By these TensorBoard tells one step from the next.
            self._step = tf.profiler.experimental.Trace("train", step_num=batch + 1, _r=1)
            self._step.__enter__()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = None
        if batch + 1 >= self._last:
            self._stop()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._stop()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._state == "recording":
            self._state = "after"
            try:
                tf.profiler.experimental.stop()
            except (OSError, tf.errors.OpError) as error:
                raise TfcassError(f"cannot write a trace to {self._folder}: {error}") from error


@dataclasses.dataclass(frozen=True)
class TraceEvent:
    """Something that took its time.

    Attributes:
      name: As "TfcassFetch::Wait".
      start_ms, duration_ms: start_ms counts from the first of the events that were asked for.
      values: What the event tells of itself, such as rows, bytes, table.
    """

    name: str
    start_ms: float
    duration_ms: float
    values: dict[str, object]


def trace_events(folder: str | os.PathLike[str], *, prefix: str = "TfcassFetch::") -> list[TraceEvent]:
    """Reads a trace without TensorBoard: the newest in the folder.

    Args:
      folder: That of Profile, or of tf.profiler.experimental.start().
      prefix: Of the names of events; "" for all, which are many.
    Returns:
      Events in the order in which they began.
    Raises:
      TfcassError: There is no trace, or it cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    paths = sorted(Path(folder).glob("**/*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    if not paths:
        raise TfcassError(f"no trace in {folder}: expected plugins/profile/<time>/<host>.xplane.pb below it")
    space = xplane_pb2.XSpace()
    try:
        space.ParseFromString(paths[-1].read_bytes())
    except (OSError, DecodeError) as error:
        raise TfcassError(f"trace {paths[-1]} cannot be read: {error}") from error
    found = []
    for plane in space.planes:
        names = {number: metadata.name for number, metadata in plane.stat_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if not name.startswith(prefix):
                    continue
                values = {}
                for stat in event.stats:
                    kind = stat.WhichOneof("value")
                    value = getattr(stat, kind)
                    values[names[stat.metadata_id]] = names[value] if kind == "ref_value" else value
                start_ms = line.timestamp_ns / 1e6 + event.offset_ps / 1e9
                found.append(TraceEvent(name, start_ms, event.duration_ps / 1e9, values))
    begin_ms = min((event.start_ms for event in found), default=0.0)
    moved = [dataclasses.replace(event, start_ms=event.start_ms - begin_ms) for event in found]
    return sorted(moved, key=lambda event: event.start_ms)
