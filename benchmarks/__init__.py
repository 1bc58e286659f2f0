"""Benchmarks: tfcass against raw loops over the driver, and against what people use instead. `make bench`.

__main__.py      the command: which benchmarks, how many rounds
registry.py      all benchmarks by name, in the order that starts the fewest servers      start here
harness.py       rounds in which the sides alternate; ratios, goals, JSON
measure.py       rows/s and CPU of one process over spans of time
worker.py        a side in a process of its own
readers.py       what runs in there: tfcass, TFRecord, cassandra-driver
servers.py       real Cassandra clusters, one at a time             tables.py   rows of random bytes, and orders of keys
native.py        the two programs in C++: raw_loop.cc, delay_proxy.cc
report.py        the table at the end; `python -m benchmarks.report`: plot and numbers for docs/performance.md
conditions.py    machine and versions in words

against_raw.py   grouped_tls3, grouped_one, overhead, tiff, tiny
splits.py        how fast rows are split, and how memory grows
client_cpu.py, python_driver.py, wan.py, slow_node.py, memory.py, scan.py, training.py: one benchmark each
"""
