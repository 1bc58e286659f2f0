"""Groups -> splits: each group whole, class counts as close to the asked ratios as the groups allow.

Cost of an assignment: the sum over splits s and classes c of (have[s,c] - target[s,c])^2 / (target[s,c] * total[c]). It
sees what is missing or too much relative to both the split and the class, so that small splits and rare classes weigh
as much as large ones.
Search: groups by falling size, each where it costs least, then single moves while they help; from several seeded
orders, of which the best is kept.
A group touches only its own classes, so a step costs (its classes x splits), whatever the number of classes.
"""

import dataclasses

import numpy as np

from tfcass.splits.randomness import Stream

FREE = -1
_STARTS = 24  # Orders tried when groups are few ...
_STARTED_GROUPS = 6_000  # ... falling so that about this many groups are placed in all: above it, one order.
_MAX_PASSES = 12


@dataclasses.dataclass(frozen=True)
class Cells:
    """Rows counted by (group, class), empty cells left out: group g has cells start[g] .. start[g + 1]."""

    start: np.ndarray  # int64 [n_groups + 1]
    cls: np.ndarray  # int64 [n_cells]
    count: np.ndarray  # float64 [n_cells], so that costs need no casts
    n_classes: int

    @classmethod
    def count_rows(cls, row_group: np.ndarray, row_class: np.ndarray, n_groups: int, n_classes: int) -> "Cells":
        cells, counts = np.unique(row_group * n_classes + row_class, return_counts=True)
        start = np.searchsorted(cells // n_classes, np.arange(n_groups + 1))
        return cls(start, cells % n_classes, counts.astype(np.float64), n_classes)

    @property
    def n_groups(self) -> int:
        return len(self.start) - 1

    def totals(self) -> np.ndarray:
        """float64 [n_classes]: rows of each class."""
        return np.bincount(self.cls, weights=self.count, minlength=self.n_classes)


def assign_groups(cells: Cells, ratios: np.ndarray, fixed: np.ndarray, stream: Stream) -> np.ndarray:
    """Which split each group goes to.

    Args:
      cells: Rows by group and class.
      ratios: float64 [n_splits], positive, sum 1.
      fixed: int64 [n_groups]: the split of a group that the user placed, else FREE.
      stream: Breaks ties and draws the orders.
    Returns:
      int64 [n_groups]. A class can be absent from a split only if no single move brings it there.
    """
    starts = max(1, min(_STARTS, _STARTED_GROUPS // max(1, cells.n_groups)))
    attempts = (_Attempt(cells, ratios, fixed).run(stream) for _ in range(starts))
    return min(attempts, key=lambda attempt: attempt.cost()).split_of


def assign_rows(row_class: np.ndarray, ratios: np.ndarray, n_classes: int, stream: Stream) -> np.ndarray:
    """As assign_groups where each row is a group of its own: exact, without a search. Returns int64 [n]."""
    order = np.lexsort((stream.priorities(len(row_class)), row_class))
    counts = np.bincount(row_class, minlength=n_classes)
    position = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    bounds = np.cumsum([apportion(int(count), ratios) for count in counts], axis=1)
    split_of = np.empty(len(order), np.int64)
    split_of[order] = (position[:, None] >= bounds[row_class[order], :-1]).sum(axis=1)
    return split_of


def apportion(total: int, weights: np.ndarray) -> np.ndarray:
    """`total` in whole parts proportional to `weights`, by largest remainder: int64, sum `total`. Ties: the first."""
    share = total * (np.asarray(weights, np.float64) / np.sum(weights))
    parts = np.floor(share + 1e-9).astype(np.int64)
    largest = np.argsort(-(share - parts), kind="stable")
    parts[largest[: total - int(parts.sum())]] += 1
    return parts


class _Attempt:
    """One search from one order."""

    def __init__(self, cells: Cells, ratios: np.ndarray, fixed: np.ndarray) -> None:
        self._cells = cells
        self._totals = cells.totals()
        self._target = ratios[:, None] * self._totals
        self._scale = 1.0 / (self._target * self._totals)
        self._fixed = fixed
        self._have = np.zeros_like(self._target)
        self.split_of = fixed.copy()
        for group in np.flatnonzero(fixed != FREE):
            self._put(group, fixed[group])

    def run(self, stream: Stream) -> "_Attempt":
        order = self._order(stream)
        for group in order:
            self._put(group, int(np.argmin(self._costs(group))))
        for _ in range(_MAX_PASSES):
            moved = [group for group in order if self._move(group)]
            if not moved:
                break
        return self

    def cost(self) -> tuple[int, float]:
        absent = int((self._have == 0).sum())
        return absent, float(((self._have - self._target) ** 2 * self._scale).sum())

    def _order(self, stream: Stream) -> np.ndarray:
        """Free groups by falling size, drawn at random among those of about equal size (same power of two)."""
        cells = self._cells
        share = np.add.reduceat(cells.count / self._totals[cells.cls], cells.start[:-1])
        order = np.lexsort((stream.priorities(cells.n_groups), -np.frexp(share)[1]))
        return order[self._fixed[order] == FREE]

    def _cell(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        cells = slice(self._cells.start[group], self._cells.start[group + 1])
        return self._cells.cls[cells], self._cells.count[cells]

    def _costs(self, group: int) -> np.ndarray:
        """float64 [n_splits]: what the cost grows by when `group` joins."""
        cls, count = self._cell(group)
        gap = self._have[:, cls] - self._target[:, cls]
        # Rounded, so that a tie is a tie whatever the order in which this machine adds.
        return np.round((count * (count + 2.0 * gap) * self._scale[:, cls]).sum(axis=1), 10)

    def _put(self, group: int, split: int, sign: int = 1) -> None:
        cls, count = self._cell(group)
        self._have[split, cls] += sign * count
        self.split_of[group] = split

    def _move(self, group: int) -> bool:
        """Moves `group` to where it brings most absent classes and, among these, costs least. True when it moved."""
        here = int(self.split_of[group])
        self._put(group, here, sign=-1)
        brings = (self._have[:, self._cell(group)[0]] == 0).sum(axis=1)
        costs = np.where(brings == brings.max(), self._costs(group), np.inf)
        best = int(np.argmin(costs))
        if costs[best] == costs[here]:
            best = here
        self._put(group, best)
        return best != here
