"""How many rows of each class a split takes, and which: its groups give in turn, so that few rows show many groups."""

import dataclasses

import numpy as np

from tfcass.splits.assign import apportion
from tfcass.splits.cells import count_pairs
from tfcass.splits.columns import chunks
from tfcass.splits.randomness import Stream

# Rows sorted beyond those that a cell gives: six standard deviations and some, so that they almost surely suffice.
_SPREAD, _SPARE = 6.0, 8.0


@dataclasses.dataclass(frozen=True)
class Quotas:
    """Rows by (split, class), int64 [n_splits, n_classes] each; supply >= wanted >= taken.

    Attributes:
      supply: What the groups of the split hold.
      wanted: What is left when the classes are balanced, or have targets; equal to supply without either.
      taken: What is left under max_patches; equal to wanted without it.
      short: What targets and max_patches asked beyond the supply: reason -> (split, class or -1 for all) -> rows.
    """

    supply: np.ndarray
    wanted: np.ndarray
    taken: np.ndarray
    short: dict[str, dict[tuple[int, int], int]] = dataclasses.field(default_factory=dict)


def make_quotas(
    supply: np.ndarray,
    ratios: np.ndarray,
    *,
    balance: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    max_patches: int | np.ndarray | None = None,
) -> Quotas:
    """Caps `supply`.

    Args:
      supply: int64 [n_splits, n_classes].
      ratios: float64 [n_splits]: the share of max_patches that each split gets.
      balance: float64 [n_classes]: the wanted class proportions, or None for those found in each split.
      targets: int64 [n_splits, n_classes]: rows wanted, -1 for all; or None.
      max_patches: Rows over all splits, int64 [n_splits] rows of each (-1 for all), or None. A split with fewer rows
        than its share takes them all; the others do not get more.
    """
    short: dict[str, dict[tuple[int, int], int]] = {}
    wanted = supply
    if balance is not None:
        weights = balance / balance.sum()
        scale = (supply / weights).min(axis=1)
        wanted = np.minimum(supply, np.floor(scale[:, None] * weights + 1e-9).astype(np.int64))
    if targets is not None:
        wanted = np.where(targets < 0, supply, np.minimum(targets, supply))
        lacking = np.argwhere(targets > supply)
        short["targets"] = {(int(s), int(c)): int(targets[s, c] - supply[s, c]) for s, c in lacking}
    taken = wanted
    if max_patches is not None:
        quotas = apportion(max_patches, ratios) if np.ndim(max_patches) == 0 else max_patches
        taken = np.array(
            [
                row if quota < 0 or quota >= row.sum() else apportion(int(quota), row)
                for quota, row in zip(quotas, wanted, strict=True)
            ]
        )
        lacking = np.flatnonzero((quotas > wanted.sum(axis=1)) & (quotas >= 0))
        short["max_patches"] = {(int(s), -1): int(quotas[s] - wanted[s].sum()) for s in lacking}
    return Quotas(supply, wanted, taken, {reason: of for reason, of in short.items() if of})


def draw_in_turn(
    row_split: np.ndarray, row_class: np.ndarray, row_group: np.ndarray, n_groups: int, quotas: Quotas, stream: Stream
) -> np.ndarray:
    """Marks the rows that are taken: per split and class one row of each group, then a second of each, to the quota.

    Args:
      row_split, row_class, row_group: Integers [n] each; all rows of a group are in one split.
      n_groups: Number of groups.
      quotas: `taken` is the number of rows drawn of each (split, class).
      stream: Draws which rows of a group, and the order of groups in the last turn.
    Returns:
      bool [n].
    """
    n_splits, n_classes = quotas.taken.shape
    kept = np.ones(len(row_split), bool)
    if np.array_equal(quotas.taken, quotas.supply):
        return kept
    group, cls, count = count_pairs(row_group, row_class, n_groups, n_classes)
    split_of = np.empty(n_groups, np.int64)
    split_of[row_group] = row_split
    priority = stream.priorities(n_groups)
    takes = _takes(split_of[group] * n_classes + cls, group, count, quotas.taken.reshape(-1), priority)
    code = group * n_classes + cls
    candidates, cells, words = _candidates(row_group, row_class, n_classes, code, count, takes, kept, stream)
    order = np.lexsort((words, cells))
    sorted_cells = cells[order]
    first = np.flatnonzero(np.concatenate([[True], sorted_cells[1:] != sorted_cells[:-1]])[: len(order)])
    lengths = np.diff(np.append(first, len(order)))
    rank = np.arange(len(order)) - np.repeat(first, lengths)
    kept[candidates[order[rank < takes[sorted_cells]]]] = True
    return kept


def _takes(
    part: np.ndarray, group: np.ndarray, count: np.ndarray, quota: np.ndarray, priority: np.ndarray
) -> np.ndarray:
    """int64 [cells]: how many rows each cell of (group, class) gives, so that each `part` gives its quota in turns.

    After t whole turns a cell has given min(count, t). The last turn is given by those groups that have given least in
    the parts before, so that as many groups as can be are seen; among them, by those of lowest priority.
    """
    takes = count.copy()
    seen = np.zeros(len(priority), np.int64)
    order = np.lexsort((count, part))
    begins = np.searchsorted(part[order], np.arange(len(quota) + 1))
    for number in np.unique(part):
        cells = order[begins[number] : begins[number + 1]]
        counts, wanted = count[cells], int(quota[number])
        before = np.cumsum(counts) - counts
        left = len(counts) - np.arange(len(counts))
        if wanted < before[-1] + counts[-1]:
            at = int(np.searchsorted(before + left * counts, wanted, side="right"))
            turns = (wanted - int(before[at])) // int(left[at])
            given = np.minimum(counts, turns)
            more = wanted - int(given.sum())
            able = np.flatnonzero(counts > turns)
            groups = group[cells[able]]
            given[able[np.lexsort((priority[groups], seen[groups]))[:more]]] += 1
            takes[cells] = given
        seen[group[cells]] += takes[cells]
    return takes


def _candidates(
    row_group: np.ndarray,
    row_class: np.ndarray,
    n_classes: int,
    code: np.ndarray,
    count: np.ndarray,
    takes: np.ndarray,
    kept: np.ndarray,
    stream: Stream,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clears `kept` for the rows of cells that do not give all, and returns those of them that may be drawn.

    A cell gives the rows of the lowest random words. Words far above the one that is expected to be the last need not
    be sorted; where that leaves too few, all rows of the cell are candidates.

    Returns:
      Positions of rows, their cells, their words.
    """
    partial = takes < count
    share = np.clip((takes + _SPREAD * np.sqrt(takes) + _SPARE) / count, 0.0, 1.0)
    share[takes == 0] = 0.0
    limit = np.where(share >= 1.0, np.uint64(2**64 - 1), (share * 2.0**63).astype(np.uint64) << np.uint64(1))
    positions, cells, words = [], [], []
    seed = stream.priorities(1)
    for piece in chunks(len(row_group)):
        word = _words(seed, piece)
        cell = np.searchsorted(code, row_group[piece].astype(np.int64) * n_classes + row_class[piece])
        kept[piece] = ~partial[cell]
        drawn = np.flatnonzero(partial[cell] & (word <= limit[cell]) & (takes[cell] > 0))
        positions.append(drawn + piece.start)
        cells.append(cell[drawn])
        words.append(word[drawn])
    found = np.bincount(np.concatenate(cells), minlength=len(code))
    lacking = partial & (found < takes)
    if lacking.any():
        for i, piece in enumerate(chunks(len(row_group))):
            cell = np.searchsorted(code, row_group[piece].astype(np.int64) * n_classes + row_class[piece])
            drawn = np.flatnonzero(lacking[cell])
            old = ~lacking[cells[i]]
            positions[i] = np.concatenate([positions[i][old], drawn + piece.start])
            words[i] = np.concatenate([words[i][old], _words(seed, piece)[drawn]])
            cells[i] = np.concatenate([cells[i][old], cell[drawn]])
    return np.concatenate(positions), np.concatenate(cells), np.concatenate(words)


def _words(seed: np.ndarray, piece: slice) -> np.ndarray:
    """uint64: a random word for each row of a piece, the same whenever it is asked. Pieces decide what is drawn."""
    return Stream(int(seed[0]), piece.start).priorities(piece.stop - piece.start)
