"""Films and texts that no study has: every doubt of them by hand, films as the simulator would give them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from medprobclip.data.odd_texts import ODD_TEXTS, odd_texts
from medprobclip.data.studies import SPLITS
from medprobclip.evaluation.embedding import embed_images, embed_texts
from medprobclip.paper.tables.experiments import comparison
from medprobclip.paper.tables.faulty_films import reference_radiographs
from medprobclip.paper.tables.scored_runs import Truth, load_methods
from medprobclip.paper.tables.third_kind import third_kind_table
from medprobclip.simulator.unusual import UNUSUAL
from medprobclip.support import precision
from medprobclip.training.runs import load_run, load_strangeness, open_table, train_run
from medprobclip.workbench.corpus import Corpus

N, SHOWN = 12, 7
DOUBTS = ("variance", "log_variance", "entropy", "strangeness")


@pytest.fixture(scope="module", autouse=True)
def _float32():
    """No half precision, also where the processor has it, so that a film has one embedding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "has_bfloat16", lambda device: False)
        yield


@pytest.fixture(scope="module")
def run(study_tables, tiny_profile, tmp_path_factory):
    """MedProbCLIP after an epoch; of the first study, which has most drawn, there is no lateral."""
    folder = tmp_path_factory.mktemp("runs")
    profile = replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))
    first = comparison(profile)[0]
    train_run(study_tables["train"], study_tables["validate"], folder / first.folder, first.profile)
    result = load_methods(folder, profile, study_tables["test"])["medprobclip"][0]
    drawn = [("a", "b", "c"), *((),) * 6, ("a", "b"), ("a", "b"), ("a",), (), ()]
    studies = result.truth.studies.assign(appearance=drawn)
    return replace(result, truth=Truth(studies, result.truth.matches))


def corpus_of(study_tables: dict, simulated: bool) -> Corpus:
    parts = {split: study_tables.get(split, study_tables["test"]) for split in SPLITS}
    return Corpus(**parts, coding=None, simulated=study_tables["test"].parent if simulated else None)


def films_of(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Which studies have this kind, and films: noise, darker from kind to kind."""
    which = np.arange(1 if kind == "lateral" else 0, N)
    if kind == "without":
        which = np.array([0, SHOWN, 8, 9])
    number = list(UNUSUAL).index(kind)
    pixels = np.random.default_rng(number).integers(0, 255 - 30 * number, (len(which), 32, 32))
    return which, pixels.astype(np.uint8)


@pytest.fixture(scope="module")
def fitted():
    """Of 39 good films and sections, the strangeness."""
    values = torch.linspace(0.5, 1.5, 39)
    return SimpleNamespace(embeddings=SimpleNamespace(image_strangeness=values, report_strangeness=values))


@pytest.fixture(scope="module")
def measured(run, fitted, study_tables):
    """The table and the pictures, and with what films were asked for."""
    asked = []

    def unusual_films(kind, studies, images, config, folder):
        asked.append((kind, config.size_px, folder.name, len(studies)))
        assert images([studies["image_paths"].iloc[0][0]]).shape == (1, 32, 32)
        return films_of(kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medprobclip.paper.tables.third_kind.unusual_films", unusual_films)
        table, pictures = third_kind_table(run, fitted, corpus_of(study_tables, simulated=True))
    assert asked == [(kind, 32, "unusual", N) for kind in UNUSUAL]
    return table, pictures


def test_every_kind_and_doubt_once(measured):
    table, _ = measured
    texts = [kind for kind, of in ODD_TEXTS.items() if of.held_back]
    assert texts
    assert len(texts) < len(ODD_TEXTS)  # those that are there to choose by play no part
    expected = [("image", kind, doubt) for kind in UNUSUAL for doubt in DOUBTS]
    expected += [("report", kind, doubt) for kind in texts for doubt in DOUBTS]
    assert list(table[["side", "kind", "doubt"]].itertuples(index=False, name=None)) == expected
    for row in table.itertuples():
        of = (UNUSUAL if row.side == "image" else ODD_TEXTS)[row.kind]
        assert (row.label, row.detectable, row.why) == (of.label, of.detectable, of.why)
        assert row.n == (len(films_of(row.kind)[0]) if row.side == "image" else N)
        assert 0 <= row.low <= row.auroc <= row.high <= 1


def measures(gaussian, strange, scores) -> dict[str, np.ndarray]:
    p = torch.from_numpy(scores).double().softmax(1)
    return {
        "variance": gaussian.log_var.double().exp().sum(1).numpy(),
        "log_variance": gaussian.log_var.double().sum(1).numpy(),
        "entropy": -(p * p.log()).sum(1).numpy(),
        "strangeness": strange.numpy(),
    }


def area(now: np.ndarray, before: np.ndarray) -> float:
    return roc_auc_score(np.repeat([1, 0], len(now)), np.r_[now, before])


@pytest.mark.parametrize("kind", ["mirrored", "lateral", "without"])
def test_films_are_told_from_the_same_studies_own(measured, run, kind):
    table = measured[0].set_index(["side", "kind", "doubt"])["auroc"]
    which, films = films_of(kind)
    model, _ = load_run(run.folder)
    image, strange = embed_images(model, torch.from_numpy(films), load_strangeness(run.folder))
    own = run.embeddings
    with torch.no_grad():
        now = measures(image, strange, model.similarity(image, own.report).numpy())
    before = measures(own.image, own.image_strangeness, run.scores)
    for doubt in DOUBTS:
        found = table.loc[("image", kind, doubt)]
        assert found == pytest.approx(area(now[doubt], before[doubt][which]), abs=1e-6)


@pytest.mark.parametrize("kind", ["language", "keyboard"])
def test_texts_are_told_from_the_reports(measured, run, kind):
    table = measured[0].set_index(["side", "kind", "doubt"])["auroc"]
    model, tokenizer = load_run(run.folder)
    tokens = tokenizer(odd_texts(kind, run.truth.studies["findings"].tolist()), truncation=True)["input_ids"]
    report, strange = embed_texts(model, tokens, tokenizer.pad_token_id, load_strangeness(run.folder))
    own = run.embeddings
    with torch.no_grad():
        now = measures(report, strange, model.similarity(own.image, report).numpy().T)
    before = measures(own.report, own.report_strangeness, run.scores.T)
    flagged = np.mean(
        [(1 + sum(x >= s for x in np.linspace(0.5, 1.5, 39))) / 40 <= 0.05 for s in now["strangeness"]]
    )
    assert measured[0].set_index(["side", "kind"]).loc[("report", kind), "flagged"].unique() == [flagged]
    for doubt in DOUBTS:
        found = table.loc[("report", kind, doubt)]
        assert found == pytest.approx(area(now[doubt], before[doubt]), abs=1e-6)


def test_pictures_are_of_one_study_that_has_every_kind(measured, run, study_tables):
    _, pictures = measured
    assert pictures.shape == (1 + len(UNUSUAL), 32, 32)
    own = reference_radiographs(run.truth.studies, study_tables["test"], 32)
    np.testing.assert_array_equal(pictures[0], own[SHOWN])
    for kind, picture in zip(UNUSUAL, pictures[1:], strict=True):
        which, films = films_of(kind)
        np.testing.assert_array_equal(picture, films[which.tolist().index(SHOWN)])


def test_without_a_simulator_films_are_turned_round(run, fitted, study_tables):
    """Mirrored, as a negative, and the laterals of those that have one: what is known of no other kind."""
    views = [("AP", "Lateral") if i % 3 else ("PA",) for i in range(N)]
    studies = run.truth.studies.drop(columns="appearance")
    paths = [of[: len(names)] for of, names in zip(studies["image_paths"], views, strict=True)]
    codes = [("a", "b", "c"), *[("a",)] * 6, ("a", "b"), *[()] * 4]  # most of them without a lateral
    studies = studies.assign(view_names=views, image_paths=paths, codes=codes)
    own = replace(run, truth=Truth(studies, run.truth.matches))
    table, pictures = third_kind_table(own, fitted, corpus_of(study_tables, simulated=False))
    films = table[table["side"] == "image"].drop_duplicates("kind").set_index("kind")["n"]
    assert films.to_dict() == {"mirrored": N, "inverted": N, "lateral": 8}
    assert len(table[table["side"] == "report"]) == 4 * sum(of.held_back for of in ODD_TEXTS.values())
    images = open_table(study_tables["test"], 32).images.rows
    film, lateral = images(list(paths[SHOWN]))
    np.testing.assert_array_equal(pictures, [film, film[:, ::-1], 255 - film, lateral])
