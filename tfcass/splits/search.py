"""One search for a good assignment: place groups by falling size, then repair, move and swap while that helps.

A group touches its own strata only, so that a step costs (its strata x splits), whatever the number of strata. What a
move or a swap would gain is computed for all groups at once; only those that promise a gain are then looked at one by
one. Each step is bounded by work, never by time: the same input gives the same assignment on any machine.
"""

import numpy as np

from tfcass.splits.assign import FREE, Problem
from tfcass.splits.randomness import Stream

_ONE_BY_ONE = 60_000  # Groups placed each where it costs least; of more, the middle is dealt out in proportion.
_MOVES = 50_000  # Groups looked at in a round of moves.
_ROUND_CELLS = 60_000_000  # Cells times splits that the rounds of moves look at in all.
_MAX_ROUNDS = 24
_ALTERNATIONS = 12  # Of moves and swaps, for few groups; falling with their number.
_REPAIRS = 100_000  # Groups looked at when strata are brought to splits that lack them.
_SWAP_GROUPS = 512  # Groups of either side of a swap.
_SWAP_CELLS = 1 << 22  # Their strata, dense.
_SWAPS = 64  # Swaps made before they are weighed anew.
_GOLDEN = 0.6180339887498949


class Search:
    """An assignment on its way. `split_of`: int64 [n_groups]."""

    def __init__(self, problem: Problem, stream: Stream) -> None:
        self._problem = problem
        self._stream = stream
        self._starts = problem.cells.start
        self._stratum = problem.cells.stratum
        self._mass = problem.mass
        self.split_of = problem.fixed.copy()
        self._gap = -problem.target  # What each split has too much: int64 [n_strata, n_splits].
        self._holders = np.zeros_like(self._gap)  # Groups of each split that have the stratum.

    def run(self) -> "Search":
        free = self._order()
        if len(free) > _ONE_BY_ONE:
            head, middle, tail = np.split(free, [_ONE_BY_ONE // 2, len(free) - _ONE_BY_ONE // 2])
            self.split_of[middle] = self._dealt(middle)
            self._recount()
            self._place(head)
            self._place(tail)
        else:
            self._recount()
            self._place(free)
        self._recount()
        self._repair()
        groups = max(1, len(free))
        for turn in range(max(2, min(_ALTERNATIONS, 20_000 // groups))):
            moved = self._move_round_by_round()
            swapped = self._swap_all_pairs()
            if turn and not moved and not swapped:
                break
        return self

    def cost(self) -> tuple[int, float]:
        squares = (self._gap * self._gap).sum(axis=0)
        absent = (self._holders == 0) & self._problem.required[:, None]
        return int(absent.sum()), sum(
            float(square) * inverse for square, inverse in zip(squares, self._problem.inverse, strict=True)
        )

    # Placing

    def _order(self) -> np.ndarray:
        """Free groups by falling size, drawn at random among those of about equal size (same power of two)."""
        priorities = self._stream.priorities(len(self.split_of))
        order = np.lexsort((priorities, -np.frexp(self._problem.share.astype(np.float64))[1]))
        return order[self._problem.fixed[order] == FREE]

    def _dealt(self, groups: np.ndarray) -> np.ndarray:
        """Splits in the proportions of the ratios for groups that are many: alike groups are spread evenly."""
        first = self._stratum[self._starts[groups]]
        order = np.argsort(first, kind="stable")
        points = (np.arange(len(groups)) * _GOLDEN) % 1.0
        bounds = np.cumsum(self._problem.ratios)[:-1]
        dealt = np.empty(len(groups), np.int64)
        dealt[order] = np.searchsorted(bounds, points, side="right")
        return dealt

    def _place(self, groups: np.ndarray) -> None:
        gap, stratum, mass, inverse = self._gap, self._stratum, self._mass, self._problem.inverse
        placed = np.empty(len(groups), np.int64)
        spans = zip(
            self._starts[groups].tolist(),
            self._starts[groups + 1].tolist(),
            self._problem.square[groups].tolist(),
            strict=True,
        )
        for i, (begin, end, square) in enumerate(spans):
            strata, masses = stratum[begin:end], mass[begin:end]
            split = ((square + 2 * (masses @ gap[strata])) * inverse).argmin()
            gap[strata, split] += masses
            placed[i] = split
        self.split_of[groups] = placed

    def _recount(self) -> None:
        """Makes gaps and holders those of `split_of`."""
        n_splits = self._problem.n_splits
        split = np.repeat(self.split_of, np.diff(self._starts))
        here = np.flatnonzero(split != FREE)
        place = self._stratum[here] * n_splits + split[here]
        self._holders = np.bincount(place, minlength=self._gap.size).reshape(self._gap.shape)
        have = np.zeros(self._gap.size, np.int64)
        np.add.at(have, place, self._mass[here])
        self._gap = have.reshape(self._gap.shape) - self._problem.target

    # Moving

    def _cells(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        span = slice(self._starts[group], self._starts[group + 1])
        return self._stratum[span], self._mass[span]

    def _shift(self, group: int, to: int) -> None:
        strata, masses = self._cells(group)
        here = self.split_of[group]
        self._gap[strata, here] -= masses
        self._gap[strata, to] += masses
        self._holders[strata, here] -= 1
        self._holders[strata, to] += 1
        self.split_of[group] = to

    def _costs(self, group: int) -> np.ndarray:
        """float64 [n_splits]: the cost of `group` in each split, up to a constant; where it is, of staying."""
        strata, masses = self._cells(group)
        along = 2 * (masses @ self._gap[strata])
        square = self._problem.square[group]
        here = self.split_of[group]
        costs = (along + square) * self._problem.inverse
        costs[here] = (along[here] - square) * self._problem.inverse[here]
        return costs

    def _absent_after(self, group: int, to: int) -> int:
        """How many more (split, stratum) would be absent if `group` moved."""
        strata = self._stratum[self._starts[group] : self._starts[group + 1]]
        strata = strata[self._problem.required[strata]]
        lost = (self._holders[strata, self.split_of[group]] == 1).sum()
        return int(lost - (self._holders[strata, to] == 0).sum())

    def _along(self) -> np.ndarray:
        """int64 [n_groups, n_splits]: each group's masses times the gaps of its strata."""
        along = np.empty((len(self.split_of), self._problem.n_splits), np.int64)
        for split in range(self._problem.n_splits):
            weighed = self._gap[:, split][self._stratum]
            weighed *= self._mass
            along[:, split] = np.add.reduceat(weighed, self._starts[:-1])
        return along

    def _move_round_by_round(self) -> bool:
        problem = self._problem
        n_cells = len(self._stratum) * problem.n_splits
        movable = np.flatnonzero(problem.fixed == FREE)
        moved_any = False
        for _ in range(max(2, min(_MAX_ROUNDS, _ROUND_CELLS // max(1, n_cells)))):
            along = 2 * self._along()[movable]
            square = problem.square[movable]
            rows, here = np.arange(len(movable)), self.split_of[movable]
            costs = (along + square[:, None]) * problem.inverse
            staying = (along[rows, here] - square) * problem.inverse[here]
            costs[rows, here] = staying
            gain = staying - costs.min(axis=1)
            promising = np.flatnonzero(gain > problem.tiny)
            promising = promising[np.argsort(-gain[promising], kind="stable")][:_MOVES]
            moved = sum(self._move(group) for group in movable[promising].tolist())
            if not moved:
                break
            moved_any = True
        return moved_any

    def _move(self, group: int) -> bool:
        """Moves `group` to where it costs least, unless that makes a stratum absent. True when it moved."""
        costs = self._costs(group)
        here, best = self.split_of[group], int(costs.argmin())
        if best == here or costs[here] - costs[best] <= self._problem.tiny or self._absent_after(group, best) > 0:
            return False
        self._shift(group, best)
        return True

    # Repairing

    def _repair(self) -> None:
        """Brings strata to the splits that lack them, while a single move does so without taking another away."""
        absent = np.argwhere((self._holders == 0) & self._problem.required[:, None])
        if not len(absent):
            return
        by_stratum = np.argsort(self._stratum, kind="stable")
        begins = np.searchsorted(self._stratum[by_stratum], np.arange(len(self._gap) + 1))
        group_of = self._problem.cells.group
        left = _REPAIRS
        for _ in range(self._problem.n_splits):
            brought = False
            for stratum, split in absent:
                if self._holders[stratum, split]:
                    continue
                groups = group_of[by_stratum[begins[stratum] : begins[stratum + 1]]]
                groups = groups[self._problem.fixed[groups] == FREE][: min(left, _REPAIRS // 50)]
                left -= len(groups)
                ranked = []
                for group in groups.tolist():
                    costs = self._costs(group)
                    grown = costs[split] - costs[self.split_of[group]]
                    ranked.append((self._absent_after(group, split), grown, group))
                if ranked and min(ranked)[0] < 0:
                    self._shift(min(ranked)[2], split)
                    brought = True
            if not brought:
                break

    # Swapping

    def _swap_all_pairs(self) -> bool:
        n_splits, swapped = self._problem.n_splits, False
        pairs = [(a, b) for a in range(n_splits) for b in range(a + 1, n_splits)]
        if len(pairs) > 45:  # Of many splits, a drawn part.
            pairs = [pairs[i] for i in self._stream.permutation(len(pairs))[:45]]
        for a, b in pairs:
            swapped |= self._swap_between(a, b)
        return swapped

    def _swap_between(self, a: int, b: int) -> bool:
        """Swaps groups of split `a` with groups of `b`, those that gain most first."""
        problem = self._problem
        left, right = self._sample(a), self._sample(b)
        if not len(left) or not len(right):
            return False
        scale = float(problem.inverse[a] + problem.inverse[b])
        # Rounded down so far that products of floats are exact whole numbers, in whatever order they are added.
        bits = min(problem.unit_bits, (52 - int(len(self._gap)).bit_length()) // 2)
        fine, coarse = self._dense(left), self._dense(right)
        cut = problem.unit_bits - bits
        dot = (fine >> cut).astype(np.float64) @ (coarse >> cut).astype(np.float64).T * 4.0**cut
        pull_left, pull_right = (
            2.0 * ((dense @ self._gap[:, a]) * problem.inverse[a] - (dense @ self._gap[:, b]) * problem.inverse[b])
            for dense in (fine, coarse)
        )
        grown = pull_right - pull_left[:, None]
        grown = grown + scale * (problem.square[left][:, None] + problem.square[right] - 2.0 * dot)
        promising = np.flatnonzero(grown.reshape(-1) < -problem.tiny)
        best = promising[np.argsort(grown.reshape(-1)[promising], kind="stable")]
        used: set[int] = set()
        swapped = False
        for place in best[: 8 * _SWAPS].tolist():
            one, other = int(left[place // len(right)]), int(right[place % len(right)])
            if one in used or other in used:
                continue
            if self._swap(one, other):
                used |= {one, other}
                swapped = True
            if len(used) >= 2 * _SWAPS:
                break
        return swapped

    def _swap(self, one: int, other: int) -> bool:
        a, b = self.split_of[one], self.split_of[other]
        before = self._local_cost(one, other, a, b)
        self._shift(one, b)
        self._shift(other, a)
        after = self._local_cost(one, other, a, b)
        if after[0] <= before[0] and after[1] < before[1] - self._problem.tiny:
            return True
        self._shift(one, a)
        self._shift(other, b)
        return False

    def _local_cost(self, one: int, other: int, a: int, b: int) -> tuple[int, float]:
        """What splits `a` and `b` lack and cost in the strata of two groups."""
        strata = np.union1d(self._cells(one)[0], self._cells(other)[0])
        gap = self._gap[strata][:, [a, b]]
        lacking = (self._holders[strata][:, [a, b]] == 0) & self._problem.required[strata][:, None]
        squares = (gap * gap).sum(axis=0)
        return int(lacking.sum()), float(squares[0]) * self._problem.inverse[a] + float(
            squares[1]
        ) * self._problem.inverse[b]

    def _sample(self, split: int) -> np.ndarray:
        groups = np.flatnonzero((self.split_of == split) & (self._problem.fixed == FREE))
        most = max(1, min(_SWAP_GROUPS, _SWAP_CELLS // len(self._gap)))
        if len(groups) > most:
            groups = groups[np.argsort(self._stream.priorities(len(groups)), kind="stable")[:most]]
        return groups

    def _dense(self, groups: np.ndarray) -> np.ndarray:
        """int64 [len(groups), n_strata]: their masses."""
        dense = np.zeros((len(groups), len(self._gap)), np.int64)
        for i, group in enumerate(groups.tolist()):
            strata, masses = self._cells(group)
            dense[i, strata] = masses
        return dense
