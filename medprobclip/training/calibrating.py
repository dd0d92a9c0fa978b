"""What calibration studies give a run: match probabilities, and what its promises are made of."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from medprobclip.data.dataset import StudyDataset
from medprobclip.data.reports import normalise, piece_of, wording_keys
from medprobclip.evaluation.conformal import best_right_scores
from medprobclip.evaluation.embedding import EVALUATION_SECTION, Embeddings, embed_texts
from medprobclip.model import MedProbCLIPModel
from medprobclip.strangeness import Strangeness
from medprobclip.support.files import write_json
from medprobclip.training.errors import TrainingError
from medprobclip.training.processes import Team
from medprobclip.training.runs import embed_run, load_run, load_strangeness, run_source

FILE, EMBEDDINGS = "calibration.json", "embeddings-calibrate"
PHRASES = (1, 2, 3, 4, 6, 8, 12)  # words of the pieces of reports that stand for search phrases
SHORT = 0.05  # share of the shortest sections that are too short to tell a report from a phrase by
FEW = 100  # studies: an alpha of 0.01 needs 99, and what is fitted on fewer varies much


def smallest_alpha(studies: int) -> float:
    """The smallest rate of error that conformal sets from so many calibration studies can promise.

    A p-value from n of them is at least 1/(n + 1) (Vovk, Gammerman & Shafer 2005).
    """
    return 1 / (studies + 1)


def few_studies(studies: int) -> list[str]:
    """What to know of so few calibration studies, in one line; nothing from `FEW` on."""
    if studies >= FEW:
        return []
    return [
        f"only {studies} studies to calibrate on: the smallest alpha that they can promise is "
        f"1/{studies + 1} = {smallest_alpha(studies):.3g}, and what is fitted on so few varies much"
    ]


def calibration_summary(record: dict) -> str:
    """What `calibrate_run` found, in one line."""
    studies, platt = record["gallery"], record["platt"]
    return (
        f"{studies} calibration studies: the smallest alpha that they can promise is 1/{studies + 1} = "
        f"{smallest_alpha(studies):.3g}; P(match) by Platt with slope {platt['slope']:.3g}, intercept "
        f"{platt['intercept']:.3g} in a gallery of {studies}"
    )


def load_calibration(out: Path) -> dict:
    """`out/calibration.json`, as long as it is of the checkpoint that lies beside it.

    Raises TrainingError where there is none, or when the run was trained anew since.
    """
    path = Path(out) / FILE
    remedy = f"`medprobclip calibrate --run {out} --csv TABLE` makes it"
    if not path.exists():
        raise TrainingError(f"{out} is not calibrated: {remedy}")
    record = json.loads(path.read_text())
    if {part: of for part, of in record["fitted_on"].items() if part != "test_data"} != run_source(out):
        raise TrainingError(f"{path} is of another checkpoint than {out} holds now: {remedy} anew")
    return record


def calibrate_run(out: Path, csv: Path, show_text: bool | None = None) -> dict:
    """Fit what a run promises on held-out studies that chose nothing; returns `out/calibration.json`.

    Platt's `slope` and `intercept` of the model's logits over all pairs, and the size of the `gallery` in
    which they hold (`evaluation.calibration.ForGallery` moves them to another). For each kind of query, the
    radiographs (`image`), the sections (`report`) and the `phrases` of each length, pieces of the sections:
    their `strangeness`, least first (`evaluation.conformal.p_values` says by them how rarely a good one is
    stranger), and `best_right`, the logit of the best right answer, least first
    (`evaluation.conformal.set_threshold`). A section answers a radiograph rightly that is its own or worded
    as its own; a radiograph a phrase whose section contains it, so that phrases have a `platt` of their own.
    A text is a phrase with fewer than `shortest` words, as the shortest 5 % of the sections, which do not
    count among the reports. `wording` of every study in the order of the embeddings. Raises what `embed_run`
    raises, and TrainingError when studies trained the run or chose its epoch, when there are fewer than two,
    or nothing to fit.
    """
    from medprobclip.evaluation.calibration import Platt  # scikit-learn takes its time

    out = Path(out)
    embeddings, dataset, source = embed_run(out, csv, EMBEDDINGS, "calibration", show_text)
    model, known = load_run(out)[0], load_strangeness(out)
    scores, matches = embeddings.scores(model), embeddings.matches()
    try:
        fitted = Platt.fit(scores, matches)
    except ValueError as error:
        raise TrainingError(f"{csv}: no match probability can be fitted ({error})") from error
    words = [normalise(text).split() for text in dataset.studies[EVALUATION_SECTION]]
    lengths = np.array([len(section) for section in words])
    shortest = int(np.quantile(lengths, SHORT, method="lower"))
    whole = lengths >= shortest
    told = {"image": embeddings.image_strangeness, "report": embeddings.report_strangeness}
    told["report"] = None if told["report"] is None else told["report"][whole]
    record = {"platt": asdict(fitted), "gallery": len(embeddings), "fitted_on": source}
    record["strangeness"] = {side: sorted(t.tolist()) for side, t in told.items() if t is not None}
    record["best_right"] = {
        "image": sorted(best_right_scores(scores, matches).tolist()),
        "report": sorted(best_right_scores(scores.T, matches.T)[whole].tolist()),
    }
    record["phrases"] = {
        str(length): phrases(model, dataset, embeddings, words, length, known)
        for length in PHRASES
        if any(len(section) >= length for section in words)
    }
    record["shortest"] = shortest
    record["wording"] = wording_keys(dataset.tokens[EVALUATION_SECTION])
    if Team.here().leads:
        write_json(out / FILE, record)
    return record


def phrases(
    model: MedProbCLIPModel,
    dataset: StudyDataset,
    embeddings: Embeddings,
    words: list[list[str]],
    length: int,
    known: Strangeness | None,
) -> dict:
    """`best_right`, `platt` and `strangeness` of so many words: a piece of every section that long."""
    from medprobclip.evaluation.calibration import Platt

    drawn = [piece_of(section, length, (length, row)) for row, section in enumerate(words)]
    pieces = [piece for piece in drawn if piece]
    tokens = dataset.tokenizer([" ".join(piece) for piece in pieces], truncation=True)["input_ids"]
    gaussian, strange = embed_texts(model, tokens, dataset.tokenizer.pad_token_id, known)
    with torch.no_grad():
        device = model.device
        scores = model.similarity(gaussian.to(device), embeddings.image.to(device)).cpu().numpy()
    sections = [" ".join(["", *section, ""]) for section in words]
    right = np.array([[" ".join(["", *piece, ""]) in section for section in sections] for piece in pieces])
    found = {"best_right": sorted(best_right_scores(scores, right).tolist())}
    if not right.all():  # each has its own film, so the other kind is there
        found["platt"] = asdict(Platt.fit(scores, right))
    return found if strange is None else found | {"strangeness": sorted(strange.tolist())}
