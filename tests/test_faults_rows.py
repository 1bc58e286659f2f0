"""Rows and tables that are not as expected: absent, in another order, empty, huge, or changed mid-epoch."""

import random
import uuid

import pytest
import tensorflow as tf

import tfcass
from tests.support import cql_proxy, fetch_rows
from tests.support.epochs import WINDOW, Epoch, counted, truth, uuid_of

ROWS = 120

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


@pytest.fixture
def own_patches(cassandra, cassandra_session):
    """A table that a test may spoil."""
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def without(patches, session, row):
    session.execute(f"DELETE FROM {patches.table} WHERE patch_id = {uuid_of(patches, row)}")


# A row that is not there, with others before and after it in its request, its batch and its window.


@pytest.mark.parametrize("deterministic", [True, False], ids=["in order", "any order"])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_missing_row_among_others_is_named_and_the_others_come(
    own_patches, cassandra_session, deterministic, batch_size
):
    missing = 43
    without(own_patches, cassandra_session, missing)
    options = tfcass.FetchOptions(deterministic=deterministic, max_in_flight=WINDOW)
    epoch = Epoch(own_patches.dataset(batch_size=batch_size, options=options))

    with counted() as grown:
        errors = epoch.rest_despite_errors()

    assert len(errors) == 1 and isinstance(errors[0], tf.errors.NotFoundError)
    assert uuid_of(own_patches, missing) in str(errors[0]) and own_patches.table in str(errors[0])
    assert grown["missing"] == 1 and grown["errors"] == 0
    delivered = sorted(epoch.rows)
    if deterministic and batch_size:  # An element is delivered whole or not at all.
        kept = [row for row in range(ROWS) if row // batch_size != missing // batch_size]
    else:
        kept = [row for row in range(ROWS) if row != missing]
    assert delivered == sorted(truth(own_patches, kept))


def test_a_missing_row_among_others_is_left_out_under_skip(own_patches, cassandra_session):
    without(own_patches, cassandra_session, 43)
    epoch = Epoch(own_patches.dataset(batch_size=8, options=tfcass.FetchOptions(missing="skip", max_in_flight=WINDOW)))

    epoch.rest()

    assert epoch.rows == truth(own_patches, [row for row in range(ROWS) if row != 43])


def test_a_missing_row_among_others_keeps_its_place_under_empty(own_patches, cassandra_session):
    without(own_patches, cassandra_session, 43)
    epoch = Epoch(own_patches.dataset(batch_size=8, options=tfcass.FetchOptions(missing="empty", max_in_flight=WINDOW)))

    epoch.rest()

    expected = truth(own_patches)
    expected[43] = (expected[43][0], 0, b"")
    assert epoch.rows == expected


def test_a_row_that_a_reply_leaves_out_is_missing_and_its_neighbours_are_not(patches, proxy, through):
    """As above, with the reply itself made by the test, in a request that surely asks for several rows."""
    epoch = through(batch_size=WINDOW, max_in_flight=2 * WINDOW)
    epoch.take(1)
    asked = [key for key in patches.keys[2 * WINDOW :]]
    missing = bytes(asked[-5])

    proxy.rule = cql_proxy.of_key(missing, cql_proxy.without_row(missing))
    errors = epoch.rest_despite_errors()

    assert len(errors) == 1 and isinstance(errors[0], tf.errors.NotFoundError)
    row = [key.tobytes() for key in patches.keys].index(missing)
    assert uuid_of(patches, row) in str(errors[0])
    assert epoch.rows == truth(patches, [i for i in range(ROWS) if i // WINDOW != row // WINDOW])


@pytest.mark.parametrize("deterministic", [True, False], ids=["in order", "any order"])
def test_rows_of_a_reply_in_another_order_than_asked(patches, proxy, through, deterministic):
    proxy.rule = cql_proxy.always(cql_proxy.reversed_rows)
    epoch = through(batch_size=WINDOW, max_in_flight=4 * WINDOW, deterministic=deterministic)

    epoch.rest()

    if deterministic:
        assert epoch.rows == truth(patches)
    assert sorted(epoch.rows) == sorted(truth(patches))


@pytest.mark.parametrize("batch_size", [None, 16])
def test_a_key_asked_for_many_times_is_delivered_as_often(patches, batch_size):
    rng = random.Random(11)
    rows = [rng.randrange(10) for _ in range(200)]
    epoch = Epoch(patches.dataset(rows, batch_size=batch_size, options=tfcass.FetchOptions(max_in_flight=64)))

    epoch.rest()

    assert epoch.rows == truth(patches, rows)


# Sizes.


@pytest.fixture
def large_patches(cassandra, cassandra_session):
    """Twelve rows, some of 16 MiB and some of 0 bytes."""
    rng = random.Random(3)
    with fetch_rows.patches(cassandra, cassandra_session, 12) as table:
        data = [rng.randbytes(16 * 2**20) if row in (4, 5) else b"" if row % 3 == 0 else b"x" for row in range(12)]
        update = cassandra_session.prepare(f"UPDATE {table.table} SET data = ? WHERE patch_id = ?")
        for key, cell in zip(table.keys, data, strict=True):
            cassandra_session.execute(update, (cell, uuid.UUID(bytes=key.tobytes())), timeout=60)
        table.data[:] = data
        yield table


@pytest.mark.parametrize("deterministic", [True, False], ids=["in order", "any order"])
@pytest.mark.parametrize("batch_size", [None, 12])
def test_rows_of_16_mib_beside_rows_of_0_bytes(large_patches, batch_size, deterministic):
    options = tfcass.FetchOptions(deterministic=deterministic, timeout_s=30.0)
    epoch = Epoch(large_patches.dataset(batch_size=batch_size, options=options))

    with counted() as grown:
        epoch.rest()

    if deterministic:
        assert epoch.rows == truth(large_patches)
    assert sorted(epoch.rows) == sorted(truth(large_patches))
    assert grown["errors"] == grown["missing"] == 0


def test_rows_larger_than_the_bound_of_bytes_pass_one_by_one(large_patches):
    options = tfcass.FetchOptions(max_buffered_bytes=2**20, timeout_s=30.0)
    epoch = Epoch(large_patches.dataset(options=options))

    epoch.rest()

    assert epoch.rows == truth(large_patches)


# The table changes in the middle of an epoch.


@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_column_dropped_mid_epoch_is_an_error_that_names_row_and_column(own_patches, cassandra_session, batch_size):
    options = tfcass.FetchOptions(max_in_flight=WINDOW)
    epoch = Epoch(own_patches.dataset(batch_size=batch_size, options=options))
    epoch.take(2)

    cassandra_session.execute(f"ALTER TABLE {own_patches.table} DROP data")
    with pytest.raises(tf.errors.FailedPreconditionError) as caught:
        epoch.rest()

    row = len(epoch.rows)
    assert row <= 2 * (batch_size or 1) + WINDOW
    assert epoch.rows == truth(own_patches, slice(0, row))
    batch = range(row, row + (batch_size or 1))
    assert any(uuid_of(own_patches, number) in str(caught.value) for number in batch)
    assert own_patches.table in str(caught.value) and "data" in str(caught.value)


def test_a_column_added_mid_epoch_is_no_news(own_patches, cassandra_session):
    epoch = Epoch(own_patches.dataset(options=tfcass.FetchOptions(max_in_flight=WINDOW)))
    epoch.take(20)

    cassandra_session.execute(f"ALTER TABLE {own_patches.table} ADD note text")
    epoch.rest()

    assert epoch.rows == truth(own_patches)


def test_a_table_dropped_mid_epoch_is_one_clear_error(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as patches:
        epoch = Epoch(patches.dataset(options=tfcass.FetchOptions(max_in_flight=WINDOW)))
        epoch.take(20)

        cassandra_session.execute(f"DROP TABLE {patches.table}")
        with pytest.raises(tf.errors.FailedPreconditionError) as caught:
            epoch.rest()

        row = len(epoch.rows)
        assert epoch.rows == truth(patches, slice(0, row))
        assert uuid_of(patches, row) in str(caught.value) and patches.table in str(caught.value)
