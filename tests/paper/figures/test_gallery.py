"""The page of figures says what their numbers say, and nothing else."""

from pathlib import Path

import pandas as pd
import pytest

from medprobclip.paper.figures.catalogue import FIGURES
from medprobclip.paper.figures.gallery import CLAIMS, ONE_SEED, gallery
from medprobclip.paper.verdicts import all_verdicts, with_verdicts

FOLDER = Path(__file__).resolve().parents[3] / "figures"


def test_the_committed_page_is_that_of_the_committed_numbers():
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == gallery(FOLDER)


def test_the_committed_readme_says_what_the_committed_numbers_say_of_doubt():
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert readme == with_verdicts(readme, all_verdicts(FOLDER))


def test_every_figure_has_a_place_with_caption_and_paper_label():
    page = gallery(FOLDER)
    for name, entry in FIGURES.items():
        assert f"![{name}]({name}.png)" in page
        assert f"({name}.csv)" in page
        assert entry.caption in page
        assert not entry.paper or f"## {entry.paper}: {name}" in page
    assert set(CLAIMS) <= set(FIGURES)


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
    seeds, first, *_ = CLAIMS["table_1"](claimed_rows())
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
    alone, *_ = CLAIMS["table_1"](claimed_rows().assign(seeds=1))
    assert alone.endswith(ONE_SEED)


def test_claims_tell_the_share_of_the_ceiling_by_the_own_score():
    *_, shares, _ = CLAIMS["table_1"](claimed_rows())
    assert [line.strip() for line in shares.splitlines()][1:] == [
        "RSUM (ceiling 400.0): MedProbCLIP 25, CLIP 22, CXR-CLIP 25, PCME++ 30",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "metric", "unit"), [("table_1", "RSUM", ""), ("many_to_many", "mAP@R", " %")]
)
def test_claims_tell_each_method_with_the_bank_beside_itself(name, metric, unit):
    table = claimed_rows().assign(metric=metric, direction="i2t" if unit else "both")
    *_, less = CLAIMS[name](table)
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
    said = list(CLAIMS["hubs"](table.assign(name=table["kind"].map(names))))
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
    numbers, sentences = CLAIMS["robustness"](pd.concat([by_fault, mean]))
    assert numbers.endswith("MedProbCLIP: 5.0 % (without a fault 10.0 %), 1.00")
    assert sentences.startswith("MedProbCLIP: strangeness is larger for a faulty film at severity 3")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="two_gaussians"):
        gallery(tmp_path)
