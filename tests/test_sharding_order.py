"""The seeded order of an epoch: a bijection, uniform, computed piece by piece in little memory."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcass import OptionError
from tfcass.sharding import EpochOrder


@given(n=st.integers(1, 300_000), word=st.integers(0, 2**80))
@settings(max_examples=30, deadline=None)
def test_every_row_has_one_position(n, word) -> None:
    rows = EpochOrder(n, word).rows(np.arange(n))

    assert (np.bincount(rows, minlength=n) == 1).all()


@pytest.mark.parametrize("n", [0, 1, 2, 65_535, 65_536, 65_537, 256 * 257, 257 * 257, 257 * 257 + 1, 2**17])
def test_at_the_edges_of_how_it_is_made(n) -> None:
    rows = EpochOrder(n, 1).rows(np.arange(n))

    assert sorted(rows.tolist()) == list(range(n))


@given(n=st.integers(1, 10**12), seed=st.integers(0, 2**64), data=st.data())
@settings(max_examples=40, deadline=None)
def test_pieces_in_any_order_give_what_the_whole_gives(n, seed, data) -> None:
    order = EpochOrder(n, seed)
    positions = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=50)))

    together = order.rows(positions)
    alone = [int(EpochOrder(n, seed).rows(positions[i : i + 1])[0]) for i in range(0, len(positions), 7)]

    assert together[::7].tolist() == alone
    assert len(set(together.tolist())) == len(set(positions.tolist()))
    assert (together >= 0).all() and (together < n).all()


def chi_squared_z(counts: np.ndarray, expected: float, freedom: int) -> float:
    """Standard deviations from what is expected of uniform counts (normal approximation)."""
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom))


def pairs(x: np.ndarray, y: np.ndarray, n: int) -> float:
    """How far 64 x 64 counts of pairs are from uniform."""
    counts = np.histogram2d(x, y, bins=64, range=[[0, n], [0, n]])[0]
    return chi_squared_z(counts, n / 64**2, 63**2)


# With three or four rounds one of these fails; seeds are fixed, so that they hold or not.
@pytest.mark.parametrize("n", [70_001, 262_144])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_order_looks_like_a_drawn_one(n, seed) -> None:
    everywhere = np.arange(n)
    rows = EpochOrder(n, seed, 4).rows(everywhere)
    stride = -(-n // (math.isqrt(n - 1) + 1))  # Positions whose pair differs in one half alone.

    assert abs(pairs(everywhere, rows, n)) < 4
    assert abs(pairs(rows, np.roll(rows, 1), n)) < 4
    assert abs(pairs(rows, np.roll(rows, stride), n)) < 4
    assert abs(pairs(rows, EpochOrder(n, seed, 5).rows(everywhere), n)) < 4  # The next epoch knows nothing of this one.
    steps = np.bincount((np.roll(rows, -1) - rows) % n * 1000 // n, minlength=1000)
    assert abs(chi_squared_z(steps, n / 1000, 999)) < 4
    low_bits = np.bincount(rows % 251 * 251 + everywhere % 251, minlength=251**2)
    assert abs(chi_squared_z(low_bits, n / 251**2, 250**2)) < 4
    assert (rows == everywhere).sum() < 8  # One on average.


def test_a_row_lands_everywhere_alike() -> None:
    n = 70_001
    places = np.array([EpochOrder(n, 9, epoch).rows(np.array([0, n // 2, n - 1])) for epoch in range(1500)])

    for of_position in places.T:
        counts = np.bincount(of_position * 30 // n, minlength=30)
        assert abs(chi_squared_z(counts, 50, 29)) < 4


def test_a_hundred_million_rows_take_less_than_a_megabyte() -> None:
    tracemalloc.start()
    try:
        order = EpochOrder(100_000_000, 7)
        rows = order.rows(np.arange(99_990_000, 100_000_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(set(rows.tolist())) == 10_000
    assert peak < 1_500_000  # Tables, and what is computed for 10,000 positions.


def test_the_order_is_the_same_on_every_machine() -> None:
    # Written out once: ranks on different machines, and resumed runs, rely on it.
    assert EpochOrder(10, 1, 2).rows(np.arange(10)).tolist() == [7, 1, 3, 0, 4, 8, 9, 2, 6, 5]
    assert EpochOrder(10**8, 1, 2).rows(np.arange(4)).tolist() == [71871938, 52253135, 86510650, 34094441]


@pytest.mark.parametrize("positions", [[-1], [10], [0, 10]])
def test_positions_outside_are_refused(positions) -> None:
    with pytest.raises(IndexError, match=r"are not all in \[0, 10\)"):
        EpochOrder(10, 1).rows(np.array(positions))


@pytest.mark.parametrize("n", [-1, 1.5, "9", 2**62 + 1])
def test_bad_numbers_of_rows(n) -> None:
    with pytest.raises(OptionError, match="n="):
        EpochOrder(n, 1)
