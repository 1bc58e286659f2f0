"""client_cpu: what a random row costs the training process, against a shuffled TFRecord of the same bytes.

Two results: client_cpu has both sides hand out batches; in client_cpu_records a loop in Python takes TFRecord's records
one by one, whose cost is Python's for the larger part.
"""

from collections.abc import Mapping, Sequence

from benchmarks import readers, tables
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, Goal, Result, Sample, alternate
from benchmarks.measure import Measured, Span, median
from benchmarks.worker import Worker

_ROW_BYTES = 20_000
_SHUFFLE = 4096


def client_cpu(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.one()
    table = tables.random_rows(bench, server, count=20_000, row_bytes=_ROW_BYTES)
    reading = tables.reading(bench, server, table)
    file = bench.scratch / "rows.tfrecord"
    span = Span(bench.warm_s, bench.measure_s)
    file_settings = {"file": file, "records": len(table.keys), "row_bytes": _ROW_BYTES, "shuffle": _SHUFFLE}
    try:
        with (
            Worker(readers.tfcass_reader, reading=reading) as ours,
            Worker(readers.tfrecord_reader, batch_size=readers.BATCH, **file_settings) as batches,
            Worker(readers.tfrecord_reader, batch_size=None, **file_settings) as records,
        ):
            rounds = alternate(
                lambda: ours.call([span])[0],
                lambda: (batches.call([span])[0], records.call([span])[0]),
                rounds=bench.rounds,
                name="client_cpu",
                show=_show,
            )
    finally:
        file.unlink(missing_ok=True)
    notes |= {
        "server": server.words,
        "data": table.words,
        "TFRecord": f"{len(table.keys):,} records of as many bytes in one local file, in the page cache; each is the "
        "bare bytes, and nothing is parsed",
    }
    return [
        _result(bench, "client_cpu", f".batch({readers.BATCH})", [(a, b) for a, (b, _) in rounds], notes),
        _result(bench, "client_cpu_records", ", record by record in Python", [(a, b) for a, (_, b) in rounds], notes),
    ]


def _result(
    bench: Bench, name: str, how: str, pairs: Sequence[tuple[Measured, Measured]], notes: Mapping[str, str]
) -> Result:
    return Result(
        name=name,
        ours=f"CassandraDataset, batches of {readers.BATCH}, default options",
        against=f"TFRecordDataset.shuffle({_SHUFFLE}){how}",
        unit="client CPU us/row",
        goal=Goal(0.6, at_least=False),
        samples=[Sample(a.cpu_us_per_row, b.cpu_us_per_row) for a, b in pairs],
        conditions=notes,
        detail={
            "ours rows/s": round(median(a.rows_per_s for a, _ in pairs)),
            "against rows/s": round(median(b.rows_per_s for _, b in pairs)),
        },
        quick=bench.quick,
    )


def _show(ours: Measured, against: tuple[Measured, Measured]) -> str:
    batches, records = against
    return (
        f"tfcass {ours.cpu_us_per_row:.1f} CPU us/row at {ours.rows_per_s:,.0f} rows/s; TFRecord in batches "
        f"{batches.cpu_us_per_row:.1f} at {batches.rows_per_s:,.0f}, record by record {records.cpu_us_per_row:.1f} "
        f"at {records.rows_per_s:,.0f}"
    )


BENCHMARK = Benchmark("client_cpu", client_cpu, "client CPU per row : TFRecord + shuffle(4096)")
