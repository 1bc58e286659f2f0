"""ingest: WriteToCassandra in a Beam pipeline against execute_concurrent over the same driver, as many processes.

Each side writes the same rows, in processes that stay and that start together: what is measured lies between the first
row that is taken and the last that is acknowledged, so that neither side pays for connecting, nor Beam for its graph.
"""

import itertools
import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import readers
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, BenchmarkError, Goal, Result, Sample, alternate, say
from benchmarks.measure import Measured, cpu_seconds, median
from benchmarks.worker import Worker
from tfcass import schema
from tfcass.devcluster.settings import DATACENTER

if TYPE_CHECKING:
    import tfcass

_PROCESSES = 2
_ROW_BYTES = 20_000
_BLOBS = 64  # Different ones: making a new one for each row would cost more than writing it.
_WAIT_S = 120.0  # For the other process.
_CONCURRENCY = (32, 64, 96, 128)  # With more, the driver itself says that its connection is overloaded.
_KEYSPACE, _TABLE = "bench_ingest", "data_by_uuid"


def ingest(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.one()
    rows = bench.rows(8_000) // _PROCESSES
    schema.create_tables(server.cluster, _KEYSPACE, replication={DATACENTER: 1}, data_table=_TABLE)
    with server.cluster.session() as session:
        session.execute(f"TRUNCATE {_KEYSPACE}.{_TABLE}")
    with ExitStack() as stack:

        def processes(make: Callable[..., Any]) -> list[Worker]:
            settings = {
                "cluster": server.cluster,
                "rows": rows,
                "barrier": multiprocessing.get_context("spawn").Barrier(_PROCESSES),
            }
            return [stack.enter_context(Worker(make, number=number, **settings)) for number in range(_PROCESSES)]

        ours, driver = processes(_beam), processes(_driver)
        rates = {}
        for concurrency in _CONCURRENCY[1:2] if bench.quick else _CONCURRENCY:
            rates[concurrency] = _together(driver, concurrency).rows_per_s
            say(
                f"ingest: execute_concurrent, {concurrency} at a time in each process: {rates[concurrency]:,.0f} rows/s"
            )
        best = max(rates, key=rates.__getitem__)
        pairs = alternate(
            lambda: _together(ours), lambda: _together(driver, best), rounds=bench.rounds, name="ingest", show=_show
        )
    notes |= {
        "server": server.words,
        "data": f"{rows * _PROCESSES:,} rows of {_ROW_BYTES:,} random bytes a side and round, the same keys again",
        "execute_concurrent": "the best of "
        + ", ".join(f"{concurrency} at a time: {rate:,.0f} rows/s" for concurrency, rate in rates.items()),
    }
    return [
        Result(
            name="ingest",
            ours=f"WriteToCassandra, default options, FnApiRunner in {_PROCESSES} processes",
            against=f"execute_concurrent_with_args, {best} at a time in {_PROCESSES} processes",
            unit="rows/s",
            goal=Goal(0.95),
            samples=[Sample(a.rows_per_s, b.rows_per_s) for a, b in pairs],
            conditions=notes,
            detail={
                "ours CPU us/row": round(median(a.cpu_us_per_row for a, _ in pairs), 1),
                "against CPU us/row": round(median(b.cpu_us_per_row for _, b in pairs), 1),
            },
            quick=bench.quick,
        )
    ]


def _together(workers: Sequence[Worker], *args: Any) -> Measured:
    """All processes at once: from the first row of any to the last acknowledgement of any."""
    with ThreadPoolExecutor(len(workers)) as pool:
        spans = [spans[0] for spans in pool.map(lambda worker: worker.call(*args), workers)]
    starts, ends, rows, cpu_s = zip(*spans, strict=True)
    return Measured(sum(rows), max(ends) - min(starts), sum(cpu_s))


_Span = tuple[float, float, int, float]  # Start, end (of the machine's clock), rows, CPU seconds.


def _rows(number: int, count: int) -> Iterator[tuple[uuid.UUID, int, bytes]]:
    """The rows of one process: the same for both sides."""
    rng = np.random.default_rng(number)
    blobs = [rng.bytes(_ROW_BYTES) for _ in range(_BLOBS)]
    ids = (uuid.UUID(bytes=rng.bytes(16), version=4) for _ in range(count))
    return zip(ids, itertools.repeat(1), itertools.cycle(blobs))  # noqa: B905  The shortest ends it.


def _beam(cluster: "tfcass.Cluster", number: int, rows: int, barrier: Any) -> Callable[[], Iterator[_Span]]:
    """Made in a worker: each call runs a pipeline that writes the rows."""
    import apache_beam as beam

    from beam_pipelines.cassandraio import WriteToCassandra
    from beam_pipelines.sessions import SESSIONS

    SESSIONS.acquire(cluster)  # Stays open between the rounds, as a worker's does between bundles.
    columns = ("patch_id", "label", "data")

    def write() -> Iterator[_Span]:
        _Stamps.made = [dict(zip(columns, row, strict=True)) for row in _rows(number, rows)]
        _Stamps.written, _Stamps.barrier = 0, barrier
        with beam.Pipeline(runner="FnApiRunner") as pipeline:
            result = (
                pipeline
                | beam.Create([None])
                | beam.FlatMap(_made)
                | WriteToCassandra(f"{_KEYSPACE}.{_TABLE}", cluster=cluster, columns=columns)
            )
            result.written | beam.Map(_count)
        if _Stamps.written != rows:
            raise BenchmarkError(f"WriteToCassandra wrote {_Stamps.written} of {rows} rows")
        yield (_Stamps.start[0], _Stamps.end[0], rows, _Stamps.end[1] - _Stamps.start[1])

    return write


class _Stamps:
    """Of this process: what the functions below note while a pipeline runs in it."""

    made: Sequence[dict[str, Any]]
    barrier: Any
    written: int
    start: tuple[float, float]
    end: tuple[float, float]


def _made(_: None) -> Iterator[dict[str, Any]]:
    _Stamps.barrier.wait(_WAIT_S)
    _Stamps.start = (time.monotonic(), cpu_seconds())
    yield from _Stamps.made


def _count(_: dict[str, Any]) -> None:
    _Stamps.written += 1
    _Stamps.end = (time.monotonic(), cpu_seconds())


def _driver(cluster: "tfcass.Cluster", number: int, rows: int, barrier: Any) -> Callable[[int], Iterator[_Span]]:
    """Made in a worker: each call writes the rows with the driver's own helper."""
    from cassandra import ConsistencyLevel
    from cassandra.concurrent import execute_concurrent_with_args

    session = readers.until_exit.enter_context(cluster.session())
    insert = session.prepare(f"INSERT INTO {_KEYSPACE}.{_TABLE} (patch_id, label, data) VALUES (?, ?, ?)")
    insert.consistency_level = ConsistencyLevel.LOCAL_QUORUM  # As WriteToCassandra by default.

    def write(concurrency: int) -> Iterator[_Span]:
        made = list(_rows(number, rows))
        barrier.wait(_WAIT_S)
        start, cpu_s = time.monotonic(), cpu_seconds()
        execute_concurrent_with_args(session, insert, made, concurrency=concurrency)
        yield (start, time.monotonic(), rows, cpu_seconds() - cpu_s)

    return write


def _show(ours: Measured, driver: Measured) -> str:
    return (
        f"WriteToCassandra {ours.rows_per_s:,.0f} rows/s, {ours.cpu_us_per_row:.0f} CPU us/row; "
        f"execute_concurrent {driver.rows_per_s:,.0f} rows/s, {driver.cpu_us_per_row:.0f} CPU us/row; "
        f"ratio {ours.rows_per_s / driver.rows_per_s:.2f}"
    )


BENCHMARK = Benchmark("ingest", ingest, "20 kB rows of WriteToCassandra : cassandra-driver's execute_concurrent")
