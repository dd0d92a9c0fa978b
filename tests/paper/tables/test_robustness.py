"""What faults cost and who notices: rows by hand, sklearn's AUROC, and loops over the draws."""

import numpy as np
import pandas as pd
import pytest
from faulty import made_films
from sklearn.metrics import roc_auc_score

from medprobclip.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from medprobclip.evaluation.reliability import risk_coverage
from medprobclip.paper.tables.names import DOUBTS
from medprobclip.paper.tables.robustness import (
    DETECTS,
    by_fault,
    detection_by_severity,
    detection_table,
    fault_examples,
    mean_over_corruptions,
    robustness_table,
)

N = 30
CHOSEN = {("medprobclip", "i2t"): "variance", ("clip", "i2t"): "margin"}
ROWS = np.random.default_rng((0, 0)).integers(0, N, (2000, N))
SIGNS = {"variance": -1, "log_variance": 1, "entropy": -1, "strangeness": 1}  # of more doubt
KEYS = ["method", "corruption", "severity"]


@pytest.fixture(scope="module")
def films():
    return made_films(n=N)


@pytest.fixture(scope="module")
def table(films):
    return robustness_table(films, CHOSEN).set_index(KEYS).sort_index()


def detects(films: pd.DataFrame, method: str, fault: str, severity: int, doubt: str) -> float:
    own = films[films["method"] == method]
    parts = own[(own["corruption"] == fault) & (own["severity"] == severity)], own[own["severity"] == 0]
    now, before = (SIGNS[doubt] * part[doubt] for part in parts)
    return roc_auc_score([1] * N + [0] * N, [*now, *before])


@pytest.mark.parametrize(("method", "severity"), [("medprobclip", 5), ("clip", 1)])
def test_a_row_by_hand(films, table, method, severity):
    row = table.loc[(method, "noise", severity)]
    own = films[films["method"] == method]
    now = own[(own["corruption"] == "noise") & (own["severity"] == severity)]
    spread, usual = (-part["variance"].to_numpy() for part in (now, own[own["severity"] == 0]))
    hits = np.mean([now["rank_i2t"] <= 10, now["rank_t2i"] <= 10], axis=0)
    sure, wrong = now[CHOSEN[method, "i2t"]].to_numpy(), (now["rank_i2t"] > 10).to_numpy()
    assert 0 < wrong.mean() < 1
    assert row["recall"] == pytest.approx(100 * hits.mean())
    assert row["aurc"] == pytest.approx(risk_coverage(sure, wrong).aurc)
    assert row["variance"] == pytest.approx(spread.mean() / usual.mean())
    drawn = {
        "recall": [100 * hits[r].mean() for r in ROWS],
        "aurc": [risk_coverage(sure[r], wrong[r]).aurc for r in ROWS],
        "variance": [spread[r].sum() / usual[r].sum() for r in ROWS],
    }
    for name, values in drawn.items():
        np.testing.assert_allclose(
            row[[f"{name}_low", f"{name}_high"]].astype(float), np.percentile(values, [2.5, 97.5])
        )
    for doubt in SIGNS:
        area = detects(films, method, "noise", severity, doubt)
        assert row[f"{doubt}_detects"] == pytest.approx(area)


def test_every_fault_and_none(films, table):
    assert len(table) == 2 * (1 + 2 * 3)
    assert list(DETECTS) == [f"{name}_detects" for name in SIGNS]
    clean = table.xs(("none", 0), level=("corruption", "severity"))
    np.testing.assert_allclose(clean["variance"], 1)
    np.testing.assert_allclose(clean[list(DETECTS)], 0.5)


def test_another_confidence_changes_the_area_of_its_method_only(films, table):
    other = robustness_table(films, {**CHOSEN, ("clip", "i2t"): "softmax"}).set_index(KEYS).sort_index()
    areas = ["aurc", "aurc_low", "aurc_high"]
    pd.testing.assert_frame_equal(other.drop(columns=areas), table.drop(columns=areas))
    pd.testing.assert_frame_equal(other.loc[["medprobclip"]], table.loc[["medprobclip"]])
    assert (other.loc["clip", "aurc"] != table.loc["clip", "aurc"]).any()


def test_detection_is_the_mean_over_faults(films):
    table = detection_table(films).set_index(["method", "severity", "doubt"]).sort_index()
    assert len(table) == 2 * 3 * 4
    for (method, severity, doubt), row in table.iterrows():
        areas = [detects(films, method, fault, severity, doubt) for fault in ("blur", "noise")]
        assert row["auroc"] == pytest.approx(np.mean(areas))
        assert row["least"] == pytest.approx(min(areas))


def test_detection_draws_a_study_with_all_its_films(films):
    """Against a loop over the draws; the films with and without a fault are of the same studies."""
    row = detection_table(films).set_index(["method", "severity", "doubt"]).loc[("clip", 3, "entropy")]
    own = films[films["method"] == "clip"]
    before = -own.loc[own["severity"] == 0, "entropy"].to_numpy()
    at = own[own["severity"] == 3]
    changed = [-at.loc[at["corruption"] == fault, "entropy"].to_numpy() for fault in ("blur", "noise")]
    drawn = []
    for r in ROWS:
        pairs = [(now[r][:, None] > before[r]) + 0.5 * (now[r][:, None] == before[r]) for now in changed]
        drawn.append(np.mean(pairs))
    np.testing.assert_allclose((row["low"], row["high"]), np.percentile(drawn, [2.5, 97.5]))


def test_means_over_the_corruptions():
    rows = [("a", "none", 0, 80), ("a", "x", 1, 70), ("a", "x", 2, 60), ("a", "y", 1, 50), ("a", "y", 2, 20),
            ("b", "none", 0, 90), ("b", "x", 1, 10)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["method", "corruption", "severity", "recall"])
    table = table.assign(aurc=table["recall"] / 100, variance=1.0, recall_low=0.0)
    table = table.assign(**{name: table["recall"] / 200 for name in DETECTS})
    mean = mean_over_corruptions(table)
    assert list(mean[["method", "severity", "recall"]].itertuples(index=False, name=None)) == [
        ("a", 0, 80), ("a", 1, 60), ("a", 2, 40), ("b", 0, 90), ("b", 1, 10),
    ]  # fmt: skip
    np.testing.assert_allclose(mean["aurc"], mean["recall"] / 100)
    for name in DETECTS:
        np.testing.assert_allclose(mean[name], mean["recall"] / 200)
    assert "recall_low" not in mean


def test_tables_for_readers_hold_the_same_numbers_in_words(films, table):
    table = table.rename(index={"blur": "defocus"})
    shown = by_fault(table.reset_index(), "clip", 3)
    assert shown["R@10, %"].is_monotonic_increasing
    for name in {fault for method, fault, _ in table.index if method == "clip" and fault != "none"}:
        row = table.loc[("clip", name, 3)]
        values = row[["recall", "variance_detects", "strangeness_detects"]]
        assert shown.loc[CORRUPTIONS[name].label].tolist() == values.tolist()
    detection = detection_table(films)
    shown = detection_by_severity(detection, "clip")
    assert shown.index.tolist() == list(DOUBTS.values())
    own = detection[(detection["method"] == "clip") & (detection["doubt"] == "entropy")]
    assert shown.loc["softmax entropy"].to_dict() == own.set_index("severity")["auroc"].to_dict()


def test_the_example_is_one_film_under_every_fault(monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 255, (3, 16, 16), dtype=np.uint8)
    module = "medprobclip.paper.tables.robustness.reference_radiographs"
    monkeypatch.setattr(module, lambda studies, csv, size: pictures)
    studies = pd.DataFrame({"study_id": ["a", "b", "c"], "codes": [["x"], ["x", "y", "z"], ["x"] * 9]})
    shown, numbers = fault_examples(studies, "test.csv", 16)
    assert shown.shape == (len(CORRUPTIONS), 1 + len(SEVERITIES), 16, 16)
    assert (shown[:, 0] == pictures[1]).all()  # the first study with three codes
    uncoded, _ = fault_examples(studies.drop(columns="codes"), "test.csv", 16)
    assert (uncoded[:, 0] == pictures[0]).all()
    for row, name in zip(shown, CORRUPTIONS, strict=True):
        np.testing.assert_array_equal(row[4], corrupt(pictures[[1]], name, 4, ["b"])[0])
    assert numbers["corruption"].tolist() == [corruption.label for corruption in CORRUPTIONS.values()]
    assert numbers[5].tolist() == [corruption.values[-1] for corruption in CORRUPTIONS.values()]
