"""All benchmarks. Those on the same servers follow each other, as only one cluster runs at a time."""

from benchmarks import against_raw, client_cpu, memory, python_driver, scan, slow_node, splits, training, wan
from benchmarks.harness import Benchmark

BENCHMARKS: tuple[Benchmark, ...] = (
    # One plain node.
    against_raw.GROUPED_ONE,
    against_raw.OVERHEAD,
    client_cpu.BENCHMARK,
    against_raw.TIFF,
    against_raw.TINY,
    python_driver.BENCHMARK,
    memory.BENCHMARK,
    scan.BENCHMARK,
    training.BENCHMARK,
    # The same behind a proxy.
    wan.BENCHMARK,
    # Three nodes with password and TLS.
    against_raw.GROUPED_TLS3,
    slow_node.BENCHMARK,
    # No server.
    splits.BENCHMARK,
)
