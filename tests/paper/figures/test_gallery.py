"""The page of figures says what their numbers say, and nothing else."""

from pathlib import Path

import pandas as pd
import pytest

from medprobclip.paper.figures.catalogue import FIGURES
from medprobclip.paper.figures.gallery import CLAIMS, ONE_SEED, gallery

FOLDER = Path(__file__).resolve().parents[3] / "figures"


def test_the_committed_page_is_that_of_the_committed_numbers():
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == gallery(FOLDER)


def test_every_figure_has_a_place_with_caption_and_paper_label():
    page = gallery(FOLDER)
    for name, entry in FIGURES.items():
        assert f"![{name}]({name}.png)" in page
        assert f"({name}.csv)" in page
        assert entry.caption in page
        assert not entry.paper or f"## {entry.paper}: {name}" in page
    assert set(CLAIMS) <= set(FIGURES)


def test_claims_are_worded_as_the_intervals_are():
    rows = {
        "method": ["medprobclip", "clip", "cxr-clip", "pcme++", "random"],
        "value": [100.0, 90.0, 99.0, 120.0, 7.0], "low": 1.0, "high": 200.0,
        "difference": [None, -10.0, -1.0, 20.0, None], "difference_low": [None, -12.0, -3.0, 15.0, None],
        "difference_high": [None, -8.0, 1.0, 25.0, None], "p": [None, 0.001, 0.4, 0.002, None],
        "direction": "both", "metric": "RSUM", "seeds": [2, 3, 2, 2, None],
    }  # fmt: skip
    seeds, first, *_ = CLAIMS["table_1"](pd.DataFrame(rows))
    assert seeds == "seeds trained: MedProbCLIP 2, CLIP 3, CXR-CLIP 2, PCME++ 2, MedProbCLIP-soft 0"
    said = first.splitlines()
    assert said[0] == "RSUM"
    assert said[1].strip() == "MedProbCLIP: 100 [1, 200]"
    assert said[2].strip() == "CLIP: 90, less: -10 [-12, -8], p = 0.001"
    assert "CXR-CLIP: 99, no difference shown: -1 [-3, +1]" in said[3]
    assert "PCME++: 120, more: +20 [+15, +25]" in said[4]
    assert len(said) == 5
    alone, *_ = CLAIMS["table_1"](pd.DataFrame(rows | {"seeds": 1}))
    assert alone.endswith(ONE_SEED)


def test_robustness_is_told_beside_the_faultless():
    rows = [("medprobclip", "none", 0, 10.0, 1.0, 0.5), ("medprobclip", "noise", 5, 4.0, 1.5, 0.8),
            ("medprobclip", "jpeg", 5, 6.0, 0.5, 0.4)]  # fmt: skip
    columns = ["method", "corruption", "severity", "recall", "variance", "detects"]
    said = next(CLAIMS["robustness"](pd.DataFrame(rows, columns=columns)))
    assert said.endswith("MedProbCLIP: 5.0 % (without a fault 10.0 %), 1.00, 0.60")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="contact_sheet"):
        gallery(tmp_path)
