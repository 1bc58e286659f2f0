"""Rows counted by group and stratum: all that an assignment of groups needs to know of the rows."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfcass.splits.columns import chunks

_DENSE = 1 << 26  # A table of counts of this size at most: half a gigabyte.


@dataclasses.dataclass(frozen=True, eq=False)
class Strata:
    """One way in which rows differ: classes, or the values of a column.

    Attributes:
      what: "class", or the column.
      values: What codes stand for.
      codes, row: As in RowLabels; no code is below 0.
      required: Whether every value must be in every split.
    """

    what: str
    values: Sequence[object]
    codes: np.ndarray
    row: np.ndarray | None = None
    required: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """Rows counted by (group, stratum), empty cells left out: group g has cells start[g] .. start[g + 1].

    Attributes:
      start: int64 [n_groups + 1].
      stratum: int64 [n_cells], ascending in a group.
      count: int64 [n_cells]: rows, or the sum of their weights.
      n_strata: Number of strata.
    """

    start: np.ndarray
    stratum: np.ndarray
    count: np.ndarray
    n_strata: int

    @classmethod
    def count_rows(
        cls, row_group: np.ndarray, strata: Sequence[Strata], n_groups: int, row_weight: np.ndarray | None = None
    ) -> "Cells":
        """Counts rows; with int64 [n] weights, adds these up."""
        parts, offset = [], 0
        n_strata = sum(len(part.values) for part in strata)
        for part in strata:
            group, stratum, count = count_pairs(
                row_group if part.row is None else row_group[part.row],
                part.codes,
                n_groups,
                len(part.values),
                row_weight if part.row is None or row_weight is None else row_weight[part.row],
            )
            parts.append((group, stratum + offset, count))
            offset += len(part.values)
        group, stratum, count = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if len(parts) > 1:
            order = np.lexsort((stratum, group))
            group, stratum, count = group[order], stratum[order], count[order]
        start = np.searchsorted(group, np.arange(n_groups + 1))
        return cls(start, stratum, count, n_strata)

    @property
    def n_groups(self) -> int:
        return len(self.start) - 1

    @property
    def group(self) -> np.ndarray:
        """int64 [n_cells]: the group of each cell."""
        return np.repeat(np.arange(self.n_groups), np.diff(self.start))

    def totals(self) -> np.ndarray:
        """int64 [n_strata]."""
        return np.bincount(self.stratum, weights=self.count, minlength=self.n_strata).astype(np.int64)

    def by_split(self, split_of: np.ndarray, n_splits: int) -> np.ndarray:
        """int64 [n_splits, n_strata]: rows of each split, given the split of each group."""
        place = split_of[self.group] * self.n_strata + self.stratum
        counts = np.bincount(place, weights=self.count, minlength=n_splits * self.n_strata)
        return counts.astype(np.int64).reshape(n_splits, self.n_strata)


def count_pairs(
    first: np.ndarray, second: np.ndarray, n_first: int, n_second: int, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct pairs of codes, ascending, and how often each occurs: three int64 arrays.

    Args:
      first, second: Integers [n], in [0, n_first) and [0, n_second).
      weight: int64 [n]: what a row counts, instead of 1. Sums stay below 2**53.
    """
    size = n_first * n_second
    if not len(first):
        return tuple(np.zeros(0, np.int64) for _ in range(3))
    if size <= min(_DENSE, max(1 << 22, 2 * len(first))):
        # In pieces, so that no temporary is as long as the rows. Whole numbers in floats are added exactly.
        counts = np.zeros(size, np.int64)
        for piece in chunks(len(first)):
            place = first[piece].astype(np.int64) * n_second + second[piece]
            if weight is None:
                counts += np.bincount(place, minlength=size)
            else:
                counts += np.bincount(place, weights=weight[piece], minlength=size).astype(np.int64)
        present = np.flatnonzero(counts)
        return present // n_second, present % n_second, counts[present]
    place = first.astype(np.int64)
    place *= n_second
    place += second
    if weight is None:
        place.sort()
        begins = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
        present, count = place[begins], np.diff(np.append(begins, len(place)))
    else:
        present, place = np.unique(place, return_inverse=True)
        count = np.bincount(place, weights=weight).astype(np.int64)
    return present // n_second, present % n_second, count
