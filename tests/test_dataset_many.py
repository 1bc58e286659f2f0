"""Many datasets at once, datasets within datasets, and datasets in saved graphs."""

import os
import threading

import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows

ROWS = 240


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def _keys(patches, rows=slice(None)):
    return tf.data.Dataset.from_tensor_slices(patches.keys[rows])


def _options(i):
    """Different ones, so that nothing works for one kind only."""
    return tfcass.FetchOptions(
        deterministic=i % 2 == 0,
        max_in_flight=tfcass.AUTOTUNE if i % 3 == 0 else 7 * i,
        rows_per_request=1 if i % 5 == 0 else tfcass.AUTOTUNE,
    )


def test_ten_datasets_are_read_at_once_in_threads(patches):
    read = {}

    def read_all(i):
        dataset = patches.dataset(batch_size=i + 1, options=_options(i)).prefetch(2)
        read[i] = [fetch_rows.labels(dataset) for _ in range(2)]

    threads = [threading.Thread(target=read_all, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert {i: [sorted(labels) for labels in epochs] for i, epochs in read.items()} == {
        i: [patches.labels] * 2 for i in range(10)
    }
    assert all(labels == patches.labels for i in range(0, 10, 2) for labels in read[i])


def test_ten_datasets_are_read_by_turns_in_one_pipeline(patches):
    datasets = [patches.dataset(slice(i, ROWS, 10), options=_options(i)) for i in range(10)]

    chosen = tf.data.Dataset.choose_from_datasets(datasets, tf.data.Dataset.range(10).repeat(ROWS // 10))
    together = tf.data.Dataset.zip(tuple(datasets))

    labels = fetch_rows.labels(chosen)
    assert sorted(labels) == patches.labels
    assert [label % 10 for label in labels] == list(range(10)) * (ROWS // 10)
    for rows in together:
        assert [int(row["label"]) % 10 for row in rows] == list(range(10))


@pytest.mark.parametrize("deterministic", [True, False])
def test_shuffles_repeats_and_interleaves_nest(patches, deterministic):
    fetch = patches.fetch(options=tfcass.FetchOptions(deterministic=deterministic, max_in_flight=16))
    groups = tf.data.Dataset.from_tensor_slices(patches.keys.reshape(8, 30, 16)).shuffle(8, seed=1).repeat(2)

    def rows_of(keys):
        return tf.data.Dataset.from_tensor_slices(keys).shuffle(30, seed=2).batch(4).apply(fetch).repeat(3)

    dataset = groups.interleave(rows_of, cycle_length=3, block_length=2, num_parallel_calls=2).repeat(2).prefetch(4)

    labels = fetch_rows.labels(dataset)
    assert np.array_equal(np.bincount(labels, minlength=ROWS), np.full(ROWS, 2 * 3 * 2))


def test_iterators_of_one_dataset_read_at_once_each_see_all_rows(patches):
    dataset = patches.dataset(batch_size=16).map(lambda row: row["label"], num_parallel_calls=2).prefetch(2)
    read = [[] for _ in range(5)]

    iterators = [iter(dataset) for _ in read]
    for _ in range(ROWS // 16):  # By turns, so that all are at work at once.
        for labels, iterator in zip(read, iterators, strict=True):
            labels += next(iterator).numpy().tolist()

    assert read == [patches.labels] * len(read)


def test_a_dataset_in_a_saved_model_is_read_after_loading(patches, tmp_path):
    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.uint8)])
        def labels(self, keys):
            rows = tf.data.Dataset.from_tensor_slices(keys).batch(32).apply(patches.fetch())
            return rows.reduce(tf.zeros([0], tf.int32), lambda so_far, row: tf.concat([so_far, row["label"]], 0))

    tf.saved_model.save(Reader(), str(tmp_path))

    loaded = tf.saved_model.load(str(tmp_path))

    assert loaded.labels(patches.keys).numpy().tolist() == patches.labels


def test_the_graph_of_a_dataset_makes_it_anew(patches):
    from tensorflow.python.data.ops import dataset_ops
    from tensorflow.python.ops import gen_experimental_dataset_ops

    options = tfcass.FetchOptions(deterministic=False, missing="empty", max_in_flight=17, consistency="ONE")
    dataset = patches.dataset(batch_size=16, options=options)

    graph = dataset_ops.DatasetV2._as_serialized_graph(dataset)
    again = dataset_ops.from_variant(
        gen_experimental_dataset_ops.dataset_from_graph(graph), structure=dataset.element_spec
    )

    assert again.cardinality() == dataset.cardinality()
    assert sorted(fetch_rows.labels(again)) == patches.labels


def test_a_snapshot_of_rows_is_saved_and_loaded(patches, tmp_path):
    path = os.path.join(tmp_path, "rows")
    patches.dataset(batch_size=16).save(path)

    loaded = tf.data.Dataset.load(path)

    assert fetch_rows.labels(loaded) == patches.labels
