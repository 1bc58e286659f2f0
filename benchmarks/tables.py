"""Tables of incompressible rows, written once, and the random orders in which both sides of a benchmark read them."""

import dataclasses
import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tfcass
from benchmarks.harness import Bench, BenchmarkError, say
from tfcass import schema
from tfcass.devcluster.settings import DATACENTER
from tfcass.keys import key_text

if TYPE_CHECKING:
    from cassandra.cluster import Session

    from benchmarks.servers import Server

_WRITE_BYTES = 2_000_000  # On the way at a time while writing.
_CHUNK_BYTES = 32_000_000  # Written, and again where it failed, before the next.
_ATTEMPTS = 10


@dataclasses.dataclass(frozen=True)
class Table:
    """A filled table (patch_id uuid PRIMARY KEY, label int, data blob).

    Attributes:
      name: "keyspace.table".
      keys: uint8 [n, 16].
      row_bytes: Mean size of `data`.
      words: What is in it, for people.
    """

    name: str
    keys: np.ndarray
    row_bytes: int
    words: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """What both sides read: a table, in one random order that repeats.

    Attributes:
      keys_file: The keys in that order, 16 bytes each.
      owners_file: For each, a byte: the place in `hosts` of its first replica, as cassandra-driver computes it.
      cluster_file: How the cluster is reached, as text.
    """

    table: Table
    cluster: tfcass.Cluster
    keys_file: Path
    owners_file: Path
    hosts: list[str]
    cluster_file: Path


def random_rows(bench: Bench, server: "Server", *, count: int, row_bytes: int, replicas: int = 1) -> Table:
    """A table of `count` rows (fewer if quick) of random bytes, which no compression makes smaller."""
    count = bench.rows(count)

    def contents() -> Iterator[bytes]:
        rng = np.random.default_rng(row_bytes)
        for _ in range(count):
            yield rng.bytes(row_bytes)

    return filled(
        bench,
        server,
        f"random_{count}x{row_bytes}",
        contents,
        count=count,
        row_bytes=row_bytes,
        words=f"{count:,} rows of {row_bytes:,} random bytes, replication {replicas}",
        replicas=replicas,
    )


METADATA = ("patient_id", "slide_num", "label", "x", "y", "patch_id")
_PER_PARTITION = 1_000


def metadata(bench: Bench, server: "Server", *, count: int) -> Table:
    """The table of a large set of slides, as the tiling pipeline writes it: a partition per class and slide."""
    from cassandra.concurrent import execute_concurrent
    from cassandra.query import BatchStatement, BatchType

    count = bench.rows(count)
    keyspace, name = f"bench_meta_{count}", "metadata_by_nat"
    words = f"metadata_by_nat of {count:,} patches, {_PER_PARTITION:,} a partition, replication 1"
    keys = _keys(count)
    with server.cluster.session() as session:
        if _comment(session, keyspace, name) != words:
            session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
            schema.create_tables(server.cluster, keyspace, replication={DATACENTER: 1})
            session.cluster.refresh_schema_metadata()
            say(f"writing {count:,} rows into {keyspace}.{name}")
            columns = ", ".join(METADATA)
            insert = session.prepare(f"INSERT INTO {keyspace}.{name} ({columns}) VALUES (?, ?, ?, ?, ?, ?)")

            def batches() -> Iterator[tuple[BatchStatement, None]]:
                for start in range(0, count, 100):  # All of one partition.
                    batch = BatchStatement(BatchType.UNLOGGED)
                    partition = start // _PER_PARTITION
                    for i in range(start, min(start + 100, count)):
                        place = (f"patient{partition // 4:05}", partition // 2 % 2, partition % 2, i * 256, 0)
                        batch.add(insert, (*place, uuid.UUID(bytes=keys[i].tobytes())))
                    yield batch, None

            execute_concurrent(session, batches(), concurrency=16)
            if not bench.quick:
                server.nodetool("flush", keyspace, name)
                server.nodetool("compact", keyspace, name)
            session.execute(f"ALTER TABLE {keyspace}.{name} WITH comment = '{words}'")
    return Table(f"{keyspace}.{name}", keys, 50, words)


def filled(
    bench: Bench,
    server: "Server",
    name: str,
    contents: Callable[[], Iterator[bytes]],
    *,
    count: int,
    row_bytes: int,
    words: str,
    replicas: int = 1,
) -> Table:
    """The table of that name, written unless it is there whole: its comment says so once it is.

    Args:
      contents: The blobs, `count` of them and the same each time.
    """
    keyspace = f"bench_rf{replicas}"
    keys = _keys(count)
    with server.cluster.session() as session:
        if _comment(session, keyspace, name) != words:
            _create(session, keyspace, name, replicas)
            _write(session, f"{keyspace}.{name}", keys, contents(), row_bytes)
            if not bench.quick:  # One file of each table per node, so that no round meets another state than the next.
                server.nodetool("flush", keyspace, name)
                server.nodetool("compact", keyspace, name)
            session.execute(f"ALTER TABLE {keyspace}.{name} WITH comment = '{words}'")
    return Table(f"{keyspace}.{name}", keys, row_bytes, words)


def reading(bench: Bench, server: "Server", table: Table, *, rows: int = 500_000) -> Reading:
    """An order of at least `rows` keys: the whole table shuffled, and the same order again and again.

    Long, so that no side sees the end of its input while it is measured. The same order, so that a key never comes
    twice within one request: the raw loop counts on a row for each key it asks for.
    """
    rng = np.random.default_rng(7)
    positions = np.tile(rng.permutation(len(table.keys)), -(-rows // len(table.keys)))
    hosts = server.hosts
    owners = _owners(server, table, hosts)
    made = Reading(
        table=table,
        cluster=server.cluster,
        keys_file=bench.scratch / "keys",
        owners_file=bench.scratch / "owners",
        hosts=hosts,
        cluster_file=bench.scratch / "cluster",
    )
    table.keys[positions].tofile(made.keys_file)
    owners[positions].tofile(made.owners_file)
    made.cluster_file.write_text(server.cluster._canonical())
    return made


def load_keys(file: Path) -> np.ndarray:
    """uint8 [n, 16]."""
    return np.fromfile(file, np.uint8).reshape(-1, 16)


def _keys(count: int) -> np.ndarray:
    rng = random.Random(count)
    return tfcass.keys([uuid.UUID(int=rng.getrandbits(128), version=4) for _ in range(count)])


def _comment(session: "Session", keyspace: str, name: str) -> str | None:
    query = "SELECT comment FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
    row = session.execute(query, (keyspace, name)).one()
    return None if row is None else row.comment


def _create(session: "Session", keyspace: str, name: str, replicas: int) -> None:
    replication = f"{{'class': 'NetworkTopologyStrategy', '{DATACENTER}': {replicas}}}"
    session.execute(f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}")
    session.execute(f"DROP TABLE IF EXISTS {keyspace}.{name}")
    session.execute(f"CREATE TABLE {keyspace}.{name} (patch_id uuid PRIMARY KEY, label int, data blob)")


def _write(session: "Session", table: str, keys: np.ndarray, blobs: Iterator[bytes], row_bytes: int) -> None:
    from cassandra.concurrent import execute_concurrent_with_args

    say(f"writing {len(keys):,} rows into {table}")
    started = time.monotonic()
    insert = session.prepare(f"INSERT INTO {table} (patch_id, label, data) VALUES (?, ?, ?)")
    rows = zip(map(uuid.UUID, map(key_text, keys)), itertools.cycle(range(10)), blobs, strict=False)
    concurrency = max(2, min(128, _WRITE_BYTES // row_bytes))
    while chunk := list(itertools.islice(rows, max(1, _CHUNK_BYTES // row_bytes))):
        for attempt in range(1, _ATTEMPTS + 1):  # Large rows fill the driver's own buffers, which it tells as an error.
            done = execute_concurrent_with_args(session, insert, chunk, concurrency, raise_on_first_error=False)
            errors = [result for written, result in done if not written]
            chunk = [row for row, (written, _) in zip(chunk, done, strict=True) if not written]
            if not chunk:
                break
            if attempt == _ATTEMPTS:
                raise BenchmarkError(f"{len(chunk)} rows cannot be written into {table}: {errors[0]}")
            time.sleep(0.2 * attempt)
    say(f"written in {time.monotonic() - started:.0f} s")


def _owners(server: "Server", table: Table, hosts: list[str]) -> np.ndarray:
    """uint8 [n]: the place in `hosts` of each key's first replica."""
    keyspace = table.name.partition(".")[0]
    with server.cluster.session() as session:
        metadata = session.cluster.metadata
        first = [metadata.get_replicas(keyspace, key.tobytes())[0].endpoint.address for key in table.keys]
    if len(hosts) == 1:  # Perhaps known by a proxy's address.
        return np.zeros(len(table.keys), np.uint8)
    return np.array([hosts.index(address) for address in first], np.uint8)
