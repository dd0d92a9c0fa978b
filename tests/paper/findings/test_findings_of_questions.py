"""What the figures of notebook 06 say: opposite numbers, opposite words."""

import pandas as pd
import pytest

from medprobclip.paper.findings.headlines import headline
from medprobclip.paper.tables.names import LEAST, MODEL

BELOW, ACROSS, ABOVE, UNKNOWN = (-2.0, -1.0), (-1.0, 1.0), (1.0, 2.0), (float("nan"),) * 2


def contrast(gain, variance, findings=("a", "b", "c")) -> pd.DataFrame:
    rows = [
        {"finding": name, "what": what, "value": sum(bounds) / 2, "low": bounds[0], "high": bounds[1],
         "patients": 6, "method": "medprobclip"}
        for name in findings for what, bounds in (("gain", gain), ("variance", variance)) if bounds
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("bounds", "gains", "varies"),
    [
        (ABOVE, "gain more than the others", "rises"),
        (BELOW, "gain less than the others", "falls"),
        (ACROSS, "are not shown to gain more or less", "is not shown to change"),
        (UNKNOWN, "are not shown to gain more or less", "is not shown to change"),
    ],
)
def test_a_drawn_finding(bounds, gains, varies):
    assert headline("with_and_without", contrast(bounds, bounds)) == (
        f"MedProbCLIP, 6 patients with and without: reports that name a drawn finding {gains} for all 3 "
        f"findings. The total variance of the film {varies} with all 3 findings."
    )


def test_findings_that_differ_are_named():
    table = pd.concat([contrast(ABOVE, BELOW, ["a", "b"]), contrast(ACROSS, ABOVE, ["c"])])
    said = headline("with_and_without", table)
    assert "gain more than the others for a and b; are not shown to gain more or less for c." in said
    assert said.endswith("The total variance of the film rises with c; falls with a and b.")


def test_without_reports_that_name_it():
    said = headline("with_and_without", contrast(None, ABOVE))
    assert "no report of the index names one of these findings. The total variance" in said


def promised(coverage: float, alarms: float) -> pd.DataFrame:
    base = {"method": "medprobclip", "grouped": "all", "group": "all", "error": 0.001}
    sets = base | {"what": "coverage", "right": "wording", "level": 0.1, "promise": 0.9, "value": coverage}
    rows = [sets | {"direction": d} for d in ("i2t", "t2i")]
    rows.append(base | {"what": "false alarms", "direction": "i2t", "right": "", "level": 0.05,
                        "promise": 0.05, "value": alarms})  # fmt: skip
    rows.append(base | {"what": "selective", "direction": "i2t", "right": "coding", "level": 0.3,
                        "promise": 0.1, "value": 0.9})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("coverage", "alarms", "said"),
    [
        (0.9, 0.05, "all of 3 promises are kept"),
        (0.899, 0.05, "all of 3 promises are kept"),  # within two standard errors
        (0.8, 0.05, "1 of 3 promises are kept"),
        (0.9, 0.06, "2 of 3 promises are kept"),
        (0.8, 0.06, "none of 3 promises is kept"),
        (0.99, 0.01, "all of 3 promises are kept"),
    ],
)
def test_promises_are_counted(coverage, alarms, said):
    sentence = headline("guarantees", promised(coverage, alarms))
    assert sentence.startswith(f"MedProbCLIP: {said} on average")
    held = f"{100 * coverage:.0f} %"
    assert sentence.endswith(f"hold one: image to text {held} and text to image {held}.")


@pytest.mark.parametrize(
    ("model", "said"), [(40.0, "more than the 2"), (2.0, "no more than the 2"), (1.0, "no more than the 2")]
)
def test_sets_beside_those_of_a_perfect_reader(model, said):
    rows = [
        {"method": "medprobclip", "direction": "i2t", "by": by, "group": group, "studies": 60, "median": size,
         "coverage": held}
        for by, size, held in ((MODEL, model, 0.87), (LEAST, 2.0, 0.9))
        for group, size in (("1", 99.0), ("all", size))
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    assert headline("set_sizes", table) == (
        f"MedProbCLIP, the demo's own split: answers in the median set at 90 %: image to text {model:.0f} of "
        f"60, {said} of a perfect reader (87 % of the sets hold a right one)."
    )
    own = headline("set_sizes", table[table["by"] == MODEL])
    assert own.startswith("MedProbCLIP, the tables' split: ")
    assert "reader" not in own
