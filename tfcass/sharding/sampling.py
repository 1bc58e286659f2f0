"""Epochs that draw some rows more often than others: the same draws on every rank and machine, and no luck in them.

    Plan(splits, "train", seed=7, sampling=ByClass())                             # as many draws of each class
    Plan(splits, "train", seed=7, sampling=ByClass({"normal": 1, "tumor": 3}))    # one to three
    Plan(splits, "train", seed=7, sampling=ByWeight("weight"))                    # by a column of the splits' table

An epoch has a number of draws; draw d of it is a row. Drawing at random with replacement would leave out a third of the
rows that are due once. Here rows take turns: in each epoch a row is drawn as often as it is due, rounded up or down,
and over the epochs as often as it is due. Costs 8 to 20 bytes a row.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tfcass.errors import OptionError, SplitError
from tfcass.keys import key_text
from tfcass.sharding.checks import check_count
from tfcass.sharding.order import EpochOrder
from tfcass.splits.naming import choices, listed
from tfcass.splits.randomness import Stream

if TYPE_CHECKING:
    from tfcass.splits import Splits

_CLASS, _OFFSET = 11, 12  # Streams of random words that must not be the same, here and in plan.py.
_GOLDEN = 0.6180339887498949  # Steps of this size fill [0, 1) most evenly.


@dataclasses.dataclass(frozen=True)
class ByClass:
    """Draws by shares of classes. Within a class, every row is drawn once before any is drawn again.

    Attributes:
      shares: Class -> its share of the draws, relative to the others; each class of the split, 0 leaves it out. None:
        equal shares.
      column: Column of classes; None: the classes that the splits were made with, one a row.
      draws: Positions in an epoch; None: as many as the split has rows.
    """

    shares: Mapping[object, float] | None = None
    column: str | None = None
    draws: int | None = None

    def __post_init__(self) -> None:
        _check_draws(self.draws)
        for name, share in (self.shares or {}).items():
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < float("inf"):
                raise OptionError(f"ByClass: share {share!r} of class {name!r} is not a number of at least 0")
        if self.shares is not None and not any(self.shares.values()):
            raise OptionError(f"ByClass: shares={dict(self.shares)!r} draw nothing; give one class a share above 0")

    def bound(self, splits: "Splits", name: str, kept: np.ndarray | None, words: Sequence[int]) -> "_ClassDraws":
        """For the rows of a split, those numbered in `kept` or all; `words` name the random streams."""
        if self.column is None:
            codes, values = splits.class_codes(name), splits.classes
        else:
            codes, values = _codes(splits, name, self.column)
        codes = codes if kept is None else codes[kept]
        present = np.flatnonzero(np.bincount(codes))  # The others are in other splits alone.
        codes = np.searchsorted(present, np.arange(codes.max() + 1)).astype(np.int32)[codes]
        return _ClassDraws(codes, self._quota([values[i] for i in present], self.draws or len(codes)), words)

    def _quota(self, values: Sequence[object], draws: int) -> np.ndarray:
        """int64 [classes]: draws of each in an epoch, summing to `draws`."""
        shares = dict.fromkeys(values, 1.0) if self.shares is None else self.shares
        for name in shares:
            if name not in values:
                raise SplitError(f"ByClass: class {name!r} is not in this split {choices(name, values)}")
        without = [value for value in values if value not in shares]
        if without:
            raise SplitError(f"ByClass: no share for class {listed(map(repr, without))}; give 0 to leave it out")
        exact = np.array([shares[value] for value in values], np.float64)
        exact *= draws / exact.sum()
        quota = np.floor(exact).astype(np.int64)
        quota[np.argsort(quota - exact, kind="stable")[: draws - quota.sum()]] += 1  # Largest remainders.
        return quota


@dataclasses.dataclass(frozen=True)
class ByWeight:
    """Draws by weights of rows: a row of twice the weight is drawn twice as often.

    Attributes:
      column: Column of the splits' table with a number of at least 0 for each row.
      draws: Positions in an epoch; None: as many as the split has rows.
    """

    column: str
    draws: int | None = None

    def __post_init__(self) -> None:
        _check_draws(self.draws)

    def bound(self, splits: "Splits", name: str, kept: np.ndarray | None, words: Sequence[int]) -> "_WeightDraws":
        """For the rows of a split, those numbered in `kept` or all; `words` name the random streams."""
        column = splits.columns(name, [self.column]).column(0)
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise SplitError(f"ByWeight: column {self.column!r} has type {column.type}; weights are numbers")
        weights = column.to_numpy().astype(np.float64)  # Null becomes nan.
        bad = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
        if len(bad):
            raise SplitError(
                f"ByWeight: {self.column!r} is {column[int(bad[0])].as_py()} in row {_row_name(splits, name, bad[0])} "
                f"({len(bad)} such rows); weights are finite and at least 0"
            )
        weights = weights if kept is None else weights[kept]
        if not weights.any():
            raise SplitError(f"ByWeight: all weights in column {self.column!r} are 0, so that nothing is drawn")
        return _WeightDraws(weights, self.draws or len(weights), words)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What an epoch draws.

    Attributes:
      epoch, draws: The epoch, and its number of positions.
      rows, distinct: Rows that could be drawn, and those that are.
      most_often: How often the most frequent row is drawn.
      by_class: Class -> draws; empty where the splits have no classes.
    """

    epoch: int
    draws: int
    rows: int
    distinct: int
    most_often: int
    by_class: Mapping[object, int]

    def __str__(self) -> str:
        classes = listed(f"{name} {draws:,}" for name, draws in self.by_class.items())
        return (
            f"epoch {self.epoch}: {self.draws:,} draws of {self.distinct:,} of {self.rows:,} rows, none more than "
            f"{self.most_often} times" + (f"; by class: {classes}" if classes else "")
        )


def _codes(splits: "Splits", name: str, asked: str) -> tuple[np.ndarray, list[object]]:
    """int32 [n], and the values of a column that these number, ascending."""
    column = splits.columns(name, [asked]).column(0)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind)):
        raise SplitError(f"ByClass: column {asked!r} has type {kind}; classes are integers, booleans or strings")
    if column.null_count:
        raise SplitError(
            f"ByClass: column {asked!r} is null in row {_row_name(splits, name, column.is_null().to_numpy().argmax())}"
        )
    encoded = column.cast(kind).combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    values = encoded.dictionary.to_pylist()
    ascending = sorted(range(len(values)), key=values.__getitem__)
    code_of = np.empty(len(values), np.int32)
    code_of[ascending] = np.arange(len(values))
    return code_of[encoded.indices.to_numpy()], [values[i] for i in ascending]


class _ClassDraws:
    """Draw d of an epoch is member (epoch * quota + d's number in its class) of an endless walk over the class, which
    passes over all its rows in an order of its own before it begins again."""

    def __init__(self, codes: np.ndarray, quota: np.ndarray, words: Sequence[int]) -> None:
        self._words = tuple(words)
        short = codes.astype(np.int16) if len(quota) < 1 << 15 else codes  # numpy has a radix sort for 16 bits.
        self._members = np.argsort(short, kind="stable")
        self._sizes = np.bincount(codes, minlength=len(quota))
        self._begin = np.cumsum(self._sizes) - self._sizes
        self._quota, self._ends = quota, np.cumsum(quota)
        self.draws = int(quota.sum())
        self.digest = hashlib.sha256(quota.tobytes() + codes.astype("<i4").tobytes()).hexdigest()
        self._passes: dict[tuple[int, int], EpochOrder] = {}  # Those used last: most calls go on where one ended.

    def rows(self, epoch: int, draws: np.ndarray) -> np.ndarray:
        of_class = np.searchsorted(self._ends, draws, side="right")
        number = epoch * self._quota[of_class] + draws - (self._ends - self._quota)[of_class]
        turn, within = np.divmod(number, self._sizes[of_class])
        rows = np.empty(len(draws), np.int64)
        by_pass = np.lexsort((turn, of_class))
        edges = np.flatnonzero(np.diff(of_class[by_pass]) | np.diff(turn[by_pass])) + 1
        for group in np.split(by_pass, edges):
            if len(group):
                order = self._pass(int(of_class[group[0]]), int(turn[group[0]]))
                rows[group] = self._members[self._begin[of_class[group]] + order.rows(within[group])]
        return rows

    def _pass(self, of_class: int, turn: int) -> EpochOrder:
        order = self._passes.get((of_class, turn))
        if order is None:
            passes = dict(self._passes)  # Replaced, not changed: another thread may be reading it.
            if len(passes) >= 4 * len(self._sizes):
                passes.clear()
            order = passes[of_class, turn] = EpochOrder(
                int(self._sizes[of_class]), *self._words, _CLASS, of_class, turn
            )
            self._passes = passes
        return order


class _WeightDraws:
    """Rows lie on a line, each as long as its weight; the draws of an epoch are points at equal distances on it, begun
    at an offset that wanders from epoch to epoch."""

    def __init__(self, weights: np.ndarray, draws: int, words: Sequence[int]) -> None:
        self._ends = np.cumsum(weights)  # Added one by one, so the same on every machine.
        self._last = int(np.flatnonzero(weights)[-1])
        self._offset = float(Stream(*words, _OFFSET).priorities(1)[0] >> np.uint64(11)) / 2**53
        self.draws = draws
        self.digest = hashlib.sha256(f"{draws} ".encode() + weights.astype("<f8").tobytes()).hexdigest()

    def rows(self, epoch: int, draws: np.ndarray) -> np.ndarray:
        offset = (self._offset + epoch * _GOLDEN) % 1.0
        points = (draws + offset) * (self._ends[-1] / self.draws)
        # Rounding may put the last point on the very end of the line.
        return np.minimum(np.searchsorted(self._ends, points, side="right"), self._last)


def _check_draws(draws: object) -> None:
    if draws is not None:
        check_count("draws", draws, least=1)


def _row_name(splits: "Splits", name: str, row: int) -> str:
    return f"{splits.recipe.key}={key_text(splits.keys(name)[row])}"
