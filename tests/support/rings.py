"""The engine's token ring beside the Python driver's."""

import random
import uuid
from bisect import bisect_left
from typing import Any

import tfcass
from tfcass import _ops

_LEAST, _GREATEST = -(2**63), 2**63 - 1


def extreme_keys() -> list[bytes]:
    """All zeros, all ones, each single bit set and each single bit cleared."""
    bits = [1 << i for i in range(128)]
    full = 2**128 - 1
    return [value.to_bytes(16, "big") for value in [0, full, *bits, *(full ^ bit for bit in bits)]]


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


def check(cluster: tfcass.Cluster, session: Any, replication: str) -> None:
    """A keyspace's keys have the owners that the Python driver computes from the schema, in the same order."""
    keyspace = f"test_{uuid.uuid4().hex[:12]}"
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
    try:
        session.cluster.refresh_keyspace_metadata(keyspace)
        ring = Described(cluster, keyspace)
        rng = random.Random(5)
        for key in extreme_keys() + [rng.randbytes(16) for _ in range(1_000)]:
            replicas = session.cluster.metadata.get_replicas(keyspace, key)
            assert ring.owners_of(key) == [f"{host.address}:{cluster.port}" for host in replicas], key.hex()
        assert ring.starts == [_LEAST, *ring.ends[:-1]] and ring.ends[-1] == _GREATEST
    finally:
        session.execute(f"DROP KEYSPACE {keyspace}")
