"""training: step time of a small Keras model fed by tfcass, against the same fed the same JPEG bytes from memory."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import readers, tables
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, Goal, Result, Sample, alternate
from benchmarks.measure import Measured, Span, measured, median
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from benchmarks.tables import Reading

_SIZE_PX = 224
_COUNT = 2_000
_BATCH = 32


def training(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.one()
    count = bench.rows(_COUNT)
    jpeg_bytes = round(np.mean([len(jpeg) for _, jpeg in zip(range(50), _jpegs(count), strict=False)]))
    table = tables.filled(
        bench,
        server,
        f"jpeg_{count}",
        lambda: _jpegs(count),
        count=count,
        row_bytes=jpeg_bytes,
        words=f"{count:,} JPEGs of {_SIZE_PX} x {_SIZE_PX} pixels, {jpeg_bytes:,} bytes in the mean, replication 1",
    )
    reading = tables.reading(bench, server, table, rows=100_000)
    span = Span(2 * bench.warm_s, 2 * bench.measure_s)
    with (
        Worker(_trainer, reading=reading, cached=False) as ours,
        Worker(_trainer, reading=reading, cached=True) as memory,
    ):
        pairs = alternate(
            lambda: ours.call(span)[0],
            lambda: memory.call(span)[0],
            rounds=bench.rounds,
            name="training",
            show=_show,
        )
    notes |= {
        "server": server.words,
        "data": table.words,
        "model": f"Keras CNN of four convolutions, 16 to 128 filters, batches of {_BATCH}, train_on_batch in a loop; "
        "both sides decode with tf.io.decode_jpeg in a parallel map and prefetch two batches",
    }
    detail = {
        "steps/s ours": round(median(1 / _step_ms(a) * 1e3 for a, _ in pairs), 2),
        "CPU ms a step ours": round(median(a.cpu_us_per_row * _BATCH / 1e3 for a, _ in pairs), 1),
        "CPU ms a step against": round(median(b.cpu_us_per_row * _BATCH / 1e3 for _, b in pairs), 1),
    }
    return [
        Result(
            name="training",
            ours="a step fed by CassandraDataset, decoding included",
            against="the same fed from the same JPEG bytes held in memory (cache()), decoding included",
            unit="ms a step",
            goal=Goal(1.05, at_least=False),
            samples=[Sample(_step_ms(a), _step_ms(b)) for a, b in pairs],
            conditions=notes,
            detail=detail,
            quick=bench.quick,
        )
    ]


def _trainer(reading: "Reading", cached: bool) -> Callable[[Span], Iterator[Measured]]:
    """Made in a worker: trains on, and measures a span of it, its arrivals being finished steps."""
    tf = readers.tensorflow()
    import keras

    import tfcass

    def images(row: dict[str, Any]) -> tuple[Any, Any]:
        pixels = tf.io.decode_jpeg(row["data"], channels=3)
        return tf.ensure_shape(pixels, [_SIZE_PX, _SIZE_PX, 3]), row["label"]

    def rows(keys: np.ndarray) -> Any:
        return tfcass.CassandraDataset(keys, table=reading.table.name, cluster=reading.cluster)

    if (
        cached
    ):  # The bytes, not the pixels: both sides decode. A shuffle of the whole, as the other side's order is one.
        source = rows(reading.table.keys).cache()
        for _ in source:  # Filled before anything is measured.
            pass
        source = source.shuffle(len(reading.table.keys)).repeat()
    else:
        source = rows(tables.load_keys(reading.keys_file)).repeat()
    batches = source.map(images, tf.data.AUTOTUNE).batch(_BATCH, drop_remainder=True).prefetch(2)
    keras.utils.set_random_seed(1)
    model = _model(keras)

    def steps() -> Iterator[int]:
        for pixels, labels in batches:
            model.train_on_batch(pixels, labels)
            yield _BATCH

    return lambda span: measured(steps(), [span])


def _model(keras: Any) -> Any:
    layers = [keras.layers.Input([_SIZE_PX, _SIZE_PX, 3]), keras.layers.Rescaling(1 / 127.5, -1)]
    for filters in (16, 32, 64, 128):
        layers.append(keras.layers.Conv2D(filters, 3, 2, activation="relu"))
    model = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def _jpegs(count: int) -> Iterator[bytes]:
    """Pictures with as much detail as makes about 20 kB of each."""
    from PIL import Image

    rng = np.random.default_rng(3)
    for _ in range(count):
        coarse = rng.normal([225, 175, 205], 40, (_SIZE_PX // 4, _SIZE_PX // 4, 3))
        pixels = coarse.repeat(4, 0).repeat(4, 1) + rng.normal(0, 12, (_SIZE_PX, _SIZE_PX, 1))
        file = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
        yield file.getvalue()


def _step_ms(measured: Measured) -> float:
    return measured.seconds / (measured.rows / _BATCH) * 1e3


def _show(ours: Measured, memory: Measured) -> str:
    return (
        f"fed by tfcass {_step_ms(ours):.1f} ms a step, from memory {_step_ms(memory):.1f} ms; "
        f"ratio {_step_ms(ours) / _step_ms(memory):.3f}"
    )


BENCHMARK = Benchmark("training", training, "step time fed by tfcass : fed from JPEG bytes in memory")
