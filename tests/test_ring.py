"""The engine's token ring against the server's own account of it: tokens, and who holds which rows."""

import random
import uuid
from bisect import bisect_left

import pytest

import tfcass
from tfcass import _ops

_GREATEST = 2**63 - 1


def extreme_keys() -> list[bytes]:
    """All zeros, all ones, each single bit set and each single bit cleared."""
    bits = [1 << i for i in range(128)]
    full = 2**128 - 1
    return [value.to_bytes(16, "big") for value in [0, full, *bits, *(full ^ bit for bit in bits)]]


@pytest.mark.cassandra
def test_tokens_are_those_of_the_server(cassandra_session, keyspace):
    cassandra_session.execute(f"CREATE TABLE {keyspace}.t (patch_id uuid PRIMARY KEY)")
    rng = random.Random(11)
    keys = extreme_keys() + [rng.randbytes(16) for _ in range(3_000)]
    insert = cassandra_session.prepare(f"INSERT INTO {keyspace}.t (patch_id) VALUES (?)")
    futures = [cassandra_session.execute_async(insert, (uuid.UUID(bytes=key),)) for key in keys]
    for future in futures:
        future.result()

    rows = cassandra_session.execute(f"SELECT patch_id, token(patch_id) AS t FROM {keyspace}.t")
    of_the_server = {row.patch_id.bytes: row.t for row in rows}

    assert {key: _ops.token(key) for key in keys} == of_the_server


class Described:
    """A ring as the op library describes it."""

    def __init__(self, cluster: tfcass.Cluster, keyspace: str) -> None:
        first, *lines = _ops.describe_ring(cluster._canonical(), keyspace).split("\n")
        assert first.startswith("ring: "), first
        self.local_dc = first.removeprefix("ring: ")
        self.starts = [int(line.split()[0]) for line in lines]
        self.ends = [int(line.split()[1]) for line in lines]
        self.owners = [line.split()[2:] for line in lines]

    def owners_of(self, key: bytes) -> list[str]:
        return self.owners[bisect_left(self.ends, _ops.token(key))]


def check_against_the_python_driver(cluster: tfcass.Cluster, session, keyspace: str, replication: str) -> None:
    """1,000 random keys have the owners that the Python driver computes from the schema, in the same order."""
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
    try:
        session.cluster.refresh_keyspace_metadata(keyspace)
        ring = Described(cluster, keyspace)
        rng = random.Random(5)
        for key in extreme_keys() + [rng.randbytes(16) for _ in range(1_000)]:
            replicas = session.cluster.metadata.get_replicas(keyspace, key)
            assert ring.owners_of(key) == [f"{host.address}:{cluster.port}" for host in replicas], key.hex()
        assert ring.starts == [-(2**63), *ring.ends[:-1]] and ring.ends[-1] == _GREATEST
    finally:
        session.execute(f"DROP KEYSPACE {keyspace}")


@pytest.mark.parametrize(
    "replication",
    [
        "{'class': 'SimpleStrategy', 'replication_factor': 1}",
        "{'class': 'SimpleStrategy', 'replication_factor': 3}",
        "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}",
    ],
)
def test_owners_are_those_that_the_python_driver_computes(cassandra, cassandra_session, replication):
    check_against_the_python_driver(cassandra, cassandra_session, f"test_{uuid.uuid4().hex[:12]}", replication)


def test_a_keyspace_without_a_ring_is_told_with_the_reason(cassandra):
    local = _ops.describe_ring(cassandra._canonical(), "system")
    absent = _ops.describe_ring(cassandra._canonical(), "no_such_keyspace")

    assert local == "none: keyspace system: each node has rows of its own in it (LocalStrategy)"
    assert absent == "none: keyspace no_such_keyspace is not in system_schema.keyspaces"
