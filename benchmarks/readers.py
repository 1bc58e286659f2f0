"""Readers: each is made in a worker's process and yields what it measured, span by span.

A reader makes a new iterator for each call, and hands batches to a consumer that does nothing with them.
"""

import atexit
import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import tables
from benchmarks.measure import Measured, Span, measured

if TYPE_CHECKING:
    import tensorflow as tf

    from benchmarks.tables import Reading

BATCH = 256
until_exit = contextlib.ExitStack()  # What a worker keeps open as long as it lives.
atexit.register(until_exit.close)

Reader = Callable[[Sequence[Span]], Iterator[Measured]]


def tfcass_reader(reading: "Reading", *, batch_size: int = BATCH) -> Reader:
    """CassandraDataset in batches, with the options that everybody has."""
    tf = tensorflow()
    import tfcass

    dataset = tfcass.CassandraDataset(
        tables.load_keys(reading.keys_file),
        table=reading.table.name,
        cluster=reading.cluster,
        batch_size=batch_size,
    )
    return _reader(tf, dataset)


def tfrecord_reader(file: Path, *, records: int, row_bytes: int, shuffle: int, batch_size: int | None) -> Reader:
    """TFRecordDataset, shuffled in a buffer, in batches or not: records are the bare bytes and nothing is parsed.

    Writes the file first.
    """
    tf = tensorflow()
    import numpy as np

    rng = np.random.default_rng(row_bytes)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for _ in range(records):
            writer.write(rng.bytes(row_bytes))
    dataset = tf.data.TFRecordDataset(str(file)).repeat().shuffle(shuffle)
    return _reader(tf, dataset if batch_size is None else dataset.batch(batch_size))


def driver_reader(reading: "Reading", *, concurrency: int) -> Reader:
    """What is written without tfcass: cassandra-driver's execute_concurrent behind from_generator.

    To its favour it yields whole batches, as one crossing from Python to TensorFlow a row costs as much as the row.
    """
    tf = tensorflow()
    import uuid

    import numpy as np
    from cassandra.concurrent import execute_concurrent_with_args

    session = until_exit.enter_context(reading.cluster.session())
    select = session.prepare(f"SELECT patch_id, label, data FROM {reading.table.name} WHERE patch_id = ?")
    keys = tables.load_keys(reading.keys_file)

    def batches() -> Iterator[tuple[Any, ...]]:
        dropped = False
        uuids = (uuid.UUID(bytes=key.tobytes()) for key in keys)
        asked = ((key,) for key in itertools.takewhile(lambda _: not dropped, uuids))
        replies = execute_concurrent_with_args(session, select, asked, concurrency=concurrency, results_generator=True)
        rows = (reply.result_or_exc.one() for reply in replies)
        try:
            while batch := list(itertools.islice(rows, BATCH)):
                ids, labels, data = zip(*batch, strict=True)
                id_bytes = np.frombuffer(b"".join(key.bytes for key in ids), np.uint8).reshape(-1, 16)
                yield id_bytes, np.array(labels, np.int32), np.array(data, object)
        finally:
            dropped = True  # Else it would go on asking in the background, in the other side's turn.

    signature = (
        tf.TensorSpec([None, 16], tf.uint8),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.string),
    )
    return _reader(tf, tf.data.Dataset.from_generator(batches, output_signature=signature))


def tensorflow() -> Any:
    """TensorFlow, on the CPU and quiet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow as tf

    return tf


def _reader(tf: Any, dataset: "tf.data.Dataset") -> Reader:
    single = tf.nest.flatten(dataset.element_spec)[0].shape.rank == 0

    def arrivals() -> Iterator[int]:
        for element in _endless(dataset):
            yield 1 if single else int(tf.nest.flatten(element)[0].shape[0])

    return lambda spans: measured(arrivals(), spans)


def _endless(dataset: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from dataset
