"""CassandraDataset and fetch() among tf.data's other transformations, in graphs, in several iterators, and counted."""

import threading

import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows
from tfcass.errors import KeyFormatError

ROWS = 120


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def _keys_dataset(patches, rows=slice(None)):
    return tf.data.Dataset.from_tensor_slices(patches.keys[rows])


def test_transformations_around_it_see_plain_elements(patches):
    dataset = (
        patches.dataset(options=tfcass.FetchOptions(max_in_flight=16))
        .map(lambda row: row["label"], num_parallel_calls=2)
        .repeat(2)
        .batch(7)
        .prefetch(tf.data.AUTOTUNE)
    )

    assert dataset.cardinality() == -(-2 * ROWS // 7)
    assert [int(label) for batch in dataset for label in batch] == patches.labels * 2


def test_fetch_follows_a_shuffled_and_repeated_pipeline_of_keys(patches):
    keys = _keys_dataset(patches).shuffle(ROWS, seed=5).repeat(2)

    labels = fetch_rows.labels(keys.apply(patches.fetch()))

    assert labels[:ROWS] != patches.labels
    assert sorted(labels[:ROWS]) == sorted(labels[ROWS:]) == patches.labels
    assert labels[:ROWS] != labels[ROWS:]  # Reshuffled each time.


def test_batches_may_differ_in_size_and_be_empty(patches):
    sizes = [3, 0, 50, 1]
    parts = np.split(patches.keys[:54], np.cumsum(sizes)[:-1])
    keys = tf.data.Dataset.from_generator(lambda: parts, output_signature=tf.TensorSpec([None, 16], tf.uint8))

    batches = list(keys.apply(patches.fetch()))

    assert [len(batch["label"]) for batch in batches] == sizes
    assert [batch["data"].shape.as_list() for batch in batches] == [[size] for size in sizes]
    assert [batch["patch_id"].shape.as_list() for batch in batches] == [[size, 16] for size in sizes]
    assert fetch_rows.labels(batches) == patches.labels[:54]


def test_an_input_of_unknown_shape_is_accepted(patches):
    parts = [patches.keys[0], patches.keys[1:], patches.keys[:0]]
    keys = tf.data.Dataset.from_generator(lambda: parts, output_signature=tf.TensorSpec(None, tf.uint8))

    dataset = keys.apply(patches.fetch())

    assert dataset.element_spec["label"].shape.rank is None
    assert fetch_rows.labels(dataset) == patches.labels


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros([2, 15], np.uint8), "uint8 (2, 15)"),
        (np.zeros([2, 16], np.int64), "int64 (2, 16)"),
        (np.zeros([1, 2, 3, 16], np.uint8), "uint8 (2, 3, 16)"),
    ],
)
def test_an_input_of_another_form_is_refused_when_built(patches, value, said):
    keys = tf.data.Dataset.from_tensors(value) if value.ndim == 2 else tf.data.Dataset.from_tensor_slices(value)

    with pytest.raises(KeyFormatError) as caught:
        keys.apply(patches.fetch())

    assert said in str(caught.value)


def test_an_input_with_several_components_is_refused(patches):
    keys = _keys_dataset(patches).map(lambda key: {"key": key})

    with pytest.raises(KeyFormatError, match="must be one tensor"):
        keys.apply(patches.fetch())


def test_a_form_seen_only_at_run_time_is_refused_in_its_turn(patches):
    parts = [patches.keys[0], patches.keys[1][:15], patches.keys[2]]
    keys = tf.data.Dataset.from_generator(lambda: parts, output_signature=tf.TensorSpec(None, tf.uint8))
    iterator = iter(keys.apply(patches.fetch()))

    assert next(iterator)["label"] == 0
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"uint8 \[15\].*tfcass.keys"):
        next(iterator)
    assert next(iterator)["label"] == 2


def test_an_error_of_the_input_comes_after_the_elements_before_it(patches):
    good = _keys_dataset(patches, slice(0, 20))
    bad = good.take(1).map(lambda key: key + tf.cast(tf.debugging.check_numerics(np.nan, "bad key"), tf.uint8))
    keys = good.concatenate(bad).concatenate(good)
    iterator = iter(keys.apply(patches.fetch()))

    assert [int(next(iterator)["label"]) for _ in range(20)] == patches.labels[:20]
    with pytest.raises(tf.errors.InvalidArgumentError, match="bad key"):
        next(iterator)
    assert fetch_rows.labels(iterator) == patches.labels[:20]


def test_interleaved_datasets_give_every_row_once(patches):
    fetch = patches.fetch()
    parts = tf.data.Dataset.from_tensor_slices(patches.keys.reshape(4, 30, 16))

    dataset = parts.interleave(
        lambda keys: tf.data.Dataset.from_tensor_slices(keys).apply(fetch), cycle_length=3, num_parallel_calls=3
    )

    assert sorted(fetch_rows.labels(dataset)) == patches.labels


def test_it_runs_inside_a_tf_function(patches):
    @tf.function
    def total(dataset):
        result = tf.constant(0)
        for batch in dataset:
            result += tf.reduce_sum(batch["label"])
        return result

    @tf.function
    def total_of_own():
        return patches.dataset(batch_size=16).reduce(0, lambda sum, batch: sum + tf.reduce_sum(batch["label"]))

    assert total(patches.dataset(batch_size=16)) == sum(patches.labels)
    assert total_of_own() == sum(patches.labels)


def test_out_of_order_delivery_gives_every_row_once(patches):
    options = tfcass.FetchOptions(deterministic=False)

    rows = list(patches.dataset(options=options))

    assert sorted(fetch_rows.labels(rows)) == patches.labels
    for row in rows:  # And the columns of a row stay together.
        assert row["data"].numpy() == patches.data[int(row["label"])]
        assert np.array_equal(row["patch_id"], patches.keys[int(row["label"])])


def test_a_window_smaller_than_a_batch_still_fetches_it(patches):
    assert (
        fetch_rows.labels(patches.dataset(batch_size=50, options=tfcass.FetchOptions(max_in_flight=1)))
        == patches.labels
    )
    assert (
        fetch_rows.labels(patches.dataset(batch_size=50, options=tfcass.FetchOptions(max_buffered_bytes=1)))
        == patches.labels
    )


def test_iterators_of_one_dataset_do_not_disturb_each_other(patches):
    dataset = patches.dataset()

    pairs = [(int(a["label"]), int(b["label"])) for a, b in zip(dataset, dataset.skip(10), strict=False)]

    assert pairs == [(i, i + 10) for i in range(ROWS - 10)]


def test_iterators_in_several_threads_each_see_all_rows(patches):
    seen = {}

    def read(name):
        seen[name] = fetch_rows.labels(patches.dataset(batch_size=7))

    threads = [threading.Thread(target=read, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert seen == dict.fromkeys(range(4), patches.labels)


def test_threads_that_share_an_iterator_share_its_rows(patches):
    iterator = iter(patches.dataset())
    seen = []  # append() is atomic.

    def read():
        for row in iterator:
            seen.append(int(row["label"]))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(seen) == patches.labels


def test_a_distribution_strategy_splits_its_batches(patches):
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])

    distributed = strategy.experimental_distribute_dataset(patches.dataset(batch_size=40))

    assert [int(label) for batch in distributed for label in batch["label"]] == patches.labels


def test_reading_is_counted(patches):
    before = tfcass.metrics()
    fetch_rows.labels(patches.dataset(batch_size=32))
    after = tfcass.metrics()

    assert after["rows"] - before["rows"] == ROWS
    assert 0 < after["requests"] - before["requests"] < ROWS  # Rows travel together.
    assert after["bytes"] - before["bytes"] == sum(len(data) for data in patches.data) + 4 * ROWS
    assert after["missing"] == before["missing"]
    assert after["consumer_wait_us"] > before["consumer_wait_us"]
