"""wan: rows/s over a round trip of 100 ms, against none, through the same proxy and with no option changed."""

import functools
from collections.abc import Sequence

from benchmarks import native, readers, tables
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, Goal, Result, Sample, alternate
from benchmarks.measure import Measured, Span, median
from benchmarks.native import DelayProxy
from benchmarks.servers import ADVERTISED
from benchmarks.worker import Worker

_ROUND_TRIP_MS = 100.0
_SECONDS = 4  # "After the first seconds": shown one by one, then the span that counts.


def wan(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.proxied()
    port = server.cluster.port
    ceiling = {ms: native.proxy_ceiling_mb_per_s(ms, seconds=bench.measure_s) for ms in (0, _ROUND_TRIP_MS)}
    with native.proxy(listen=f"{ADVERTISED}:{port}", server=f"{server.hosts[0]}:{port}") as proxy:
        table = tables.random_rows(bench, server, count=20_000, row_bytes=20_000)
        reading = tables.reading(bench, server, table)
        with Worker(readers.tfcass_reader, reading=reading) as worker:
            pairs = alternate(
                functools.partial(_measure, bench, proxy, worker, _ROUND_TRIP_MS),
                functools.partial(_measure, bench, proxy, worker, 0),
                rounds=bench.rounds,
                name="wan",
                show=_show,
                warm_up=False,  # Each sample brings its own first seconds.
            )
    notes |= {
        "server": server.words,
        "data": table.words,
        "proxy": f"delay_proxy.cc by itself: {ceiling[0]:,.0f} MB/s without delay, {ceiling[_ROUND_TRIP_MS]:,.0f} MB/s "
        f"at {_ROUND_TRIP_MS:g} ms, one connection",
        "measured span": f"{bench.measure_s:g} s, after the first {_warm_seconds(bench)} s of a fresh iterator",
    }
    by_second = [median(far[i].rows_per_s for far, _ in pairs) for i in range(_warm_seconds(bench))]
    detail = {
        "rows/s in each of the first seconds at 100 ms": [round(rate) for rate in by_second],
        "proxy ceiling MB/s at 0 ms": ceiling[0],
        "proxy ceiling MB/s at 100 ms": ceiling[_ROUND_TRIP_MS],
        "MB/s through the proxy at 0 ms": round(median(b[-1].rows_per_s for _, b in pairs) * table.row_bytes / 1e6, 1),
    }
    return [
        Result(
            name="wan",
            ours=f"CassandraDataset, batches of {readers.BATCH}, default options, round trip {_ROUND_TRIP_MS:g} ms",
            against="the same through the same proxy at 0 ms",
            unit="rows/s",
            goal=Goal(0.9),
            samples=[Sample(far[-1].rows_per_s, near[-1].rows_per_s) for far, near in pairs],
            conditions=notes,
            detail=detail,
            quick=bench.quick,
        )
    ]


def _measure(bench: Bench, proxy: DelayProxy, worker: Worker, round_trip_ms: float) -> list[Measured]:
    """The first seconds of an iterator one by one, then the span that counts."""
    proxy.set_round_trip(round_trip_ms)
    firsts = [Span(0, 1.0) for _ in range(_warm_seconds(bench))]
    return worker.call([*firsts, Span(0, bench.measure_s)])


def _warm_seconds(bench: Bench) -> int:
    return 1 if bench.quick else _SECONDS


def _show(far: list[Measured], near: list[Measured]) -> str:
    firsts = ", ".join(f"{span.rows_per_s:,.0f}" for span in far[:-1])
    return (
        f"100 ms: {firsts}, then {far[-1].rows_per_s:,.0f} rows/s; 0 ms: {near[-1].rows_per_s:,.0f} rows/s; "
        f"ratio {far[-1].rows_per_s / near[-1].rows_per_s:.2f}"
    )


BENCHMARK = Benchmark("wan", wan, "rows/s at a round trip of 100 ms : at 0 ms")
