"""Who reads: rank and size, and the part of an epoch that falls to one rank."""

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tfcass.errors import MissingExtraError, OptionError, SplitError
from tfcass.sharding.checks import check_count, is_int
from tfcass.sharding.cursor import Cursor
from tfcass.sharding.plan import Plan

if TYPE_CHECKING:
    from tfcass.splits import Splits

REMAINDERS = ("drop", "pad", "uneven")
_LAUNCHED_SIZE = ("HOROVOD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


class InputContext(Protocol):
    """What tf.distribute gives to an input function."""

    input_pipeline_id: int
    num_input_pipelines: int


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of a split that one process reads.

    What is left when the rows do not divide by `size` is decided by `remainder`:
      "drop"    Each rank reads rows // size. What is left out is the end of the epoch's order: other rows each epoch.
      "pad"     Each rank reads ceil(rows / size): rows are repeated to fill up, and `weights` is 0 for the repeats.
      "uneven"  Each row is read once; the first ranks read one more. For what needs no equal steps, as validation, or
                with hvd.join() after the last step.

    Attributes:
      rank: This process, in [0, size).
      size: Number of processes, at least 1 and the same in all of them.
    Raises:
      OptionError: rank or size is out of range.
    """

    rank: int
    size: int

    def __post_init__(self) -> None:
        if not is_int(self.size) or self.size < 1:
            raise OptionError(
                f"size={self.size!r} is not a positive integer; pass hvd.size(), or use Shard.from_horovod()"
            )
        if not is_int(self.rank) or not 0 <= self.rank < self.size:
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

    @classmethod
    def from_tf_config(cls) -> "Shard":
        """The place of this process among the chief and workers of the environment variable TF_CONFIG, which
        tf.distribute.MultiWorkerMirroredStrategy reads; (0, 1) where it is not set.

        Raises:
          OptionError: TF_CONFIG is no JSON of that form, or this process is neither chief nor worker in it.
        """
        text = os.environ.get("TF_CONFIG")
        if not text:
            return cls(0, 1)
        try:
            config = json.loads(text)
            if not config.get("cluster"):
                return cls(0, 1)
            counts = [len(config["cluster"].get(kind, ())) for kind in ("chief", "worker")]
            kind, index = config["task"]["type"], int(config["task"]["index"])
            place = ("chief", "worker").index(kind)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(
                f"TF_CONFIG={text!r} does not say which chief or worker this process is ({error}); expected "
                '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
            ) from error
        if not 0 <= index < counts[place]:
            raise OptionError(f"TF_CONFIG: task {kind} {index} is not in its cluster, which has {counts[place]}")
        return cls(index + (counts[0] if place else 0), sum(counts))

    def part(
        self,
        plan: Plan,
        cursor: Cursor | None = None,
        *,
        batch_size: int = 1,
        remainder: str = "drop",
        whole_batches: bool = False,
    ) -> "Part":
        """What this rank reads of the cursor's epoch, from the cursor to the epoch's end.

        Args:
          plan: The same on all ranks.
          cursor: Where all ranks go on, whatever their number was before; None: the beginning of epoch 0.
          batch_size: Rows in a step of this rank; the same on all ranks.
          remainder: "drop", "pad" or "uneven", see above; of what is left from the cursor on.
          whole_batches: The last batch of an epoch is as large as the others: "drop" leaves it out, "pad" fills it.
        Raises:
          SplitError: The cursor is of another plan, or the epoch has too few rows for every rank to have a step.
          OptionError: A setting is outside what is accepted.
        """
        check_count("batch_size", batch_size, least=1)
        if remainder not in REMAINDERS:
            raise OptionError(f"remainder={remainder!r} is not one of {', '.join(map(repr, REMAINDERS))}")
        if whole_batches and remainder == "uneven":
            raise OptionError("whole_batches needs remainder='drop' or 'pad': 'uneven' keeps a smaller last batch")
        cursor = plan.cursor() if cursor is None else cursor
        plan.check(cursor)
        unit = self.size * (batch_size if whole_batches else 1)
        if cursor.samples == 0 and remainder != "pad" and plan.samples < unit:
            whole = f" with whole batches of {batch_size}" if whole_batches else ""
            raise SplitError(
                f"split {plan.name!r} has {plan.samples} rows for size={self.size} processes{whole}, so that some "
                "would have none; use fewer processes" + (" or smaller batches" if whole_batches else "")
            )
        left = plan.samples - cursor.samples
        if remainder != "uneven":
            left = (left if remainder == "drop" else left + unit - 1) // unit * unit
        return Part(plan, self, cursor, int(batch_size), cursor.samples + left)

    def keys_from(self, plan: Plan, cursor: Cursor | None = None, *, remainder: str = "drop") -> np.ndarray:
        """uint8 [m, 16]: the keys of part(...), as one array. With the same cursor on all ranks, what they have read
        before and what they get here are every row of the epoch once, up to the remainder."""
        part = self.part(plan, cursor, remainder=remainder)
        return part.keys(0, part.rows)

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
        plan = Plan(splits, name, seed=seed)
        return self.keys_from(plan, plan.cursor(epoch), remainder=remainder)

    def weights(self, splits: "Splits", name: str, *, remainder: str = "drop") -> np.ndarray:
        """float32 [m], beside `keys`: 1, and 0 for what "pad" repeated. Sample weights that keep metrics exact."""
        part = self.part(Plan(splits, name, seed=0), remainder=remainder)
        return part.weights(0, part.rows)

    def rows(self, splits: "Splits", name: str, *, remainder: str = "drop") -> int:
        """How many keys this rank reads in an epoch; the same on all ranks but for "uneven"."""
        return self.part(Plan(splits, name, seed=0), remainder=remainder).rows

    def steps(self, splits: "Splits", name: str, *, batch_size: int, remainder: str = "drop") -> int:
        """Batches of this rank in an epoch, a last smaller one included; the same on all ranks but for "uneven"."""
        return self.part(Plan(splits, name, seed=0), batch_size=batch_size, remainder=remainder).steps


@dataclasses.dataclass(frozen=True)
class Part:
    """What one rank reads of an epoch, from a cursor on. Made by Shard.part.

    Its rows are numbered from 0, in the order in which the rank reads them. Nothing is held in memory but these few
    numbers: keys are made where they are asked for.

    Attributes:
      plan, shard, cursor, batch_size: As given.
      stop: The position at which all ranks stop: that of the epoch's end, less what "drop" leaves out, plus what "pad"
        repeats.
    """

    plan: Plan
    shard: Shard
    cursor: Cursor
    batch_size: int
    stop: int

    @property
    def rows(self) -> int:
        """Rows of this rank; the same on all ranks but for "uneven"."""
        return len(range(self.cursor.samples + self.shard.rank, self.stop, self.shard.size))

    @property
    def steps(self) -> int:
        """Batches of this rank, a last smaller one included; the same on all ranks but for "uneven"."""
        return -(-self.rows // self.batch_size)

    @property
    def most_steps(self) -> int:
        """Steps until all ranks are done: those of rank 0, of which no rank has more."""
        return -(-(self.stop - self.cursor.samples) // (self.shard.size * self.batch_size))

    @property
    def counted_rows(self) -> int:
        """Rows of this rank whose weight is 1: `rows` less the repeats of "pad"."""
        end = min(self.stop, self.plan.samples)
        return len(range(self.cursor.samples + self.shard.rank, end, self.shard.size))

    def positions(self, first: int, last: int) -> np.ndarray:
        """int64 [last - first]: where rows [first, last) of this rank are in the epoch's order. Repeats of "pad" have
        positions behind its end, from plan.samples on."""
        if not 0 <= first <= last <= self.rows:
            raise IndexError(f"rows [{first}, {last}) are not within [0, {self.rows})")
        return self.cursor.samples + self.shard.rank + self.shard.size * np.arange(first, last, dtype=np.int64)

    def keys(self, first: int, last: int) -> np.ndarray:
        """uint8 [last - first, 16]: the keys of rows [first, last)."""
        # A repeat is what the epoch began with.
        return self.plan.keys(self.cursor.epoch, self.positions(first, last) % self.plan.samples)

    def weights(self, first: int, last: int) -> np.ndarray:
        """float32 [last - first]: 1, and 0 for the repeats of "pad"."""
        return (self.positions(first, last) < self.plan.samples).astype(np.float32)

    def after(self, steps: int) -> Cursor:
        """Where the run is when every rank has done this many steps of this part: what is saved.

        Args:
          steps: In [0, most_steps]; with the last one the epoch is over, and the cursor is at the next one's beginning.
        """
        if not is_int(steps) or not 0 <= steps <= self.most_steps:
            raise OptionError(f"steps={steps!r} is not in [0, {self.most_steps}], the steps of this part")
        if steps == self.most_steps:
            return dataclasses.replace(self.cursor, epoch=self.cursor.epoch + 1, samples=0)
        # Not the last step: all its batches were full.
        return dataclasses.replace(
            self.cursor, samples=self.cursor.samples + int(steps) * self.shard.size * self.batch_size
        )
