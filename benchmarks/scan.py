"""scan: every row of a table once, tfcass.scan against paging with cassandra-driver."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from benchmarks import readers, tables
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, BenchmarkError, Goal, NotAvailable, Result, Sample, alternate, say
from benchmarks.measure import Measured, cpu_seconds, median
from benchmarks.worker import Worker

if TYPE_CHECKING:
    import tfcass
    from benchmarks.servers import Server

_BATCH = 1_000
_DATA_COLUMNS = ("patch_id", "label", "data")


def scan(bench: Bench) -> Sequence[Result]:
    import tfcass

    if not callable(getattr(tfcass, "scan", None)):
        raise NotAvailable("tfcass.scan is not in this version")
    server = bench.servers.one()
    metadata = tables.metadata(bench, server, count=200_000)
    blobs = tables.random_rows(bench, server, count=20_000, row_bytes=20_000)
    return [
        _compare(bench, server, "scan", metadata, tables.METADATA, pages=(1_000, 5_000, 20_000)),
        _compare(bench, server, "scan_blobs", blobs, _DATA_COLUMNS, pages=(100, 500, 2_000)),
    ]


def _compare(
    bench: Bench, server: "Server", name: str, table: tables.Table, columns: Sequence[str], *, pages: Sequence[int]
) -> Result:
    """Rounds of scans of the whole table; the paging loop has the best of `pages`, rows a page."""
    notes = conditions()
    settings = {"table": table.name, "cluster": server.cluster, "columns": columns}

    def checked(measured: Measured, side: str) -> Measured:
        if measured.rows != len(table.keys):
            raise BenchmarkError(f"{side} gave {measured.rows} rows, and {table.name} has {len(table.keys)}")
        return measured

    with Worker(_tfcass_scan, **settings) as ours, Worker(_paging, **settings) as paging:
        rates = {}
        for page in pages[:1] if bench.quick else pages:
            rates[page] = paging.call(page)[0].rows_per_s
            say(f"{name}: paging, {page} rows a page: {rates[page]:,.0f} rows/s")
        best = max(rates, key=rates.__getitem__)
        pairs = alternate(
            lambda: checked(ours.call()[0], "tfcass.scan"),
            lambda: checked(paging.call(best)[0], "the paging loop"),
            rounds=bench.rounds,
            name=name,
            show=_show,
        )
    notes |= {
        "server": server.words,
        "data": table.words,
        "columns": ", ".join(columns),
        "paging": f"{best:,} rows a page, the best of "
        + ", ".join(f"{page:,}: {rate:,.0f} rows/s" for page, rate in rates.items()),
    }
    detail = {
        "ours CPU us/row": round(median(a.cpu_us_per_row for a, _ in pairs), 1),
        "against CPU us/row": round(median(b.cpu_us_per_row for _, b in pairs), 1),
    }
    return Result(
        name=name,
        ours=f"tfcass.scan of the whole table, batches of {_BATCH:,}",
        against="cassandra-driver paging SELECT of the same columns, rows as tuples",
        unit="rows/s",
        goal=Goal(5),
        samples=[Sample(a.rows_per_s, b.rows_per_s) for a, b in pairs],
        conditions=notes,
        detail=detail,
        quick=bench.quick,
    )


def _tfcass_scan(table: str, cluster: "tfcass.Cluster", columns: Sequence[str]) -> "_Pass":
    """Made in a worker: each call scans the table once, in batches."""
    tf = readers.tensorflow()
    import tfcass

    def scanned() -> Iterator[int]:
        for batch in tfcass.scan(table, columns=columns, cluster=cluster, batch_size=_BATCH):
            yield int(tf.nest.flatten(batch)[0].shape[0])

    return lambda: _whole(scanned())


def _paging(table: str, cluster: "tfcass.Cluster", columns: Sequence[str]) -> "_Pass":
    """Made in a worker: each call reads the table once, page after page, rows as tuples."""
    from cassandra.cluster import EXEC_PROFILE_DEFAULT
    from cassandra.query import SimpleStatement, tuple_factory

    session = readers.until_exit.enter_context(cluster.session())
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)

    def pages(page_rows: int) -> Iterator[int]:
        select = SimpleStatement(f"SELECT {', '.join(columns)} FROM {table}", fetch_size=page_rows)
        for _ in session.execute(select, execution_profile=profile):
            yield 1

    return lambda page_rows: _whole(pages(page_rows))


_Pass = Callable[..., Iterator[Measured]]


def _whole(arrivals: Iterator[int]) -> Iterator[Measured]:
    """Measures all of it, from the request for the first row."""
    start, cpu_s = time.monotonic(), cpu_seconds()
    rows = sum(arrivals)
    yield Measured(rows, time.monotonic() - start, cpu_seconds() - cpu_s)


def _show(ours: Measured, paging: Measured) -> str:
    return (
        f"tfcass.scan {ours.rows_per_s:,.0f} rows/s; paging {paging.rows_per_s:,.0f} rows/s; "
        f"ratio {ours.rows_per_s / paging.rows_per_s:.1f}"
    )


BENCHMARK = Benchmark("scan", scan, "every row once : paging with cassandra-driver")
