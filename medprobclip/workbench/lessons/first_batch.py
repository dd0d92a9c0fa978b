"""One batch through an untrained model: its shapes, its spread, what it pays, who is right; eight studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medprobclip.data.coding import UNCODED, codes_of
from medprobclip.data.dataset import SECTIONS, Batch, StudyDataset, Texts
from medprobclip.data.labels import UNCERTAIN
from medprobclip.data.patients import short_id
from medprobclip.data.report_similarity import ReportSimilarity, report_similarity
from medprobclip.data.reports import same_text
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.objectives import batch_targets, term_weights
from medprobclip.settings import OBJECTIVES, ObjectiveConfig

TERMS = {  # what readers call the terms of the loss
    "image_text": "radiograph with report",
    "image_image": "radiograph with radiograph",
    "text_text": "findings with impression",
    "kl_image": "bottleneck, radiographs",
    "kl_text": "bottleneck, reports",
    "pseudo_positive": "pseudo-positives",
    "inclusion": "inclusion in the spoilt film",
}
CONTRASTS = tuple(TERMS)[:3]
SAME = 0.02  # nats that do not count as a difference
BY_CODES = "equal coding, too"
WAYS = {  # how to fill the targets, as changes of the published objective
    "own report only": {"duplicates": "negative"},
    "worded alike, too": {},
    BY_CODES: {"equal_coding": "positive"},
    "similar reports share": {"soft": "tfidf"},
}
OTHERS, OWN = "others' weight", "own share, %"
FEW = 5.0  # % of the own share, from either end, that count as almost all or almost nothing


PARTS = {  # of the model, as readers call them
    "vision_model": "image encoder",
    "text_model": "text encoder",
    "vision_norm": "scaling of image features",
    "text_norm": "scaling of text features",
    "vision_head": "Gaussian head, images",
    "text_head": "Gaussian head, reports",
    "similarity": "score",
}


def parameter_table(model: MedProbCLIPModel) -> pd.DataFrame:
    """How many parameters each part of the model has."""
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    rows = {PARTS.get(name, name): f"{count:,}" for name, count in counts.items() if count}
    return pd.DataFrame({"parameters": rows}).rename_axis("part")


def reports_alike(
    objective: ObjectiveConfig, dataset: StudyDataset, model: MedProbCLIPModel
) -> ReportSimilarity | None:
    """The similarity of reports that the objective's targets are made of; None where it needs none."""
    return report_similarity(objective.soft, dataset.reports, model.text_model, dataset.tokenizer)


def shape_table(batch: Batch, pixels: Tensor) -> pd.DataFrame:
    """What a batch holds: one row a tensor, column `shape`. `pixels` `[V, B, 1, S, S]`."""
    held = {"images, as stored": batch.images, "pixels, augmented": pixels}
    held |= {f"tokens of the {name}": t.input_ids for name, t in zip(SECTIONS, batch.sections, strict=True)}
    shapes = {name: " × ".join(map(str, tensor.shape)) for name, tensor in held.items()}
    return pd.DataFrame({"shape": shapes}).rename_axis("in the batch")


def pieces_told(tokenizer: PreTrainedTokenizerBase, texts: Texts, show_text: bool) -> str:
    """The word pieces of the first of some texts; how many they are where text is withheld."""
    ids = texts.input_ids[0][texts.attention_mask[0] == 1]
    return (
        " ".join(tokenizer.convert_ids_to_tokens(ids)) if show_text else f"{len(ids)} word pieces, withheld"
    )


def spread_table(sides: dict[str, Gaussian]) -> pd.DataFrame:
    """Total variance Σσ² over a batch: a row a side; mean, least, most, and the spread in percent."""
    rows = {}
    for name, side in sides.items():
        total = side.total_variance().double().numpy()
        rows[name] = (total.mean(), total.min(), total.max(), 100 * total.std() / total.mean())
    columns = ["mean Σσ²", "least", "most", "standard deviation, % of mean"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).round(2)


def said_of_spread(table: pd.DataFrame, dim: int) -> str:
    """Whether the total variances are near D and alike, from `spread_table`."""
    off = 100 * (table["mean Σσ²"] / dim - 1)
    near = "near" if off.abs().max() < 10 else "not near"
    spread = table["standard deviation, % of mean"]
    first, second = spread.index[:2]
    ratio = spread.max() / max(spread.min(), 0.01)
    told = f"The mean total variance is {near} D = {dim} ({', '.join(f'{x:+.0f} %' for x in off)})."
    if ratio < 1.5:
        return f"{told} Radiographs and reports differ among themselves about equally."
    more, less = (first, second) if spread[first] > spread[second] else (second, first)
    return f"{told} It differs {ratio:.0f} times as much from {more} to {more} as from {less} to {less}."


def term_table(terms: dict[str, Tensor], objective: ObjectiveConfig) -> pd.DataFrame:
    """The terms of the loss: columns `value, weight, contribution`, and the loss below; `objective_terms`."""
    weights = term_weights(objective)
    rows = [(TERMS[name], terms[name].item(), w, w * terms[name].item()) for name, w in weights.items()]
    rows.append(("loss", np.nan, np.nan, terms["loss"].item()))
    table = pd.DataFrame(rows, columns=["term", "value, nats", "weight", "contribution"])
    return table.set_index("term")


def said_of_terms(table: pd.DataFrame, objective: ObjectiveConfig, studies: int) -> str:
    """Which contrasts of `term_table` pay more, less or the same as log B; B = `studies` of the batch."""
    if objective.loss != "softmax":
        return f"With a {objective.loss} every pair is judged alone, and log B is no yardstick."
    level = np.log(studies)
    said = []
    for name in (TERMS[term] for term in CONTRASTS if TERMS[term] in table.index):
        extra = table.loc[name, "value, nats"] - level
        if abs(extra) < SAME:
            said.append(f"{name} pays about that")
        elif extra > 0:
            said.append(f"{name} pays {extra:.2f} more (its scores differ, but not where they should)")
        else:
            said.append(f"{name} pays {-extra:.2f} less (right pairs already score above the others)")
    return f"Equal scores pay log {studies} = {level:.2f}. Untrained, {'; '.join(said)}."


def target_table(batch: Batch, similarity: Tensor) -> pd.DataFrame:
    """Four ways to say who is right in a batch: what others weigh beside the own report's 1, and its share.

    Rows WAYS; columns for either section of the report, since wording is compared section by section.
    `similarity` `[B, B]` in [0, 1], of the reports. Where nobody coded the studies, a row is missing.
    """
    rows = {}
    for way, changes in WAYS.items():
        if way == BY_CODES and batch.coding is None:
            continue
        changed = replace(OBJECTIVES["medprobclip"], **changes)
        targets = batch_targets(changed, batch.text_ids, batch.coding, similarity).image_text
        sums = {section: t.weights.sum(1) for section, t in zip(SECTIONS, targets, strict=True)}
        rows[way] = {(section, OTHERS): (w - 1).mean().item() for section, w in sums.items()}
        rows[way] |= {(section, OWN): 100 * (1 / w).mean().item() for section, w in sums.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.columns = pd.MultiIndex.from_tuples(list(table.columns))
    return table[list(SECTIONS)].round(2).rename_axis("right answers")


def said_of_targets(table: pd.DataFrame) -> str:
    """What `target_table` shows: which section is worded alike more often, and what sharing leaves."""
    findings, impression = (table.loc["worded alike, too", (section, OTHERS)] for section in SECTIONS)
    more = "more" if impression > findings else "less" if impression < findings else "as much"
    than = "as" if more == "as much" else "than"
    share = table.loc["similar reports share", (SECTIONS[0], OWN)]
    if share > 100 - FEW:
        left = "almost all of its target, so that sharing changes little here"
    elif share < FEW:
        left = "almost nothing, so that training no longer knows which report belongs to which radiograph"
    else:
        left = f"{share:.0f} % of its target, {'more' if share > 50 else 'not more'} than all others together"
    return (
        f"Impressions worded alike weigh {more} ({impression:.2f} of an own report) {than} findings worded "
        f"alike ({findings:.2f}). Where similar reports share, the own report keeps {left}."
    )


def untrained_scores(scores: np.ndarray, study_ids: Sequence[str]) -> pd.DataFrame:
    """Scores `[n, n]` as the figure's CSV has them: a column a report, and the row's study as `image`."""
    ids = list(study_ids)
    return pd.DataFrame(scores, columns=ids).assign(image=ids)


def eight_studies(studies: pd.DataFrame, count: int = 8) -> tuple[np.ndarray, list[str]]:
    """Rows `[n]` of a study table with different headings, n up to `count`, and these headings.

    The first study of each heading, those with fewest codes before others; uncoded ones are left out, and so
    is what a label is uncertain of. Where there are not two headings, the first `count` studies whose
    findings are worded differently, and "study" with their ids.
    """
    codes = pd.Series(codes_of(studies)).reset_index(drop=True)
    few_first = codes.map(len).sort_values(kind="stable").index
    rows: dict[str, int] = {}
    for row in few_first:
        sure = [code for code in codes[row] if not code.endswith(f"/{UNCERTAIN}")]
        heading = sure[0].split("/")[0] if sure else UNCODED
        if heading != UNCODED:
            rows.setdefault(heading, row)
    if len(rows) < 2:
        first = np.unique(same_text(studies[SECTIONS[0]]), return_index=True)[1]
        rows = {f"study {short_id(str(studies['study_id'].iloc[row]))}": row for row in first}
    chosen = list(rows.items())[:count]
    return np.array([row for _, row in chosen], dtype=int), [heading for heading, _ in chosen]


def column_label(headings: Sequence[str]) -> str:
    """What the columns of a score matrix are whose names `eight_studies` gave."""
    return "report of" if headings and headings[0].startswith("study ") else "report of the study coded …"
