"""Zero-shot classification: findings told by comparing a radiograph with sentences for and against each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from medprobclip.data.chexpert import FINDINGS, no_finding
from medprobclip.evaluation.discrimination import auroc
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.similarity import Score
from medprobclip.support.precision import autocast

MEAN, NONE = "Mean", "No Finding"
COLUMNS = ["finding", "auroc", "positives", "negatives", "balanced_accuracy", "threshold", "findings"]
Prompts = tuple[tuple[str, ...], tuple[str, ...]]  # the sentences for a finding and those against it


def _prompts(positive: str, negative: str) -> Prompts:
    split = [tuple(f"{part.strip()}." for part in text.split(".")[:-1]) for text in (positive, negative)]
    return split[0], split[1]


# General radiology language in the form of a findings section; several degrees and places, since a report
# names one. Not chosen by their scores.
# fmt: off
PROMPTS: dict[str, Prompts] = {
    "Enlarged Cardiomediastinum": _prompts(
        "The mediastinum is widened. The mediastinum is prominent. There is superior mediastinal widening. "
        "The cardiomediastinal silhouette is enlarged. There is mild right paratracheal prominence.",
        "The mediastinum is unremarkable. The cardiomediastinal silhouette is normal in size and contour. "
        "There is no mediastinal widening."),
    "Cardiomegaly": _prompts(
        "There is cardiomegaly. There is mild cardiomegaly. The heart is enlarged. "
        "The heart is mildly enlarged. The cardiac silhouette is enlarged. There is severe cardiomegaly.",
        "The heart is normal in size. Heart size is within normal limits. There is no cardiomegaly."),
    "Lung Lesion": _prompts(
        "There is a nodule in the right upper lobe. There is a small nodule in the left lower lobe. "
        "There is a lung mass. There are multiple bilateral pulmonary nodules. "
        "There is a nodular opacity in the right lung. There is a cavitary lesion in the left upper lobe.",
        "There are no nodules or masses. No suspicious pulmonary nodule is seen. There is no lung mass."),
    "Airspace Opacity": _prompts(
        "There is a patchy opacity in the left lung base. There is airspace disease in the right lower lobe. "
        "There are bilateral interstitial opacities. There is a right middle lobe infiltrate. "
        "There are streaky opacities in the lung bases. There is scarring in the left lung.",
        "The lungs are clear. There is no focal airspace opacity. No focal airspace disease. No infiltrate."),
    "Edema": _prompts(
        "There is pulmonary edema. There is mild interstitial edema. There is pulmonary vascular congestion. "
        "There is mild central vascular congestion. There is congestive heart failure.",
        "There is no pulmonary edema. No vascular congestion. The pulmonary vascularity is normal."),
    "Consolidation": _prompts(
        "There is consolidation in the left lower lobe. There is consolidation in the right lower lobe. "
        "There is a dense right upper lobe consolidation. There are bilateral basilar consolidations.",
        "There is no focal consolidation. No focal airspace consolidation. No areas of consolidation."),
    "Pneumonia": _prompts(
        "There is a right lower lobe pneumonia. There is a left lower lobe pneumonia. "
        "There is airspace disease consistent with pneumonia. There is a right upper lobe pneumonia.",
        "There is no evidence of pneumonia. No pneumonia. No airspace opacity to suggest pneumonia."),
    "Atelectasis": _prompts(
        "There is bibasilar atelectasis. There is mild left basilar atelectasis. There is right basilar "
        "subsegmental atelectasis. There is right middle lobe atelectasis. There is lobar collapse.",
        "There is no atelectasis. The lungs are well expanded and clear. No evidence of atelectasis."),
    "Pneumothorax": _prompts(
        "There is a right pneumothorax. There is a left pneumothorax. There is a small apical pneumothorax. "
        "There is a moderate right pneumothorax. There is a large pneumothorax.",
        "There is no pneumothorax. No pneumothorax is seen. No evidence of pneumothorax."),
    "Pleural Effusion": _prompts(
        "There is a small left pleural effusion. There is a small right pleural effusion. There are "
        "bilateral pleural effusions. There is a moderate right effusion. There is a large pleural effusion.",
        "There is no pleural effusion. No pleural effusions. No pleural effusion is seen."),
    "Pleural Other": _prompts(
        "There is pleural thickening. There is biapical pleural thickening. There is mild right pleural "
        "thickening. There is left pleural scarring. There are calcified pleural plaques.",
        "There is no pleural thickening. The pleural spaces are clear. The pleura is normal."),
    "Fracture": _prompts(
        "There is a rib fracture. There are healed left rib fractures. There are old right rib fractures. "
        "There is a clavicle fracture. There is a compression fracture of the thoracic spine.",
        "There is no fracture. No displaced rib fractures. No acute fracture is seen. The bones are intact."),
    "Support Devices": _prompts(
        "There is a right central venous catheter. A left chest pacemaker is present. There is an "
        "endotracheal tube. Surgical clips are present. Sternotomy sutures are noted. There is a chest port.",
        "There are no lines or tubes. No catheter or pacemaker is present. No surgical clips are seen."),
}
# fmt: on


@torch.no_grad()
def encode_prompts(
    model: MedProbCLIPModel, tokenizer: PreTrainedTokenizerBase, prompts: Mapping[str, Prompts] = PROMPTS
) -> dict[str, tuple[Gaussian, Gaussian]]:
    """Each finding's sentences for and against it as Gaussians `[P, D]`, `[Q, D]` on the CPU in float32.

    The model is left in the mode it had. Sentences longer than the tokenizer's `model_max_length` are cut.
    """
    parts = [sentences for pair in prompts.values() for sentences in pair]
    sentences = [sentence for part in parts for sentence in part]
    tokens = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt").to(model.device)
    training = model.training
    model.eval()
    with autocast(model.device):
        encoded = model.encode_text(tokens["input_ids"], tokens["attention_mask"])
    model.train(training)
    encoded, sizes = encoded.float().to("cpu"), [len(part) for part in parts]
    split = zip(encoded.mean.split(sizes), encoded.log_var.split(sizes), strict=True)
    sides = [Gaussian(mean, log_var) for mean, log_var in split]
    return dict(zip(prompts, zip(sides[::2], sides[1::2], strict=True), strict=True))


@torch.no_grad()
def zero_shot_scores(
    similarity: Score, image: Gaussian, positive: Gaussian, negative: Gaussian
) -> np.ndarray:
    """How much better radiographs fit the sentences for a finding than those against it: float64 `[N]`.

    The mean logit of the P positive sentences less that of the Q negative ones: images `[N, D]`, sentences
    `[P, D]`, `[Q, D]`, all on the device of `similarity`. Its sigmoid is the softmax over the pair of means,
    the probability of CheXzero (Tiu et al. 2022, which averages embeddings, not logits); AUROC is the same.
    """
    means = [similarity(image, sentences).double().mean(1) for sentences in (positive, negative)]
    return (means[0] - means[1]).cpu().numpy()


def score_findings(
    model: MedProbCLIPModel, image: Gaussian, encoded: Mapping[str, tuple[Gaussian, Gaussian]]
) -> pd.DataFrame:
    """`zero_shot_scores` of radiographs `[N, D]` on any device, one column a finding of `encoded`."""
    image = image.to(model.device)
    return pd.DataFrame({
        finding: zero_shot_scores(model.similarity, image, *(side.to(model.device) for side in sides))
        for finding, sides in encoded.items()
    })  # fmt: skip


def no_finding_score(scores: pd.DataFrame, reference: pd.DataFrame) -> np.ndarray:
    """How surely all findings are absent: minus the largest standardised score, `[N, F]` -> float64 `[N]`.

    One finding is enough to end it, hence the largest. Logits of different sentences differ in offset and
    spread, hence each finding is centred and scaled by its mean and standard deviation in `reference`
    `[M, F]`, the scores of the validation studies. One that does not vary there is only centred.
    """
    values, known = scores[reference.columns].to_numpy(dtype=float), reference.to_numpy(dtype=float)
    spread = np.where(np.ptp(known, axis=0) > 0, known.std(0), 1)
    return -((values - known.mean(0)) / spread).max(1)


def balanced_accuracy(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """Mean of sensitivity and specificity when scores `[N]` ≥ threshold are called positive.

    Raises ValueError without a positive or without a negative among the bool labels `[N]`.
    """
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        raise ValueError(f"{labels.sum()} of {len(labels)} labels are positive: balanced accuracy needs both")
    called = scores >= threshold
    return float((called[labels].mean() + (~called[~labels]).mean()) / 2)


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The threshold of the largest `balanced_accuracy`, the middle of two neighbouring scores `[N]`.

    Of equally good ones the lowest, which misses the fewest positives; the lowest score itself where nothing
    beats calling all positive. Raises ValueError as `auroc` on unequal lengths, NaN, or a single kind.
    """
    auroc(scores, labels)
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    order = np.argsort(scores)
    scores, labels = scores[order], labels[order]
    below = np.append(0, 1 + np.flatnonzero(scores[1:] > scores[:-1]))  # scores below each possible cut
    missed, rejected = (np.append(0, np.cumsum(kind))[below] for kind in (labels, ~labels))
    # Youden's J times positives and negatives: in whole numbers, so that ties are exact.
    best = below[np.argmax(rejected * labels.sum() - missed * (~labels).sum())]
    low, high = scores[max(best - 1, 0)], scores[best]
    middle = low / 2 + high / 2
    return float(middle if low < middle else high)  # neighbouring floats have no middle


def resampled_aurocs(scores: np.ndarray, labels: np.ndarray, times: np.ndarray) -> np.ndarray:
    """AUROC of each of R resamples in which study n stands `times[r, n]` times: float64 `[R]`.

    scores, bool labels `[N]`, times `[R, N]`; NaN for a resample that holds only one kind. As
    `discrimination.auroc`, by one pass over the sorted scores: positives times negatives below, ties half.
    """
    order = np.argsort(scores)
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) > 0))  # of each block of ties
    times, labels = times[:, order], labels[order]
    positives = np.add.reduceat(times * labels, starts, axis=1)
    negatives = np.add.reduceat(times * ~labels, starts, axis=1)
    won = (positives * (negatives.cumsum(1) - negatives / 2)).sum(1)
    pairs = positives.sum(1) * negatives.sum(1)
    return np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)


def auroc_draws(
    validation_scores: pd.DataFrame, test_scores: pd.DataFrame, test_labels: pd.DataFrame, times: np.ndarray
) -> dict[str, np.ndarray]:
    """`resampled_aurocs` `[R]` of each finding, of their mean ("Mean"), and of "No Finding".

    Scores and labels as for `zero_shot_table`, `times [R, N]` as for `resampled_aurocs`. A finding that all
    or none of the N test studies have is left out; the mean of a draw is over the findings of which it holds
    both kinds. What a study is not judged in does not count, however often it is drawn.
    """
    draws = {}
    for finding in FINDINGS:
        scores, truth, known = _judged(test_scores[finding], test_labels[finding])
        if truth.any() and not truth.all():
            draws[finding] = resampled_aurocs(scores, truth, times[:, known])
    if draws:
        areas = np.stack(list(draws.values()))
        count = (~np.isnan(areas)).sum(0)  # 0 where a draw holds one kind only of every finding
        draws[MEAN] = np.divide(
            np.nansum(areas, axis=0), count, out=np.full(len(count), np.nan), where=count > 0
        )
    none = no_finding_score(test_scores, validation_scores)
    scores, truth, known = _judged(none, no_finding(test_labels))
    if truth.any() and not truth.all():
        draws[NONE] = resampled_aurocs(scores, truth, times[:, known])
    return draws


def _judged(scores: np.ndarray, labels: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores and bool labels `[n]` of the studies whose label is not missing, and which these are `[N]`."""
    known = labels.notna().to_numpy()
    return np.asarray(scores, dtype=float)[known], labels[known].to_numpy(dtype=bool), known


def zero_shot_table(
    validation_scores: pd.DataFrame,
    validation_labels: pd.DataFrame,
    test_scores: pd.DataFrame,
    test_labels: pd.DataFrame,
) -> pd.DataFrame:
    """Zero-shot classification of N test studies, one row each for 13 findings, their mean, and No Finding.

    Scores and labels, bool or nullable, `[M, 13]`, `[N, 13]` of studies that can be judged
    (`chexpert.coded`), columns `FINDINGS`. A missing label (`chexpert.judged_findings`) leaves a study out of
    this finding, and out of No Finding where no other is present. Validation gives the thresholds
    and standardises the scores of No Finding; nothing is learned from test.

    Columns: `finding`; `auroc` (its draws: `auroc_draws`); `positives`, `negatives` in test;
    `balanced_accuracy` in test at the `threshold` that is best in validation; `findings`, how many the mean
    is taken over. What cannot be judged is NaN, not an error: the AUROC of a finding that all or none of the
    test studies have, and the accuracy of one that all or none of the validation studies have. The mean
    leaves such findings out.
    """
    names = list(FINDINGS)
    known = validation_scores[names].assign(**{NONE: no_finding_score(validation_scores, validation_scores)})
    scores = test_scores[names].assign(**{NONE: no_finding_score(test_scores, validation_scores)})
    known_labels = validation_labels[names].assign(**{NONE: no_finding(validation_labels)})
    labels = test_labels[names].assign(**{NONE: no_finding(test_labels)})
    rows = {}
    for finding in [*names, NONE]:
        s, truth, _ = _judged(scores[finding], labels[finding])
        row = rows[finding] = {"finding": finding, "positives": truth.sum(), "negatives": (~truth).sum()}
        if truth.all() or not truth.any():
            continue
        row["auroc"] = auroc(s, truth)
        before = _judged(known[finding], known_labels[finding])[:2]
        if before[1].any() and not before[1].all():
            row["threshold"] = best_threshold(*before)
            row["balanced_accuracy"] = balanced_accuracy(s, truth, row["threshold"])
    judged = [rows[finding]["auroc"] for finding in names if "auroc" in rows[finding]]
    mean = {"finding": MEAN, "findings": len(judged)}
    if judged:
        mean["auroc"] = np.mean(judged)
    table = pd.DataFrame([*(rows[finding] for finding in names), mean, rows[NONE]]).reindex(columns=COLUMNS)
    return table.astype({"positives": "Int64", "negatives": "Int64", "findings": "Int64"})
