"""memory: how far a process grows while rows of 1 MB are read ahead, against max_buffered_bytes."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import readers, tables
from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, Goal, Result, Sample, say
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from benchmarks.tables import Reading

_ROW_BYTES = 1_000_000
_BUFFERED = 128 * 2**20
_BATCH = 4
_STILL_S = 1.0  # So long without growing: full.
_FILL_S = 20.0  # At most.


def memory(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.one()
    table = tables.random_rows(bench, server, count=500, row_bytes=_ROW_BYTES)
    reading = tables.reading(bench, server, table, rows=20_000)
    samples = []
    for number in range(1, bench.rounds + 1):
        with Worker(_growth, reading=reading) as worker:  # Each in a fresh process: freed memory is not given back.
            (grown,) = worker.call(bench.measure_s)
        samples.append(Sample(grown / 2**20, _BUFFERED / 2**20))
        say(
            f"memory: round {number} of {bench.rounds}: grown by {grown / 2**20:.0f} MiB, {samples[-1].ratio:.2f} of it"
        )
    notes |= {
        "server": server.words,
        "data": table.words,
        "a round": f"a fresh process reads one small dataset first, so that libraries and the session are there; then "
        f"it takes a batch of {_BATCH}, waits until it grows no more, as reading ahead has filled what it may, and "
        "reads on as fast as it can; growth is the peak of its resident memory over what it was before, the "
        "consumer's batch included",
    }
    return [
        Result(
            name="memory",
            ours=f"growth of resident memory, CassandraDataset, batches of {_BATCH}, rows of 1 MB",
            against=f"max_buffered_bytes={_BUFFERED // 2**20} MiB",
            unit="MiB",
            goal=Goal(1.5, at_least=False),
            samples=samples,
            conditions=notes,
            quick=bench.quick,
        )
    ]


def _growth(reading: "Reading") -> Callable[[float, float], Iterator[int]]:
    """Made in a worker: yields bytes grown by, once."""
    readers.tensorflow()
    import tfcass

    def dataset(rows: int) -> "tfcass.CassandraDataset":
        return tfcass.CassandraDataset(
            tables.load_keys(reading.keys_file)[:rows],
            table=reading.table.name,
            cluster=reading.cluster,
            batch_size=_BATCH,
            options=tfcass.FetchOptions(max_buffered_bytes=_BUFFERED),
        )

    def answer(read_s: float) -> Iterator[int]:
        for _ in dataset(_BATCH):
            pass
        ahead = iter(dataset(20_000))
        Path("/proc/self/clear_refs").write_text("5")  # The peak starts anew, from what is resident now.
        before = _status_bytes("VmRSS")
        next(ahead)
        _wait_until_it_grows_no_more()
        end = time.monotonic() + read_s
        while time.monotonic() < end:
            next(ahead)
        yield _status_bytes("VmHWM") - before

    return answer


def _wait_until_it_grows_no_more() -> None:
    deadline = time.monotonic() + _FILL_S
    size, since = _status_bytes("VmRSS"), time.monotonic()
    while time.monotonic() < min(since + _STILL_S, deadline):
        time.sleep(0.05)
        if (now := _status_bytes("VmRSS")) > size:
            size, since = now, time.monotonic()


def _status_bytes(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)) * 1024


BENCHMARK = Benchmark("memory", memory, "growth of resident memory at 1 MB rows : max_buffered_bytes")
