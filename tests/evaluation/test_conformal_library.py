"""The same sets as MAPIE's, where it computes the same."""

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.risk_control import MultiLabelClassificationController
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from medprobclip.evaluation.conformal import (
    best_right_scores,
    prediction_sets,
    risk_control_threshold,
    set_threshold,
)


class Known(ClassifierMixin, BaseEstimator):
    """A classifier whose inputs are the probabilities of its classes."""

    def fit(self, x, y=None):
        self.classes_, self.n_features_in_ = np.arange(x.shape[1]), x.shape[1]
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.argmax(x, axis=1)


@pytest.mark.parametrize("n", [57, 99])
def test_sets_of_a_classifier(n):
    """LAC: the right class alone is right; α (n + 1) is no whole number, where rounding would decide."""
    rng = np.random.default_rng(n)
    classes = 6
    label = rng.integers(0, classes, n + 80)
    logits = rng.normal(size=(n + 80, classes)) + 1.5 * np.eye(classes)[label]
    probability = softmax(logits, axis=1)
    known, asked = probability[:n], probability[n:]
    levels = [0.043, 0.127, 0.333, 0.721]
    library = SplitConformalClassifier(
        Known().fit(known), confidence_level=[1 - alpha for alpha in levels], conformity_score="lac",
        prefit=True,
    )  # fmt: skip
    library.conformalize(known, label[:n])
    _, sets = library.predict_set(asked)
    right = label[:n, None] == np.arange(classes)
    for i, alpha in enumerate(levels):
        own = prediction_sets(asked, set_threshold(best_right_scores(known, right), alpha))
        assert 0 < own.sum() < own.size
        np.testing.assert_array_equal(own, sets[..., i])


def test_risk_control_of_recall():
    """Conformal risk control of several right answers; its thresholds lie between any two scores."""
    rng = np.random.default_rng(0)
    right = rng.random((50, 8)) < 0.3
    right[np.arange(50), rng.integers(0, 8, 50)] = True
    scores = 1 / (1 + np.exp(-rng.normal(size=(50, 8)) - right))
    asked = rng.random((40, 8))
    values = np.sort(scores[right])
    between = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    levels = [0.047, 0.113, 0.371]
    library = MultiLabelClassificationController(
        lambda x: np.asarray(x), risk="recall", method="crc", target_level=[1 - alpha for alpha in levels],
        predict_params=between,
    )  # fmt: skip
    library.calibrate(scores, right.astype(int))
    sets = library.predict(asked)
    for i, alpha in enumerate(levels):
        least = risk_control_threshold(scores, right, alpha)
        assert values[0] <= least < values[-1]
        # MAPIE's threshold is below the least right score that is kept, and above the next.
        assert between[np.flatnonzero(between < least)[-1]] == library.best_predict_param[i]
        own = prediction_sets(scores, least)
        np.testing.assert_array_equal(own & right, (scores > library.best_predict_param[i]) & right)
        assert (prediction_sets(asked, least) <= sets[..., i]).all()
