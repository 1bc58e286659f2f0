"""`python -m benchmarks [names]`: measures, writes benchmarks/out/<name>.json, and shows a table."""

import argparse
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.harness import OUT, ROUNDS, Bench, Benchmark, BenchmarkError, NotAvailable, Result, say
from benchmarks.registry import BENCHMARKS
from benchmarks.servers import Servers
from tfcass.errors import TfcassError


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all were measured, whether or not they reached their goals; 1: one failed; 2: wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = [benchmark.name for benchmark in BENCHMARKS]
    for name in options.names:
        if name not in names:
            parser.error(f"there is no benchmark {name!r} (there are: {', '.join(names)})")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: must be at least 1")
    if options.list:
        for benchmark in BENCHMARKS:
            print(f"{benchmark.name:<15} {benchmark.what}")
        return 0
    servers = Servers(OUT / "clusters")
    if options.wipe:
        servers.wipe()
        return 0
    out = OUT / "quick" if options.quick else OUT
    scratch = OUT / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    rounds = options.rounds or (2 if options.quick else ROUNDS)
    bench = Bench(servers=servers, rounds=rounds, quick=options.quick, scratch=scratch, large=options.large)
    try:
        results, failed = _run(bench, _chosen(options.names), out)
    finally:
        servers.close()
        shutil.rmtree(scratch, ignore_errors=True)
    if results:
        print(report.table(results))
    for name, why in failed.items():
        print(f"{name} was not measured: {why}", file=sys.stderr)
    return 1 if failed else 0


def _run(bench: Bench, chosen: Sequence[Benchmark], out: Path) -> tuple[list[Result], dict[str, str]]:
    """Runs one after the other; what fails is told in the end and keeps nothing else from running."""
    results: list[Result] = []
    failed: dict[str, str] = {}
    for number, benchmark in enumerate(chosen, 1):
        say(f"== {number} of {len(chosen)}: {benchmark.name}: {benchmark.what}")
        started = time.monotonic()
        try:
            measured = benchmark.run(bench)
        except NotAvailable as reason:
            say(f"{benchmark.name}: left out: {reason}")
            continue
        except Exception as error:  # Whatever it is: the others are measured.
            known = isinstance(error, BenchmarkError | TfcassError)
            say(f"{benchmark.name}: failed: {error if known else traceback.format_exc()}")
            failed[benchmark.name] = (str(error).strip() or repr(error)).splitlines()[-1]
            continue
        for result in measured:
            path = result.save(out)
            say(
                f"{result.name}: ratio {result.ratio:.2f} ({result.min:.2f} to {result.max:.2f}), goal {result.goal}: "
                f"{'reached' if result.reached else 'NOT reached'}; {path}"
            )
        results += measured
        say(f"{benchmark.name}: {time.monotonic() - started:.0f} s")
    return results, failed


def _chosen(names: Sequence[str]) -> list[Benchmark]:
    return [benchmark for benchmark in BENCHMARKS if not names or benchmark.name in names]


def _parser() -> argparse.ArgumentParser:
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"benchmarks to run, all if none: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, help=f"rounds that count (default {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="small data and short spans, to see that all runs")
    parser.add_argument("--large", action="store_true", help="also the largest sizes: minutes, and 8 GB of memory")
    parser.add_argument("--list", action="store_true", help="tell the benchmarks and end")
    parser.add_argument("--wipe", action="store_true", help="delete the clusters and their data, and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
