"""Horovod Elastic for TensorFlow: processes are lost and join in the middle of an epoch, and no sample counts twice.

    horovodrun -np 2 --min-np 1 --max-np 4 --host-discovery-script ./hosts.sh python train.py

    state = training.ElasticState(model, optimizer, plan, learning_rate=1e-3)

    def train(state):                       # Begun anew whenever the processes change, with what was committed last.
        for batch in state.batches(rows_of, batch_size=64, epochs=9, commit_every=20):
            train_step(batch)

    training.run_elastic(train, state)

What is guaranteed: the model has been trained on each position of an epoch exactly once, whatever was lost and whoever
joined. A process that dies takes the others back to the last commit, weights and all: the rows since then are read
again, and what they had done to the model is undone. A process that joins waits for the next commit, and nothing is
undone. What is lost if all die at once is what came after the last checkpoint on a disk (state.batches(..., save=...)).

Exchanges between processes (training.ranks, check_same_plan) belong into train(): those that join would make them while
the others wait elsewhere.

The state that says where the data stands is one Cursor: plan digest, seed, epoch, samples. Nothing in it belongs to a
rank, so that any number of processes can go on from it. Horovod's own TensorFlowKerasState does not work with Keras 3.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfcass.errors import MissingExtraError, OptionError, SplitError, TfcassError
from tfcass.sharding import Cursor, Part, Plan, Shard
from tfcass.training import ranks
from tfcass.training.elastic_journal import ElasticJournal
from tfcass.training.messages import plain_message

_log = logging.getLogger("tfcass.training")

# In the message of an error by which TensorFlow tells that another process is gone.
_LOST = re.compile(r"horovod|gloo", re.IGNORECASE)


class ElasticState:
    """Model, optimizer and cursor of a run whose processes change.

    Args:
      model: Built.
      optimizer: The one that distributed_optimizer made for it; None: that of the compiled model.
      plan: What is read, the same on all ranks; a process that joins with another plan is refused.
      cursor: Where to begin: what Checkpoint.restore_cursor() gave; None: at the beginning.
      learning_rate: Of one rank. The optimizer's is set to this times the number of ranks when that changes. None: the
        optimizer's own is left alone.
      variables: What else goes back with the model and is given to those that join, such as sums for metrics.
      journal: File of this process, to which a line is added for each batch before its step, and one whenever the
        processes change: see `committed_keys`. None: no journal.
    Raises:
      OptionError: The model is not built, has no optimizer, or a learning rate is given beside a schedule.
      SplitError: The cursor is one of another plan.

    Attributes:
      cursor: What has been trained on, this step's batch not yet included.
      generation: How often the processes have changed; 1 from the start to the first change.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer | None,
        plan: Plan,
        *,
        cursor: Cursor | None = None,
        learning_rate: float | None = None,
        variables: Sequence[keras.Variable] = (),
        journal: str | os.PathLike[str] | None = None,
    ) -> None:
        optimizer = optimizer or getattr(model, "optimizer", None)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            raise OptionError("the model has no optimizer: compile it, or pass the optimizer")
        if not model.built:
            raise OptionError("the model is not built: give it an Input, or call model.build(shape)")
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if learning_rate is not None and not isinstance(inner.get_config().get("learning_rate"), float):
            raise OptionError("learning_rate is set by the number of ranks: the optimizer needs a number, no schedule")
        self.model, self.optimizer, self.plan = model, optimizer, plan
        self.cursor = plan.cursor() if cursor is None else cursor
        plan.check(self.cursor)
        self.generation = 0
        self._learning_rate = learning_rate
        self._journal = None if journal is None else ElasticJournal(journal)
        self._variables = [*ranks.state_variables(model, optimizer), *variables]
        self._horovod: object | None = None  # What is told that processes wait to join.
        self._save()

    def batches(
        self,
        dataset_of: Callable[[Shard, Cursor], Iterable],
        *,
        batch_size: int,
        epochs: int,
        commit_every: int = 10,
        remainder: str = "pad",
        epoch_end: Callable[[int], object] | None = None,
        save: Callable[[Cursor], object] | None = None,
        key: str = "patch_id",
    ) -> Iterator:
        """What is left of this epoch and those after it, batch by batch; commits in between.

        A batch counts as trained on when the next one is asked for. Leave this loop by its end only.

        Args:
          dataset_of: (shard, cursor) -> batches of one epoch from the cursor to its end, such as row_batches(plan,
            shard, start=cursor, epochs=cursor.epoch + 1, batch_size=batch_size, remainder=remainder, ...).
          batch_size, remainder: Those of the dataset. "pad" trains on every row: the weights of repeats are 0, and must
            be those of the loss. With "drop" an epoch leaves out up to size - 1 rows, size being that at its end.
          epochs: Epochs in all.
          commit_every: Steps between commits. A commit copies model and optimizer in memory and is one small exchange;
            a process that is lost costs the others at most this many steps. The end of an epoch commits too.
          epoch_end: Called on all ranks with the number of each epoch that is done, before its last commit: what it
            changes is committed with it. After the loss of a process it may be called for the same epoch again.
          save: Called on rank 0 at each commit with the cursor, to write a checkpoint: lambda cursor:
            checkpoint.save(model, cursor).
          key: Name of the keys' column in a batch that is a dict, for the journal.
        Raises:
          OptionError: A setting is outside what is accepted; a batch has no such column.
        """
        if not isinstance(commit_every, int) or commit_every < 1:
            raise OptionError(f"commit_every={commit_every!r} is not a positive number of steps")
        if remainder == "uneven":
            raise OptionError("remainder='uneven' has ranks that end apart, which cannot commit; use 'pad' or 'drop'")
        while self.cursor.epoch < epochs:
            shard = Shard.from_horovod()
            part = shard.part(self.plan, self.cursor, batch_size=batch_size, remainder=remainder)
            step = 0
            for step, batch in enumerate(dataset_of(shard, self.cursor), start=1):
                self._note_batch(part, step, batch, key)
                yield batch
                self.cursor = part.after(step)
                if step % commit_every == 0 and step < part.most_steps:
                    self.commit(save)
            if step != part.most_steps:
                raise OptionError(
                    f"dataset_of gave {step} batches for epoch {part.cursor.epoch}, where this rank has "
                    f"{part.most_steps}: it must read from the cursor to the end of its epoch, with the same "
                    "batch_size and remainder"
                )
            if epoch_end is not None:
                epoch_end(part.cursor.epoch)
            self.cursor = part.after(part.most_steps)
            self.commit(save)

    def commit(self, save: Callable[[Cursor], object] | None = None) -> None:
        """Keeps the state as it is now; here, between two steps, processes that wait may join. Call it on all ranks."""
        self._save()
        if save is not None and ranks.is_first():
            save(self.cursor)
        if self._horovod is not None:
            self._horovod.check_host_updates()

    def restore(self) -> None:
        """Goes back to the last commit."""
        self.cursor, values = self._saved
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)

    def sync(self) -> None:
        """Gives every rank the state of rank 0, which the oldest process is. Called by run_elastic.

        Raises:
          SplitError, TfcassError: This process has another plan or model than rank 0; only this one stops.
        """
        shapes = [(tuple(variable.shape), str(variable.dtype)) for variable in self._variables]
        mine = (self.plan.digest, self.plan.seed, shapes)
        plan_digest, seed, first_shapes, cursor, generation = ranks.from_first(
            (*mine, self.cursor.to_json(), self.generation)
        )
        if (plan_digest, seed) != mine[:2]:
            raise SplitError(
                f"this process reads another plan ({self.plan.digest[:12]}, seed={self.plan.seed}) than the run that "
                f"it joins ({plan_digest[:12]}, seed={seed}); give it the same splits, seed, sampling and leave_out"
            )
        if first_shapes != shapes:
            raise TfcassError(
                f"this process has another model or optimizer than the run that it joins: {len(shapes)} variables, "
                f"where that has {len(first_shapes)}, or other shapes; start it with the same program"
            )
        ranks.broadcast_variables(self._variables)
        self.cursor, self.generation = Cursor.from_json(cursor), generation + 1
        shard = Shard.from_horovod()
        if self._learning_rate is not None:
            self.optimizer.learning_rate = self._learning_rate * shard.size
        self._save()
        if self._journal is not None:
            self._journal.begin(self.generation, shard, self.cursor)

    def _save(self) -> None:
        self._saved = self.cursor, [np.array(variable) for variable in self._variables]

    def _note_batch(self, part: Part, step: int, batch: object, key: str) -> None:
        if self._journal is None:
            return
        if not isinstance(batch, dict) or key not in batch:
            raise OptionError(f"the journal needs batches that are dicts with the column {key!r}, or journal=None")
        self._journal.add(self.generation, part, step, np.asarray(batch[key]))


def run_elastic(train: Callable[[ElasticState], None], state: ElasticState) -> None:
    """Runs `train(state)` to its end, again from the last commit whenever a process is lost or one joins.

    Started by horovodrun with --host-discovery-script. Without that, and without Horovod, it runs once: a process that
    is lost then ends the run.

    Raises:
      MissingExtraError: horovodrun was asked for an elastic run, and Horovod cannot be imported.
      Whatever `train` raises that is not the loss of another process.
    """
    if not ranks.is_elastic():
        state.sync()
        train(state)
        return
    try:
        import horovod.tensorflow as hvd
        from horovod.common.elastic import notification_manager
        from horovod.common.exceptions import HorovodInternalError, HostsUpdatedInterrupt
    except ImportError as error:
        raise MissingExtraError(
            f"an elastic run needs Horovod, which cannot be imported ({error}): pip install 'tfcass[horovod]'"
        ) from error
    state._horovod = listener = _listener(hvd)
    notification_manager.init()
    notification_manager.register_listener(listener)
    try:
        while True:
            try:
                state.sync()
                return train(state)
            except HostsUpdatedInterrupt:
                pass  # At a commit: nothing to undo.
            except (HorovodInternalError, tf.errors.OpError) as error:
                if isinstance(error, tf.errors.OpError) and not tells_of_a_loss(error):
                    raise
                state.restore()
                _log.warning(
                    "another process is gone: back to the last commit, epoch %d after %d samples (%s)",
                    state.cursor.epoch + 1,
                    state.cursor.samples,
                    _plain(error),
                )
            hvd.shutdown()
            hvd.init()  # Waits until the launcher knows who takes part.
            listener.on_reset()
    finally:
        notification_manager.remove_listener(listener)
        state._horovod = None


def _plain(error: Exception) -> str:
    """The beginning of its message: Horovod's go on with advice."""
    message = plain_message(error) if isinstance(error, tf.errors.OpError) else str(error)
    return message if len(message) <= 150 else f"{message[:150]}..."


def tells_of_a_loss(error: tf.errors.OpError) -> bool:
    """Whether an exchange failed because another process is gone; else it is an error of rows or of a user's code."""
    return isinstance(error, tf.errors.UnknownError | tf.errors.AbortedError) and bool(_LOST.search(error.message))


def _listener(hvd):
    """Hears from the launcher on rank 0 that processes wait, and tells the others at the next commit."""
    from horovod.common.elastic import State

    class Listener(State):
        def __init__(self) -> None:
            super().__init__(bcast_object=hvd.broadcast_object, get_rank=hvd.rank)

    return Listener()
