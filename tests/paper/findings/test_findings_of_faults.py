"""Sentences about faults and parts of the method: opposite numbers, opposite words."""

import pandas as pd
import pytest

from medprobclip.paper.findings.faults import costliest_fault, decided
from medprobclip.paper.findings.headlines import headline

BELOW, ACROSS, ABOVE = (-0.3, -0.1), (-0.1, 0.1), (0.1, 0.3)  # bounds of a difference


def test_kinds_of_fault_grow_or_do_not():
    table = pd.DataFrame({"corruption": ["haze", "dust"], "unit": ["m", "g"], "1": [1, 9], "2": [2, 4]})
    assert headline("corruptions", table) == (
        "2 faults at 2 severities, and all of them grow from each severity to the next; haze goes from 1 to "
        "2 (m)."
    )
    said = headline("corruptions", table.assign(**{"3": [2, 1]}))
    assert "2 faults at 3 severities, and 1 of them grow" in said


def faults(recall: float, of: dict[float, tuple[float, float]], method: str = "medprobclip") -> pd.DataFrame:
    """Two faults at severity 5 with this recall, beside 40 ± 3; both doubts by severity within bounds."""
    cells = [("none", 0, 40.0), ("haze", 5, recall), ("dust", 5, 40.0)]
    rows = [
        {"method": method, "corruption": name, "severity": severity, "recall": value,
         "recall_low": value - 3, "recall_high": value + 3, "panel": "by fault"}
        for name, severity, value in cells
    ]  # fmt: skip
    rows += [
        {"method": method, "severity": severity, "doubt": doubt, "auroc": 0.5 + (low + high) / 2,
         "low": 0.5 + low, "high": 0.5 + high, "panel": "mean of faults"}
        for severity, (low, high) in of.items() for doubt in ("variance", "strangeness")
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("recall", "said"),
    [
        (30.0, "below the interval of good films for 1 of 2 faults. "),
        (38.0, "below the interval of good films for 0 of 2 faults. "),
        (50.0, "below the interval of good films for 0 of 2 faults, above it for 1. "),
    ],
)
def test_what_faults_cost_is_counted_by_intervals(recall, said):
    told = headline("robustness", faults(recall, {3: ABOVE, 5: ABOVE}))
    assert f"R@10 is 40.0 % on good films and {(recall + 40) / 2:.1f} % at severity 5, {said}" in told


@pytest.mark.parametrize(
    ("bounds", "said"), [(ABOVE, "rises"), (BELOW, "falls"), (ACROSS, "is not shown to change")]
)
def test_who_notices_a_fault(bounds, said):
    told = headline("robustness", faults(30.0, {3: bounds, 4: ACROSS, 5: ABOVE}))
    for name in ("The total variance", "strangeness"):
        assert f"{name} {said} at severity 3 (AUROC " in told
    assert told.count("rises at severity 5 (AUROC 0.70)") == 2
    assert "severity 4" not in told


def test_another_method_is_told_where_the_reference_is_not():
    assert headline("robustness", faults(30.0, {5: ABOVE}, "clip")).startswith("CLIP: ")


def kinds(strange: tuple[float, float], spread: tuple[float, float]) -> pd.DataFrame:
    return pd.DataFrame([
        {"side": side, "detectable": told, "doubt": doubt, "low": 0.5 + low, "high": 0.5 + high}
        for side in ("image", "report") for told in (True, True, False)
        for doubt, (low, high) in {"strangeness": strange, "variance": spread}.items()
    ])  # fmt: skip


@pytest.mark.parametrize(("bounds", "n"), [(ABOVE, 2), (ACROSS, 0), (BELOW, 0)])
def test_kinds_that_are_noticed_are_counted(bounds, n):
    told = headline("third_kind", kinds(bounds, ABOVE))
    assert f"strangeness rises for {n} of 2 kinds of film and {n} of 2 kinds of text, " in told
    assert told.endswith(f"strangeness rises for {n // 2} of 1 kinds of film and {n // 2} of 1 of text.")
    some = kinds(bounds, ABOVE).query("detectable or side == 'report'")  # nobody has a lateral
    assert headline("third_kind", some).endswith(f"strangeness rises for {n // 2} of 1 kinds of text.")
    told = headline("third_kind", kinds(ABOVE, bounds))
    assert f"the total variance rises for {n} of 2 kinds of film and {n} of 2 kinds of text." in told


def sets(failed: float, failed_answered: float) -> pd.DataFrame:
    row = {"method": "medprobclip", "promise": 0.9, "failed_answered": failed_answered, "answered": 0.25}
    rows = [row | {"corruption": "none", "severity": 0, "coverage": 0.91, "failed": 0.09}]
    for severity in (1, 2):
        rows.append(
            row | {"corruption": "all", "severity": severity, "coverage": 1 - failed, "failed": failed}
        )
    return pd.DataFrame(rows)


def test_broken_promises_are_told_by_severity():
    told = headline("broken_promise", sets(0.4, 0.05))
    assert "91 % do on good films and 60 % at severity 2." in told
    assert (
        "10 % of all films get a set without one at severity 1 and 2; if strange films are not answered, "
        "at no severity"
    ) in told
    assert "(25 % of those at severity 2 still get an answer)" in told
    told = headline("broken_promise", sets(0.05, 0.4))
    assert "set without one at no severity; if strange films are not answered, at severity 1 and 2" in told


def training(detects: tuple[float, float], change: tuple[float, float]) -> pd.DataFrame:
    rows = []
    for method in ("medprobclip", "degraded/medprobclip"):
        low, high = detects
        rows.append({"method": method, "metric": "variance, severity 5", "value": 0.5 + (low + high) / 2,
                     "low": 0.5 + low, "high": 0.5 + high})  # fmt: skip
        low, high = change
        rows.append({"method": method, "metric": "R@10", "value": 40.0, "difference": (low + high) / 2,
                     "difference_low": low, "difference_high": high})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("detects", "change", "said"),
    [
        ((0.31, 0.49), ACROSS, "with degraded views it rises (0.90) and no change of R@10 is shown: meets "),
        ((0.29, 0.49), ACROSS, "with degraded views it rises (0.89) and no change of R@10 is shown: misses "),
        ((0.31, 0.49), (-3, -1), "with degraded views it rises (0.90) and R@10 falls by 2.0: misses "),
        (BELOW, (1, 3), "with degraded views it falls (0.30) and R@10 rises by 2.0: misses "),
        (ACROSS, ACROSS, "it is not shown to change (0.50) and no change of R@10 is shown: misses "),
    ],
)
def test_what_other_training_buys(detects, change, said):
    assert said in headline("degraded_training", training(detects, change))


def test_what_was_not_trained_is_said_to_be_missing():
    alone = training(ABOVE, ACROSS).query("method == 'medprobclip'")
    assert "nothing was trained to change that" in headline("degraded_training", alone)
    assert "was not trained" in headline("degraded_training", pd.DataFrame())
    assert "was not trained" in headline("ablation", pd.DataFrame())


def parts(change: tuple[float, float], method: str = "no-vib") -> pd.DataFrame:
    """Two changes by two metrics, the second a hundred times as large."""
    rows = []
    for metric in ("RSUM", "AURC"):
        rows.append({"method": "medprobclip", "metric": metric, "value": 1.0})
        for name, part, scale in ((method, "VIB", 1), (f"{method}-2", "views", 100)):
            low, high = (scale * bound for bound in change)
            row = {"method": name, "metric": metric, "part": part, "value": 1.0}
            row |= {"difference": (low + high) / 2, "difference_low": low, "difference_high": high}
            rows.append(row)
    return pd.DataFrame(rows)


def test_changes_are_counted_by_their_intervals():
    said = headline("ablation", parts(BELOW))
    assert said.startswith(
        "RSUM: of 2 changes 2 (most: views, -20) lower it, none raise it; AURC (less is better)"
    )
    said = headline("ablation", parts(ABOVE))
    assert said.startswith("RSUM: of 2 changes none lower it, 2 (most: views, +20) raise it; ")
    assert "RSUM: of 2 changes none lower it, none raise it; " in headline("ablation", parts(ACROSS))


def test_an_ablation_of_scores_alone_says_so():
    assert "make figures-full" in headline("ablation", parts(BELOW, "rescored-csd"))
    assert "make figures-full" not in headline("ablation", parts(BELOW))


@pytest.mark.parametrize(
    ("strange", "said"), [((0.9, 0.6), "it, too"), ((0.6, 0.9), "another one, dust (0.90)")]
)
def test_the_costliest_fault_is_noticed_best_or_not(strange, said):
    table = pd.DataFrame(
        {"R@10": [5.0, 9.0], "variance": [0.4, 0.6], "strangeness": strange}, ["haze", "dust"]
    )
    told = costliest_fault(table)
    assert told.startswith("The costliest fault is haze (R@10 5.0 %), the mildest dust (9.0 %). ")
    assert f"Best of all strangeness notices {said}." in told
    assert told.endswith("is above 0.5 for 1 of 2 faults and not above it for 1.")


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0.06, 0.09), "broken"),
        ((0.04, 0.06), "not shown to be broken"),
        ((0.0, 0.0), "not shown to be broken"),
    ],
)
def test_false_alarms_stand_beside_their_promise(bounds, said):
    row = {"method": "clip", "severity": 0, "flagged": 0.05}
    alarms = pd.DataFrame([row | dict(zip(("low", "high"), bounds, strict=True))])
    shares = pd.DataFrame({"a": [60.0, 0.0], "s": 5.0, "m": 35.0, "w": [20.0, None], "all": 30.0}, [0, 5])
    first, second = decided(shares, alarms, "clip")
    assert f"CLIP: 5.0 % of the good films are called strange [{100 * bounds[0]:.1f}, " in first
    assert f"]: the promise of at most 5 % is {said}." in first
    assert (
        "of good films 60.0 % are answered, 20 % of them wrongly (fewer than the 30 % if all were)" in second
    )
    assert second.endswith("of films at severity 5 none is answered.")
    _, second = decided(shares.assign(w=40.0), alarms, "clip")
    assert "(no fewer than the 30 % if all were)" in second
