"""Films and texts of a third kind: nothing is wrong with the picture or the print, but with what it is of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from medprobclip.data.odd_texts import ODD_TEXTS, odd_texts
from medprobclip.evaluation.confidence import negative_entropy
from medprobclip.evaluation.conformal import p_values
from medprobclip.evaluation.discrimination import paired_auroc
from medprobclip.evaluation.embedding import EVALUATION_SECTION, embed_images, embed_texts
from medprobclip.gaussian import Gaussian
from medprobclip.paper.tables.faulty_films import reference_radiographs
from medprobclip.paper.tables.names import DOUBTS, RATE
from medprobclip.paper.tables.scored_runs import Result
from medprobclip.simulator.simulate import SimulationConfig
from medprobclip.simulator.unusual import UNUSUAL, unusual_films
from medprobclip.support.threads import pinned_threads
from medprobclip.training.loop import TrainingError
from medprobclip.training.runs import load_run, load_strangeness, open_table, run_threads


def third_kind_table(
    run: Result, fitted: Result, corpus: Path, split: str = "test"
) -> tuple[pd.DataFrame, np.ndarray]:
    """Does a run notice films and texts that no study has? The table, and a picture of each kind of film.

    Of a simulated corpus's `split`, which `run` was scored on; `fitted` is the same on calibration studies.
    Columns: `side` (image or report), `kind`, `label`, `detectable` (could a look at it alone tell?), `why`,
    `n`, `doubt` (of `DOUBTS`), `auroc`, `low`, `high` for telling it from the study's own, over studies, and
    `flagged`, the share that is called strange at `mixed_quality.RATE`. Pictures: uint8 `[1 + kinds, S, S]`,
    the study's own first. Neither kind of film or text is used by any training or choice. Raises
    TrainingError for a run without strangeness.
    """
    known = load_strangeness(run.folder)
    if known is None:
        raise TrainingError(f"{run.folder} cannot tell strange films: train it once more (it is completed)")
    model, tokenizer = load_run(run.folder)
    studies, size = run.truth.studies, model.config.image_size
    own = run.embeddings
    images = open_table(corpus / f"{split}.csv", size).images.rows
    good = {"image": fitted.embeddings.image_strangeness, "report": fitted.embeddings.report_strangeness}
    rows = []

    def doubts_of(side: str, gaussian: Gaussian, strange: torch.Tensor) -> dict[str, np.ndarray]:
        with torch.no_grad():
            if side == "image":
                scores = model.similarity(gaussian, own.report).numpy()
            else:
                scores = model.similarity(own.image, gaussian).numpy().T
        return _measures(gaussian, strange, scores)

    def compare(side: str, kind: str, of, which: np.ndarray, now: dict, before: dict) -> None:
        flagged = float((p_values(now["strangeness"], good[side].numpy()) <= RATE).mean())
        for doubt in DOUBTS:
            value, low, high = paired_auroc([now[doubt]], before[doubt][which])
            rows.append({
                "side": side, "kind": kind, "label": of.label, "detectable": of.detectable, "why": of.why,
                "n": len(which), "doubt": doubt, "auroc": value, "low": low, "high": high, "flagged": flagged,
            })  # fmt: skip

    with pinned_threads(run_threads(run.folder)):
        films = reference_radiographs(studies, corpus / f"{split}.csv", size)
        before = doubts_of("image", *embed_images(model, torch.from_numpy(films), known))
        shown = _shown(studies)
        pictures = [films[shown]]
        for kind, of in UNUSUAL.items():
            which, films = unusual_films(kind, studies, images, SimulationConfig(size), corpus / "unusual")
            if len(which):
                now = doubts_of("image", *embed_images(model, torch.from_numpy(films), known))
                compare("image", kind, of, which, now, before)
                pictures.append(films[max(0, np.searchsorted(which, shown, side="right") - 1)])
        ids = tokenizer(studies[EVALUATION_SECTION].tolist(), truncation=True)["input_ids"]
        before = doubts_of("report", *embed_texts(model, ids, tokenizer.pad_token_id, known))
        for kind, of in ODD_TEXTS.items():
            if of.held_back:
                texts = odd_texts(kind, studies[EVALUATION_SECTION].tolist())
                ids = tokenizer(texts, truncation=True)["input_ids"]
                now = doubts_of("report", *embed_texts(model, ids, tokenizer.pad_token_id, known))
                compare("report", kind, of, np.arange(len(studies)), now, before)
    return pd.DataFrame(rows), np.stack(pictures)


def _shown(studies: pd.DataFrame) -> int:
    """A study that has every kind of film where there is one: both views, and as much drawn as in any."""
    both = studies["view_names"].map(lambda views: {"PA", "LATERAL"} <= set(views))
    return int(np.argmax(np.where(both, studies["appearance"].map(len), -1)))


def _measures(gaussian: Gaussian, strange: torch.Tensor, scores: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "variance": gaussian.total_variance().numpy(),
        "log_variance": gaussian.log_var.sum(1).numpy(),
        "entropy": -negative_entropy(scores),
        "strangeness": strange.numpy(),
    }
