"""When not to answer: the input is strange, or many answers fit it. One decision out of two numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

ANSWERED, STRANGE, AMBIGUOUS = "answered", "strange", "ambiguous"


@dataclass(frozen=True, eq=False)
class TwoNumberRisk:
    """The risk that an answer is wrong, from a confidence and the strangeness of what was asked about.

    A logistic regression on the logit of the confidence's quantile among those of good inputs, `usual`
    (sorted, `[n]`), whatever its scale, and on log strangeness. `intercept`, `by_confidence` and
    `by_strangeness` are its coefficients. It is a probability in a gallery like that of the fit; in another,
    where confidences have another scale, `usual` is that of good inputs there (`in_gallery`), and the risk an
    order, since more items are harder to search.
    """

    usual: np.ndarray
    intercept: float
    by_confidence: float
    by_strangeness: float

    @staticmethod
    def fit(
        confidence: np.ndarray, strangeness: np.ndarray, wrong: np.ndarray, usual: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> TwoNumberRisk:  # fmt: skip
        """From N answered queries, `[N]` each: confidence, strangeness > 0, was the answer wrong, weights.

        `usual` are the confidences of good inputs. Good and bad inputs must be among the N: without bad ones
        nothing says what strangeness costs. Raises ValueError when all answers are right, or all wrong.
        """
        from sklearn.linear_model import LogisticRegression  # takes its time

        wrong = np.asarray(wrong, dtype=bool)
        if wrong.all() or not wrong.any():
            raise ValueError(f"{wrong.sum()} of {len(wrong)} answers are wrong: a risk needs both kinds")
        usual = np.sort(np.asarray(usual, dtype=float))
        inputs = np.stack([_quantile_logit(confidence, usual), _log(strangeness)], 1)
        fitted = LogisticRegression(C=100.0).fit(inputs, wrong, weights)
        return TwoNumberRisk(usual, float(fitted.intercept_[0]), *map(float, fitted.coef_[0]))

    def in_gallery(self, usual: np.ndarray) -> TwoNumberRisk:
        """The same for another gallery, where good inputs have the confidences `usual` `[n]`."""
        return replace(self, usual=np.sort(np.asarray(usual, dtype=float)))

    def __call__(self, confidence: np.ndarray, strangeness: np.ndarray) -> np.ndarray:
        """Risk of a wrong answer: confidence and strangeness of one shape -> that shape, in (0, 1)."""
        logit = self.by_confidence * _quantile_logit(confidence, self.usual)
        logit = logit + self.by_strangeness * _log(strangeness) + self.intercept
        return 1 / (1 + np.exp(-logit))


def abstain(risk: np.ndarray, p_value: np.ndarray, most: float, rate: float) -> np.ndarray:
    """The decision for each of N queries: `ANSWERED`, or why not, `STRANGE` or `AMBIGUOUS`; str `[N]`.

    Strange is what a good input is rarely like: `p_value` `[N]` of `conformal.p_values` at most `rate`; a
    good input is called so with that probability at most, on average over calibration sets. Ambiguous is what
    else has a `risk` `[N]` above `most`. Raises ValueError on unequal lengths, and for what lies outside
    [0, 1].
    """
    risk, p_value = np.asarray(risk, dtype=float), np.asarray(p_value, dtype=float)
    if risk.shape != p_value.shape or risk.ndim != 1:
        raise ValueError(f"risks {risk.shape} and p-values {p_value.shape} need one shape [N]")
    if not all(((v >= 0) & (v <= 1)).all() for v in (risk, p_value, np.array([most, rate]))):
        raise ValueError("risks, p-values, `most` and `rate` lie between 0 and 1")
    return np.where(p_value <= rate, STRANGE, np.where(risk > most, AMBIGUOUS, ANSWERED))


def _quantile_logit(confidence: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Logit of each confidence's place among the usual ones: ties in the middle, never infinite."""
    confidence = np.asarray(confidence, dtype=float)
    if np.isnan(confidence).any() or np.isnan(usual).any():
        raise ValueError("confidences contain NaN")
    place = (np.searchsorted(usual, confidence, "left") + np.searchsorted(usual, confidence, "right")) / 2
    quantile = (place + 0.5) / (len(usual) + 1)
    return np.log(quantile / (1 - quantile))


def _log(strangeness: np.ndarray) -> np.ndarray:
    strangeness = np.asarray(strangeness, dtype=float)
    if not (strangeness > 0).all():
        raise ValueError("strangeness needs values above 0")
    return np.log(strangeness)
