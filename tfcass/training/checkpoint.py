"""The state of a training in one file, and going on from it."""

import io
import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from tfcass._files import replace_file
from tfcass.errors import SplitError, TfcassError
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

    Args:
      path: The file; numpy's .npz, without pickle.
      plan: Identifies the data and its order. A checkpoint of another plan is refused.
    """

    def __init__(self, path: str | os.PathLike[str], *, plan: str) -> None:
        super().__init__()
        self._path, self._plan = Path(path), plan

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not ranks.is_first():
            return
        meta = {"format": _FORMAT, "plan": self._plan, "epochs_done": epoch + 1}
        arrays = {f"{i:05d}": np.asarray(v) for i, v in enumerate(ranks.state_variables(self.model))}
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
          TfcassError: The file is damaged or of another model.
        """
        outcome: int | TfcassError = 0
        if ranks.is_first():
            try:
                outcome = self._restore(model)
            except TfcassError as error:
                outcome = error
        outcome = ranks.from_first(outcome)
        if isinstance(outcome, TfcassError):
            raise outcome
        return outcome

    def _restore(self, model: keras.Model) -> int:
        again = f"move {self._path} away to start from the beginning"
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = json.loads(str(arrays.pop("meta")))
            done = int(meta["epochs_done"])
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise TfcassError(f"checkpoint {self._path} cannot be read ({error}); {again}") from error
        if meta.get("format") != _FORMAT or meta.get("plan") != self._plan:
            found = meta.get("plan") if meta.get("format") == _FORMAT else meta.get("format")
            raise SplitError(
                f"checkpoint {self._path} is of another split or seed: {found!r}, not {self._plan!r}; {again}"
            )
        variables = ranks.state_variables(model)
        saved = [arrays[name] for name in sorted(arrays)]
        shapes = [tuple(array.shape) for array in saved]
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise TfcassError(
                f"checkpoint {self._path} is of another model or optimizer: it has {len(saved)} variables, this model "
                f"has {len(variables)}, or their shapes differ; {again}"
            )
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)
        return done
