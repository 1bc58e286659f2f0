"""Rows that are not there, and nulls in rows that are: an error, left out, or marked."""

import uuid

import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows

ABSENT = uuid.UUID("00000000-1111-4222-8333-444444444444")


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, 6) as table:
        # Row 2 has no data, row 4 no label: written later, or never.
        for row, column in ((2, "data"), (4, "label")):
            key = uuid.UUID(bytes=bytes(table.keys[row]))
            cassandra_session.execute(f"DELETE {column} FROM {table.table} WHERE patch_id = %s", [key])
        yield table


def _dataset(patches, rows, missing="error", batch_size=None, deterministic=True, **settings):
    """`rows` are numbers of rows, or None for a key that has none."""
    keys = np.stack([tfcass.keys([ABSENT])[0] if row is None else patches.keys[row] for row in rows])
    return tfcass.CassandraDataset(
        keys,
        table=patches.table,
        cluster=patches.cluster,
        batch_size=batch_size,
        options=tfcass.FetchOptions(missing=missing, deterministic=deterministic),
        **settings,
    )


@pytest.mark.parametrize("batch_size", [None, 2])
def test_error_names_table_and_uuid_of_a_missing_row(patches, batch_size):
    iterator = iter(_dataset(patches, [0, 1, None, 3, 5], batch_size=batch_size))
    before = 2 if batch_size is None else 1

    assert fetch_rows.labels(next(iterator) for _ in range(before)) == [0, 1]
    with pytest.raises(tf.errors.NotFoundError) as caught:
        next(iterator)

    assert str(ABSENT) in str(caught.value) and patches.table in str(caught.value)
    assert 'missing="skip"' in str(caught.value)


def test_reading_goes_on_after_the_element_that_failed(patches):
    iterator = iter(_dataset(patches, [0, None, 3]))

    next(iterator)
    with pytest.raises(tf.errors.NotFoundError):
        next(iterator)

    assert fetch_rows.labels(iterator) == [3]


def test_ignore_errors_drops_what_failed(patches):
    assert fetch_rows.labels(_dataset(patches, [0, None, 3]).ignore_errors()) == [0, 3]


@pytest.mark.parametrize(("row", "column"), [(2, "data"), (4, "label")])
def test_error_names_column_and_uuid_of_a_null(patches, row, column):
    with pytest.raises(tf.errors.NotFoundError) as caught:
        next(iter(_dataset(patches, [row])))

    message = str(caught.value)
    assert f"column {column} of row {uuid.UUID(bytes=bytes(patches.keys[row]))} in {patches.table} is null" in message


def test_a_null_in_a_column_that_is_not_asked_for_is_no_error(patches):
    assert fetch_rows.labels(_dataset(patches, [2], columns=["label"])) == [2]


def test_skip_leaves_scalar_elements_out(patches):
    dataset = _dataset(patches, [None, 0, 1, 2, None, 3, 4, 5, None], missing="skip")

    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    assert fetch_rows.labels(dataset) == [0, 1, 3, 5]


def test_skip_makes_batches_shorter(patches):
    dataset = _dataset(patches, [0, None, 1, None, 2, None, 3, 4, 5], missing="skip", batch_size=3)

    assert dataset.cardinality() == 3
    assert dataset.element_spec["label"].shape.as_list() == [None]
    assert [batch["label"].numpy().tolist() for batch in dataset] == [[0, 1], [], [3, 5]]


@pytest.mark.parametrize("batch_size", [None, 6])
def test_empty_keeps_the_place_and_tells(patches, batch_size):
    dataset = _dataset(patches, [0, None, 1, 2, 4, 5], missing="empty", batch_size=batch_size)

    assert dataset.element_spec["found"].dtype == tf.bool
    rows = [row for batch in dataset for row in (batch,)] if batch_size is None else list(dataset.unbatch())
    assert [bool(row["found"]) for row in rows] == [True, False, True, False, False, True]
    assert [int(row["label"]) for row in rows] == [0, 0, 1, 2, 0, 5]
    assert [row["data"].numpy() for row in rows] == [
        patches.data[0],
        b"",
        patches.data[1],
        b"",
        patches.data[4],
        patches.data[5],
    ]
    assert bytes(rows[1]["patch_id"].numpy()) == ABSENT.bytes


@pytest.mark.parametrize("batch_size", [None, 2, 5])
@pytest.mark.parametrize("missing", ["skip", "empty"])
def test_out_of_order_delivery_treats_them_alike(patches, missing, batch_size):
    settings = dict(missing=missing, batch_size=batch_size)
    rows = [0, None, 1, 2, 4, 5, 3]

    in_order = fetch_rows.labels(_dataset(patches, rows, **settings))
    out_of_order = fetch_rows.labels(_dataset(patches, rows, deterministic=False, **settings))

    assert sorted(out_of_order) == sorted(in_order)


def test_out_of_order_errors_cost_no_other_row_of_their_batch(patches):
    # One key without a row, two rows with a null.
    iterator = iter(_dataset(patches, [0, None, 1, 2, 4, 5, 3], batch_size=7, deterministic=False))

    errors = []
    for _ in range(3):
        with pytest.raises(tf.errors.NotFoundError) as caught:
            next(iterator)
        errors.append(str(caught.value))
    labels = fetch_rows.labels(iterator)

    assert sorted(labels) == [0, 1, 3, 5]
    bad = [ABSENT, uuid.UUID(bytes=bytes(patches.keys[2])), uuid.UUID(bytes=bytes(patches.keys[4]))]
    assert all(any(str(key) in error for error in errors) for key in bad)


def test_missing_rows_are_counted(patches):
    before = tfcass.metrics()["missing"]
    list(_dataset(patches, [0, None, 1], missing="skip"))

    assert tfcass.metrics()["missing"] - before == 1


def test_a_found_column_of_the_table_clashes_with_empty(cassandra, cassandra_session, keyspace):
    cassandra_session.execute(f"CREATE TABLE {keyspace}.t (id uuid PRIMARY KEY, found int)")
    settings = dict(table=f"{keyspace}.t", cluster=cassandra, columns=["found"])

    tfcass.CassandraDataset(tfcass.keys([]), **settings)
    with pytest.raises(tfcass.SchemaError, match="'found'"):
        tfcass.CassandraDataset(tfcass.keys([]), **settings, options=tfcass.FetchOptions(missing="empty"))
