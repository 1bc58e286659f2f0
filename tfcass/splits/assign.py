"""Groups -> splits: each group whole, shares of strata as close to the asked ratios as the groups allow.

Cost of an assignment, after the number of strata that are absent from a split: the sum over splits s and strata c of
(have[s,c] - target[s,c])^2 / (target[s,c] * total[c]). It sees what is missing or too much relative to both the split
and the stratum, so that small splits and rare classes weigh as much as large ones.

assign_groups  few groups: all assignments are tried (every.py). Else search.py, from several seeded orders
assign_rows    each row a group of its own: exact, without a search
Problem        the cost in whole numbers: sums do not depend on the order in which a machine adds
"""

import dataclasses
import functools

import numpy as np

from tfcass.splits.cells import Cells
from tfcass.splits.randomness import Stream

FREE = -1
_STARTS = 24  # Orders tried when groups are few ...
_STARTED_CELLS = 12_000  # ... falling so that about this many cells are placed in all: above it, one order.


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What to assign.

    Attributes:
      cells: Rows by group and stratum. Every group has a cell.
      ratios: float64 [n_splits], positive, sum 1.
      fixed: int64 [n_groups]: the split of a group that stays there, else FREE.
      required: bool [n_strata]: must be in every split.
    """

    cells: Cells
    ratios: np.ndarray
    fixed: np.ndarray
    required: np.ndarray

    @property
    def n_splits(self) -> int:
        return len(self.ratios)

    @functools.cached_property
    def unit_bits(self) -> int:
        """A whole stratum counts about 2**unit_bits: as much as sums of squares over all strata can bear in 64 bits."""
        return min(30, (61 - int(self.cells.n_strata).bit_length()) // 2)

    @functools.cached_property
    def _unit(self) -> np.ndarray:
        """int64 [n_strata]: what a row of each stratum counts."""
        return np.maximum(1, (1 << self.unit_bits) // np.maximum(1, self.cells.totals()))

    @functools.cached_property
    def mass(self) -> np.ndarray:
        """int64 [n_cells]: each cell's part of its stratum."""
        return self.cells.count * self._unit[self.cells.stratum]

    @functools.cached_property
    def square(self) -> np.ndarray:
        """int64 [n_groups]: the sum of squared masses."""
        return np.add.reduceat(self.mass * self.mass, self.cells.start[:-1])

    @functools.cached_property
    def share(self) -> np.ndarray:
        """int64 [n_groups]: the sum of masses."""
        return np.add.reduceat(self.mass, self.cells.start[:-1])

    @functools.cached_property
    def target(self) -> np.ndarray:
        """int64 [n_strata, n_splits]: the mass that each split should have."""
        total = (self.cells.totals() * self._unit).astype(np.float64)
        return np.rint(total[:, None] * self.ratios).astype(np.int64)

    @functools.cached_property
    def inverse(self) -> np.ndarray:
        """float64 [n_splits]: what a squared gap costs."""
        return 1.0 / self.ratios

    @property
    def tiny(self) -> float:
        """Gains below this are none."""
        return 1e-12 * 4.0**self.unit_bits


def assign_groups(
    cells: Cells, ratios: np.ndarray, fixed: np.ndarray, stream: Stream, *, required: np.ndarray | None = None
) -> np.ndarray:
    """Which split each group goes to: int64 [n_groups].

    Args:
      cells: Rows by group and stratum.
      ratios: float64 [n_splits], positive, sum 1.
      fixed: int64 [n_groups]: the split of a group that the user placed, else FREE.
      stream: Breaks ties and draws the orders.
      required: bool [n_strata]: strata that must be in every split; None: all.
    """
    from tfcass.splits.every import best_of_every, can_try_every
    from tfcass.splits.search import Search

    required = np.ones(cells.n_strata, bool) if required is None else required
    problem = Problem(cells, ratios, fixed, required)
    if can_try_every(problem):
        return best_of_every(problem, stream)
    starts = max(1, min(_STARTS, _STARTED_CELLS // max(1, len(cells.stratum))))
    return min((Search(problem, stream).run() for _ in range(starts)), key=Search.cost).split_of


def assign_rows(
    row_class: np.ndarray,
    ratios: np.ndarray,
    n_classes: int,
    stream: Stream,
    *,
    within: np.ndarray | None = None,
    have: np.ndarray | None = None,
) -> np.ndarray:
    """As assign_groups where each row is a group of its own: exact by class. Returns int16 [n].

    Args:
      row_class: Integers [n].
      within: Integers [n]: what else should be spread evenly, inside each class.
      have: int64 [n_splits, n_classes]: rows that the splits have already; the shares asked are of all.
    """
    counts = np.bincount(row_class, minlength=n_classes)
    parts = np.stack([_fill(int(n), ratios, None if have is None else have[:, c]) for c, n in enumerate(counts)])
    order = stream.shuffled(len(row_class))
    dealt = np.repeat(np.tile(np.arange(len(ratios), dtype=np.int16), n_classes), parts.reshape(-1))
    if within is not None:
        order = order[np.argsort(within[order], kind="stable")]
        dealt = dealt[_interleaved(parts)]
    narrow = row_class.astype(np.int16) if n_classes < 1 << 15 else row_class  # Sorted in linear time.
    order = order[np.argsort(narrow[order], kind="stable")]
    split_of = np.empty(len(order), np.int16)
    split_of[order] = dealt
    return split_of


def _interleaved(parts: np.ndarray) -> np.ndarray:
    """An order of the rows that `parts` (int64 [n_classes, n_splits]) counts, in which splits alternate in a class."""
    flat = parts.reshape(-1)
    number = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)
    place = (number + 0.5) / np.repeat(flat, flat)
    return np.lexsort((place, np.repeat(np.repeat(np.arange(len(parts)), parts.shape[1]), flat)))


def apportion(total: int, weights: np.ndarray) -> np.ndarray:
    """`total` in whole parts proportional to `weights`, by largest remainder: int64, sum `total`. Ties: the first."""
    share = total * (np.asarray(weights, np.float64) / np.sum(weights))
    parts = np.floor(share + 1e-9).astype(np.int64)
    largest = np.argsort(-(share - parts), kind="stable")
    parts[largest[: total - int(parts.sum())]] += 1
    return parts


def _fill(total: int, ratios: np.ndarray, have: np.ndarray | None) -> np.ndarray:
    """How many of `total` rows each split gets, so that with what it has the shares come closest to `ratios`.

    No split goes without as long as there is a row for each.
    """
    have = np.zeros(len(ratios), np.int64) if have is None else have
    parts = np.zeros(len(ratios), np.int64)
    open_ = np.ones(len(ratios), bool)
    while total and open_.any():  # Splits that have too much already get none, and the others share what is there.
        wanted = (total + have[open_].sum()) * ratios[open_] / ratios[open_].sum() - have[open_]
        if (wanted >= 0).all():
            parts[open_] = apportion(total, wanted)
            break
        open_[np.flatnonzero(open_)[wanted < 0]] = False
    for split in np.flatnonzero(parts + have == 0):
        giving = np.argmax(np.where(parts + have > 1, parts, 0))
        if parts[giving] > 0 and parts[giving] + have[giving] > 1:
            parts[giving] -= 1
            parts[split] += 1
    return parts
