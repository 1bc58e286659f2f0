"""Seeded order that is the same on every machine and with every numpy.

numpy promises stable streams for bit generators and for SeedSequence, not for Generator.permutation: so orders are made
by sorting raw 64-bit words.
"""

import numpy as np


class Stream:
    """Random words that depend on `words` alone, all non-negative integers of any size. One thread at a time."""

    def __init__(self, *words: int) -> None:
        self._bits = np.random.Philox(np.random.SeedSequence(list(words)))

    def priorities(self, n: int) -> np.ndarray:
        """uint64 [n]: sorting by these draws an order."""
        return self._bits.random_raw(n)

    def permutation(self, n: int) -> np.ndarray:
        """int64 [n]: a uniformly drawn order of range(n)."""
        return np.argsort(self.priorities(n), kind="stable")
