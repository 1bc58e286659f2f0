"""Scores of predictions that are in memory: area under the ROC curve of each class."""

import numpy as np

from tfcass.errors import OptionError


def auc_of_classes(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each class: how often a row of the class is scored higher than one that is not.

    Args:
      truth: [n, classes], 1 (or True) where the row is of the class, else 0. A row may be of several classes.
      scores: [n, classes], higher for more likely: probabilities or logits.
    Returns:
      float64 [classes]; nan for a class that all rows have, or none. Exact: ties count one half.
    Raises:
      OptionError: The shapes differ, or a score is not a number.
    """
    truth, scores = np.asarray(truth), np.asarray(scores)
    if truth.ndim != 2 or truth.shape != scores.shape:
        raise OptionError(f"truth is {list(truth.shape)} and scores {list(scores.shape)}: both must be [n, classes]")
    if not np.isfinite(scores).all():
        raise OptionError("a score is not a finite number: did training diverge? try a smaller learning rate")
    return np.array([_auc(truth[:, c] > 0, scores[:, c]) for c in range(truth.shape[1])])


def _auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """By the sum of ranks (Mann and Whitney), ties at their mean rank."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2
    return float((rank[place][positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
