"""ds.metrics() and tfcass.training.InputMetrics on a real server: exact counts of known reads."""

import json
import re
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows
from tfcass import training

ROWS = 120


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def _bytes(patches, rows=slice(None)) -> int:
    return sum(len(data) + 4 for data in patches.data[rows])


def test_counts_are_exact(patches):
    dataset = patches.dataset(batch_size=32)
    fetch_rows.labels(dataset)

    got = dataset.metrics()

    assert (got.rows, got.bytes, got.elements) == (ROWS, _bytes(patches), 4)
    assert (got.retries, got.fallbacks, got.missing, got.errors, got.duplicates) == (0, 0, 0, 0, 0)
    assert sum(got.requests.values()) == got.latency.replies > 0
    assert 0 < got.latency.p50_ms <= got.latency.p95_ms <= got.latency.p99_ms
    assert got.seconds > 0
    assert got.rows_per_s == pytest.approx(ROWS / got.seconds)
    assert 0 <= got.wait_share <= 1


def test_single_keys_are_single_requests(patches):
    dataset = patches.dataset(options=tfcass.FetchOptions(rows_per_request=1))
    fetch_rows.labels(dataset)

    assert dataset.metrics().requests == {"single": ROWS, "grouped": 0, "fallback": 0, "hedged": 0}


def test_the_only_host_has_all_the_latency(patches):
    dataset = patches.dataset(batch_size=32)
    fetch_rows.labels(dataset)

    got = dataset.metrics()

    assert list(got.latency_by_host.values()) == [got.latency]


def test_missing_rows_are_counted(patches):
    dataset = tfcass.CassandraDataset(
        np.concatenate([patches.keys[:10], tfcass.keys(["00000000-0000-4000-8000-000000000000"])]),
        table=patches.table,
        cluster=patches.cluster,
        batch_size=11,
        options=tfcass.FetchOptions(missing="skip"),
    )
    fetch_rows.labels(dataset)

    assert (dataset.metrics().rows, dataset.metrics().missing) == (10, 1)


def test_datasets_count_each_for_themselves_and_the_process_for_all(patches):
    before = tfcass.metrics()
    one, other = patches.dataset(slice(0, 20), batch_size=8), patches.dataset(slice(20, 50))
    fetch_rows.labels(one)
    fetch_rows.labels(other)

    assert (one.metrics().rows, other.metrics().rows) == (20, 30)
    assert tfcass.metrics()["rows"] - before["rows"] == 50


def test_iterators_and_datasets_made_of_it_count_for_it(patches):
    keys = tf.data.Dataset.from_tensor_slices(patches.keys).batch(30)
    dataset = keys.apply(patches.fetch())
    made_of_it = dataset.map(lambda row: row["label"], num_parallel_calls=2).repeat(3).prefetch(2)

    for _ in range(2):
        list(made_of_it)

    assert dataset.metrics().rows == 6 * ROWS
    assert dataset.metrics().elements == 6 * 4


def test_an_unread_dataset_has_nothing_to_tell(patches):
    got = patches.dataset().metrics()

    assert (got.rows, got.seconds, got.requests["single"]) == (0, 0, 0)
    assert got.verdict() == "Too little was read to tell input from model: 0 elements in 0.0 s."


def test_nothing_is_held_once_the_iterators_are_gone(patches):
    dataset = patches.dataset(batch_size=10)
    iterator = iter(dataset)
    next(iterator)
    assert dataset.metrics().window_rows > 0
    del iterator

    deadline = time.monotonic() + 60
    while dataset.metrics().window_rows > 0:  # An iterator may go in the background.
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert dataset.metrics().buffered_bytes == 0
    assert dataset.metrics().buffered_bytes_peak > 0


def test_the_id_is_in_the_graph_so_that_a_copy_of_it_counts_for_the_same_dataset(patches):
    dataset = patches.dataset(batch_size=32)

    @tf.function
    def total():
        return dataset.reduce(0, lambda sum, row: sum + tf.size(row["label"]))

    assert total() == ROWS
    assert dataset.metrics().rows == ROWS


def test_process_metrics_are_plain_json(patches):
    fetch_rows.labels(patches.dataset())

    json.dumps(tfcass.metrics())
    assert set(tfcass.metrics()["latency_us"]) == {"count", "p50", "p90", "p95", "p99", "buckets"}


def _example(row):
    return tf.cast(tf.stack([row["label"], row["label"]], -1), tf.float32), tf.cast(row["label"], tf.float32)


def _model(**settings) -> keras.Model:
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", **settings)
    return model


def _fit(model, dataset, examples, **settings):
    said: list[str] = []
    callback = training.InputMetrics(dataset, log=said.append)
    history = model.fit(examples, verbose=0, shuffle=False, callbacks=[callback], **settings).history
    return callback, said, history


@pytest.mark.parametrize("settings", [{}, {"run_eagerly": True}, {"jit_compile": True}])
def test_the_callback_tells_each_epoch(patches, settings):
    dataset = patches.dataset(batch_size=16)

    callback, said, history = _fit(
        _model(**settings), dataset, dataset.map(_example).prefetch(2), epochs=2, validation_data=dataset.map(_example)
    )

    assert [re.match(r"epoch (\d): [\d,]+ rows/s\. ", line)[1] for line in said] == ["1", "2"]
    assert len(history["rows_per_s"]) == len(history["input_wait"]) == 2
    assert all(rate > 0 for rate in history["rows_per_s"])
    assert all(0 <= share <= 1 for share in history["input_wait"])
    assert callback.summary.rows == ROWS  # Of the epoch, without its validation.
    assert callback.summary.model_wait_share is not None
    assert dataset.metrics().rows == 4 * ROWS


def test_the_callback_changes_nothing_about_training(patches):
    dataset = patches.dataset(batch_size=16)
    examples = dataset.map(lambda row: (tf.cast(_example(row)[0], tf.float32) / ROWS, _example(row)[1] / ROWS))
    weights, losses = [], []
    for measured in (False, True):
        keras.utils.set_random_seed(3)
        model = _model()
        callbacks = [training.InputMetrics(dataset, log=None)] if measured else []
        losses.append(model.fit(examples, epochs=3, verbose=0, shuffle=False, callbacks=callbacks).history["loss"])
        weights.append(model.get_weights())

    assert losses[0] == losses[1]
    np.testing.assert_array_equal(weights[0][0], weights[1][0])


def test_train_function_is_given_back(patches):
    dataset = patches.dataset(batch_size=16)
    model = _model()
    model.fit(dataset.map(_example), verbose=0, shuffle=False)
    function = model.train_function

    _fit(model, dataset, dataset.map(_example))

    assert model.train_function is function


def test_a_fit_that_an_error_ended_leaves_a_model_that_trains(patches):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("stopped")

    dataset = patches.dataset(batch_size=16)
    model = _model()
    callback = training.InputMetrics(dataset, log=None)
    with pytest.raises(RuntimeError, match="stopped"):
        model.fit(dataset.map(_example), verbose=0, shuffle=False, callbacks=[callback, Stop()])

    _, said, _ = _fit(model, dataset, dataset.map(_example))

    assert len(said) == 1


def test_an_iterator_that_goes_on_over_epochs(patches):
    dataset = patches.dataset(batch_size=12)

    callback, said, _ = _fit(_model(), dataset, dataset.repeat().map(_example), epochs=2, steps_per_epoch=5)

    assert len(said) == 2
    assert callback.summary.elements > 0
    assert dataset.metrics().elements >= 10  # tf.data may run ahead.


def test_several_steps_in_one_execution_fall_back_to_the_readers_wait(patches):
    dataset = patches.dataset(batch_size=12)

    callback, said, history = _fit(_model(steps_per_execution=5), dataset, dataset.map(_example))

    assert len(said) == 1
    assert callback.summary.model_wait_share is None
    assert history["input_wait"] == [callback.summary.wait_share]


class _SlowIterator(tf.data.Iterator):
    """Three batches, each of which takes three seconds of a clock that nobody waits for."""

    def __init__(self, clock: list[float]) -> None:
        self._clock, self._left = clock, 3

    def __next__(self):
        self._clock[0] += 3
        if not self._left:
            raise StopIteration
        self._left -= 1
        return "batch"

    element_spec = get_next = get_next_as_optional = _type_spec = None


def test_the_models_wait_is_the_time_between_its_steps(patches, monkeypatch):
    clock, trained = [0.0], []

    def step(iterator):
        trained.extend(iterator)
        clock[0] += 1

    monkeypatch.setattr(training.input_metrics.time, "perf_counter", lambda: clock[0])
    callback = training.InputMetrics(patches.dataset(), log=None)
    callback.set_model(types.SimpleNamespace(train_function=step, steps_per_execution=1))
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    iterator = _SlowIterator(clock)
    for _ in range(3):
        callback.model.train_function(iterator)
    logs = {}
    callback.on_epoch_end(0, logs)

    assert trained == ["batch"] * 3
    assert logs["input_wait"] == 9 / 12
    with pytest.raises(StopIteration):
        callback.model.train_function(iterator)


def test_the_callback_refuses_what_is_not_the_dataset_of_rows(patches):
    with pytest.raises(tfcass.OptionError, match=r"give the CassandraDataset, .* and not what \.map\(\)"):
        training.InputMetrics(patches.dataset().map(_example))
