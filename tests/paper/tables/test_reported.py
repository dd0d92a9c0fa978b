"""The paper's numbers: complete, consistent with each other, named as our methods are."""

import pytest

from medprobclip.data.chexpert import FINDINGS
from medprobclip.evaluation.retrieval import CUTOFFS
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.reported import reported

PAPER = ["clip", "cxr-clip", "medprobclip", "pcme++"]


@pytest.mark.parametrize("table", ["table1", "table2", "figure2"])
def test_every_method_has_every_number(table):
    values = reported(table)
    methods = sorted(values.index.unique("method"))
    assert methods == (sorted([*PAPER, "random"]) if table == "table1" else PAPER)
    assert set(PAPER) < set(METHODS)
    assert values.notna().all()
    assert values.index.is_unique
    recalls = [f"{direction}_R@{k}" for direction in ("i2t", "t2i") for k in CUTOFFS]
    metrics = {
        "table1": [*recalls, "RSUM"],
        "table2": [*FINDINGS, "Mean"],
        "figure2": [f"AURC_R@{k}" for k in CUTOFFS],
    }[table]
    for method in methods:
        assert sorted(values[method].index) == sorted(metrics)


def test_sums_and_means_agree_with_their_parts():
    """Up to the paper's own rounding."""
    table1, table2 = reported("table1"), reported("table2")
    for method in (*PAPER, "random"):
        recalls = table1[method].drop("RSUM")
        assert len(recalls) == 8
        assert recalls.sum() == pytest.approx(table1[method, "RSUM"], abs=0.05)
    for method in PAPER:
        assert table2[method].drop("Mean").mean() == pytest.approx(table2[method, "Mean"], abs=1e-3)


def test_values_are_in_their_units():
    assert reported("table1").drop("RSUM", level="metric").between(0, 100).all()
    assert reported("table2").between(0, 1).all()
    assert reported("figure2").between(0, 1).all()
    assert reported("table1")["medprobclip", "i2t_R@1"] == 21.02
    assert reported("table2")["cxr-clip", "Pneumothorax"] == 0.7336
    assert reported("figure2")["pcme++", "AURC_R@10"] == 0.549


def test_what_the_paper_lacks_is_absent():
    for table, metric in {"table1": "RSUM", "table2": "Mean", "figure2": "AURC_R@1"}.items():
        assert reported(table).get(("medprobclip-soft", metric)) is None
    assert reported("table2").get(("clip", "No Finding")) is None


def test_another_table_is_refused():
    with pytest.raises(KeyError, match="no 'table3'; choose one of table1, table2, figure2"):
        reported("table3")
