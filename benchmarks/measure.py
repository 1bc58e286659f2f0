"""Rows/s and CPU of a reader over spans of time, measured inside the process that reads."""

import dataclasses
import itertools
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence


@dataclasses.dataclass(frozen=True)
class Measured:
    """One span.

    Attributes:
      rows: That arrived in it.
      seconds: Its length.
      cpu_s: User and system time of all threads of the process in it.
    """

    rows: int
    seconds: float
    cpu_s: float

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds

    @property
    def cpu_us_per_row(self) -> float:
        return self.cpu_s * 1e6 / self.rows


@dataclasses.dataclass(frozen=True)
class Span:
    """A span to measure: it starts `skip_s` after the end of the one before, or after the first arrival."""

    skip_s: float
    measure_s: float


@dataclasses.dataclass(frozen=True)
class _Stamp:
    time: float
    cpu_s: float
    rows: int


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(
    arrivals: Iterable[int],
    spans: Sequence[Span],
    *,
    now: Callable[[], float] = time.monotonic,
    cpu: Callable[[], float] = cpu_seconds,
) -> Iterator[Measured]:
    """Measures while it reads: yields each span when it is over, and stops reading after the last.

    What happens before the first arrival, such as the filling of a shuffle buffer, is in no span.

    A span reaches from arrival to arrival: from the last one that is not after its start, so that a wait across the
    start counts, to the first that is not before its end.

    Args:
      arrivals: Numbers of rows, each given when they arrive; without end, or longer than the spans.
      spans: At least one.
    Raises:
      ValueError: `arrivals` ended before the spans.
    """
    rows = itertools.accumulate(arrivals)
    count = next(rows, 0)
    previous = _Stamp(now(), cpu(), count)
    for span in spans:
        start = previous.time + span.skip_s
        first: _Stamp | None = None
        while True:
            count = next(rows, None)
            if count is None:
                raise ValueError(f"the input ended after {previous.rows} rows, before the spans to measure did")
            stamp = _Stamp(now(), cpu(), count)
            if first is None and stamp.time > start:
                first = previous
            previous = stamp
            if first is not None and stamp.time >= start + span.measure_s:
                break
        yield Measured(stamp.rows - first.rows, stamp.time - first.time, stamp.cpu_s - first.cpu_s)


def median(values: Iterable[float]) -> float:
    return statistics.median(values)
