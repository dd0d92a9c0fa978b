"""Zero-shot classification by several methods as a table: the paper's Table 2 on our studies."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from medprobclip.data.chexpert import coded, judged_findings
from medprobclip.data.coding import codes_of
from medprobclip.data.reports import sentences
from medprobclip.evaluation.resampling import drawn_queries, over_drawn_runs, summaries
from medprobclip.evaluation.retrieval import BootstrapConfig
from medprobclip.evaluation.zeroshot import (
    PROMPTS,
    auroc_draws,
    encode_prompts,
    score_findings,
    zero_shot_table,
)
from medprobclip.paper.tables.reported import beside
from medprobclip.paper.tables.scored_runs import Result, Results, reference_of, stacked
from medprobclip.training.runs import load_run

# What `finding_table` cannot do without, as in "Table 2 steps aside: it needs ...".
CODED_FINDINGS = (
    "validation and test studies that are coded, some with and some without a finding, by codes of OpenI or "
    "by the 14 columns of CheXpert's or NegBio's labels"
)
_DENIAL = {"no", "not", "without"}
# Words that both kinds of sentences share, and that name no finding.
_PLAIN = _DENIAL | set(
    "a an and are both chest in is left normal of or present right seen the there with".split()
)


def finding_scores(run: Result) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and labels of the coded studies of a run, a column a finding: float and nullable `[N, 13]`.

    A label is missing where it is uncertain.
    """
    codes = codes_of(run.truth.studies)
    judged = coded(codes)
    model, tokenizer = load_run(run.folder)
    scores = score_findings(model, run.embeddings.image, encode_prompts(model, tokenizer))
    return scores[judged].reset_index(drop=True), judged_findings(codes)[judged].reset_index(drop=True)


def finding_table(validation: Results, test: Results) -> pd.DataFrame | None:
    """AUROC by finding and method, means over the runs, with the paper's numbers beside.

    Columns: `finding` (the thirteen, "Mean" over those that can be judged, "No Finding"), those of
    `evaluation.resampling.compare`, `positives` and `negatives` among the test studies,
    `balanced_accuracy` at the threshold that is best on validation studies, `findings` behind the mean, and
    `reported`. Positives and negatives are counted over the studies that are judged, not those whose label
    is uncertain. A finding that no test study has, or every, has no row; None where no finding has one, or no
    validation study is coded (`CODED_FINDINGS`).
    """
    if not all(coded(codes_of(of[reference_of(of)][0].truth.studies)).any() for of in (validation, test)):
        return None
    config = BootstrapConfig()
    every: dict[str, dict[str, np.ndarray]] = {}
    draws: dict[str, dict[str, np.ndarray]] = {}
    facts: dict[tuple[str, str], dict] = {}
    for salt, (method, runs) in enumerate(test.items()):
        tables, drawn = [], []
        for before, run in zip(validation[method], runs, strict=True):
            known, seen = finding_scores(before), finding_scores(run)
            tables.append(zero_shot_table(*known, *seen).set_index("finding"))
            rows = drawn_queries(len(seen[0]), config)
            times = np.stack([np.bincount(row, minlength=rows.shape[1]) for row in rows])
            drawn.append(auroc_draws(known[0], *seen, times))
        for finding in drawn[0]:
            every.setdefault(finding, {})[method] = np.array([t.loc[finding, "auroc"] for t in tables])
            by_run = np.stack([of[finding] for of in drawn])
            draws.setdefault(finding, {})[method] = over_drawn_runs(by_run, salt, config)
            row = tables[0].loc[finding, ["positives", "negatives", "findings"]].to_dict()
            accuracy = np.mean([t.loc[finding, "balanced_accuracy"] for t in tables])
            facts[finding, method] = {**row, "balanced_accuracy": accuracy}
    if not every:
        return None
    parts = {}
    for finding in every:
        table = summaries(every[finding], draws[finding], reference_of(test))
        more = pd.DataFrame([facts[finding, method] for method in table["method"]])
        parts[finding] = pd.concat([table, more], axis=1)
    table = stacked(parts, "finding")
    return table.assign(reported=beside("table2", table["method"], table["finding"]))


def lowest_findings(table: pd.DataFrame, reports: Iterable[str], count: int = 4) -> pd.DataFrame:
    """The findings with the lowest AUROC of the first method, and what training reports say of them.

    `table` is that of `finding_table`, `reports` are the texts. Columns: "AUROC", and percent of the reports
    that name the finding and that deny it, see `named_and_denied`.
    """
    rows = table[(table["method"] == table["method"].iloc[0]) & table["finding"].isin(PROMPTS)]
    rows = rows.nsmallest(count, "value").set_index("finding")
    texts = list(reports)
    said = {name: named_and_denied(texts, *PROMPTS[name]) for name in rows.index}
    columns = {
        "AUROC": rows["value"].map("{:.2f}".format),
        "named by training reports, %": [f"{said[name][0]:.1f}" for name in rows.index],
        "denied by training reports, %": [f"{said[name][1]:.1f}" for name in rows.index],
    }
    return pd.DataFrame(columns, index=rows.index)


def named_and_denied(
    reports: Iterable[str], present: Iterable[str], absent: Iterable[str]
) -> tuple[float, float]:
    """Percent of reports with a sentence that names a finding, and with one that denies it.

    Its words are those that the sentences for it share with those against it, plain ones apart; a sentence
    with one of them and "no", "not" or "without" is a denial.
    """
    of_finding = set.union(*map(_words, present)) & set.union(*map(_words, absent)) - _PLAIN
    told = [[words for s in sentences(text) if (words := _words(s)) & of_finding] for text in reports]
    named = np.mean([any(not words & _DENIAL for words in of) for of in told])
    denied = np.mean([any(words & _DENIAL for words in of) for of in told])
    return 100 * float(named), 100 * float(denied)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))
