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
RULE = "two numbers"  # the risk of a wrong answer from a confidence and strangeness
# In which films are answered, the surest first.
ORDERS = {**LABELS, "strangeness": "strangeness, negative", RULE: "risk from confidence and strangeness"}
# What is trained in another way so that the variance may notice a fault.
COMPARED = {name: {**METHODS, **DEGRADED}[name] for name in (REFERENCE, "medprobclip-inclusion", *DEGRADED)}
