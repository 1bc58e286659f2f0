"""How good a model is on rows that are spread over ranks."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tfcass.errors import OptionError
from tfcass.training import ranks


@dataclasses.dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of (truth, prediction).

    Attributes:
      matrix: int64 [classes, classes]; rows are the truth, columns the prediction.
    """

    matrix: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> float:
        """Share of rows that were predicted right; nan without rows."""
        return float(np.trace(self.matrix) / self.rows) if self.rows else float("nan")

    @property
    def majority(self) -> float:
        """The accuracy of always answering the most frequent class: what a model must beat."""
        return float(self.matrix.sum(axis=1).max() / self.rows) if self.rows else float("nan")


def confusion(model: keras.Model, dataset: tf.data.Dataset, *, classes: int) -> Confusion:
    """Predicts the rows of every rank and counts over all ranks. Call it on all; each rank gets the result.

    Args:
      model: Gives [b, classes], logits or probabilities.
      dataset: This rank's batches: (x, y) or (x, y, weight), y int [b]. Rows of weight 0 are not counted. Ranks may
        have different numbers of batches, or none.
      classes: Number of classes; labels are in [0, classes).
    Raises:
      OptionError: The model's output or a label does not fit `classes`.
    """
    predict = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    matrix = np.zeros((classes, classes), np.int64)
    for x, y, *weight in dataset:
        scores = predict(x).numpy()
        if scores.shape[1:] != (classes,):
            raise OptionError(f"the model gives {list(scores.shape)}; expected [batch, classes={classes}]")
        truth = np.asarray(y).reshape(-1)
        counted = np.asarray(weight[0]).reshape(-1) > 0 if weight else np.ones(len(truth), bool)
        outside = truth[(truth < 0) | (truth >= classes)]
        if len(outside):
            raise OptionError(f"label {outside[0]} is not in [0, classes={classes})")
        np.add.at(matrix, (truth[counted], scores.argmax(axis=1)[counted]), 1)
    return Confusion(ranks.sum_over_ranks(matrix, name="tfcass_confusion"))
