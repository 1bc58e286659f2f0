"""How many rows of each class a split takes, and which: its groups give in turn, so that few rows show many groups."""

import dataclasses

import numpy as np

from tfcass.splits.assign import apportion
from tfcass.splits.randomness import Stream


@dataclasses.dataclass(frozen=True)
class Quotas:
    """Rows by (split, class), int64 [n_splits, n_classes] each; supply >= balanced >= taken.

    Attributes:
      supply: What the groups of the split hold.
      balanced: What is left when the classes are balanced; equal to supply without balance.
      taken: What is left under max_patches; equal to balanced without it.
    """

    supply: np.ndarray
    balanced: np.ndarray
    taken: np.ndarray


def make_quotas(supply: np.ndarray, ratios: np.ndarray, weights: np.ndarray | None, max_patches: int | None) -> Quotas:
    """Caps `supply`.

    Args:
      supply: int64 [n_splits, n_classes].
      ratios: float64 [n_splits]: the share of max_patches that each split gets.
      weights: float64 [n_classes]: the wanted class proportions, or None for those found in each split.
      max_patches: Rows over all splits, or None. A split with fewer rows than its share takes them all; the others
        do not get more.
    """
    balanced = supply
    if weights is not None:
        weights = weights / weights.sum()
        scale = (supply / weights).min(axis=1)
        balanced = np.floor(scale[:, None] * weights + 1e-9).astype(np.int64)
    taken = balanced
    if max_patches is not None:
        quotas = apportion(max_patches, ratios)
        taken = np.array(
            [
                row if quota >= row.sum() else apportion(int(quota), row)
                for quota, row in zip(quotas, balanced, strict=True)
            ]
        )
    return Quotas(supply, balanced, taken)


def draw_in_turn(
    row_split: np.ndarray, row_class: np.ndarray, row_group: np.ndarray, quotas: Quotas, stream: Stream
) -> np.ndarray:
    """Marks the rows that are taken: per split and class one row of each group, then a second of each, to the quota.

    Args:
      row_split, row_class, row_group: int64 [n] each.
      quotas: `taken` is the number of rows drawn of each (split, class).
      stream: Draws the order of the rows in a group and of the groups in a turn.
    Returns:
      bool [n].
    """
    n_classes = quotas.taken.shape[1]
    if np.array_equal(quotas.taken, quotas.supply):
        return np.ones(len(row_split), bool)
    turn = _rank_within(row_group * n_classes + row_class, stream.priorities(len(row_split)))
    group_priority = stream.priorities(int(row_group.max()) + 1)
    row_cell = row_split * n_classes + row_class
    place = _rank_within(row_cell, turn.astype(np.uint64), group_priority[row_group])
    return place < quotas.taken.reshape(-1)[row_cell]


def _rank_within(part: np.ndarray, *order_by: np.ndarray) -> np.ndarray:
    """int64 [n]: the place of each row among the rows of its part, by `order_by`, the first deciding most."""
    order = np.lexsort((*reversed(order_by), part))
    sorted_part = part[order]
    first = np.flatnonzero(np.r_[True, sorted_part[1:] != sorted_part[:-1]])
    lengths = np.diff(np.r_[first, len(part)])
    rank = np.empty(len(part), np.int64)
    rank[order] = np.arange(len(part)) - np.repeat(first, lengths)
    return rank
