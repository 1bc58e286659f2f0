"""The engine's token ring against the server's own account of it: tokens, and who holds which rows.

tests/test_devcluster.py looks at a ring of three nodes.
"""

import random
import uuid

import pytest

from tests.support import rings
from tfcass import _ops


@pytest.mark.cassandra
def test_tokens_are_those_of_the_server(cassandra_session, keyspace):
    cassandra_session.execute(f"CREATE TABLE {keyspace}.t (patch_id uuid PRIMARY KEY)")
    rng = random.Random(11)
    keys = rings.extreme_keys() + [rng.randbytes(16) for _ in range(3_000)]
    insert = cassandra_session.prepare(f"INSERT INTO {keyspace}.t (patch_id) VALUES (?)")
    futures = [cassandra_session.execute_async(insert, (uuid.UUID(bytes=key),)) for key in keys]
    for future in futures:
        future.result()

    rows = cassandra_session.execute(f"SELECT patch_id, token(patch_id) AS t FROM {keyspace}.t")
    of_the_server = {row.patch_id.bytes: row.t for row in rows}

    assert {key: _ops.token(key) for key in keys} == of_the_server


@pytest.mark.parametrize(
    "replication",
    [
        "{'class': 'SimpleStrategy', 'replication_factor': 1}",
        "{'class': 'SimpleStrategy', 'replication_factor': 3}",
        "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}",
    ],
)
def test_owners_are_those_that_the_python_driver_computes(cassandra, cassandra_session, replication):
    rings.check(cassandra, cassandra_session, replication)


def test_a_keyspace_without_a_ring_is_told_with_the_reason(cassandra):
    local = _ops.describe_ring(cassandra._canonical(), "system")
    absent = _ops.describe_ring(cassandra._canonical(), "no_such_keyspace")

    assert local == "none: keyspace system: each node has rows of its own in it (LocalStrategy)"
    assert absent == "none: keyspace no_such_keyspace is not in system_schema.keyspaces"
