"""All assignments of a few groups, and the best of them."""

import numpy as np

from tfcass.splits.assign import FREE, Problem
from tfcass.splits.randomness import Stream

_MOST = 1 << 15  # Assignments tried at most ...
_LARGEST = 1 << 22  # ... and numbers that they take.


def can_try_every(problem: Problem) -> bool:
    """Whether there are few enough."""
    free = int((problem.fixed == FREE).sum())
    number = problem.n_splits**free if free <= 64 else _MOST + 1
    return number <= _MOST and number * problem.n_splits * problem.cells.n_strata <= _LARGEST


def best_of_every(problem: Problem, stream: Stream) -> np.ndarray:
    """int64 [n_groups]: fewest absent strata, then the least cost; drawn among those that are equal."""
    cells, n_splits = problem.cells, problem.n_splits
    free = np.flatnonzero(problem.fixed == FREE)
    number = np.arange(n_splits ** len(free))
    have = np.zeros((len(number), cells.n_strata, n_splits), np.int64)
    chosen = np.empty((len(number), cells.n_groups), np.int64)
    for group in range(cells.n_groups):
        at = np.searchsorted(free, group)
        is_free = problem.fixed[group] == FREE
        chosen[:, group] = number // n_splits**at % n_splits if is_free else problem.fixed[group]
        for cell in range(cells.start[group], cells.start[group + 1]):
            have[number, cells.stratum[cell], chosen[:, group]] += problem.mass[cell]
    absent = ((have == 0) & problem.required[:, None]).sum(axis=(1, 2))
    gap = have - problem.target
    cost = np.zeros(len(number))
    for split, inverse in enumerate(problem.inverse):
        cost += (gap[:, :, split] ** 2).sum(axis=1) * inverse
    cost[absent > absent.min()] = np.inf
    best = np.flatnonzero(cost <= cost.min() + problem.tiny)
    return chosen[best[np.argmin(stream.priorities(len(best)))]]
