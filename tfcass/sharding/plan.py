"""What is read: a split and its order in each epoch, the same on every rank."""

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from tfcass.errors import KeyFormatError, OptionError, SplitError
from tfcass.keys import KEY_BYTES, key_text
from tfcass.sharding.checks import check_count, check_order
from tfcass.sharding.cursor import Cursor
from tfcass.sharding.find import find_keys
from tfcass.sharding.order import EpochOrder
from tfcass.sharding.sampling import ByClass, ByWeight, Drawn

if TYPE_CHECKING:
    from tfcass.splits import Splits

_ORDER, _REPLACEMENT = 1, 3  # Streams of random words that must not be the same, here and in sampling.py.
_COUNTED = 1 << 20


@dataclasses.dataclass(frozen=True)
class Growth:
    """How a plan differs from the one before.

    Attributes:
      new, gone: Rows that joined, and rows that are no longer there.
      rows: Rows of the new plan.
    """

    new: int
    gone: int
    rows: int

    def __str__(self) -> str:
        return f"{self.new:,} rows joined, {self.gone:,} are gone: {self.rows:,} in all"


class Plan:
    """A split, read in an order of its own in each epoch. Immutable, and equal on all ranks that were given the same.

        plan = Plan(splits, "train", seed=7)
        plan.keys(3, np.arange(64))  # uint8 [64, 16]: the first 64 keys of epoch 3, over all ranks

    The order is computed where it is read: no list of it is kept, whatever the number of rows.

    Args:
      splits: The same on all ranks.
      name: The split to read.
      seed: Non-negative, the same on all ranks.
      sampling: ByClass(...) or ByWeight(...); None reads every row once in each epoch.
      leave_out: uint8 [m, 16]: keys that are not read, such as those of Quarantine.read(). Those that are not in the
        split are passed over.
    Raises:
      SplitError: No such split, nothing left of it, or columns that do not fit `sampling`.
      OptionError: `seed` or `sampling` is not what is accepted.
      KeyFormatError: `leave_out` is no array of keys.
    """

    def __init__(
        self,
        splits: "Splits",
        name: str,
        *,
        seed: int,
        sampling: ByClass | ByWeight | None = None,
        leave_out: np.ndarray | None = None,
    ) -> None:
        check_order(epoch=0, seed=seed)
        if sampling is not None and not isinstance(sampling, ByClass | ByWeight):
            raise OptionError(f"sampling={sampling!r} is neither ByClass(...) nor ByWeight(...)")
        self.splits, self.name, self.seed = splits, name, int(seed)
        self.sampling, self._leave_out = sampling, leave_out
        self._keys = splits.keys(name)
        self._left_out = _rows_of(self._keys, leave_out)  # Ascending.
        if len(self._left_out) == len(self._keys):
            why = f"; all its {len(self._keys)} rows are in leave_out" if len(self._keys) else ""
            raise SplitError(f"split {name!r} has no rows to read{why}")
        parts = {"format": "tfcass plan 1", "splits": splits.digest, "split": name}
        if len(self._left_out):
            parts["left_out"] = hashlib.sha256(self._keys[self._left_out].tobytes()).hexdigest()
        words = self._seed_words(parts)
        self._draws = None
        if sampling is not None:
            kept = np.delete(np.arange(len(self._keys)), self._left_out) if len(self._left_out) else None
            self._draws = sampling.bound(splits, name, kept, words)
            parts["sampling"] = [type(sampling).__name__, self._draws.digest]
            words = self._seed_words(parts)
        self.digest = _digest(parts)
        self._words = words
        self._orders: tuple[tuple[int, EpochOrder], ...] = ()  # Those asked for last.

    @property
    def rows(self) -> int:
        """Rows that may be read: those of the split less what is left out."""
        return len(self._keys) - len(self._left_out)

    @property
    def left_out(self) -> int:
        """Rows of the split that `leave_out` names."""
        return len(self._left_out)

    @property
    def samples(self) -> int:
        """Positions in an epoch, over all ranks: `rows`, or the draws of `sampling`."""
        return self.rows if self._draws is None else self._draws.draws

    def keys(self, epoch: int, positions: np.ndarray) -> np.ndarray:
        """The keys at these positions of an epoch's order.

        Args:
          epoch: Non-negative.
          positions: int64 [n] in [0, samples).
        Returns:
          uint8 [n, 16].
        """
        return self._keys[self._row_numbers(self.draws(epoch, positions))]

    def draws(self, epoch: int, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: the numbers of these rows, in [0, rows), in the order of the split without what is left out."""
        drawn = self.order(epoch).rows(positions)
        return drawn if self._draws is None else self._draws.rows(epoch, drawn)

    def order(self, epoch: int) -> EpochOrder:
        """Positions of an epoch -> its draws, which are the rows themselves where nothing is sampled."""
        orders = self._orders
        for of_epoch, order in orders:
            if of_epoch == epoch:
                return order
        check_order(epoch=epoch, seed=self.seed)
        order = EpochOrder(self.samples, *self._words, _ORDER, int(epoch))
        self._orders = (*orders[-1:], (int(epoch), order))  # Two: reading ahead crosses from one epoch to the next.
        return order

    def replacements(self, epoch: int, positions: np.ndarray, attempt: int) -> np.ndarray:
        """Keys to read in place of those at `positions` that failed: uint8 [n, 16], a function of the plan, epoch,
        position and attempt alone. Another attempt gives another row, as long as there are any."""
        order = EpochOrder(self.rows, *self._words, _REPLACEMENT, int(epoch))
        return self._keys[self._row_numbers(order.rows((np.asarray(positions, np.int64) + attempt) % self.rows))]

    def cursor(self, epoch: int = 0, samples: int = 0) -> Cursor:
        """Before the position `samples` of an epoch."""
        cursor = Cursor(self.digest, self.seed, epoch, samples)
        self.check(cursor)
        return cursor

    def check(self, cursor: Cursor) -> None:
        """Raises SplitError unless the cursor is one of this plan."""
        if not isinstance(cursor, Cursor):
            raise OptionError(f"cursor={cursor!r} is not a Cursor; make one with Plan.cursor() or Cursor.from_json()")
        if cursor.plan_digest != self.digest:
            raise SplitError(
                f"the saved state is of another split: its plan is {cursor.plan_digest[:12]}, this one "
                f"{self.digest[:12]} ({self.name!r} of {self.splits!r}"
                + (f", {self.left_out} rows left out" if self.left_out else "")
                + (f", {self.sampling}" if self.sampling else "")
                + "); give the splits, sampling and leave_out that it was saved with, or begin anew with plan.cursor()"
            )
        if cursor.seed != self.seed:
            raise SplitError(
                f"the saved state has seed={cursor.seed}, this plan seed={self.seed}, which is another order; "
                f"pass seed={cursor.seed}, or begin anew with plan.cursor()"
            )
        if cursor.samples > self.samples:
            raise SplitError(f"the cursor is at position {cursor.samples} of an epoch that has {self.samples}")

    def drawn(self, epoch: int) -> Drawn:
        """What an epoch draws, counted: takes time and memory in proportion to the rows."""
        check_count("epoch", epoch, least=0)
        times = np.zeros(self.rows, np.int64)
        for first in range(0, self.samples, _COUNTED):
            draws = np.arange(first, min(first + _COUNTED, self.samples))
            times += np.bincount(draws if self._draws is None else self._draws.rows(epoch, draws), minlength=self.rows)
        return Drawn(
            epoch=epoch,
            draws=self.samples,
            rows=self.rows,
            distinct=int(np.count_nonzero(times)),
            most_often=int(times.max()),
            by_class=self._by_class(times),
        )

    def grown(self, splits: "Splits") -> tuple["Plan", Growth]:
        """This plan for splits that were made anew, for the next epoch: the same split, seed, sampling and leave_out.

        Raises:
          SplitError: A row of this split is in another split now: the model has been trained on it.
        """
        plan = Plan(splits, self.name, seed=self.seed, sampling=self.sampling, leave_out=self._leave_out)
        stayed = find_keys(plan._keys, self._keys) >= 0
        for other in splits.names:
            moved = np.flatnonzero(find_keys(splits.keys(other), self._keys) >= 0) if other != self.name else ()
            if len(moved):
                raise SplitError(
                    f"{len(moved)} rows of split {self.name!r} are in {other!r} now (first: "
                    f"{key_text(self._keys[moved[0]])}): rows must stay where they are; add rows to the splits there "
                    "are, instead of splitting anew"
                )
        kept = int(stayed.sum())
        return plan, Growth(new=len(plan._keys) - kept, gone=len(self._keys) - kept, rows=plan.rows)

    def __repr__(self) -> str:
        return f"Plan({self.name!r}, rows={self.rows}, seed={self.seed}, digest={self.digest[:12]})"

    def _row_numbers(self, rows: np.ndarray) -> np.ndarray:
        """Rows that are read -> rows of the split, by going over what is left out."""
        if not len(self._left_out):
            return rows
        # Before the i-th row that is left out there are left_out[i] - i that are read.
        return rows + np.searchsorted(self._left_out - np.arange(len(self._left_out)), rows, side="right")

    def _by_class(self, times: np.ndarray) -> dict[object, int]:
        if self.splits.recipe.labelling.multiple:
            return {}  # A draw counts for several classes, or none.
        codes = self.splits.class_codes(self.name)[self._row_numbers(np.arange(self.rows))]
        counts = np.zeros(len(self.splits.classes), np.int64)
        np.add.at(counts, codes, times)
        return {cls: int(count) for cls, count in zip(self.splits.classes, counts, strict=True)}

    def _seed_words(self, parts: dict) -> tuple[int, ...]:
        return self.seed, int(_digest(parts)[:32], 16)


def _digest(parts: dict) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _rows_of(keys: np.ndarray, leave_out: np.ndarray | None) -> np.ndarray:
    """int64, ascending: the rows that `leave_out` names."""
    if leave_out is None:
        return np.zeros(0, np.int64)
    if not isinstance(leave_out, np.ndarray) or leave_out.dtype != np.uint8 or leave_out.shape[1:] != (KEY_BYTES,):
        found = f"{leave_out.dtype} {list(leave_out.shape)}" if isinstance(leave_out, np.ndarray) else repr(leave_out)
        raise KeyFormatError(f"leave_out is {found}, not uint8 [m, 16]; make keys of UUIDs with tfcass.keys(...)")
    rows = find_keys(keys, leave_out)
    return np.unique(rows[rows >= 0])
