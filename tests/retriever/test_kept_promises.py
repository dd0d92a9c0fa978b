"""The promises hold on data drawn alike: counted over many queries, through the retriever's own path."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from medprobclip.evaluation.conformal import best_right_scores
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.gaussian import Gaussian
from medprobclip.retriever.gallery import Gallery, Studies
from medprobclip.retriever.promises import FILM, PHRASE, REPORT, Kind, Promises
from medprobclip.retriever.queries import Asked
from medprobclip.retriever.retriever import Retriever
from medprobclip.retriever.settings import AnswerConfig
from medprobclip.retriever.usual import UsualHere
from medprobclip.similarity import expected_likelihood

CALIBRATION, STUDIES, DIM, DRAWS = 199, 80, 6, 3
# In steps of 1/8: many scores equal a threshold.
MODEL = SimpleNamespace(
    similarity=lambda x, y: (32 * expected_likelihood(x, y)).round() / 8, device=torch.device("cpu")
)


def drawn(count: int, seed: int) -> Embeddings:
    """A film and a report of the same patient lie near each other, some nearer than others."""
    generator = torch.Generator().manual_seed(seed)
    patient, film, report, log_var, other = torch.randn(5, count, DIM, generator=generator)
    blur = torch.rand(count, 1, generator=generator)
    told = torch.rand(count, generator=generator)
    return Embeddings(
        [f"{seed}-{i}" for i in range(count)],
        Gaussian(patient + blur * film, 0.3 * log_var),
        Gaussian(patient + blur * report, 0.3 * other),
        torch.arange(count),
        told,
        told,
    )


def retriever_of(calibration: Embeddings, studies: Embeddings) -> Retriever:
    """Without a run: the calibration record of `calibrating.calibrate_run`, and a model that adds nothing."""
    scores = MODEL.similarity(calibration.image, calibration.report).numpy()
    right = calibration.matches()
    told = sorted(calibration.image_strangeness.tolist())
    record = {
        "platt": {"slope": 1.0, "intercept": 0.0}, "gallery": len(calibration), "fitted_on": {},
        "strangeness": {"image": told, "report": told},
        "best_right": {
            "image": sorted(best_right_scores(scores, right)),
            "report": sorted(best_right_scores(scores.T, right.T)),
        },
        "phrases": {"1": {"best_right": sorted(best_right_scores(scores.T, right.T))}},
        "shortest": 5, "wording": (10**6 + torch.arange(len(calibration))).tolist(),
    }  # fmt: skip
    found = Retriever.__new__(Retriever)
    found.model, found.config, found.promises = MODEL, AnswerConfig(), Promises(record, calibration)
    found.gallery = Gallery(DIM, "model")
    found.gallery.append(Studies(studies.study_ids, studies.image, studies.report, studies.text_ids))
    found.usual = UsualHere(found.promises, MODEL, found.gallery)
    return found


@pytest.fixture(scope="module")
def draws():
    """Calibration studies and gallery drawn anew each time; the gallery's studies are asked for."""
    return [
        (retriever_of(drawn(CALIBRATION, 2 * seed), studies), studies)
        for seed, studies in ((seed, drawn(STUDIES, 2 * seed + 1)) for seed in range(DRAWS))
    ]


def answers_of(draws, kind: Kind, alpha: float = 0.1, **settings):
    """(study that is the right answer, answers) of all."""
    for retriever, studies in draws:
        retriever.config = replace(AnswerConfig(k=STUDIES, alpha=alpha), **settings)
        side = studies.image if kind.name == FILM else studies.report
        asked = Asked([kind] * STUDIES, side, studies.image_strangeness.tolist())
        yield from zip(studies.study_ids, retriever.search_embedded(asked), strict=True)


def bounds(rate: float) -> tuple[float, float]:
    """Of a rate among all queries: what chance does to these and to the calibration studies, added up."""
    low, high = binom.ppf([0.001, 0.999], DRAWS * STUDIES, rate) / (DRAWS * STUDIES)
    drift = 3.1 * np.sqrt(rate * (1 - rate) / (DRAWS * CALIBRATION))
    return low - drift, high + drift


@pytest.mark.parametrize("alpha", [0.1, 0.3])
@pytest.mark.parametrize("kind", [Kind(FILM), Kind(REPORT), Kind(PHRASE, 1)])
def test_the_set_holds_the_right_answer_as_often_as_promised(draws, kind, alpha):
    """Neither less nor much more often."""
    held = []
    for right, answers in answers_of(draws, kind, alpha):
        table = answers.table
        assert answers.set_size == table["in_set"].sum()
        assert table["in_set"].is_monotonic_decreasing
        held.append(table.loc[table["study_id"] == right, "in_set"].item())
    low, high = bounds(1 - alpha)
    assert 0.75 * (1 - alpha) < low <= np.mean(held) <= high < 1


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_good_inputs_are_called_strange_as_rarely_as_promised(draws, rate):
    found = [answers for _, answers in answers_of(draws, Kind(FILM), strange_rate=rate, k=1)]
    strange = [answers.reason.startswith("unlike any film") for answers in found]
    assert strange == [answers.p_strange <= rate for answers in found]
    low, high = bounds(rate)
    assert low <= np.mean(strange) <= high


@pytest.mark.parametrize("kind", [Kind(FILM), Kind(REPORT)])
def test_answered_ones_are_as_rarely_wrong_as_promised(draws, kind):
    found = [*answers_of(draws, kind, k=3, risk=0.3, strange_rate=0)]
    wrong = np.array([right not in set(answers.table["study_id"]) for right, answers in found])
    answered = np.array([not answers.abstain for _, answers in found])
    assert 0.1 < answered.mean() < 0.9  # some are not, and for cause:
    assert wrong[answered].mean() <= 0.3 < wrong[~answered].mean()
    for _, answers in found:
        assert bool(answers.reason) == answers.abstain
        promised = "at most 30% have no right answer among the first 3" in answers.promise
        assert promised != ("cannot be promised" in answers.reason)
