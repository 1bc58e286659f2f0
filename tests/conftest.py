"""Fixtures of all tests: real Cassandra servers.

cassandra           a plain node, one per test run; TFCASS_TEST_CLUSTER=host:port takes a running one instead
dev_cluster         the development cluster behind `cassandra`; a test changes nothing in it but keyspaces of its own
secure_cassandra    a node with password and TLS, one per test run
three_nodes         three nodes with a password, started once per test run; each test finds them up and may stop and
                    kill them; TFCASS_TEST_THREE_NODES=folder takes a running development cluster of that kind instead
cassandra_session   an open session on `cassandra`
proxy               a proxy before `cassandra` that knows CQL's frames
through             begins an epoch over the test's own `patches` through it
keyspace            the name of a fresh keyspace on `cassandra`, dropped afterwards
shared_keyspace     the same, one for all tests of a module

A test that uses one of them gets the marker `cassandra` by itself.
"""

import atexit
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

# Before anything imports TensorFlow: no notes on instruction sets, no search for graphics cards.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# A shell starts what runs in the background with Ctrl-C ignored, and children inherit that: tests press it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest

import tfcass
from tests.support import servers
from tests.support.cql_proxy import CqlProxy, cql_proxy_of
from tests.support.servers import SecureCassandra, ThreeNodes
from tfcass.devcluster import DevCluster, Settings, ports

if TYPE_CHECKING:
    from tests.support.epochs import Epoch
    from tests.support.fetch_rows import Patches

_SERVER_FIXTURES = {"cassandra", "dev_cluster", "secure_cassandra", "three_nodes"}
_HEAP = "512m"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _SERVER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.cassandra)


@pytest.fixture(scope="session")
def dev_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with servers.running(tmp_path_factory.mktemp("plain") / "home", Settings(port=0, heap=_HEAP)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cassandra(request: pytest.FixtureRequest) -> tfcass.Cluster:
    if address := os.environ.get("TFCASS_TEST_CLUSTER"):
        return servers.existing(address)
    return request.getfixturevalue("dev_cluster").connect()


@pytest.fixture(scope="session")
def secure_cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureCassandra]:
    settings = Settings(port=0, heap=_HEAP, auth=True, tls=True)
    with servers.running(tmp_path_factory.mktemp("secure") / "home", settings) as cluster:
        yield servers.secure(cluster)


@pytest.fixture(scope="session")
def three_nodes_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeNodes]:
    if home := os.environ.get("TFCASS_TEST_THREE_NODES"):
        yield ThreeNodes(DevCluster(home), DevCluster(home).running().settings)
        return
    # A port of its own choice would be another one when all nodes come back.
    settings = Settings(nodes=3, port=ports.free_port(["127.0.0.1", "127.0.0.2", "127.0.0.3"]), heap=_HEAP, auth=True)
    with servers.running(tmp_path_factory.mktemp("three") / "home", settings) as cluster:
        yield ThreeNodes(cluster, settings)


@pytest.fixture
def three_nodes(three_nodes_running: ThreeNodes) -> Iterator[ThreeNodes]:
    yield three_nodes_running
    three_nodes_running.make_whole()


@pytest.fixture(scope="session")
def cassandra_session(cassandra: tfcass.Cluster):
    with cassandra.session() as session:
        yield session


@pytest.fixture
def proxy(cassandra: tfcass.Cluster) -> Iterator[CqlProxy]:
    with cql_proxy_of((cassandra.contact_points[0], cassandra.port)) as proxy:
        yield proxy


@pytest.fixture
def through(patches: "Patches", proxy: CqlProxy) -> Callable[..., "Epoch"]:
    """An epoch over all rows through the proxy, with a small window."""
    from tests.support.epochs import WINDOW, Epoch  # Imports TensorFlow, which not every run of tests needs.

    def begin(**settings: Any) -> "Epoch":
        cluster = tfcass.Cluster(["127.0.0.1"], port=proxy.port)
        settings = {"max_in_flight": WINDOW, "timeout_s": 30.0, "max_retries": 50, **settings}
        return Epoch(patches.through(cluster, **settings))

    return begin


@pytest.fixture
def keyspace(cassandra_session) -> Iterator[str]:
    yield from _fresh_keyspace(cassandra_session)


@pytest.fixture(scope="module")
def shared_keyspace(cassandra_session) -> Iterator[str]:
    yield from _fresh_keyspace(cassandra_session)


def _fresh_keyspace(cassandra_session) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    cassandra_session.execute(f"CREATE KEYSPACE {name} WITH replication = {replication}")
    yield name
    cassandra_session.execute(f"DROP KEYSPACE {name}")


def pytest_unconfigure() -> None:
    """Lets the summary be the last line: an idle connection of the op may yet notice that its server is gone, aloud.

    At exit, as pytest gives the real stderr back only after this; registered now, to come before all others.
    """
    atexit.register(os.dup2, os.open(os.devnull, os.O_WRONLY), 2)
