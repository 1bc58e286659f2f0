"""rf3_slow_node: rows/s when one of three replicas hangs, against all healthy.

SIGSTOP: it neither answers nor hangs up.
"""

import os
import signal
import time
from collections.abc import Sequence

from benchmarks import readers, tables
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, BenchmarkError, Goal, Result, Sample, say
from benchmarks.measure import Measured, Span, median
from benchmarks.servers import Server
from benchmarks.tables import Reading
from benchmarks.worker import Worker

_NODE = 3  # Not the contact point that answers first.
_SETTLE_S = 6.0  # After the stop, until the state is steady.
_RECOVER_S = 6.0  # After it goes on, until the other nodes and a new client find it well.


def rf3_slow_node(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.three()
    table = tables.random_rows(bench, server, count=6_000, row_bytes=20_000, replicas=3)
    reading = tables.reading(bench, server, table)
    pairs = []
    for number in range(1, bench.rounds + 1):
        healthy, stopped = _round(bench, server, reading)
        pairs.append((stopped, healthy))
        say(
            f"rf3_slow_node: round {number} of {bench.rounds}: healthy {healthy.rows_per_s:,.0f} rows/s; one stopped "
            f"{stopped.rows_per_s:,.0f} rows/s; ratio {stopped.rows_per_s / healthy.rows_per_s:.2f}"
        )
    notes |= {
        "server": server.words,
        "data": table.words,
        "a round": f"one iterator in a fresh process: warm-up, {bench.measure_s:g} s healthy, SIGSTOP, "
        f"{_settle_s(bench):g} s to settle, {bench.measure_s:g} s that count; an error fails the benchmark",
    }
    detail = {"CPU us/row healthy": round(median(b.cpu_us_per_row for _, b in pairs), 1)}
    return [
        Result(
            name="rf3_slow_node",
            ours=f"CassandraDataset, batches of {readers.BATCH}, default options, one of three replicas hangs",
            against="the same, all healthy",
            unit="rows/s",
            goal=Goal(0.5),
            samples=[Sample(a.rows_per_s, b.rows_per_s) for a, b in pairs],
            conditions=notes,
            detail=detail,
            quick=bench.quick,
        )
    ]


def _round(bench: Bench, server: Server, reading: Reading) -> tuple[Measured, Measured]:
    """Healthy, then stopped: this order only, as a driver's view of a node that came back takes its time.

    A process of its own for the same reason: its session starts with all nodes well.
    """
    spans = [Span(bench.warm_s, bench.measure_s), Span(_settle_s(bench), bench.measure_s)]
    pid = server.pid(_NODE)
    with Worker(readers.tfcass_reader, reading=reading) as worker:
        measured = []
        try:
            for span in worker.stream(spans):
                measured.append(span)
                if len(measured) == 1:
                    os.kill(pid, signal.SIGSTOP)
        finally:
            os.kill(pid, signal.SIGCONT)
    _wait_until_well(server)
    return measured[0], measured[1]


def _wait_until_well(server: Server) -> None:
    """Until every node answers and says that all are up."""
    deadline = time.monotonic() + 60
    while not all(server.dev.node(number).answers() for number in (1, 2, 3)):
        if time.monotonic() > deadline:
            raise BenchmarkError("a node that was stopped for some seconds does not answer again within 60 s")
        time.sleep(0.2)
    time.sleep(_RECOVER_S)


def _settle_s(bench: Bench) -> float:
    return 2.0 if bench.quick else _SETTLE_S


BENCHMARK = Benchmark("rf3_slow_node", rf3_slow_node, "rows/s with one of three replicas stopped : all healthy")
