"""CassandraDataset against loops over the driver's functions alone, at their best settings: raw_loop.cc."""

import statistics
from collections.abc import Callable, Sequence

from benchmarks import native, readers, tables
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, Goal, Result, Sample, alternate, say
from benchmarks.measure import Measured, Span
from benchmarks.native import Loop, Shape
from benchmarks.servers import Server
from benchmarks.tables import Reading
from benchmarks.worker import Worker

_OURS = "CassandraDataset, batches of 256, default options"
_SINGLE = "raw loop, one key a request, routed by token"
_GROUPED = "raw loop, keys grouped by owner and pinned to it"

_SINGLE_SHAPES = [Shape(window) for window in (64, 128, 256, 512, 1024)]
_SINGLE_SHAPES_OF_LARGE_ROWS = [Shape(window) for window in (16, 32, 64, 128, 256)]
_GROUPED_SHAPES = [
    Shape(window, group)
    for group, windows in ((8, (16, 32)), (16, (8, 16, 32)), (32, (4, 8, 16)), (64, (4, 8)))
    for window in windows
]

Pairs = list[tuple[Measured, Loop]]


def grouped_tls3(bench: Bench) -> Sequence[Result]:
    pairs, notes = _compare(bench, bench.servers.three(), "grouped_tls3", 20_000, 20_000, _SINGLE_SHAPES)
    return [_rate(bench, "grouped_tls3", _SINGLE, Goal(2.5), pairs, notes)]


def grouped_one(bench: Bench) -> Sequence[Result]:
    pairs, notes = _compare(bench, bench.servers.one(), "grouped_one", 20_000, 20_000, _SINGLE_SHAPES)
    rate = _rate(bench, "grouped_one", _SINGLE, Goal(1.4), pairs, notes)
    cpu = Result(
        name="grouped_one_cpu",
        ours=_OURS,
        against=_SINGLE,
        unit="client CPU us/row",
        goal=Goal(0.55, at_least=False),
        samples=[Sample(ours.cpu_us_per_row, loop.cpu_us_per_row) for ours, loop in pairs],
        conditions=rate.conditions,
        detail=rate.detail,
        quick=bench.quick,
    )
    return [rate, cpu]


def overhead(bench: Bench) -> Sequence[Result]:
    pairs, notes = _compare(bench, bench.servers.one(), "overhead", 20_000, 20_000, _GROUPED_SHAPES)
    return [_rate(bench, "overhead", _GROUPED, Goal(0.9), pairs, notes)]


def tiff(bench: Bench) -> Sequence[Result]:
    pairs, notes = _compare(bench, bench.servers.one(), "tiff", 3_000, 150_000, _SINGLE_SHAPES_OF_LARGE_ROWS)
    return [_rate(bench, "tiff", _SINGLE, Goal(1.3), pairs, notes)]


def tiny(bench: Bench) -> Sequence[Result]:
    pairs, notes = _compare(bench, bench.servers.one(), "tiny", 40_000, 1_000, _SINGLE_SHAPES)
    return [_rate(bench, "tiny", _SINGLE, Goal(3.0), pairs, notes)]


def _compare(
    bench: Bench, server: Server, name: str, count: int, row_bytes: int, shapes: Sequence[Shape]
) -> tuple[Pairs, dict[str, str]]:
    """Rounds of CassandraDataset and the raw loop at the best of `shapes`, and the conditions."""
    notes = conditions()
    table = tables.random_rows(bench, server, count=count, row_bytes=row_bytes)
    reading = tables.reading(bench, server, table, rows=2_000_000 if row_bytes < 5_000 else 500_000)
    with Worker(readers.tfcass_reader, reading=reading) as worker:

        def ours() -> Measured:
            (measured,) = worker.call([Span(bench.warm_s, bench.measure_s)])
            return measured

        ours()  # Before the sweep, so that it meets a server as warm as the rounds do.
        shape, rates = best_shape(bench, reading, shapes)
        pairs = alternate(
            ours,
            lambda: native.raw_loop(reading, shape, warm_s=bench.warm_s, measure_s=bench.measure_s),
            rounds=bench.rounds,
            name=name,
            show=_show,
        )
    notes |= {
        "server": server.words,
        "data": table.words,
        "raw loop": f"{shape}, the best of " + ", ".join(f"{s}: {rate:,.0f} rows/s" for s, rate in rates.items()),
    }
    return pairs, notes


def best_shape(bench: Bench, reading: Reading, shapes: Sequence[Shape]) -> tuple[Shape, dict[Shape, float]]:
    """The shape at which the raw loop reads fastest, and the rates that showed it."""
    rates = {}
    for shape in shapes[:2] if bench.quick else shapes:
        loop = native.raw_loop(reading, shape, warm_s=bench.warm_s / 2, measure_s=bench.measure_s / 2)
        rates[shape] = loop.rows_per_s
        say(f"raw loop, {shape}: {loop.rows_per_s:,.0f} rows/s")
    return max(rates, key=rates.__getitem__), rates


def _rate(bench: Bench, name: str, against: str, goal: Goal, pairs: Pairs, notes: dict[str, str]) -> Result:
    def middle(of: Callable[[tuple[Measured, Loop]], float]) -> float:
        return round(statistics.median(of(pair) for pair in pairs), 2)

    detail = {
        "ours rows/s": middle(lambda pair: pair[0].rows_per_s),
        "ours CPU us/row": middle(lambda pair: pair[0].cpu_us_per_row),
        "against rows/s": middle(lambda pair: pair[1].rows_per_s),
        "against CPU us/row": middle(lambda pair: pair[1].cpu_us_per_row),
        "against MB/s": middle(lambda pair: pair[1].bytes / pair[1].seconds / 1e6),
        "against p50 ms a request": middle(lambda pair: pair[1].p50_ms),
        "against p99 ms a request": middle(lambda pair: pair[1].p99_ms),
    }
    samples = [Sample(ours.rows_per_s, loop.rows_per_s) for ours, loop in pairs]
    return Result(name, _OURS, against, "rows/s", goal, samples, notes, detail, bench.quick)


def _show(ours: Measured, loop: Loop) -> str:
    return (
        f"tfcass {ours.rows_per_s:,.0f} rows/s, {ours.cpu_us_per_row:.1f} CPU us/row; "
        f"raw loop {loop.rows_per_s:,.0f} rows/s, {loop.cpu_us_per_row:.1f} CPU us/row; "
        f"ratio {ours.rows_per_s / loop.rows_per_s:.2f}"
    )


GROUPED_TLS3 = Benchmark("grouped_tls3", grouped_tls3, "20 kB rows, three TLS nodes : raw single-key loop")
GROUPED_ONE = Benchmark("grouped_one", grouped_one, "20 kB rows, one plain node : raw single-key loop; rate and CPU")
OVERHEAD = Benchmark("overhead", overhead, "20 kB rows, one plain node : raw owner-grouped loop")
TIFF = Benchmark("tiff", tiff, "150 kB rows : raw single-key loop")
TINY = Benchmark("tiny", tiny, "1 kB rows : raw single-key loop")
