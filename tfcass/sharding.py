"""(rank, size, epoch) -> the keys that this process reads, without communication.

    shard = tfcass.Shard.from_horovod()
    keys = shard.keys(splits, "train", epoch=0, seed=7)  # uint8 [m, 16], another order each epoch

Every rank computes the same order, one global shuffle for each epoch, and rank r takes its elements r, r + size, ...:
after any step, what all ranks together have read is a prefix of that order.
"""

import dataclasses
import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tfcass.errors import MissingExtraError, OptionError, SplitError
from tfcass.splits.randomness import Stream

if TYPE_CHECKING:
    from tfcass.splits import Splits

REMAINDERS = ("drop", "pad", "uneven")
_ORDER, _DROPPED = 1, 2  # Streams of random words that must not be the same.
_LAUNCHED_SIZE = ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


class InputContext(Protocol):
    """What tf.distribute gives to an input function."""

    input_pipeline_id: int
    num_input_pipelines: int


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of a split that one process reads.

    What is left when the rows do not divide by `size` is decided by `remainder`:
      "drop"    Each rank reads rows // size. The rows left out change with the epoch: none is left out twice in a row.
      "pad"     Each rank reads ceil(rows / size): rows are repeated to fill up, and `weights` is 0 for the repeats.
      "uneven"  Each row is read once; the first ranks read one more. For what needs no equal steps, as validation.

    Attributes:
      rank: This process, in [0, size).
      size: Number of processes, at least 1 and the same in all of them.
    Raises:
      OptionError: rank or size is out of range.
    """

    rank: int
    size: int

    def __post_init__(self) -> None:
        if not _is_int(self.size) or self.size < 1:
            raise OptionError(
                f"size={self.size!r} is not a positive integer; pass hvd.size(), or use Shard.from_horovod()"
            )
        if not _is_int(self.rank) or not 0 <= self.rank < self.size:
            raise OptionError(
                f"rank={self.rank!r} is not in [0, size={self.size}); "
                "pass hvd.rank() and hvd.size(), or use Shard.from_horovod()"
            )

    @classmethod
    def from_horovod(cls) -> "Shard":
        """Rank and size of this Horovod process, after hvd.init(); (0, 1) where Horovod is not installed.

        Raises:
          MissingExtraError: A launcher started several processes, and Horovod cannot be imported.
        """
        try:
            import horovod.tensorflow as hvd
        except ImportError as error:
            launched = next((os.environ[name] for name in _LAUNCHED_SIZE if os.environ.get(name, "1") != "1"), None)
            if launched is None:
                return cls(0, 1)
            raise MissingExtraError(
                f"{launched} processes were launched, and Horovod cannot be imported ({error}): "
                "pip install 'tfcass[horovod]'"
            ) from error
        hvd.init()  # Does nothing when it was called before.
        return cls(hvd.rank(), hvd.size())

    @classmethod
    def from_input_context(cls, context: InputContext) -> "Shard":
        """The part of one input pipeline of tf.distribute (tf.distribute.InputContext)."""
        return cls(context.input_pipeline_id, context.num_input_pipelines)

    def keys(self, splits: "Splits", name: str, *, epoch: int, seed: int, remainder: str = "drop") -> np.ndarray:
        """The keys that this rank reads in one epoch, in their order. No other rank reads them (repeats of "pad"
        apart).

        A pure function of the splits, (rank, size), epoch, seed and remainder.

        Args:
          splits: The same on all ranks.
          name: Split to read.
          epoch: Non-negative; each has its own order.
          seed: Non-negative, the same on all ranks.
          remainder: "drop", "pad" or "uneven", see above.
        Returns:
          uint8 [m, 16].
        Raises:
          SplitError: No such split, or it has fewer rows than ranks, so that a rank would have none.
          OptionError: A setting is outside what is accepted.
        """
        order = self._order(splits, name, epoch=epoch, seed=seed, remainder=remainder)
        return splits.keys(name)[order[self.rank :: self.size]]

    def weights(self, splits: "Splits", name: str, *, remainder: str = "drop") -> np.ndarray:
        """float32 [m], beside `keys`: 1, and 0 for what "pad" repeated. Sample weights that keep metrics exact."""
        rows = self._checked_rows(splits, name, remainder)
        return (np.arange(self.rank, self._global_rows(rows, remainder), self.size) < rows).astype(np.float32)

    def rows(self, splits: "Splits", name: str, *, remainder: str = "drop") -> int:
        """How many keys this rank reads in an epoch; the same on all ranks but for "uneven"."""
        return len(
            range(self.rank, self._global_rows(self._checked_rows(splits, name, remainder), remainder), self.size)
        )

    def steps(self, splits: "Splits", name: str, *, batch_size: int, remainder: str = "drop") -> int:
        """Batches of this rank in an epoch, a last smaller one included; the same on all ranks but for "uneven"."""
        if not _is_int(batch_size) or batch_size < 1:
            raise OptionError(f"batch_size={batch_size!r} is not a positive integer")
        return -(-self.rows(splits, name, remainder=remainder) // batch_size)

    def _order(self, splits: "Splits", name: str, *, epoch: int, seed: int, remainder: str) -> np.ndarray:
        """int64 [global rows]: positions in splits.keys(name), the same on all ranks."""
        check_order(epoch=epoch, seed=seed)
        rows = self._checked_rows(splits, name, remainder)
        base = (int(seed), int(splits.digest[:32], 16), splits.names.index(name))
        order = Stream(*base, _ORDER, int(epoch)).permutation(rows)
        extra = self._global_rows(rows, remainder) - rows
        if extra > 0:
            return np.concatenate([order, np.resize(order, extra)])
        if extra < 0:
            # A window that wanders over a fixed permutation, shorter than half of it: the next epoch reads these rows.
            dropped = Stream(*base, _DROPPED).permutation(rows)[(np.arange(-extra) - epoch * extra) % rows]
            return order[~np.isin(order, dropped)]
        return order

    def _global_rows(self, rows: int, remainder: str) -> int:
        if remainder == "uneven":
            return rows
        whole = rows // self.size if remainder == "drop" else -(-rows // self.size)
        return whole * self.size

    def _checked_rows(self, splits: "Splits", name: str, remainder: str) -> int:
        if remainder not in REMAINDERS:
            raise OptionError(f"remainder={remainder!r} is not one of {', '.join(map(repr, REMAINDERS))}")
        rows = len(splits.keys(name))
        if rows < (1 if remainder == "pad" else self.size):
            raise SplitError(
                f"split {name!r} has {rows} rows for size={self.size} processes, so that some would have none; "
                "use fewer processes"
            )
        return rows


def check_order(*, epoch: int, seed: int) -> None:
    """Raises OptionError unless both are non-negative integers."""
    for what, value in (("epoch", epoch), ("seed", seed)):
        if not _is_int(value) or value < 0:
            raise OptionError(f"{what}={value!r} is not a non-negative integer")


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
