"""A table of patches with known content, for tests that fetch from it."""

import dataclasses
import random
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

import tfcass
from tfcass import dataset as dataset_module


@dataclasses.dataclass(frozen=True)
class Patches:
    """A filled table (patch_id uuid PRIMARY KEY, label int, data blob).

    Attributes:
      cluster, table: Where it is.
      keys: uint8 [n, 16], in the order of `labels` and `data`.
    """

    cluster: tfcass.Cluster
    keyspace: str
    table: str
    keys: np.ndarray
    labels: list[int]
    data: list[bytes]

    def dataset(self, rows: slice | list[int] = slice(None), **settings: Any) -> "tfcass.CassandraDataset":
        return tfcass.CassandraDataset(self.keys[rows], table=self.table, cluster=self.cluster, **settings)

    def through(
        self,
        cluster: tfcass.Cluster,
        rows: slice | list[int] = slice(None),
        *,
        columns: Sequence[str] = ("label", "data"),
        batch_size: int | None = None,
        **options: Any,
    ) -> tf.data.Dataset:
        """A dataset whose op connects as `cluster` says; the schema comes from the server itself."""
        plan = dataset_module._plan(self.table, self.cluster, columns, tfcass.FetchOptions(**options))
        plan = dataclasses.replace(plan, cluster=cluster)
        return dataset_module._FetchDataset(dataset_module._key_elements(self.keys[rows], batch_size), plan)

    def fetch(self, **settings: Any):
        return tfcass.fetch(self.table, cluster=self.cluster, **settings)


@contextmanager
def keyspace(session: Any, replicas: int = 1) -> Iterator[str]:
    """A keyspace of its own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    replication = f"{{'class': 'SimpleStrategy', 'replication_factor': {replicas}}}"
    session.execute(f"CREATE KEYSPACE {name} WITH replication = {replication}")
    try:
        yield name
    finally:
        session.execute(f"DROP KEYSPACE {name}")


@contextmanager
def patches(cluster: tfcass.Cluster, session: Any, count: int, *, replicas: int = 1) -> Iterator[Patches]:
    """`count` rows whose label is their number, and whose data is of varying size, from 0 bytes."""
    rng = random.Random(7)
    ids = [uuid.UUID(int=rng.getrandbits(128), version=4) for _ in range(count)]
    data = [rng.randbytes(i % 97) for i in range(count)]
    with keyspace(session, replicas) as name:
        table = f"{name}.data_by_uuid"
        session.execute(f"CREATE TABLE {table} (patch_id uuid PRIMARY KEY, label int, data blob)")
        insert = f"INSERT INTO {table} (patch_id, label, data) VALUES (?, ?, ?)"
        write(session, insert, list(zip(ids, range(count), data, strict=True)))
        yield Patches(cluster, name, table, tfcass.keys(ids), list(range(count)), data)


def write(session: Any, insert: str, rows: list[tuple]) -> None:
    from cassandra.concurrent import execute_concurrent_with_args

    execute_concurrent_with_args(session, session.prepare(insert), rows, concurrency=64)


def labels(dataset: Any) -> list[int]:
    """The labels of all rows in the order delivered, batched or not."""
    return [int(label) for element in dataset for label in np.ravel(element["label"].numpy())]
