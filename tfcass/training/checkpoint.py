"""The state of a training in one file, and going on from it."""

import io
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfcass._files import replace_file
from tfcass.errors import OptionError, SplitError, TfcassError
from tfcass.sharding import Cursor, Plan, Shard
from tfcass.training import ranks

_FORMAT = "tfcass checkpoint 1"


class Checkpoint(keras.callbacks.Callback):
    """Rank 0 writes the whole state after each epoch: weights, statistics, random seeds, optimizer, epoch.

        checkpoint = Checkpoint("out/checkpoint.npz", plan=f"{splits.digest} seed={seed}")
        first = checkpoint.restore(model)  # 0 if there is no such file
        model.fit(..., initial_epoch=first, callbacks=[BroadcastInitialState(), ..., checkpoint])

    A run that was stopped goes on with the epoch after the last complete one, on the same rows in the same order
    (`epochs_of_keys(..., first_epoch=first)`). The file is replaced in one step: stopping at any moment leaves a good
    one.

    With a Plan it can be written in the middle of an epoch as well, and any number of ranks can go on from there:

        checkpoint = Checkpoint("out/checkpoint.npz", plan=plan, every_steps=500, batch_size=64)
        cursor = checkpoint.restore_cursor(model)  # plan.cursor() if there is no such file
        while cursor.epoch < epochs:
            part = shard.part(plan, cursor, batch_size=64)
            last = cursor.epoch + 1 if cursor.samples else epochs  # An epoch begun in the middle has fewer steps.
            keys = key_batches(plan, shard, batch_size=64, start=cursor, epochs=last)
            model.fit(keys..., steps_per_epoch=part.steps, initial_epoch=cursor.epoch, epochs=last,
                      callbacks=[..., checkpoint.begin_at(cursor)])
            cursor = plan.cursor(last)

    A loop of one's own calls save(model, part.after(step)). What layers learn of their own rows, as BatchNormalization
    does, is that of rank 0 in the middle of an epoch, where AverageStatistics has not met yet.

    Args:
      path: The file; numpy's .npz, without pickle.
      plan: Identifies the data and its order: a Plan, or any text. A checkpoint of another plan is refused.
      every_steps: Steps of an epoch between checkpoints in model.fit; None: at the end of each epoch alone. Needs
        `batch_size`, and a Plan.
      batch_size, remainder: As for Shard.part.
    Raises:
      OptionError: `every_steps` without the others, or not positive.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        plan: str | Plan,
        every_steps: int | None = None,
        batch_size: int | None = None,
        remainder: str = "drop",
    ) -> None:
        super().__init__()
        self._path = Path(path)
        self._data = plan if isinstance(plan, Plan) else None
        self._plan = plan if self._data is None else f"{plan.digest} seed={plan.seed}"
        if every_steps is not None:
            if not isinstance(every_steps, int) or every_steps < 1:
                raise OptionError(f"every_steps={every_steps!r} is not a positive number of steps")
            if self._data is None or batch_size is None:
                raise OptionError("every_steps needs plan=Plan(...) and batch_size, to know where an epoch stands")
        self._every_steps, self._batch_size, self._remainder = every_steps, batch_size, remainder
        self._begin: Cursor | None = None

    def begin_at(self, cursor: Cursor) -> "Checkpoint":
        """Says where in its epoch the next model.fit begins; returns this callback."""
        self._begin = cursor
        return self

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._every_steps is None:
            return
        begun = self._begin is not None and self._begin.epoch == epoch
        cursor = self._begin if begun else self._data.cursor(epoch)
        self._part = Shard.from_horovod().part(
            self._data, cursor, batch_size=self._batch_size, remainder=self._remainder
        )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        step = batch + 1
        if self._every_steps is not None and step % self._every_steps == 0 and step < self._part.most_steps:
            self.save(self.model, self._part.after(step))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if ranks.is_first():
            self._write(ranks.state_variables(self.model), epochs_done=epoch + 1)

    def save(
        self,
        model: keras.Model,
        cursor: Cursor,
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        more: Sequence[keras.Variable] = (),
    ) -> None:
        """Writes the state at any step; nothing on ranks other than 0.

        Args:
          model: Whose state it is.
          cursor: Up to where it has been trained.
          optimizer: None: that of the compiled model.
          more: What else belongs to the state, such as sums for metrics; the same for restore_cursor().
        Raises:
          TfcassError: The file cannot be written; that of before is kept.
        """
        if ranks.is_first():
            variables = [*ranks.state_variables(model, optimizer), *more]
            self._write(variables, epochs_done=cursor.epoch, cursor=cursor.to_json())

    def _write(self, variables: Sequence[keras.Variable], **where: object) -> None:
        meta = {"format": _FORMAT, "plan": self._plan, **where}
        arrays = {f"{i:05d}": np.asarray(v) for i, v in enumerate(variables)}
        buffer = io.BytesIO()
        np.savez(buffer, meta=np.array(json.dumps(meta)), **arrays)
        try:
            replace_file(self._path, buffer.getbuffer())
        except OSError as error:
            raise TfcassError(
                f"cannot write checkpoint {self._path}: {error.strerror or error}; free some space, then start again: "
                "training goes on from the last checkpoint"
            ) from error

    def restore(self, model: keras.Model) -> int:
        """Puts rank 0 in the saved state and tells all ranks the epoch to go on with. Call it on all ranks, after
        compile().

        The other ranks get the state from BroadcastInitialState.

        Returns:
          Epochs done, 0 without a checkpoint.
        Raises (on every rank):
          SplitError: The checkpoint is of another plan.
          TfcassError: The file is damaged, of another model, or of the middle of an epoch.
        """
        done, cursor = self._restore_on_first(ranks.state_variables(model))
        if cursor is not None and Cursor.from_json(cursor).samples:
            raise TfcassError(
                f"checkpoint {self._path} is of the middle of epoch {done + 1}: go on with restore_cursor()"
            )
        return done

    def restore_cursor(
        self,
        model: keras.Model,
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        more: Sequence[keras.Variable] = (),
    ) -> Cursor:
        """As restore(), for a checkpoint at any step: the number of ranks may be another one than when it was written.

        In an elastic run each process reads the file for itself, and ElasticState gives them what rank 0 has read.

        Returns:
          Where to go on; plan.cursor() without a checkpoint.
        Raises (on every rank):
          OptionError: This Checkpoint was made without a Plan.
          SplitError: The checkpoint is of another plan.
          TfcassError: The file is damaged, or of another model or optimizer.
        """
        if self._data is None:
            raise OptionError("restore_cursor() needs Checkpoint(plan=Plan(...)), not a text")
        done, cursor = self._restore_on_first([*ranks.state_variables(model, optimizer), *more])
        if cursor is None:
            return self._data.cursor(done)
        cursor = Cursor.from_json(cursor)
        self._data.check(cursor)
        return cursor

    def _restore_on_first(self, variables: Sequence[keras.Variable]) -> tuple[int, str | None]:
        """(epochs done, cursor if there is one), or an error: the same on every rank."""
        if ranks.is_elastic():
            return self._restore(variables)  # Those that join would exchange this with nobody.
        outcome: tuple[int, str | None] | TfcassError = (0, None)
        if ranks.is_first():
            try:
                outcome = self._restore(variables)
            except TfcassError as error:
                outcome = error
        outcome = ranks.from_first(outcome)
        if isinstance(outcome, TfcassError):
            raise outcome
        return outcome

    def _restore(self, variables: Sequence[keras.Variable]) -> tuple[int, str | None]:
        again = f"move {self._path} away to start from the beginning"
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(str(arrays.pop("meta")))
            done = int(meta["epochs_done"])
        except FileNotFoundError:
            return 0, None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise TfcassError(f"checkpoint {self._path} cannot be read ({error}); {again}") from error
        if meta.get("format") != _FORMAT or meta.get("plan") != self._plan:
            found = meta.get("plan") if meta.get("format") == _FORMAT else meta.get("format")
            raise SplitError(
                f"checkpoint {self._path} is of another split or seed: {found!r}, not {self._plan!r}; {again}"
            )
        saved = [arrays[name] for name in sorted(arrays)]
        shapes = [tuple(array.shape) for array in saved]
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise TfcassError(
                f"checkpoint {self._path} is of another model or optimizer: it has {len(saved)} variables, this model "
                f"has {len(variables)}, or their shapes differ; {again}"
            )
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)
        return done, meta.get("cursor")
