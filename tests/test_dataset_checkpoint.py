"""Iterators saved and restored in the middle of an epoch: nothing lost, nothing twice, no row bytes saved."""

import os
import uuid

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.data.kernel_tests import checkpoint_test_base
from tensorflow.python.eager import context

import tfcass
from tests.support import fetch_rows

ROWS = 60


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def _symbolic(dataset, symbolic):
    options = tf.data.Options()
    options.experimental_symbolic_checkpoint = symbolic
    return dataset.with_options(options)


def _save_after(dataset, steps, folder):
    """Saves an iterator after `steps` elements. Returns the checkpoint, and the labels before and after it."""
    iterator = iter(dataset)
    before = fetch_rows.labels(next(iterator) for _ in range(steps))
    path = tf.train.Checkpoint(iterator=iterator).save(os.path.join(folder, "checkpoint"))
    return path, before, fetch_rows.labels(iterator)


def _restored(dataset, path):
    iterator = iter(dataset)
    tf.train.Checkpoint(iterator=iterator).restore(path)
    return iterator


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("steps", [0, 1, 5, "all"])
def test_a_restored_iterator_goes_on_where_it_was_saved(patches, tmp_path, symbolic, batch_size, steps):
    dataset = _symbolic(patches.dataset(batch_size=batch_size, options=tfcass.FetchOptions(max_in_flight=20)), symbolic)
    steps = int(dataset.cardinality()) if steps == "all" else steps

    path, before, after = _save_after(dataset, steps, tmp_path)

    assert before + after == patches.labels
    assert fetch_rows.labels(_restored(dataset, path)) == after


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
@pytest.mark.parametrize("steps", [1, 17, 59])
def test_out_of_order_elements_are_neither_lost_nor_repeated(patches, tmp_path, symbolic, steps):
    options = tfcass.FetchOptions(deterministic=False, max_in_flight=16)
    dataset = _symbolic(patches.dataset(options=options), symbolic)

    path, before, _ = _save_after(dataset, steps, tmp_path)

    assert sorted(before + fetch_rows.labels(_restored(dataset, path))) == patches.labels


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
def test_a_shuffled_repeated_pipeline_is_restored_exactly(patches, tmp_path, symbolic):
    keys = tf.data.Dataset.from_tensor_slices(patches.keys).shuffle(16, seed=3).repeat(2).batch(7)
    dataset = _symbolic(keys.apply(patches.fetch()).prefetch(2), symbolic)

    path, _, after = _save_after(dataset, 9, tmp_path)

    assert fetch_rows.labels(_restored(dataset, path)) == after


def test_a_restored_iterator_can_be_saved_again(patches, tmp_path):
    dataset = patches.dataset(batch_size=4, options=tfcass.FetchOptions(max_in_flight=20))
    path, before, after = _save_after(dataset, 3, tmp_path)

    iterator = _restored(dataset, path)  # Saved once more before its first element.
    again = tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, "again"))

    assert fetch_rows.labels(_restored(dataset, again)) == after


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
def test_an_error_of_the_input_survives_in_its_place(patches, tmp_path, symbolic):
    good = tf.data.Dataset.from_tensor_slices(patches.keys[:9])
    bad = good.take(1).map(lambda key: key // (key - key))
    dataset = _symbolic(good.concatenate(bad).concatenate(good).apply(patches.fetch()), symbolic)
    iterator = iter(dataset)
    next(iterator)  # The window holds all good keys, and the error behind them, by now.
    path = tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, "checkpoint"))

    iterator = _restored(dataset, path)

    assert fetch_rows.labels(next(iterator) for _ in range(8)) == patches.labels[1:9]
    with pytest.raises(tf.errors.InvalidArgumentError, match="division by zero"):
        next(iterator)
    assert fetch_rows.labels(iterator) == patches.labels[:9]


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
def test_skipped_rows_do_not_come_back(patches, tmp_path, symbolic):
    keys = patches.keys.copy()
    keys[10:20] = 0
    keys[10:20, 15] = np.arange(10)  # No such rows.
    dataset = tfcass.CassandraDataset(
        keys,
        table=patches.table,
        cluster=patches.cluster,
        options=tfcass.FetchOptions(missing="skip", max_in_flight=20),
    )
    dataset = _symbolic(dataset, symbolic)

    path, before, after = _save_after(dataset, 12, tmp_path)

    assert before + after == patches.labels[:10] + patches.labels[20:]
    assert fetch_rows.labels(_restored(dataset, path)) == after


def test_a_checkpoint_holds_no_row_bytes(cassandra, cassandra_session, keyspace, tmp_path):
    keys = np.random.default_rng(1).integers(0, 256, (40, 16), np.uint8)
    table = f"{keyspace}.large_rows"
    cassandra_session.execute(f"CREATE TABLE {table} (patch_id uuid PRIMARY KEY, data blob)")
    rows = [(uuid.UUID(bytes=bytes(key)), b"x" * 50_000) for key in keys]
    fetch_rows.write(cassandra_session, f"INSERT INTO {table} (patch_id, data) VALUES (?, ?)", rows)
    iterator = iter(tfcass.CassandraDataset(keys, table=table, cluster=cassandra, columns=["data"]))
    next(iterator)

    tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, "checkpoint"))

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 50_000


class _TensorFlowsOwnOracle(checkpoint_test_base.CheckpointTestBase):
    """The base of tf.data's own checkpoint tests, which saves and restores at many places."""

    __test__ = False  # Pytest shall not collect it: the test below drives it.

    def runTest(self):
        """TestCase wants one; nobody calls it."""


# Only the iterator of a graph can be reset.
_VERIFY = ["unused_iterator", "fully_used_iterator", "exhausted_iterator", "multiple_breaks"]
_VERIFY_IN = [(mode, verify) for mode in ("eager", "graph") for verify in _VERIFY] + [
    ("graph", "reset_restored_iterator")
]


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize(("mode", "verify"), _VERIFY_IN)
@pytest.mark.filterwarnings("ignore:To make it possible to preserve tf.data options")
def test_tensorflows_own_oracle_agrees(patches, symbolic, batch_size, mode, verify):
    oracle = _TensorFlowsOwnOracle()
    oracle.setUp()
    try:
        with context.eager_mode() if mode == "eager" else context.graph_mode():
            getattr(oracle, f"verify_{verify}")(
                lambda: _symbolic(patches.dataset(slice(0, 20), batch_size=batch_size), symbolic),
                num_outputs=20 if batch_size is None else 3,
            )
    finally:
        oracle.tearDown()
