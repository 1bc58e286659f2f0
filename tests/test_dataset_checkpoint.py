"""Iterators saved and restored in the middle of an epoch: nothing lost, nothing twice, no row bytes saved."""

import json
import os
import subprocess
import sys
import textwrap
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
@pytest.mark.parametrize("missing", ["error", "skip", "empty"])
@pytest.mark.parametrize(("batch_size", "steps"), [(None, 1), (None, 17), (None, 49), (7, 1), (7, 4), (7, 8)])
def test_out_of_order_rows_are_neither_lost_nor_repeated(patches, tmp_path, symbolic, missing, batch_size, steps):
    keys = patches.keys if missing == "error" else _with_absent_keys(patches)
    options = tfcass.FetchOptions(deterministic=False, missing=missing, max_in_flight=24)
    dataset = tfcass.CassandraDataset(
        keys, table=patches.table, cluster=patches.cluster, batch_size=batch_size, options=options
    )
    dataset = _symbolic(dataset, symbolic)

    path, before, _ = _save_after(dataset, steps, tmp_path)

    after = fetch_rows.labels(_restored(dataset, path))
    present = patches.labels if missing == "error" else patches.labels[:10] + patches.labels[20:]
    absent = [0] * 10 if missing == "empty" else []
    assert sorted(before + after) == sorted(present + absent)


def _with_absent_keys(patches):
    keys = patches.keys.copy()
    keys[10:20] = 0
    keys[10:20, 15] = np.arange(10)  # No such rows.
    return keys


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
def test_out_of_order_batches_keep_their_sizes_over_a_restore(patches, tmp_path, symbolic):
    sizes = [3, 0, 20, 1, 0, 30, 6]
    counter = tf.data.Dataset.range(len(sizes))  # A generator could not be saved.
    ragged = tf.RaggedTensor.from_row_lengths(patches.keys, sizes)
    keys = counter.map(lambda i: tf.reshape(ragged[i], [-1, 16]))
    options = tfcass.FetchOptions(deterministic=False, max_in_flight=24)
    dataset = _symbolic(keys.apply(patches.fetch(options=options)), symbolic)

    iterator = iter(dataset)
    before = [next(iterator) for _ in range(3)]
    path = tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, "checkpoint"))
    after = list(_restored(dataset, path))

    assert [len(batch["label"]) for batch in before + after] == sizes
    assert sorted(fetch_rows.labels(before + after)) == patches.labels


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_rows_that_failed_out_of_order_are_not_owed(patches, tmp_path, symbolic, batch_size):
    options = tfcass.FetchOptions(deterministic=False, max_in_flight=30)
    dataset = tfcass.CassandraDataset(
        _with_absent_keys(patches), table=patches.table, cluster=patches.cluster, batch_size=batch_size, options=options
    )
    dataset = _symbolic(dataset, symbolic)

    def read(iterator, elements=None):
        labels, errors = [], []
        while elements is None or len(labels) + len(errors) < elements:
            try:
                labels += fetch_rows.labels([next(iterator)])
            except tf.errors.NotFoundError as error:
                errors.append(str(error))
            except StopIteration:
                break
        return labels, errors

    iterator = iter(dataset)
    labels, errors = read(iterator, 25)
    path = tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, "checkpoint"))
    more_labels, more_errors = read(_restored(dataset, path))

    assert sorted(labels + more_labels) == patches.labels[:10] + patches.labels[20:]
    named = [uuid.UUID(int=i) for i in range(10)]
    told = errors + more_errors
    assert len(told) == 10 and all(any(str(key) in error for error in told) for key in named)


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
    dataset = tfcass.CassandraDataset(
        _with_absent_keys(patches),
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


def test_a_checkpoint_is_restored_in_another_process_by_another_contact_point(patches, tmp_path):
    path, before, _ = _save_after(patches.dataset(batch_size=7), 3, tmp_path)
    assert patches.cluster.contact_points != ("localhost",)
    code = f"""
        import numpy as np, tensorflow as tf, tfcass
        keys = np.frombuffer(bytes.fromhex("{patches.keys.tobytes().hex()}"), np.uint8).reshape(-1, 16)
        cluster = tfcass.Cluster(["localhost"], port={patches.cluster.port})
        iterator = iter(tfcass.CassandraDataset(keys, table="{patches.table}", cluster=cluster, batch_size=7))
        tf.train.Checkpoint(iterator=iterator).restore("{path}")
        print([int(label) for batch in iterator for label in batch["label"]])
    """

    there = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=180)

    assert there.returncode == 0, there.stderr
    assert before + json.loads(there.stdout) == patches.labels


class _TensorFlowsOwnOracle(checkpoint_test_base.CheckpointTestBase):
    """The base of tf.data's own checkpoint tests, which saves and restores at many places."""

    __test__ = False  # Pytest shall not collect it: the tests below drive it.

    def runTest(self):
        """TestCase wants one; nobody calls it."""

    def match(self, expected, actual, assert_items_equal=False):
        """TensorFlow's cannot sort dicts, and knows no batches whose rows may be in others."""
        if not assert_items_equal:
            return super().match(expected, actual)
        assert sorted(_rows(expected)) == sorted(_rows(actual))


def _rows(elements):
    for element in elements:
        for key, label in zip(element["patch_id"].reshape(-1, 16), np.ravel(element["label"]), strict=True):
            yield bytes(key), int(label)


# Only the iterator of a graph can be reset.
_VERIFY = ["unused_iterator", "fully_used_iterator", "exhausted_iterator", "multiple_breaks"]
_VERIFY_IN = [(mode, verify) for mode in ("eager", "graph") for verify in _VERIFY] + [
    ("graph", "reset_restored_iterator")
]


def _oracle(mode, verify, make_dataset, num_outputs, **settings):
    oracle = _TensorFlowsOwnOracle()
    oracle.setUp()
    try:
        with context.eager_mode() if mode == "eager" else context.graph_mode():
            getattr(oracle, f"verify_{verify}")(make_dataset, num_outputs=num_outputs, **settings)
    finally:
        oracle.tearDown()


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize(("mode", "verify"), _VERIFY_IN)
@pytest.mark.filterwarnings("ignore:To make it possible to preserve tf.data options")
def test_tensorflows_own_oracle_agrees(patches, symbolic, batch_size, mode, verify):
    _oracle(
        mode,
        verify,
        lambda: _symbolic(patches.dataset(slice(0, 20), batch_size=batch_size), symbolic),
        num_outputs=20 if batch_size is None else 3,
    )


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize(("mode", "verify"), [(mode, verify) for mode, verify in _VERIFY_IN if mode == "eager"])
@pytest.mark.filterwarnings("ignore:To make it possible to preserve tf.data options")
def test_tensorflows_own_oracle_agrees_out_of_order(patches, symbolic, batch_size, mode, verify):
    options = tfcass.FetchOptions(deterministic=False, max_in_flight=9)
    _oracle(
        mode,
        verify,
        lambda: _symbolic(patches.dataset(slice(0, 20), batch_size=batch_size, options=options), symbolic),
        num_outputs=20 if batch_size is None else 3,
        assert_items_equal=True,
    )


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("shape", ["before", "after"])
@pytest.mark.filterwarnings("ignore:To make it possible to preserve tf.data options")
def test_tensorflows_own_oracle_agrees_among_shuffles_and_repeats(patches, symbolic, deterministic, shape):
    fetch = patches.fetch(options=tfcass.FetchOptions(deterministic=deterministic, max_in_flight=9))
    keys = tf.data.Dataset.from_tensor_slices(patches.keys[:12])

    def make():
        if shape == "before":
            return _symbolic(keys.shuffle(5, seed=3).repeat(2).batch(4).apply(fetch).prefetch(2), symbolic)
        return _symbolic(keys.batch(2).apply(fetch).repeat(2).unbatch().batch(4), symbolic)

    _oracle("eager", "multiple_breaks", make, num_outputs=6, assert_items_equal=not deterministic)
