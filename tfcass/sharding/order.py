"""A seeded order of many rows that is computed where it is read, and nowhere kept."""

import math

import numpy as np

from tfcass.errors import OptionError
from tfcass.sharding.checks import check_count
from tfcass.splits.randomness import Stream

# Up to here the order is an array, drawn uniformly from all orders: half a megabyte at most.
_LISTED_ROWS = 1 << 16
_ROUNDS = 8
_MOST_ROWS = 1 << 62  # Sums of two halves stay below 2**32.
# Positions at a time: what the rounds work on stays in a core's cache.
_BLOCK = 1 << 15


class EpochOrder:
    """A bijection of [0, n): positions in an epoch -> rows. The same on every machine.

        order = EpochOrder(100_000_000, 7, 3)   # any non-negative integers name the order
        order.rows(np.arange(64))               # the first batch

    Above 65,536 rows it is a Feistel network over pairs (l, r) in [0, a) x [0, b), a * b just above n: eight times, one
    half is moved by a random function of the other, read from a table of sqrt(n) random numbers. What falls outside
    [0, n) is sent through again. Memory: eight tables, 320 kB for 100 million rows, of which a million
    take 12 ms on one core. Immutable; threads may share it.

    Args:
      n: Number of rows, in [0, 2**62].
      words: Non-negative integers of any size: what the order depends on besides n.
    Raises:
      OptionError: `n` is no such number.

    Source: M. Luby, C. Rackoff: How to construct pseudorandom permutations from pseudorandom functions, SIAM J. Comput.
    17(2), 1988; J. Black, P. Rogaway: Ciphers with arbitrary finite domains, CT-RSA 2002 (cycle walking).
    """

    def __init__(self, n: int, *words: int) -> None:
        check_count("n", n, least=0)
        if n > _MOST_ROWS:
            raise OptionError(f"n={n!r} is above 2**62")
        stream = Stream(*words)
        self._n = int(n)
        self._listed = stream.permutation(self._n) if n <= _LISTED_ROWS else None
        if self._listed is None:
            a = math.isqrt(self._n - 1) + 1  # a * b >= n, and less than n + a.
            b = -(-self._n // a)
            moduli = [a if i % 2 == 0 else b for i in range(_ROUNDS)]
            sizes = [b if i % 2 == 0 else a for i in range(_ROUNDS)]
            self._a, self._b = np.uint32(a), np.uint32(b)
            self._tables = [_below(stream, size, modulus) for size, modulus in zip(sizes, moduli, strict=True)]

    def __len__(self) -> int:
        return self._n

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """int64 of any shape in [0, n) -> int64 of that shape: the rows at these positions.

        Raises:
          IndexError: A position is outside [0, n).
        """
        positions = np.asarray(positions, np.int64)
        if positions.size and not (0 <= positions.min() and positions.max() < self._n):
            raise IndexError(f"positions {positions.min()} to {positions.max()} are not all in [0, {self._n})")
        if self._listed is not None:
            return self._listed[positions]
        flat, rows = positions.reshape(-1), np.empty(positions.size, np.int64)
        for start in range(0, flat.size, _BLOCK):
            rows[start : start + _BLOCK] = self._block(flat[start : start + _BLOCK])
        return rows.reshape(positions.shape)

    def _block(self, positions: np.ndarray) -> np.ndarray:
        rows = self._once(positions)
        while len(outside := np.flatnonzero(rows >= self._n)):
            rows[outside] = self._once(rows[outside])
        return rows

    def _once(self, numbers: np.ndarray) -> np.ndarray:
        """A bijection of [0, a * b)."""
        left, right = (half.astype(np.uint32) for half in np.divmod(numbers, np.int64(self._b)))
        for i, table in enumerate(self._tables):
            # Sums are below 2**32, and a difference below zero wraps to something large: the minimum is the remainder.
            if i % 2 == 0:
                left += table[right]
                left = np.minimum(left, left - self._a)
            else:
                right += table[left]
                right = np.minimum(right, right - self._b)
        return left * np.int64(self._b) + right


def _below(stream: Stream, size: int, modulus: int) -> np.ndarray:
    """uint32 [size] in [0, modulus), modulus at most 2**31."""
    return (((stream.priorities(size) >> np.uint64(32)) * np.uint64(modulus)) >> np.uint64(32)).astype(np.uint32)
