"""What all benchmarks share: rounds in which two sides alternate, the ratio of each round, goals, results as JSON."""

import dataclasses
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tfcass._files import replace_file

if TYPE_CHECKING:
    from benchmarks.servers import Servers

Side = TypeVar("Side")

ROUNDS = 5
OUT = Path(__file__).resolve().parent / "out"


class BenchmarkError(Exception):
    """A benchmark could not be measured; the message says why."""


class NotAvailable(BenchmarkError):
    """What is to be measured is not there yet: the benchmark is left out, and that is no failure."""


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a ratio must reach.

    Attributes:
      bound: Its limit.
      at_least: True for ratios that should be large, False for those that should be small.
    """

    bound: float
    at_least: bool = True

    def reached_by(self, ratio: float) -> bool:
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One round: what either side measured, in the unit of the result."""

    ours: float
    against: float

    @property
    def ratio(self) -> float:
        return self.ours / self.against


@dataclasses.dataclass(frozen=True)
class Result:
    """A ratio and how it came about.

    Attributes:
      name: Names its file too.
      ours, against: The two sides in words.
      unit: Of the samples.
      goal: What the ratio must reach.
      samples: One per round, at least one.
      conditions: Name -> words or numbers: machine, servers, data, settings that were chosen.
      detail: Name -> numbers that explain the ratio.
      quick: It ran to see that it runs; its numbers mean nothing.
    """

    name: str
    ours: str
    against: str
    unit: str
    goal: Goal
    samples: Sequence[Sample]
    conditions: Mapping[str, Any]
    detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quick: bool = False

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(sample.ratio for sample in self.samples)

    @property
    def min(self) -> float:
        return min(sample.ratio for sample in self.samples)

    @property
    def max(self) -> float:
        return max(sample.ratio for sample in self.samples)

    @property
    def reached(self) -> bool:
        return self.goal.reached_by(self.ratio)

    def save(self, folder: Path) -> Path:
        """Writes <name>.json."""
        content = {
            "name": self.name,
            "ratio": self.ratio,
            "min": self.min,
            "max": self.max,
            "goal": {"at_least" if self.goal.at_least else "at_most": self.goal.bound},
            "reached": self.reached,
            "unit": self.unit,
            "ours": self.ours,
            "against": self.against,
            "samples": [
                {"ours": sample.ours, "against": sample.against, "ratio": sample.ratio} for sample in self.samples
            ],
            "detail": dict(self.detail),
            "conditions": dict(self.conditions),
            "quick": self.quick,
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        replace_file(path, (json.dumps(content, indent=2) + "\n").encode())
        return path

    @classmethod
    def load(cls, path: Path) -> "Result":
        """Reads what save() wrote.

        Raises:
          BenchmarkError: It is something else.
        """
        try:
            content = json.loads(path.read_text())
            ((kind, bound),) = content["goal"].items()
            return cls(
                name=content["name"],
                ours=content["ours"],
                against=content["against"],
                unit=content["unit"],
                goal=Goal(bound, at_least={"at_least": True, "at_most": False}[kind]),
                samples=[Sample(sample["ours"], sample["against"]) for sample in content["samples"]],
                conditions=content["conditions"],
                detail=content["detail"],
                quick=content["quick"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchmarkError(f"{path} is not a result of `make bench` ({error!r}); delete it") from error


@dataclasses.dataclass(frozen=True)
class Bench:
    """What a benchmark runs with.

    Attributes:
      servers: Starts Cassandra when a benchmark asks for one; a benchmark may do without.
      rounds: Rounds that count.
      quick: Small data, short spans: to see that it runs.
      scratch: Folder for files.
      large: Also sizes that take minutes and most of a machine's memory.
    """

    servers: "Servers"
    rounds: int
    quick: bool
    scratch: Path
    large: bool = False

    @property
    def warm_s(self) -> float:
        """How long a reader reads before it is measured: connections, caches and windows settle."""
        return 0.3 if self.quick else 1.0

    @property
    def measure_s(self) -> float:
        return 0.5 if self.quick else 2.5

    def rows(self, count: int) -> int:
        """Rows of a table that should have `count`."""
        return max(200, count // 20) if self.quick else count


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A benchmark by its name.

    Attributes:
      name: As given to `make bench NAME=`.
      run: Measures, and returns one result or several; raises BenchmarkError if it cannot.
      what: One line for the list.
    """

    name: str
    run: Callable[[Bench], Sequence[Result]]
    what: str


def alternate(
    ours: Callable[[], Side],
    against: Callable[[], Side],
    *,
    rounds: int,
    name: str,
    show: Callable[[Side, Side], str],
    warm_up: bool = True,
) -> list[tuple[Side, Side]]:
    """Measures the sides in turn, so that what else the machine does meets both alike.

    Every second round starts with the other side, which cancels what grows or falls steadily.

    Args:
      ours, against: Measure a side once.
      rounds: Rounds that count, after one that does not unless `warm_up` is False.
      name: Of the benchmark, for progress.
      show: What to say of a round.
    Returns:
      Per round (ours, against).
    """
    pairs = []
    for number in range(0 if warm_up else 1, rounds + 1):
        if number % 2:
            left = ours()
            right = against()
        else:
            right = against()
            left = ours()
        if number:
            pairs.append((left, right))
        say(f"{name}: {f'round {number} of {rounds}' if number else 'warm-up'}: {show(left, right)}")
    return pairs


def say(message: str) -> None:
    """Progress: a line on stderr."""
    print(message, file=sys.stderr, flush=True)
