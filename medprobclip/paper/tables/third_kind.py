"""Films and texts of a third kind: nothing is wrong with the picture or the print, but with what it is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from medprobclip.data.coding import codes_of
from medprobclip.data.odd_texts import ODD_TEXTS, odd_texts
from medprobclip.data.views import LATERAL, reference_view, view_kind
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
from medprobclip.training.errors import TrainingError
from medprobclip.training.runs import load_run, load_strangeness, open_table, run_threads
from medprobclip.workbench.corpus import Corpus

# Kinds of film that are made of a study's own films; what else there is, the simulator draws.
_TURNED = {"mirrored": lambda films: films[:, :, ::-1].copy(), "inverted": lambda films: 255 - films}


def third_kind_table(
    run: Result, fitted: Result, corpus: Corpus, split: str = "test"
) -> tuple[pd.DataFrame, np.ndarray]:
    """Does a run notice films and texts that no study has? The table, and a picture of each kind of film.

    Of a corpus's `split`, which `run` was scored on; `fitted` is the same on calibration studies. Without the
    simulator there are only the kinds of film that are made of stored ones: mirrored, inverted, lateral.
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
    images = open_table(corpus.part(split), size).images.rows
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
        films = reference_radiographs(studies, corpus.part(split), size)
        own_films = films
        before = doubts_of("image", *embed_images(model, torch.from_numpy(films), known))
        shown = _shown(studies)
        pictures = [films[shown]]
        for kind, of in UNUSUAL.items():
            if corpus.simulated:
                folder = corpus.simulated / "unusual"
                which, films = unusual_films(kind, studies, images, SimulationConfig(size), folder)
            else:
                which, films = _of_own_films(kind, studies, own_films, images)
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


def _of_own_films(
    kind: str, studies: pd.DataFrame, films: np.ndarray, images: Callable[[list[str]], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """As `unusual_films`, without a simulator: row numbers `[n]`, films uint8 `[n, S, S]`, often none.

    `films` are the studies' own, `[N, S, S]`; a lateral stands in the place of another view.
    """
    if kind in _TURNED:
        return np.arange(len(films)), _TURNED[kind](films)
    rows = np.flatnonzero([_has_lateral(views) for views in studies["view_names"]])
    if kind != "lateral" or not len(rows):
        return rows[:0], films[:0]
    taken = studies.iloc[rows]
    paths = [
        next(path for path, view in zip(paths, views, strict=True) if view_kind(view) == LATERAL)
        for paths, views in zip(taken["image_paths"], taken["view_names"], strict=True)
    ]
    return rows, images(paths)


def _has_lateral(views: Sequence[str]) -> bool:
    """Is there a lateral beside another view, which stands for the study?"""
    kinds = [view_kind(view) for view in views]
    return LATERAL in kinds and kinds[reference_view(views)] != LATERAL


def _shown(studies: pd.DataFrame) -> int:
    """A study that has every kind of film where there is one: both views, and as much drawn as in any.

    Of radiographs that nobody drew, as many codes as any.
    """
    if "appearance" not in studies:
        both = studies["view_names"].map(_has_lateral)
        return int(np.argmax(np.where(both, [len(codes) for codes in codes_of(studies)], -1)))
    both = studies["view_names"].map(lambda views: {"PA", "LATERAL"} <= set(views))
    return int(np.argmax(np.where(both, studies["appearance"].map(len), -1)))


def _measures(gaussian: Gaussian, strange: torch.Tensor, scores: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "variance": gaussian.total_variance().numpy(),
        "log_variance": gaussian.log_var.sum(1).numpy(),
        "entropy": -negative_entropy(scores),
        "strangeness": strange.numpy(),
    }
