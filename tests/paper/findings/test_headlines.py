"""Every figure has a finding, worded as its numbers are."""

from pathlib import Path

import pandas as pd
import pytest

from medprobclip.paper.figures.catalogue import FIGURES
from medprobclip.paper.findings import headlines
from medprobclip.paper.findings.headlines import DETAILS, HEADLINES, headline
from medprobclip.paper.findings.retrieval import ONE_SEED

FOLDER = Path(__file__).resolve().parents[3] / "figures"


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_has_a_finding_of_one_or_two_sentences(figure):
    said = headline(figure, pd.read_csv(FOLDER / f"{figure}.csv"))
    assert 40 < len(said) < 420
    assert said.endswith(".")
    assert "nan" not in said.lower().split()


def test_nothing_is_said_of_unknown_figures():
    assert set(HEADLINES) == set(FIGURES) >= set(DETAILS)


def claimed_rows() -> pd.DataFrame:
    """RSUM of four methods, and two of them less the bank's term, as `recall_table` has them."""
    rows = {
        "method": ["medprobclip", "clip", "cxr-clip", "pcme++", "medprobclip", "clip", "random", "ceiling"],
        "score": [*["own"] * 4, *["bank"] * 2, None, None],
        "value": [100.0, 90.0, 99.0, 120.0, 104.0, 88.0, 7.0, 400.0], "low": 1.0, "high": 200.0,
        "difference": [None, -10.0, -1.0, 20.0, 4.0, -2.0, None, None],
        "difference_low": [None, -12.0, -3.0, 15.0, -1.0, -2.5, None, None],
        "difference_high": [None, -8.0, 1.0, 25.0, 9.0, -1.5, None, None],
        "p": [None, 0.001, 0.4, 0.002, 0.1, 0.01, None, None],
        "direction": "both", "metric": "RSUM", "seeds": [2, 3, 2, 2, 2, 3, None, None],
    }  # fmt: skip
    return pd.DataFrame(rows)


def test_claims_are_worded_as_the_intervals_are():
    seeds, first, *_ = DETAILS["table_1"](claimed_rows())
    counts = "MedProbCLIP 2, CLIP 3, CXR-CLIP 2, PCME++ 2"
    others = "MedProbCLIP-soft 0, MedProbCLIP-coded 0, MedProbCLIP-inclusion 0"
    assert seeds == f"seeds trained: {counts}, {others}"
    said = first.splitlines()
    assert said[0] == "RSUM"
    assert said[1].strip() == "MedProbCLIP: 100 [1, 200]"
    assert said[2].strip() == "CLIP: 90, less: -10 [-12, -8], p = 0.001"
    assert "CXR-CLIP: 99, no difference shown: -1 [-3, +1]" in said[3]
    assert "PCME++: 120, more: +20 [+15, +25]" in said[4]
    assert len(said) == 5
    alone, *_ = DETAILS["table_1"](claimed_rows().assign(seeds=1))
    assert alone.endswith(ONE_SEED)


def test_claims_tell_the_share_of_the_ceiling_by_the_own_score():
    *_, shares, _ = DETAILS["table_1"](claimed_rows())
    assert [line.strip() for line in shares.splitlines()][1:] == [
        "RSUM (ceiling 400.0): MedProbCLIP 25, CLIP 22, CXR-CLIP 25, PCME++ 30",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "metric", "unit"), [("table_1", "RSUM", ""), ("many_to_many", "mAP@R", " %")]
)
def test_claims_tell_each_method_with_the_bank_beside_itself(name, metric, unit):
    table = claimed_rows().assign(metric=metric, direction="i2t" if unit else "both")
    *_, less = DETAILS[name](table)
    said = [line.strip() for line in less.splitlines()]
    assert said[1].endswith(metric)
    assert said[1].startswith("image to text" if unit else metric)
    assert said[2:] == [f"MedProbCLIP: 104{unit}, +4 [-1, +9]", f"CLIP: 88{unit}, -2 [-2.5, -1.5]"]


def test_hubs_are_told_before_and_after():
    rows = [
        ("i2t", "method", 2.5, 30.0), ("i2t", "bank", 1.25, 10.4), ("i2t", "score", 9.0, 90.0),
        ("i2t", "random", 0.3, 0.1), ("t2i", "method", 3.0, 40.0), ("t2i", "bank", 2.0, 20.0),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["direction", "kind", "skew", "orphans"])
    names = {"method": "clip", "bank": "clip", "score": "kl", "random": "random"}
    said = list(DETAILS["hubs"](table.assign(name=table["kind"].map(names))))
    assert [text.split(",")[0] for text in said] == ["image to text", "text to image"]
    assert [text.splitlines()[1:] for text in said] == [
        ["  CLIP: skew 2.50 -> 1.25, 30 % -> 10 %"],
        ["  CLIP: skew 3.00 -> 2.00, 40 % -> 20 %"],
    ]


def test_robustness_is_told_beside_the_faultless():
    rows = [("medprobclip", "none", 0, 10.0, 1.0), ("medprobclip", "noise", 5, 4.0, 1.5),
            ("medprobclip", "jpeg", 5, 6.0, 0.5)]  # fmt: skip
    columns = ["method", "corruption", "severity", "recall", "variance"]
    by_fault = pd.DataFrame(rows, columns=columns).assign(panel="by fault")
    found = [("medprobclip", severity, "strangeness", 0.9, 0.8, 0.95) for severity in (3, 5)]
    columns = ["method", "severity", "doubt", "auroc", "low", "high"]
    mean = pd.DataFrame(found, columns=columns).assign(panel="mean of faults")
    numbers, sentences = DETAILS["robustness"](pd.concat([by_fault, mean]))
    assert numbers.endswith("MedProbCLIP: 5.0 % (without a fault 10.0 %), 1.00")
    assert sentences.startswith("MedProbCLIP: strangeness is larger for a faulty film at severity 3")


def test_what_is_said_is_text_and_a_list_from_two_lines_on(monkeypatch):
    shown = []
    monkeypatch.setattr(headlines, "display", lambda text: shown.append(text.data))
    headlines.say()
    headlines.say("One alone.")
    headlines.say("One.", "Two,\nthree.")
    assert shown == ["One alone.", "- One.\n- Two,\n- three."]
