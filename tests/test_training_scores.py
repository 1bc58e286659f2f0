"""Scores of classes: area under the ROC curve, intersection over union."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import jaccard_score, roc_auc_score

from tfcass import training
from tfcass.errors import OptionError


def test_auc_is_that_of_scikit_learn_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((200, 3)) < [0.5, 0.1, 0.9]
    scores = np.stack([truth[:, 0] + rng.normal(size=200), rng.normal(size=200), rng.integers(0, 4, 200)], axis=1)

    found = training.auc_of_classes(truth, scores)

    np.testing.assert_allclose(found, [roc_auc_score(truth[:, c], scores[:, c]) for c in range(3)])


def test_a_class_that_all_or_none_have_has_no_auc() -> None:
    assert np.isnan(training.auc_of_classes(np.array([[1, 0], [1, 0]]), np.zeros((2, 2)))).all()


@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2)), r"truth is \[2, 3\] and scores \[2, 2\]"),
        (np.zeros((2, 2)), np.full((2, 2), np.nan), "did training diverge"),
    ],
)
def test_scores_that_do_not_fit_are_refused(truth, scores, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        training.auc_of_classes(truth, scores)


def test_pixels_are_counted_for_segmentation_but_those_without_weight_or_class() -> None:
    model = keras.Sequential([keras.layers.Input((4, 5, 3)), keras.layers.Identity()])
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (6, 4, 5))  # Class 2 is neither there ...
    scores = rng.random((6, 4, 5, 3)).astype(np.float32) * [1, 1, 0]  # ... nor predicted.
    weight = np.array([1, 1, 1, 1, 1, 0], np.float32)
    marked = np.where(rng.random(truth.shape) < 0.3, 255, truth)
    data = tf.data.Dataset.from_tensor_slices((scores.astype(np.float32), marked, weight)).batch(4)

    found = training.confusion(model, data, classes=3, ignored=255)

    seen = marked[:5] != 255
    assert found.rows == seen.sum()
    expected = jaccard_score(truth[:5][seen], scores[:5].argmax(-1)[seen], average=None)
    np.testing.assert_allclose(found.iou[:2], expected)
    assert np.isnan(found.iou[2])
    with pytest.raises(OptionError, match=r"the model gives \[4, 4, 5, 3\]; expected \[batch, 4, 5, classes=2\]"):
        training.confusion(model, data, classes=2, ignored=255)
