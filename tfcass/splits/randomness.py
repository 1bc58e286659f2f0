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

    def shuffled(self, n: int) -> np.ndarray:
        """int64 [n]: an order of range(n), drawn several times faster than by permutation(), and another one.

        A word's leading bits and a position are sorted as one word. Positions whose leading bits are the same, of which
        there are hardly any, keep their order.
        """
        bits = np.uint64(max(0, n - 1).bit_length())
        words = self.priorities(n)
        words >>= bits
        words <<= bits
        words |= np.arange(n, dtype=np.uint64)
        words.sort()
        words &= (np.uint64(1) << bits) - np.uint64(1)
        return words.view(np.int64)
