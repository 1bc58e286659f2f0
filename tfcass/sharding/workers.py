"""n workers, n train splits and n validation splits, from one seed and without a word between the workers.

Each worker is given the same splits and seed. Worker i trains on split i and validates on split n + i. At the end of
each epoch the keys of all train splits together are shuffled, with the same seed on each worker, and dealt out anew.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from tfcass.errors import OptionError
from tfcass.sharding.checks import check_count, is_int
from tfcass.sharding.plan import Plan
from tfcass.sharding.shard import Shard

if TYPE_CHECKING:
    from tfcass.splits import Splits


@dataclasses.dataclass(frozen=True)
class WorkerSplits:
    """2n splits: [0, n) to train on, [n, 2n) to validate on. Made by for_workers().

    Train splits are disjoint, of equal size, and dealt out anew in each epoch; which rows do not divide by n and are
    left out changes with the epoch. Validation splits are disjoint, hold every row once, and stay as they are; the
    first of them may hold one row more.

    Attributes:
      n: Number of workers.
      train_plan, validation_plan: The splits that these are parts of.
    """

    n: int
    train_plan: Plan
    validation_plan: Plan

    @property
    def names(self) -> tuple[str, ...]:
        """ "train0", ..., "validation0", ...: by number."""
        return tuple(f"{what}{i}" for what in ("train", "validation") for i in range(self.n))

    def keys(self, number: int, *, epoch: int = 0) -> np.ndarray:
        """uint8 [m, 16]: one of the 2n splits in an epoch, in the order in which it is read.

        Raises:
          OptionError: `number` is not in [0, 2n), or `epoch` is negative.
        """
        if not is_int(number) or not 0 <= number < 2 * self.n:
            raise OptionError(f"split {number!r} is not in [0, {2 * self.n}): {self.n} workers have 2 splits each")
        return self.train(number, epoch=epoch) if number < self.n else self.validation(number - self.n)

    def train(self, rank: int, *, epoch: int) -> np.ndarray:
        """uint8 [m, 16]: what worker `rank` trains on in an epoch; m is the same for all."""
        return Shard(rank, self.n).keys_from(self.train_plan, self.train_plan.cursor(epoch))

    def validation(self, rank: int) -> np.ndarray:
        """uint8 [m, 16]: what worker `rank` validates on, in every epoch."""
        return Shard(rank, self.n).keys_from(self.validation_plan, self.validation_plan.cursor(), remainder="uneven")


def for_workers(
    splits: "Splits", n: int, *, train: str = "train", validation: str = "val", seed: int = 0
) -> WorkerSplits:
    """Deals a train and a validation split out to n workers.

        mine = for_workers(splits, hvd.size(), seed=7)
        mine.train(hvd.rank(), epoch=0), mine.validation(hvd.rank())

    Args:
      splits: The same on all workers.
      n: Number of workers.
      train, validation: The splits to deal out.
      seed: Non-negative, the same on all workers.
    Raises:
      SplitError: No such split, or one with fewer rows than workers.
      OptionError: `n` or `seed` is not what is accepted, or both splits are the same one.
    """
    check_count("n", n, least=1)
    if train == validation:
        raise OptionError(f"train and validation are both {train!r}: a model must be validated on other rows")
    workers = WorkerSplits(int(n), Plan(splits, train, seed=seed), Plan(splits, validation, seed=seed))
    for plan, remainder in ((workers.train_plan, "drop"), (workers.validation_plan, "uneven")):
        Shard(0, workers.n).part(plan, remainder=remainder)  # Refuses a split that is too small, here and now.
    return workers
