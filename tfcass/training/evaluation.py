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

    @property
    def iou(self) -> np.ndarray:
        """float [classes]: intersection over union of each class; nan for one that is neither there nor predicted."""
        hits = np.diag(self.matrix)
        union = self.matrix.sum(axis=0) + self.matrix.sum(axis=1) - hits
        return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def confusion(model: keras.Model, dataset: tf.data.Dataset, *, classes: int, ignored: int | None = None) -> Confusion:
    """Predicts the rows of every rank and counts over all ranks. Call it on all; each rank gets the result.

    Args:
      model: Gives [b, classes], logits or probabilities; for segmentation [b, height, width, classes].
      dataset: This rank's batches: (x, y) or (x, y, weight), y int [b], or [b, height, width]: then pixels are counted.
        Rows of weight 0 are not counted. Ranks may have different numbers of batches, or none.
      classes: Number of classes; labels are in [0, classes).
      ignored: A label that is allowed besides and not counted, such as images.NOT_ANNOTATED.
    Raises:
      OptionError: The model's output or a label does not fit `classes`.
    """
    predict = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    matrix = np.zeros((classes, classes), np.int64)
    for x, y, *weight in dataset:
        scores = predict(x).numpy()
        truth = np.asarray(y)
        truth = truth.reshape(truth.shape[:-1]) if truth.ndim == scores.ndim and truth.shape[-1] == 1 else truth
        if scores.shape != (*truth.shape, classes):
            expected = ", ".join(["batch", *map(str, truth.shape[1:]), f"classes={classes}"])
            raise OptionError(f"the model gives {list(scores.shape)}; expected [{expected}]")
        counted = np.asarray(weight[0]).reshape(-1) > 0 if weight else np.ones(len(truth), bool)
        counted = np.broadcast_to(counted.reshape(-1, *[1] * (truth.ndim - 1)), truth.shape) & (truth != ignored)
        truth, predicted = truth[counted], scores.argmax(axis=-1)[counted]
        outside = truth[(truth < 0) | (truth >= classes)]
        if len(outside):
            raise OptionError(f"label {outside[0]} is not in [0, classes={classes})")
        np.add.at(matrix, (truth, predicted), 1)
    return Confusion(ranks.sum_over_ranks(matrix, name="tfcass_confusion"))
