"""splits: tfcass.split over 10^4 to 10^8 rows, beside scikit-learn's StratifiedGroupKFold where it can follow."""

import dataclasses
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, Goal, NotAvailable, Result, Sample, alternate, say
from benchmarks.worker import Worker

if TYPE_CHECKING:
    import pyarrow as pa

_FOLDS = 5
_RATIOS = {"train": 8, "val": 1, "test": 1}
_LIMIT_S, _LIMIT_GIB = 180.0, 8.0  # For 10^8 rows.


@dataclasses.dataclass(frozen=True)
class Shape:
    """Rows, drawn: groups of sizes that differ by a factor of ten, classes at random."""

    rows: int
    groups: int
    classes: int

    @property
    def words(self) -> str:
        return f"{self.rows:,} rows, {self.groups:,} groups, {self.classes:,} classes"


_NAMED = Shape(1_280_000, 10_000, 1_000)  # As ImageNet.
_CURVE = tuple(Shape(10**power, max(50, min(100_000, 10**power // 1_000)), 10) for power in range(4, 8))
_LARGEST = Shape(10**8, 100_000, 10)


@dataclasses.dataclass(frozen=True)
class Made:
    """One making of splits.

    Attributes:
      seconds: From a table of metadata to the keys of all splits and their digest.
      cpu_s: Of all threads, meanwhile.
      peak_gib: Resident memory at its peak, the table included.
      off: The largest |share of a class in a split - the share asked|.
    """

    seconds: float
    cpu_s: float
    peak_gib: float
    off: float


def splits(bench: Bench) -> Sequence[Result]:
    notes = {
        **conditions(),
        "data": "drawn in memory: 16 random bytes a key; groups of lognormal size; uniform classes",
    }
    named = Shape(20_000, 160, 100) if bench.quick else _NAMED
    curve = [Shape(10_000, 50, 10)] if bench.quick else [*_CURVE, *([_LARGEST] if bench.large else [])]
    try:
        import sklearn
    except ModuleNotFoundError:
        raise NotAvailable("scikit-learn is not installed") from None

    with Worker(_ours, shape=named) as ours, Worker(_scikit_learn, shape=named) as theirs:
        pairs = alternate(
            lambda: ours.call("folds")[0],
            lambda: theirs.call()[0],
            rounds=bench.rounds,
            name="splits",
            show=lambda a, b: f"{a.seconds:.2f} s, StratifiedGroupKFold {b.seconds:.2f} s",
        )
        asked = [ours.call("ratios")[0] for _ in range(bench.rounds)]
    detail = {
        "CPU s, ours": round(statistics.median(a.cpu_s for a, _ in pairs), 2),
        "CPU s, scikit-learn": round(statistics.median(b.cpu_s for _, b in pairs), 2),
        "furthest class, ours": f"{statistics.median(a.off for a, _ in pairs):.2%} of it",
        "furthest class, scikit-learn": f"{statistics.median(b.off for _, b in pairs):.2%} of it",
        "train, val, test of the same rows": f"{statistics.median(made.seconds for made in asked):.2f} s, "
        f"furthest class {asked[0].off:.2%}",
    }
    largest = None
    for shape in curve:
        made, theirs_s = _point(shape)
        largest = made
        followed = "" if theirs_s is None else f"; StratifiedGroupKFold, 5 folds, {theirs_s:.2f} s"
        detail[shape.words] = (
            f"{made.seconds:.2f} s (CPU {made.cpu_s:.2f} s), {made.peak_gib:.2f} GiB with the table, "
            f"furthest class {made.off:.3%}{followed}"
        )
        say(f"splits: {shape.words}: {detail[shape.words]}")
    results = [
        Result(
            name="splits",
            ours=f"seconds, tfcass.split(folds={_FOLDS}) to keys and digest, {named.words}",
            against=f"scikit-learn {sklearn.__version__}, StratifiedGroupKFold({_FOLDS}) to row numbers, the same rows",
            unit="s",
            goal=Goal(1, at_least=False),
            samples=[Sample(a.seconds, b.seconds) for a, b in pairs],
            conditions=notes,
            detail=detail,
            quick=bench.quick,
        ),
        Result(
            name="splits_seconds",
            ours=f"seconds, tfcass.split into train, val and test, to keys and digest, {named.words}",
            against="2 s",
            unit="s",
            goal=Goal(1, at_least=False),
            samples=[Sample(made.seconds, 2.0) for made in asked],
            conditions=notes,
            detail={"CPU s": round(statistics.median(made.cpu_s for made in asked), 2)},
            quick=bench.quick,
        ),
    ]
    if bench.large and not bench.quick:
        for name, value, limit, unit in (
            ("splits_large_seconds", largest.seconds, _LIMIT_S, "s"),
            ("splits_large_memory", largest.peak_gib, _LIMIT_GIB, "GiB"),
        ):
            results.append(
                Result(
                    name=name,
                    ours=f"tfcass.split into train, val and test, to keys and digest, {_LARGEST.words}",
                    against=f"{limit:g} {unit}",
                    unit=unit,
                    goal=Goal(1, at_least=False),
                    samples=[Sample(value, limit)],
                    conditions=notes,
                )
            )
    return results


def _point(shape: Shape) -> tuple[Made, float | None]:
    """A point of the curve, in fresh processes: memory that is freed is not given back."""
    with Worker(_ours, shape=shape) as worker:
        (made,) = worker.call("ratios")
    if shape.rows > _CURVE[-1].rows:
        return made, None
    with Worker(_scikit_learn, shape=shape) as worker:
        (theirs,) = worker.call()
    return made, theirs.seconds


def rows(shape: Shape) -> "pa.Table":
    """Metadata as tfcass.read_rows gives it, the grouping column as a dictionary."""
    import pyarrow as pa

    random = np.random.default_rng(shape.rows)
    keys = pa.Array.from_buffers(pa.binary(16), shape.rows, [None, pa.py_buffer(random.bytes(16 * shape.rows))])
    ends = np.cumsum(random.lognormal(0, 0.7, shape.groups))
    group = np.empty(shape.rows, np.int32)
    label = np.empty(shape.rows, np.int32)
    for start in range(0, shape.rows, 1 << 22):
        part = slice(start, min(start + (1 << 22), shape.rows))
        count = part.stop - start
        group[part] = np.minimum(np.searchsorted(ends, random.random(count) * ends[-1]), shape.groups - 1)
        label[part] = random.integers(0, shape.classes, count)
    names = pa.array([f"P{i:07d}" for i in range(shape.groups)])
    return pa.table({"patch_id": keys, "patient_id": pa.DictionaryArray.from_arrays(group, names), "label": label})


def _ours(shape: Shape) -> Callable[[str], Iterator[Made]]:
    """Made in a worker."""
    from tfcass.splits import split

    table = rows(shape)
    split(table.slice(0, 1_000), ratios=_RATIOS, absent="report")  # What is imported at the first use is there.

    def answer(form: str) -> Iterator[Made]:
        Path("/proc/self/clear_refs").write_text("5")  # The peak starts anew, from what is resident now.
        begun, cpu = time.perf_counter(), time.process_time()
        asked = {"folds": _FOLDS} if form == "folds" else {"ratios": _RATIOS}
        made = split(table, group_by="patient_id", **asked)
        _ = made.digest
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)) / 2**20
        yield Made(seconds, cpu, peak, made.report().off_target)

    return answer


def _scikit_learn(shape: Shape) -> Callable[[], Iterator[Made]]:
    """Made in a worker. Groups and classes are given as integers, which it handles fastest."""
    from sklearn.model_selection import StratifiedGroupKFold

    table = rows(shape)
    classes = table.column("label").to_numpy()
    groups = table.column("patient_id").chunk(0).indices.to_numpy()
    total = np.bincount(classes, minlength=shape.classes)

    def answer() -> Iterator[Made]:
        begun, cpu = time.perf_counter(), time.process_time()
        folds = list(StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0).split(classes, classes, groups))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        off = max(
            float(np.abs(np.bincount(classes[test], minlength=shape.classes) / total - 1 / _FOLDS).max())
            for _, test in folds
        )
        yield Made(seconds, cpu, 0.0, off)

    return answer


BENCHMARK = Benchmark("splits", splits, "seconds of tfcass.split, 10^4 to 10^7 rows (--large: 10^8) : scikit-learn")
