"""python: CassandraDataset against from_generator over cassandra-driver, which is what one writes without it."""

from collections.abc import Sequence

from benchmarks import readers, tables
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, Goal, Result, Sample, alternate
from benchmarks.measure import Measured, Span, median
from benchmarks.worker import Worker

_CONCURRENCY = 128


def python(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.one()
    table = tables.random_rows(bench, server, count=20_000, row_bytes=20_000)
    reading = tables.reading(bench, server, table)
    span = Span(bench.warm_s, bench.measure_s)
    with (
        Worker(readers.tfcass_reader, reading=reading) as ours,
        Worker(readers.driver_reader, reading=reading, concurrency=_CONCURRENCY) as generator,
    ):
        pairs = alternate(
            lambda: ours.call([span])[0],
            lambda: generator.call([span])[0],
            rounds=bench.rounds,
            name="python",
            show=_show,
        )
    notes |= {"server": server.words, "data": table.words}
    detail = {
        "ours CPU us/row": round(median(a.cpu_us_per_row for a, _ in pairs), 1),
        "against CPU us/row": round(median(b.cpu_us_per_row for _, b in pairs), 1),
    }
    return [
        Result(
            name="python",
            ours=f"CassandraDataset, batches of {readers.BATCH}, default options",
            against=f"from_generator over execute_concurrent, {_CONCURRENCY} at a time, yielding whole batches",
            unit="rows/s",
            goal=Goal(8),
            samples=[Sample(a.rows_per_s, b.rows_per_s) for a, b in pairs],
            conditions=notes,
            detail=detail,
            quick=bench.quick,
        )
    ]


def _show(ours: Measured, generator: Measured) -> str:
    return (
        f"tfcass {ours.rows_per_s:,.0f} rows/s; from_generator {generator.rows_per_s:,.0f} rows/s, "
        f"{generator.cpu_us_per_row:.0f} CPU us/row; ratio {ours.rows_per_s / generator.rows_per_s:.1f}"
    )


BENCHMARK = Benchmark("python", python, "20 kB rows : from_generator over cassandra-driver's execute_concurrent")
