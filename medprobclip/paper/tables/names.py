"""What doubts, orders and trainings are called in tables and figures; needs no model."""

from __future__ import annotations

from medprobclip.evaluation.confidence import LABELS
from medprobclip.paper.tables.experiments import DEGRADED, METHODS, REFERENCE

# What tells a faulty film from a good one, perhaps: larger = more doubt.
DOUBTS = {
    "variance": "total variance, Σσ²",
    "log_variance": "Σ log σ²",
    "entropy": "softmax entropy",
    "strangeness": "strangeness",
}
RATE = 0.05  # of good films that may be called strange: false alarms
# What is promised of sets and answers, and to whom.
ALPHAS = (0.05, 0.1, 0.2)  # of queries whose set may hold no right answer, or of right answers missed
ALPHA = 0.1  # of the set sizes, of the groups in the figure, and of the promise that faults break
ALARMS = (0.01, 0.05, 0.1)  # of good inputs that may be called strange
RISKS, DELTA = (0.2, 0.3, 0.5), 0.1  # of answers that may be wrong, and with what probability more are
RIGHT = {"wording": "worded alike", "coding": "coded alike"}  # which answers are right
ONE_FILM, SEVERAL_FILMS = "one film", "several films"
# Findings that have a group of their own, the rarest in OpenI's training reports first: a study with several
# is in the group of its rarest. Each other one would have fewer than ten of the demo's calibration studies,
# too few for a threshold at α = 0.1.
MAIN_FINDINGS = ("Atelectasis", "Cardiomegaly", "Support Devices", "Airspace Opacity")
OTHER_FINDING, OUTSIDE, NORMAL, NOT_CODED = "another finding", "outside the findings", "normal", "not coded"
UNSURE = "only uncertain"  # findings, by labels
GROUPS = (
    ONE_FILM, SEVERAL_FILMS, NORMAL, OUTSIDE, *reversed(MAIN_FINDINGS), OTHER_FINDING, UNSURE, NOT_CODED,
)  # fmt: skip
SHARED = {"1": 1, "2": 2, "3–6": 6, "7–20": 20, "more": float("inf")}  # by how many studies, at most
MODEL, CALIBRATED, LEAST = "model", "reader, calibrated", "reader"
READERS = {
    MODEL: "the model, calibrated",
    CALIBRATED: "a perfect reader, calibrated alike",
    LEAST: "a perfect reader, no more than needed",
}
RULE = "two numbers"  # the risk of a wrong answer from a confidence and strangeness
# In which films are answered, the surest first.
ORDERS = {**LABELS, "strangeness": "strangeness, negative", RULE: "risk from confidence and strangeness"}
# What is trained in another way so that the variance may notice a fault.
COMPARED = {name: {**METHODS, **DEGRADED}[name] for name in (REFERENCE, "medprobclip-inclusion", *DEGRADED)}
