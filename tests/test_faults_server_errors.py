"""Errors that the server answers with in the middle of an epoch: those that pass, and those that stay."""

import pytest
import tensorflow as tf

from tests.support import cql_proxy, fetch_rows
from tests.support.epochs import counted, truth, uuid_of

ROWS = 120

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


PASSING = {
    "OVERLOADED": cql_proxy.OVERLOADED,
    "UNAVAILABLE": cql_proxy.UNAVAILABLE,
    "READ_TIMEOUT": cql_proxy.READ_TIMEOUT,
    "READ_FAILURE": cql_proxy.READ_FAILURE,
    "BOOTSTRAPPING": cql_proxy.BOOTSTRAPPING,
    "SERVER_ERROR": cql_proxy.SERVER_ERROR,
}


@pytest.mark.parametrize("code", PASSING.values(), ids=PASSING.keys())
def test_an_error_that_passes_loses_and_doubles_no_row(patches, proxy, through, code):
    epoch = through()
    epoch.take(20)

    proxy.rule = cql_proxy.first(6, cql_proxy.error(code))
    with counted() as grown:
        epoch.rest()

    assert epoch.rows == truth(patches)
    assert grown["errors"] == grown["missing"] == 0
    assert grown["retries"] + grown.get("fallbacks", 0) >= 1


@pytest.mark.parametrize("deterministic", [True, False], ids=["in order", "any order"])
def test_a_storm_of_overloaded_that_refuses_every_key_twice(patches, proxy, through, deterministic):
    proxy.rule = cql_proxy.each_key(2, cql_proxy.error(cql_proxy.OVERLOADED))
    epoch = through(deterministic=deterministic)

    with counted() as grown:
        epoch.rest()

    if deterministic:
        assert epoch.rows == truth(patches)
    assert sorted(epoch.rows) == sorted(truth(patches))
    assert grown["errors"] == 0 and grown["rows"] == ROWS
    asked = proxy.keys_asked
    assert all(asked.count(key.tobytes()) >= 3 for key in patches.keys)  # Refused twice, alone or with others.


def test_a_storm_that_does_not_end_is_one_clear_error(patches, proxy, through):
    epoch = through(timeout_s=3.0, max_retries=3)
    epoch.take(20)

    proxy.rule = cql_proxy.always(cql_proxy.error(cql_proxy.OVERLOADED, "too much to do"))
    with pytest.raises(tf.errors.UnavailableError) as caught:
        epoch.rest()

    row = len(epoch.rows)
    assert epoch.rows == truth(patches, slice(0, row))
    for word in (uuid_of(patches, row), patches.table, "attempts", "too much to do"):
        assert word in str(caught.value)


def test_each_row_that_is_given_up_is_named_once_and_no_other_is_lost(patches, proxy, through):
    bad = [30, 31, 77, ROWS - 1]
    keys = {patches.keys[row].tobytes() for row in bad}
    refuse = cql_proxy.error(cql_proxy.READ_TIMEOUT)
    proxy.rule = lambda read: refuse if keys & set(read.keys) else None
    epoch = through(timeout_s=3.0, max_retries=1)

    errors = epoch.rest_despite_errors()

    assert epoch.rows == truth(patches, [row for row in range(ROWS) if row not in bad])
    assert [row for error in errors for row in range(ROWS) if uuid_of(patches, row) in str(error)] == bad


def test_a_statement_that_the_server_forgot_is_prepared_again(patches, proxy, through):
    epoch = through()
    epoch.take(20)

    proxy.rule = cql_proxy.first_by(3, cql_proxy.unprepared)
    with counted() as grown:
        epoch.rest()

    assert epoch.rows == truth(patches)
    assert grown["errors"] == 0


def test_an_error_that_stays_is_told_after_one_attempt(patches, proxy, through):
    epoch = through(rows_per_request=1)
    epoch.take(20)

    proxy.rule = cql_proxy.always(cql_proxy.error(cql_proxy.INVALID, "not in this house"))
    with pytest.raises(tf.errors.FailedPreconditionError) as caught:
        epoch.rest()

    row = len(epoch.rows)
    assert epoch.rows == truth(patches, slice(0, row))
    for word in (uuid_of(patches, row), "1 attempt ", "not in this house"):
        assert word in str(caught.value)


# Servers that refuse reads of several keys.


def test_groups_that_are_refused_are_read_key_by_key(patches, proxy, through):
    refuse = cql_proxy.error(cql_proxy.INVALID, "Guardrail partition keys in SELECT violated")
    proxy.rule = lambda read: refuse if len(read.keys) > 1 else None
    epoch = through()

    with counted() as grown:
        epoch.rest()

    assert epoch.rows == truth(patches)
    assert grown["errors"] == 0


def test_groups_that_are_refused_from_the_middle_of_an_epoch_on(patches, proxy, through):
    epoch = through()
    epoch.take(20)

    refuse = cql_proxy.error(cql_proxy.INVALID, "Guardrail partition keys in SELECT violated")
    proxy.rule = lambda read: refuse if len(read.keys) > 1 else None
    epoch.rest()

    assert epoch.rows == truth(patches)
