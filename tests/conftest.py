"""Fixtures of all tests: real Cassandra servers.

cassandra           a plain node, one per test run; TFCASS_TEST_CLUSTER=host:port takes a running one instead
dev_cluster         the development cluster behind `cassandra`; a test changes nothing in it but keyspaces of its own
secure_cassandra    a node with password and TLS, one per test run
cassandra_session   an open session on `cassandra`
keyspace            the name of a fresh keyspace on `cassandra`, dropped afterwards

A test that uses one of them gets the marker `cassandra` by itself.
"""

import atexit
import os
import uuid
from collections.abc import Iterator

# Before anything imports TensorFlow: no notes on instruction sets, no search for graphics cards.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

import tfcass
from tests.support import servers
from tests.support.servers import SecureCassandra
from tfcass.devcluster import DevCluster, Settings

_SERVER_FIXTURES = {"cassandra", "dev_cluster", "secure_cassandra"}
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
def cassandra_session(cassandra: tfcass.Cluster):
    with cassandra.session() as session:
        yield session


@pytest.fixture
def keyspace(cassandra_session) -> Iterator[str]:
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
