"""What keeps ranks the same in model.fit. Put these first in `callbacks`: those after them see what all ranks see."""

import keras
import numpy as np

from tfcass.errors import OptionError
from tfcass.sharding import Plan
from tfcass.training import ranks
from tfcass.training.optimizer import averages_too_late
from tfcass.training.plan_check import check_same, check_same_plan


class BroadcastInitialState(keras.callbacks.Callback):
    """Gives every rank the model and optimizer state of rank 0 before the first step.

    Args:
      plan: What must be equal on all ranks for their shards to fit together: the Plan, or a text such as the splits'
        digest with the seed. Compared before training starts.
    Raises (when training starts, on every rank):
      SplitError: Ranks have different plans.
      OptionError: The model was compiled with XLA, which cannot compile Horovod's operations, or with a loss scale
        around an optimizer that averages.
    """

    def __init__(self, plan: Plan | str | None = None) -> None:
        super().__init__()
        self._plan = plan

    def on_train_begin(self, logs: dict | None = None) -> None:
        if isinstance(self._plan, Plan):
            check_same_plan(self._plan)
        else:
            check_same(self._plan)
        if ranks.horovod() is not None and self.model.jit_compile:
            raise OptionError("the model is compiled with XLA: pass jit_compile=False to model.compile()")
        self.check_optimizer()
        ranks.broadcast_variables(ranks.state_variables(self.model))

    def check_optimizer(self) -> None:
        """Raises OptionError if the model's optimizer would let ranks hang."""
        if averages_too_late(self.model.optimizer):
            raise OptionError(
                "the loss scale is around the optimizer that averages, so that ranks would hang after an infinity on "
                "one: set the policy mixed_float16 before distributed_optimizer, or pass the LossScaleOptimizer to it"
            )


class AverageMetrics(keras.callbacks.Callback):
    """Replaces the metrics of an epoch by those over the rows of all ranks.

    Exact for metrics that are means over rows: losses and accuracies. Each rank counts by its number of rows, so
    shards may be uneven. Callbacks that decide by metrics (EarlyStopping, ReduceLROnPlateau) then decide the same on
    every rank.

    Args:
      train_rows: Rows that this rank trains on in an epoch.
      val_rows: Rows that this rank validates on, or their sum of weights if some have weight 0; those of metrics
        named val_*.
    """

    def __init__(self, *, train_rows: float, val_rows: float = 0) -> None:
        super().__init__()
        for name, rows in (("train_rows", train_rows), ("val_rows", val_rows)):
            if not rows >= 0:
                raise OptionError(f"{name}={rows!r} is not a number of rows")
        self._train_rows, self._val_rows = float(train_rows), float(val_rows)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not logs:
            return
        names = sorted(logs)
        weights = np.array([self._val_rows if name.startswith("val_") else self._train_rows for name in names])
        sums = ranks.sum_over_ranks(
            np.stack([weights * [float(logs[name]) for name in names], weights]), name="tfcass_metrics"
        )
        for name, weighted, weight in zip(names, *sums, strict=True):
            if weight > 0:
                logs[name] = float(weighted / weight)


class AverageStatistics(keras.callbacks.Callback):
    """Averages over ranks what layers learn from their own rows only, such as BatchNormalization's moving mean and
    variance.

    Done before each validation, or at the end of the epoch if there is none: all ranks then validate, and rank 0
    saves, the same model.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._done = False

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._average()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not self._done:
            self._average()

    def _average(self) -> None:
        self._done = True
        ranks.average_variables(ranks.statistics(self.model), name="tfcass_statistics")
