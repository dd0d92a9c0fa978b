"""Sentences made by numbers: opposite numbers say the opposite, and an interval that holds 0 says nothing."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.evaluation.confidence import LABELS
from medprobclip.paper.findings.doubt import (
    about_ambiguity,
    degraded_views,
    detection_of,
    noticing_faults,
    third_kind,
    two_numbers,
    variance_or_entropy,
)
from medprobclip.paper.tables.mixed_quality import ORDERS, RULE

BELOW, ACROSS, ABOVE = (-0.3, -0.1), (-0.1, 0.1), (0.1, 0.3)  # intervals of a difference
UNKNOWN = (np.nan, np.nan)  # of too few studies
MEANS = "mean of faults"


def selective(bounds: tuple[float, float]) -> pd.DataFrame:
    low, high = bounds
    row = {"method": "medprobclip", "direction": "i2t", "k": 10, "confidence": "variance", "aurc": 0.5}
    row |= {
        "less_entropy": np.nan_to_num((low + high) / 2),
        "less_entropy_low": low,
        "less_entropy_high": high,
    }
    other = row | {"confidence": "entropy", "less_entropy": np.nan}
    return pd.DataFrame([row, other, row | {"method": "clip"}])


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (BELOW, "beats"),
        (ABOVE, "loses to"),
        (ACROSS, "cannot be told from"),
        (UNKNOWN, "cannot be told from"),
    ],
)
def test_variance_or_entropy(bounds, said):
    (sentence,) = variance_or_entropy(selective(bounds))
    assert sentence.startswith(
        f"MedProbCLIP, image to text: as a confidence the total variance {said} the entropy: AURC at R@10 "
    )
    (other,) = variance_or_entropy(selective(bounds), "clip")
    assert other == sentence.replace("MedProbCLIP", "CLIP")


def test_the_numbers_of_variance_and_entropy():
    (sentence,) = variance_or_entropy(selective(BELOW))
    assert sentence.endswith("0.500 against 0.700, difference -0.200 [-0.300, -0.100] (less is better).")


def detection(at: dict[float, tuple[float, float]]) -> pd.DataFrame:
    rows = [
        {"method": "medprobclip", "severity": severity, "doubt": doubt, "auroc": 0.5 + (low + high) / 2,
         "low": 0.5 + low, "high": 0.5 + high}
        for severity, (low, high) in at.items() for doubt in ("variance", "entropy", "strangeness")
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (ABOVE, "is larger for"),
        (BELOW, "is *smaller* for"),
        (ACROSS, "is not shown to differ for"),
        (UNKNOWN, "is not shown to differ for"),
    ],
)
def test_noticing_faults_at_both_severities(bounds, said):
    sentences = list(noticing_faults(detection({1: ABOVE, 5: bounds, 3: bounds})))
    assert len(sentences) == 2
    for sentence, doubt in zip(sentences, ("the total variance", "strangeness"), strict=True):
        assert sentence.startswith(f"MedProbCLIP: {doubt} {said} a faulty film at severity 3 (AUROC ")
        assert " and 5 (AUROC " in sentence
        assert "severity 1" not in sentence
        assert sentence.endswith(", mean of 11 faults; 0.5 is a coin.")


@pytest.mark.parametrize(
    ("bounds", "said"), [(ACROSS, "is not shown to differ for"), (BELOW, "is *smaller* for")]
)
def test_what_is_noticed_at_one_severity_only(bounds, said):
    sentence = next(noticing_faults(detection({3: bounds, 5: ABOVE})))
    assert f"{said} a faulty film at severity 3 (" in sentence
    assert " but is larger for a faulty film at severity 5 (AUROC 0.70 [0.60, 0.80])" in sentence
    sentence = next(noticing_faults(detection({3: ABOVE, 5: bounds})))
    assert "variance is larger for a faulty film at severity 3 (" in sentence
    assert f" but {said} a faulty film at severity 5 (" in sentence


def test_a_method_that_was_not_measured_says_nothing():
    assert list(noticing_faults(detection({3: ABOVE}), "clip")) == []
    assert list(variance_or_entropy(selective(ABOVE), "pcme++")) == []
    assert list(about_ambiguity(knowledge(ABOVE), "clip")) == []


def mixed(of: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """With the bounds of the named orders; of all others the last ones."""
    *_, rest = of.values()
    rows = []
    for order in ORDERS:
        low, high = (np.nan, np.nan) if order == RULE else of.get(order, rest)
        difference = np.nan_to_num((low + high) / 2)
        rows.append({
            "method": "medprobclip", "order": order, "aurc": 0.4 + (0 if order == RULE else difference),
            "difference": difference, "difference_low": low, "difference_high": high, "oracle": 0.1,
            "random": 0.6,
        })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"rest": ABOVE}, "beats each of the 7 single confidences"),
        ({"rest": BELOW}, "loses to each of the 7 single confidences"),
        ({"rest": ACROSS}, "cannot be told from any of the 7 single confidences"),
        ({"rest": UNKNOWN}, "cannot be told from any of the 7 single confidences"),
        ({"margin": ACROSS, "rest": ABOVE}, "beats 6 and cannot be told from 1 of the 7 single confidences"),
        ({"margin": BELOW, "rest": ABOVE}, "beats 6 and loses to 1 of the 7 single confidences"),
        (
            {"margin": BELOW, "entropy": ACROSS, "softmax": ABOVE, "rest": ABOVE},
            "beats 5, loses to 1 and cannot be told from 1 of the 7 single confidences",
        ),
    ],
)
def test_two_numbers(of, said):
    (sentence,) = two_numbers(mixed(of))
    assert f"the risk from confidence and strangeness {said}: AURC at R@10 0.400; " in sentence
    assert sentence.endswith("(above 0 the risk is better; oracle 0.100, random order 0.600).")


def test_the_best_single_confidence_is_named():
    (sentence,) = two_numbers(mixed({"margin": BELOW, "rest": ABOVE}))
    assert f"the best of them, {LABELS['margin']}, 0.200, difference -0.200 [-0.300, -0.100] " in sentence
    (sentence,) = two_numbers(mixed({"strangeness": ACROSS, "rest": ABOVE}))
    assert "the best of them, strangeness, 0.400, difference +0.000 [-0.100, +0.100] " in sentence


def knowledge(bounds: tuple[float, float], every: tuple[float, float] = ABOVE) -> pd.DataFrame:
    rows = []
    for side in ("image", "report"):
        for name, (low, high) in {"sharing": every, "sharing_abnormal": bounds, "length": BELOW}.items():
            row = {"method": "medprobclip", "side": side, "property": name}
            row |= {"rho": (low + high) / 2, "rho_low": low, "rho_high": high}
            rows.append({**row, "partial": 0.3, "partial_low": 0.25, "partial_high": 0.35})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (ABOVE, "rises"),
        (BELOW, "falls"),
        (ACROSS, "is not shown to change"),
        (UNKNOWN, "is not shown to change"),
    ],
)
def test_about_ambiguity(bounds, said):
    sentences = list(about_ambiguity(knowledge(bounds)))
    for sentence, name in zip(sentences, ("radiograph", "report"), strict=True):
        assert sentence.startswith(
            f"MedProbCLIP, {name}: with normal studies set aside the total variance {said} with the "
            "number of studies that share the coding: Spearman's ρ "
        )
        assert sentence.endswith(
            "(with them +0.200 [+0.100, +0.300]); given what else is known of the studies "
            "+0.300 [+0.250, +0.350]."
        )


_AREAS = {"variance, severity 5": 0.6, "log_variance, severity 5": 0.7, "AURC, variance": 0.4}


def degraded(bounds: tuple[float, float]) -> pd.DataFrame:
    low, high = bounds
    rows = []
    for method in ("medprobclip", "degraded/medprobclip"):
        for metric in ("RSUM", "R@10", "R@10, severity 5"):
            row = {"method": method, "metric": metric, "value": 50.0, "low": 40.0, "high": 60.0}
            if method != "medprobclip":
                row |= {"difference": (low + high) / 2, "difference_low": low, "difference_high": high}
            rows.append(row)
        for metric, value in _AREAS.items():
            value += 0.1 * (method != "medprobclip")
            rows.append({"method": method, "metric": metric, "value": value, "low": 0.5, "high": 0.9})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("bounds", "shown"), [(BELOW, True), (ABOVE, True), (ACROSS, False), (UNKNOWN, False)]
)
def test_degraded_views(bounds, shown):
    (sentence,) = degraded_views(degraded(bounds))
    assert sentence.startswith("MedProbCLIP, degraded views against MedProbCLIP: RSUM 50.0 (")
    assert sentence.count("no difference shown") == (0 if shown else 3)
    if shown:
        sign = "+" if bounds == ABOVE else "-"
        assert sentence.count(f"50.0 ({sign}0.2 [") == 3
    assert sentence.endswith(
        "AUROC for a fault at severity 5 of Σσ² 0.70 [0.50, 0.90] instead of 0.60, "
        "of Σ log σ² 0.80 [0.50, 0.90]. AURC by variance on good films 0.500 instead of 0.400. It misses the "
        "bar for a variance that notices faults (AUROC above 0.8, less than 1 point of R@10 lost)."
    )


@pytest.mark.parametrize(
    ("low", "lost", "said"), [(0.81, -0.9, "meets"), (0.79, -0.9, "misses"), (0.81, -1.1, "misses")]
)
def test_the_bar_of_a_variance_that_notices_faults(low, lost, said):
    table = degraded(BELOW)
    table.loc[table["metric"] == "variance, severity 5", "low"] = low
    table.loc[table["metric"] == "R@10", "difference"] = lost
    (sentence,) = degraded_views(table)
    assert f" It {said} the bar " in sentence


def kinds(of: dict[str, tuple[float, float]]) -> pd.DataFrame:
    rows = [
        {"side": side, "label": label, "doubt": doubt, "auroc": 0.7, "low": 0.5 + low, "high": 0.5 + high,
         "flagged": 0.25}
        for side in ("image", "report") for doubt in ("variance", "strangeness")
        for label, (low, high) in of.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_third_kind_has_every_kind_once():
    of = {"abdomen": ABOVE, "mirrored": BELOW, "lateral": ACROSS, "oblique": ABOVE, "inverted": UNKNOWN}
    first, *others = third_kind(kinds(of))
    assert first == (
        "Films of a third kind (AUROC): strangeness is larger for abdomen 0.70 [0.60, 0.80], "
        "oblique 0.70 [0.60, 0.80]; "
        "it is not shown to differ for lateral 0.70 [0.40, 0.60], inverted 0.70 [nan, nan]; "
        "it is *smaller* for mirrored 0.70 [0.20, 0.40]."
    )
    assert [sentence[:5] for sentence in others] == ["Films", "Films", "Texts", "Texts", "Texts"]
    assert others[1].startswith("Films called strange, at 5 % false alarms: abdomen 25 %, mirrored 25 %")
    assert "): total variance, Σσ² is larger for abdomen" in others[0]


@pytest.mark.parametrize(
    ("bounds", "said"),
    [(ABOVE, "is larger for"), (BELOW, "is *smaller* for"), (ACROSS, "is not shown to differ for")],
)
def test_third_kind_with_one_verdict_names_no_other(bounds, said):
    told = [s for s in third_kind(kinds({"a knee": bounds})) if "AUROC" in s]
    assert len(told) == 4
    for sentence in told:
        assert f" {said} a knee 0.70" in sentence
        assert ";" not in sentence


def test_only_the_means_of_faults_are_detection():
    by_fault, means = (detection({3: ABOVE, 5: ABOVE}).assign(panel=panel) for panel in ("by fault", MEANS))
    pd.testing.assert_frame_equal(detection_of(pd.concat([by_fault, means])), means)
