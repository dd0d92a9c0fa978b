"""Tables of runs on somebody's own studies: no ceiling, labels for codes, or no coding at all."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_scored_runs import made_results

import medprobclip.paper.tables.zeroshot
from medprobclip.data.chexpert import FINDINGS, judged_findings
from medprobclip.data.privacy import WITHHELD
from medprobclip.evaluation.ceiling import correspondence
from medprobclip.paper.findings.headlines import details
from medprobclip.paper.tables import hubs
from medprobclip.paper.tables.one_query import film_of, first_answers, name_of, telling_query
from medprobclip.paper.tables.retrieval import many_to_many_table, recall_by_fit, recall_table
from medprobclip.paper.tables.scored_runs import Truth
from medprobclip.paper.tables.zeroshot import finding_table

KEYS = ["direction", "metric", "score", "method"]


def known_by(results, studies: pd.DataFrame):
    """The same runs of which this is known."""
    truth = Truth(studies, next(iter(results.values()))[0].truth.matches)
    return {name: [replace(run, truth=truth) for run in runs] for name, runs in results.items()}


@pytest.fixture(scope="module")
def results():
    return made_results({"clip": 3.0, "medprobclip": 1.5}, n=30)


@pytest.fixture(scope="module")
def studies(results):
    return results["clip"][0].truth.studies


@pytest.mark.parametrize("table", [recall_table, many_to_many_table])
def test_without_the_simulator_nothing_but_the_ceiling_is_missing(results, studies, table):
    own = known_by(results, studies.drop(columns="appearance"))
    simulated, real = table(results, results), table(own, own)
    rest = simulated[simulated["method"] != "ceiling"].reset_index(drop=True)
    assert len(rest) < len(simulated)
    pd.testing.assert_frame_equal(real, rest)
    name = {recall_table: "table_1", many_to_many_table: "many_to_many"}[table]
    with_it, without = (details(name, numbers) for numbers in (simulated, real))
    assert without == [text for text in with_it if "ceiling" not in text]
    assert len(without) == len(with_it) - 1


def test_films_are_sorted_by_how_many_reports_fit(results):
    """30 films in five drawings, hence six reports that fit each: all are among the first ten."""
    run = results["medprobclip"][0]
    (row,) = recall_by_fit(run).to_dict("records")
    assert row == {
        "reports that fit": "2–10",
        "films": 30,
        "belief in the right one, %": pytest.approx(100 / 6),
        "R@10, %": pytest.approx(100 * np.mean(run.ranks["i2t"] <= 10)),
        "ceiling of R@10, %": pytest.approx(100),
    }


def test_what_nobody_coded_is_no_answer(studies):
    assert set(correspondence(studies)) == {"relevant", "reader"}
    plain = studies.drop(columns="appearance")
    assert set(correspondence(plain)) == {"relevant"}
    for codes in ((), ("No Indexing",)):
        assert correspondence(plain.assign(codes=[codes] * len(plain))) == {}
    assert correspondence(plain.drop(columns="codes")) == {}


def test_without_a_coding_the_strength_is_chosen_by_the_sum_of_recalls(results, studies, monkeypatch):
    """One report is 50 closer to every radiograph, and its term says so: the whole term is best."""
    hub = 50.0 * (np.arange(30) == 4)
    monkeypatch.setattr(hubs, "run_terms", lambda run, csv: (hub, np.zeros(30)))
    runs = {"clip": [replace(run, scores=run.scores + hub) for run in results["clip"]]}
    coded = hubs.strength_table(runs, "train.csv")
    table = hubs.strength_table(known_by(runs, studies.drop(columns="codes")), "train.csv")
    assert hubs.criterion(coded) == "mAP@R"
    assert hubs.criterion(table) == "RSUM"
    assert "mAP@R" not in table
    assert table["RSUM"].tolist() == coded["RSUM"].tolist()
    assert table.loc[table["chosen"], "RSUM"].tolist() == [table["RSUM"].max()]


# -- one query by eye


@pytest.fixture
def asked(results, studies):
    """A run whose queries have their own report third, but the first two."""
    run = results["clip"][0]
    scores = -np.abs(np.arange(30) - np.arange(30)[:, None] - 2.0)
    more = {
        "findings": [f"Shadow {i} is seen. The heart is fine." for i in range(30)],
        "image_paths": [(f"{i}-side.png", f"{i}-front.png") for i in range(30)],
        "view_names": [("LATERAL", "PA")] * 30,
    }
    scores[:2] = 1000 * np.eye(30)[:2]
    truth = Truth(studies.assign(**more), np.eye(30, dtype=bool))
    return replace(run, scores=scores, truth=truth)


def coded_so(run, codes):
    return replace(run, truth=Truth(run.truth.studies.assign(codes=codes), run.truth.matches))


def test_the_query_is_abnormal_and_nearly_found(asked):
    codes = [("normal",)] * 5 + [()] + [("Edema", "Pneumonia/uncertain")] * 24
    run = coded_so(asked, codes)
    assert telling_query(run) == 6  # neither the found, the normal nor the one that nobody coded
    assert name_of(run, 6) == "Edema\nPneumonia/uncertain"
    assert film_of(run, 6) == "6-front.png"
    assert telling_query(coded_so(asked, [("normal",)] * 30)) == 0
    plain = replace(asked, truth=Truth(asked.truth.studies.drop(columns="codes"), asked.truth.matches))
    assert telling_query(plain) == 2
    assert name_of(plain, 2) == "study s2"


def test_answers_show_what_was_coded(asked):
    codes = [("Edema",)] * 8 + [()] + [("Edema", "Fracture")] * 21
    table = first_answers(coded_so(asked, codes), 6, "labels", shows_text=True)
    assert table.index.tolist() == [1, 2, 3, 4, 5]
    assert table["labels"].tolist() == ["not coded", "Edema", "Edema; Fracture", "Edema", "Edema; Fracture"]
    assert table["coded alike"].tolist() == ["no", "yes", "no", "yes", "no"]
    assert table["own or worded alike"].tolist() == ["no", "no", "no", "yes", "no"]
    assert "expert codes" in first_answers(coded_so(asked, codes), 6, "experts", shows_text=True)


def test_without_a_coding_answers_show_text_only_where_asked(asked):
    table = first_answers(asked, 6, None, shows_text=False)
    assert table["study"].tolist() == ["s8", "s7", "s9", "s6", "s10"]
    assert table["words"].tolist() == [8] * 5
    assert set(table["findings"]) == {WITHHELD}
    assert "Shadow" not in table.to_string()
    assert first_answers(asked, 6, None, shows_text=True)["findings"].iloc[0] == "Shadow 8 is seen."


# -- zero-shot by labels


def test_findings_are_counted_over_the_studies_that_are_judged(results, monkeypatch):
    codes = [("Edema",), ("Edema/uncertain",), ("normal",), (), ("Edema/uncertain", "Fracture")] * 6
    scores = pd.DataFrame(np.random.default_rng(0).normal(size=(24, 13)), columns=list(FINDINGS))
    labels = judged_findings([study for study in codes if study])
    monkeypatch.setattr(medprobclip.paper.tables.zeroshot, "finding_scores", lambda run: (scores, labels))
    runs = {"clip": [coded_so(results["clip"][0], codes)]}
    table = finding_table(runs, runs).set_index("finding")
    assert list(table.index) == ["Edema", "Fracture", "Mean", "No Finding"]
    assert table.loc["Edema", ["positives", "negatives"]].tolist() == [6, 6]
    assert table.loc["Fracture", ["positives", "negatives"]].tolist() == [6, 18]
    assert table.loc["No Finding", ["positives", "negatives"]].tolist() == [6, 12]
    known = labels["Edema"].notna().to_numpy()
    positive = scores["Edema"].to_numpy()[known & labels["Edema"].fillna(False).to_numpy(dtype=bool)]
    negative = scores["Edema"].to_numpy()[known & ~labels["Edema"].fillna(True).to_numpy(dtype=bool)]
    assert table.loc["Edema", "value"] == pytest.approx(np.mean(positive[:, None] > negative))


@pytest.mark.parametrize("codes", [(), ("No Indexing",), ("normal",), ("Scoliosis",)])
def test_without_a_finding_to_judge_there_is_no_table(results, monkeypatch, codes):
    scores = pd.DataFrame(np.zeros((30, 13)), columns=list(FINDINGS))
    labels = judged_findings([codes] * 30)
    monkeypatch.setattr(medprobclip.paper.tables.zeroshot, "finding_scores", lambda run: (scores, labels))
    runs = {"clip": [coded_so(results["clip"][0], [codes] * 30)]}
    assert finding_table(runs, runs) is None
