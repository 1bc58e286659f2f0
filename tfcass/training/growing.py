"""Tables that grow while a model is trained on them: a plan holds for an epoch, new rows join at the next one."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from tfcass.errors import SplitError, TfcassError
from tfcass.sharding import Cursor, Plan
from tfcass.splits import Splits
from tfcass.training import ranks
from tfcass.training.plan_check import check_same_plan

_log = logging.getLogger("tfcass.training")


def grown_plan(plan: Plan, refresh: Callable[[], Splits], *, folder: str | os.PathLike[str]) -> Plan:
    """The plan of the next epoch. Call it on all ranks, between two epochs.

        for epoch in range(epochs):
            if epoch:
                plan = training.grown_plan(plan, newer_splits, folder="out/plans")
            for batch in training.key_batches(plan, shard, ..., start=plan.cursor(epoch), epochs=epoch + 1): ...

    Rank 0 calls `refresh` and saves what it gives, so that all ranks read the very same splits, and a run that is
    resumed in this epoch finds them: pinned_splits(). How many rows joined is logged by "tfcass.training", on rank 0.

    Args:
      plan: The plan of the epoch that is over.
      refresh: Gives the splits of now, in which every earlier row is where it was. Called on rank 0 only.
      folder: Shared by all ranks; the splits of a plan are saved in a folder of it.
    Returns:
      The new plan; `plan` itself where no row came or went.
    Raises (on every rank):
      SplitError: A row has moved to another split, or the splits cannot be saved or loaded.
      TfcassError: What `refresh` raised of these.
    """
    outcome: str | TfcassError = ""
    grown = plan
    if ranks.is_first():
        try:
            grown, growth = plan.grown(refresh())
            if grown.digest != plan.digest:
                grown.splits.save(_place(folder, grown.digest))
            _log.info("%s: %s", plan.name, growth)
            outcome = grown.digest
        except TfcassError as error:
            outcome = error
    outcome = ranks.from_first(outcome)
    if isinstance(outcome, TfcassError):
        raise outcome
    if outcome == plan.digest:
        return plan
    if not ranks.is_first():
        grown, _ = plan.grown(Splits.load(_place(folder, outcome)))
    check_same_plan(grown)
    return grown


def pinned_splits(cursor: Cursor, *, folder: str | os.PathLike[str]) -> Splits:
    """The splits of the plan that a cursor is of, as grown_plan() saved them.

    Raises:
      SplitError: There are none.
    """
    place = _place(folder, cursor.plan_digest)
    if not place.is_dir():
        raise SplitError(
            f"{folder} has no splits of the plan {cursor.plan_digest[:12]}: give the folder that grown_plan() was "
            "given, or, for an epoch before the first growth, the splits that the run began with"
        )
    return Splits.load(place)


def _place(folder: str | os.PathLike[str], digest: str) -> Path:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) / digest[:16]
