"""Rows through the op, for the demo's own use: patches as bytes, and how fast they come."""

import time
from typing import TYPE_CHECKING

import attrs
import numpy as np

from tfcass.cluster import Cluster

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH = 64


@attrs.frozen
class ReadSpeed:
    """Of reading patches' bytes in shuffled order, without decoding them: what the database and the op give."""

    rows: int
    seconds: float
    megabytes: float

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds

    @property
    def mb_per_s(self) -> float:
        return self.megabytes / self.seconds


def patch_bytes(keys: np.ndarray, *, table: str, cluster: Cluster) -> list[bytes]:
    """The stored bytes of these patches, in their order.

    Args:
      keys: uint8 [n, 16].
    """
    return [data for row in _patches(keys, table, cluster).as_numpy_iterator() for data in row["data"].tolist()]


def measure_reads(keys: np.ndarray, *, table: str, cluster: Cluster, seed: int, at_least_s: float = 3.0) -> ReadSpeed:
    """Reads the keys in one shuffled order after another, all of them once and on until the time is worth a number.

    The clock starts at the first batch, when the connection stands.
    """
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    rounds = 1 + 50_000 // len(keys)
    shuffled = np.concatenate([rng.permutation(keys) for _ in range(rounds)])
    sizes = iter(_patches(shuffled, table, cluster).map(lambda row: tf.strings.length(row["data"])).as_numpy_iterator())
    next(sizes)
    rows, total_bytes, start, seconds = 0, 0, time.perf_counter(), 0.0
    for batch in sizes:
        rows += len(batch)
        total_bytes += int(batch.sum())
        seconds = time.perf_counter() - start
        if seconds >= at_least_s and rows >= len(keys):
            break
    return ReadSpeed(rows, seconds, total_bytes / 1e6)


def _patches(keys: np.ndarray, table: str, cluster: Cluster) -> "tf.data.Dataset":
    from tfcass.dataset import CassandraDataset

    rows = CassandraDataset(keys, table=table, cluster=cluster, columns=("data",), batch_size=_BATCH)
    return rows.prefetch(2)
