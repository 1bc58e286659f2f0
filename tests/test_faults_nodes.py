"""Nodes of a real cluster of three that stop, die and come back in the middle of an epoch."""

import dataclasses
import signal
import threading
import uuid

import pytest
import tensorflow as tf
from cassandra import InvalidRequest

import tfcass
from tests.support import cql_proxy, fetch_rows
from tests.support.cql_proxy import cql_proxies_of
from tests.support.epochs import Epoch, counted, meanwhile, truth, uuid_of

ROWS = 300
WINDOW = 24
PATIENT = {"max_in_flight": WINDOW, "timeout_s": 200.0, "max_retries": 10_000}
BRIEF = {"max_in_flight": WINDOW, "timeout_s": 3.0, "max_retries": 10_000}
STOPPED_S = 10.0

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture(scope="module")
def session(three_nodes_running):
    with three_nodes_running.cluster.session() as session:
        yield session


@pytest.fixture(scope="module")
def everywhere(three_nodes_running, session):
    """A table that every node has whole."""
    with fetch_rows.patches(three_nodes_running.cluster, session, ROWS, replicas=3) as table:
        yield table


@pytest.fixture(scope="module")
def spread(three_nodes_running, session):
    """A table of which every node has a third."""
    with fetch_rows.patches(three_nodes_running.cluster, session, ROWS, replicas=1) as table:
        yield table


@pytest.fixture
def proxies(three_nodes):
    with cql_proxies_of(three_nodes.hosts, three_nodes.cluster.port) as proxies:
        yield proxies


def begin(patches, proxies, rows=slice(None), **options):
    """An epoch of its own session: a proxy before every node."""
    return Epoch(patches.through(dataclasses.replace(patches.cluster, port=proxies[0].port), rows, **options))


def rows_of(patches, session, host):
    """The rows of a spread table that this node has."""
    metadata = session.cluster.metadata
    return [
        row
        for row, key in enumerate(patches.keys)
        if metadata.get_replicas(patches.keyspace, key.tobytes())[0].address == host
    ]


@pytest.mark.parametrize("deterministic", [True, False], ids=["in order", "any order"])
def test_a_replica_that_stops_for_good_is_done_without(three_nodes, everywhere, proxies, deterministic):
    epoch = begin(everywhere, proxies, deterministic=deterministic, **PATIENT | {"timeout_s": 20.0})
    epoch.take(30)

    three_nodes.send(2, signal.SIGSTOP)
    with counted() as grown:
        epoch.rest()

    if deterministic:
        assert epoch.rows == truth(everywhere)
    assert sorted(epoch.rows) == sorted(truth(everywhere))
    assert grown["errors"] == 0


def test_a_node_that_stops_for_ten_seconds_holds_its_rows_back_and_loses_none(three_nodes, spread, proxies):
    epoch = begin(spread, proxies, **PATIENT)
    epoch.take(30)

    three_nodes.send(3, signal.SIGSTOP)
    stopped = threading.Timer(STOPPED_S, three_nodes.send, (3, signal.SIGCONT))
    stopped.start()
    with counted() as grown:
        epoch.rest()

    assert not stopped.is_alive(), "the node's rows came while it was stopped"
    assert epoch.rows == truth(spread)
    assert grown["errors"] == 0


def test_a_node_that_is_killed_is_done_without_until_it_is_started_again(three_nodes, everywhere, spread):
    redundant = Epoch(everywhere.dataset(options=tfcass.FetchOptions(**PATIENT)))
    redundant.take(30)
    only_copy = Epoch(spread.dataset(options=tfcass.FetchOptions(**PATIENT)))
    only_copy.take(30)

    three_nodes.kill(1)  # The first contact point, and perhaps the one that the driver hears news from.
    with counted() as grown:
        redundant.rest()
        with meanwhile(three_nodes.make_whole):
            only_copy.rest()

    assert redundant.rows == truth(everywhere)
    assert only_copy.rows == truth(spread)
    assert grown["errors"] == 0


def test_all_nodes_killed_and_started_again_within_the_deadline_lose_no_row(three_nodes, spread):
    epoch = Epoch(spread.dataset(options=tfcass.FetchOptions(**PATIENT)))
    epoch.take(30)

    for number in (1, 2, 3):
        three_nodes.kill(number)
    with meanwhile(three_nodes.make_whole), counted() as grown:
        epoch.rest()

    assert epoch.rows == truth(spread)
    assert grown["errors"] == 0


def test_all_nodes_gone_beyond_the_deadline_is_one_clear_error(spread, proxies):
    epoch = begin(spread, proxies, **BRIEF)
    epoch.take(30)

    for proxy in proxies:
        proxy.down()
    with pytest.raises((tf.errors.UnavailableError, tf.errors.DeadlineExceededError)) as caught:
        epoch.rest()

    row = len(epoch.rows)
    assert epoch.rows == truth(spread, slice(0, row))
    for word in (uuid_of(spread, row), spread.table, str(proxies[0].port), "attempts", "timeout_s"):
        assert word in str(caught.value)


def test_nodes_that_are_all_stopped_are_one_clear_error(three_nodes, spread, proxies):
    epoch = begin(spread, proxies, **BRIEF)
    epoch.take(30)

    for number in (1, 2, 3):
        three_nodes.send(number, signal.SIGSTOP)
    with pytest.raises((tf.errors.UnavailableError, tf.errors.DeadlineExceededError)) as caught:
        epoch.rest()

    row = len(epoch.rows)
    assert epoch.rows == truth(spread, slice(0, row))
    for word in (uuid_of(spread, row), spread.table, "timeout_s"):
        assert word in str(caught.value)


def test_the_only_owner_gone_for_good_costs_its_rows_and_no_other(three_nodes, spread, session, proxies):
    owned = [row for row in rows_of(spread, session, "127.0.0.2") if row < 150]
    epoch = begin(spread, proxies, rows=slice(0, 150), **BRIEF)
    epoch.take(30)

    three_nodes.send(2, signal.SIGSTOP)
    errors = epoch.rest_despite_errors()

    named = [row for error in errors for row in range(150) if uuid_of(spread, row) in str(error)]
    assert len(named) == len(errors) and set(named) <= set(owned)
    assert [row for row in named if row >= 30 + WINDOW] == [row for row in owned if row >= 30 + WINDOW]
    assert epoch.rows == truth(spread, [row for row in range(150) if row not in named])


# Between the plan, which believes that a host is up, and the sending.


@pytest.mark.parametrize("deterministic", [True, False], ids=["in order", "any order"])
@pytest.mark.parametrize("table", ["everywhere", "spread"])
def test_an_owner_that_dies_with_a_group_under_way_loses_no_row(request, proxies, table, deterministic):
    patches = request.getfixturevalue(table)
    epoch = begin(patches, proxies, batch_size=16, deterministic=deterministic, **PATIENT | {"max_in_flight": 64})
    epoch.take(2)

    # The next read that was planned for it finds it dead: its connections end, and nobody listens any more.
    victim, dead = proxies[1], threading.Event()

    def die(read):
        dead.set()
        return cql_proxy.cut_before

    def stay_away():
        assert dead.wait(60)
        victim.down()

    victim.rule = die
    with meanwhile(stay_away):
        epoch.rest()

    if deterministic:
        assert epoch.rows == truth(patches)
    assert sorted(epoch.rows) == sorted(truth(patches))


def test_each_host_refusing_connections_in_turn_loses_no_row(everywhere, proxies):
    epoch = begin(everywhere, proxies, **PATIENT)

    for proxy in (*proxies, *proxies):
        epoch.take(40)
        proxy.down()
        epoch.take(8)
        proxy.up()
    epoch.rest()

    assert epoch.rows == truth(everywhere)


@pytest.mark.parametrize("code", [cql_proxy.READ_TIMEOUT, cql_proxy.OVERLOADED], ids=["READ_TIMEOUT", "OVERLOADED"])
def test_one_host_that_refuses_every_read_is_done_without(everywhere, proxies, code):
    epoch = begin(everywhere, proxies, **PATIENT)
    epoch.take(30)

    proxies[2].rule = cql_proxy.always(cql_proxy.error(code))
    with counted() as grown:
        epoch.rest()

    assert epoch.rows == truth(everywhere)
    assert grown["errors"] == 0 and grown["retries"] + grown.get("fallbacks", 0) >= 1


# Users that are no superusers.


@pytest.fixture
def reader(session, everywhere):
    """A user of its own: its name, and how to change its password."""
    name = f"reader_{uuid.uuid4().hex[:8]}"
    session.execute(f"CREATE ROLE {name} WITH PASSWORD = 'first' AND LOGIN = true")
    session.execute(f"GRANT SELECT ON KEYSPACE {everywhere.keyspace} TO {name}")
    yield name
    session.execute(f"DROP ROLE {name}")


def test_a_password_changed_mid_epoch_is_told_once_connections_break(session, everywhere, proxies, reader, tmp_path):
    password = tmp_path / "password"
    password.write_text("first")
    cluster = dataclasses.replace(
        everywhere.cluster, port=proxies[0].port, auth=tfcass.PasswordAuth(reader, password_file=password)
    )
    epoch = Epoch(everywhere.through(cluster, **BRIEF))
    epoch.take(30)

    session.execute(f"ALTER ROLE {reader} WITH PASSWORD = 'second'")
    epoch.take(60)  # Connections that are open stay open.
    for proxy in proxies:
        proxy.cut()
    with pytest.raises(tf.errors.OpError) as caught:
        epoch.rest()

    row = len(epoch.rows)
    assert epoch.rows == truth(everywhere, slice(0, row))
    assert uuid_of(everywhere, row) in str(caught.value)
    assert "first" not in str(caught.value) and "second" not in str(caught.value)
    # With the new password in its place, a new epoch reads everything.
    password.write_text("second")
    again = Epoch(everywhere.through(cluster, **PATIENT))
    again.rest()
    assert again.rows == truth(everywhere)


@pytest.mark.parametrize("set_before", [True, False], ids=["from the start", "mid-epoch"])
def test_a_guardrail_on_keys_in_a_select_is_kept_and_loses_no_row(three_nodes, everywhere, reader, set_before):
    cluster = dataclasses.replace(everywhere.cluster, auth=tfcass.PasswordAuth(reader, password="first"))
    if set_before:
        three_nodes.allow_keys_in_select(3)
    epoch = Epoch(everywhere.through(cluster, batch_size=30, **PATIENT | {"max_in_flight": 90}))
    epoch.take(1)
    if not set_before:
        three_nodes.allow_keys_in_select(3)
    keys = ", ".join(uuid_of(everywhere, row) for row in range(4))
    with cluster.session() as session, pytest.raises(InvalidRequest, match="Guardrail"):
        session.execute(f"SELECT label FROM {everywhere.table} WHERE patch_id IN ({keys})")

    with counted() as grown:
        epoch.rest()
    three_nodes.allow_keys_in_select(1_000_000)

    assert epoch.rows == truth(everywhere)
    assert grown["errors"] == 0
