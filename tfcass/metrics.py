"""Counters of the fetch engine, to see whether the cluster is what a training job waits for."""

import json

from tfcass import _ops


def metrics() -> dict:
    """Counters of this process since its start, over all tables and iterators.

    Returns:
      rows, bytes: Received, and the bytes of their cells.
      requests, retries: Sent in all, and sent again.
      missing, errors: Keys without a row, and keys given up.
      consumer_wait_us: Microseconds that iterators waited for replies. Near 0: the cluster is no bottleneck.
      latency_us: Of requests, {"p50", "p90", "p99", "buckets": [[upper bound, count], ...]}.
      All are totals: take the difference of two calls to measure a span.
    Raises:
      OpLibraryError: The op library is absent, or was built for another TensorFlow.
    """
    return json.loads(_ops.metrics_json())
