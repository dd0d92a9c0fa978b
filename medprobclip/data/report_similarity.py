"""How much two training reports say the same, without labels: by their words, or by a text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medprobclip.support.precision import autocast
from medprobclip.support.progress import with_progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class ReportSimilarity:
    """Features of N reports, one row each of length 1 (or 0): `[N, F]`, sparse or dense, on the CPU."""

    features: csr_matrix | Tensor

    def between(self, rows: Tensor) -> Tensor:
        """Cosines of the given reports, those below 0 as 0: int64 `[B]` -> float `[B, B]` in [0, 1]."""
        some = self.features[rows.cpu().numpy()]
        cosines = some @ some.T
        dense = cosines if isinstance(cosines, Tensor) else torch.from_numpy(cosines.toarray())
        return dense.clamp(0, 1)


def report_similarity(
    kind: str, reports: Sequence[str], text_model: nn.Module, tokenizer: PreTrainedTokenizerBase
) -> ReportSimilarity | None:
    """The similarity that `ObjectiveConfig.soft` names; None for "none"."""
    if kind == "none":
        return None
    return tfidf(reports) if kind == "tfidf" else encoded(reports, text_model, tokenizer)


def tfidf(reports: Sequence[str]) -> ReportSimilarity:
    """TF-IDF of the words, (1 + log tf)(1 + log((1 + N) / (1 + df))), rows scaled to length 1.

    Counted on these reports alone, so give the training reports. Words only: "no effusion" is close to
    "effusion". Raises ValueError when no report has a word of two letters.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # loaded where targets are soft

    return ReportSimilarity(TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(reports))


@torch.no_grad()
def encoded(
    reports: Sequence[str],
    text_model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int = 256,
) -> ReportSimilarity:
    """The text encoder's last hidden states, averaged over the tokens of each report.

    Less the mean over all reports: raw features of language models all point the same way (Ethayarajh
    2019). Reports are cut at the tokenizer's `model_max_length`; those of similar length share a batch.
    """
    training, device = text_model.training, next(text_model.parameters()).device
    text_model.eval()
    order = np.argsort([len(report) for report in reports], kind="stable")
    parts = []
    for start in with_progress(range(0, len(order), batch_size), "report features", "batch"):
        texts = [reports[row] for row in order[start : start + batch_size]]
        tokens = tokenizer(
            texts, padding=True, truncation=True, return_attention_mask=True, return_tensors="pt"
        ).to(device)
        ids, mask = tokens["input_ids"], tokens["attention_mask"]
        with autocast(device):
            hidden = text_model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        parts.append(((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).cpu())
    text_model.train(training)
    features = torch.cat(parts)[torch.from_numpy(np.argsort(order, kind="stable"))]
    return ReportSimilarity(F.normalize(features - features.mean(0), dim=1))
