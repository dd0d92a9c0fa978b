"""How sure the calibration queries are in a gallery: as if each was asked with its own answer in it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from galleries import drawn_studies
from safetensors import SafetensorError
from scipy.special import softmax
from scipy.stats import entropy

from medprobclip.retriever import gallery as gallery_module, usual as module
from medprobclip.retriever.gallery import Gallery
from medprobclip.retriever.promises import FILM, REPORT, Kind
from medprobclip.retriever.usual import Usual, UsualHere, own_scores
from medprobclip.similarity import expected_likelihood

QUERIES = 23
MODEL = SimpleNamespace(
    similarity=lambda x, y: (4 * expected_likelihood(x, y)).round() / 4, device=torch.device("cpu")
)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(module, "DEPTH", 9)
    monkeypatch.setattr(gallery_module, "SMALL", 4)


@pytest.fixture
def promises():
    return SimpleNamespace(
        studies=(studies := drawn_studies(QUERIES, seed=8, wordings=6)), wording=studies.wording, digest="d"
    )


def naive(promises, gallery, kind):
    """Entropy and rank of each, from the scores of the gallery with its own answer beside it."""
    with torch.no_grad():
        queries, own = promises.studies.image, promises.studies.report
        if kind.name == REPORT:
            queries, own = own, queries
        blocks = [MODEL.similarity(queries, block) for _, block in gallery.blocks(kind.finds, 10**6)]
        mine = MODEL.similarity(queries, own).diagonal()[:, None]
        scores = torch.cat([*blocks, mine], 1).double().numpy()
    entropies, ranks = [], []
    for row in range(QUERIES):
        right = [int(key) == int(promises.wording[row]) for key in gallery.wording] + [True]
        best = max(score for score, is_right in zip(scores[row], right, strict=True) if is_right)
        wrong = sum(
            score >= best and not is_right for score, is_right in zip(scores[row], right, strict=True)
        )
        beyond = len(gallery) > 9 and best <= np.sort(scores[row, :-1])[-9]
        ranks.append(10 if beyond else 1 + wrong)
        entropies.append(entropy(softmax(scores[row])))
    return np.array(entropies), np.array(ranks)


@pytest.mark.parametrize("kind", [Kind(FILM), Kind(REPORT)])
@pytest.mark.parametrize("studies", [1, 5, 9, 10, 40])
def test_as_asked_one_by_one(promises, kind, studies):
    gallery = Gallery(3, "model")
    gallery.append(drawn_studies(studies, wordings=6))
    entropies, ranks = UsualHere(promises, MODEL, gallery).of(kind)
    expected = naive(promises, gallery, kind)
    np.testing.assert_allclose(entropies, expected[0], atol=1e-9)
    np.testing.assert_array_equal(ranks, expected[1])
    if studies == 40:  # ranks within the depth, beyond it, and right answers of others
        assert {1, 10} < set(expected[1].tolist())


def test_an_empty_gallery_holds_each_ones_own_answer_only(promises):
    entropies, ranks = UsualHere(promises, MODEL, Gallery(3, "model")).of(Kind(FILM))
    np.testing.assert_allclose(entropies, 0, atol=1e-12)
    assert ranks.tolist() == [1] * QUERIES


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_grown_in_pieces_as_at_once(promises, tmp_path, where):
    whole, gallery = drawn_studies(60, wordings=6), Gallery(3, "model")
    if where == "folder":
        gallery.save(tmp_path)
    here = UsualHere(promises, MODEL, gallery)
    generator, start = np.random.default_rng(0), 0
    while start < 60:
        stop = min(60, start + int(generator.integers(1, 14)))
        gallery.append(whole.select([*range(start, stop)]))
        if where == "folder" and generator.random() < 0.5:
            here = UsualHere(promises, MODEL, gallery)  # from the files
        start = stop
        for kind in (Kind(FILM), Kind(REPORT)):
            entropies, ranks = here.of(kind)
            fresh = Gallery(3, "model")
            fresh.append(whole.select([*range(stop)]))
            expected = UsualHere(promises, MODEL, fresh).of(kind)
            np.testing.assert_allclose(entropies, expected[0], atol=1e-9)
            assert torch.equal(ranks, expected[1])
    np.testing.assert_array_equal(here.of(Kind(FILM))[1], naive(promises, gallery, Kind(FILM))[1])


def test_only_new_studies_are_scored(promises, tmp_path, monkeypatch):
    gallery, counted = Gallery(3, "model"), []
    gallery.save(tmp_path)
    gallery.append(drawn_studies(30))
    real = module.scored

    def watched(similarity, queries, gallery, side, k, **rest):
        counted.append((side, len(gallery) - rest["first"]))
        return real(similarity, queries, gallery, side, k, **rest)

    monkeypatch.setattr(module, "scored", watched)
    UsualHere(promises, MODEL, gallery).of(Kind(FILM))
    gallery.append(drawn_studies(["a", "b"]))
    here = UsualHere(promises, MODEL, Gallery.open(tmp_path))
    for _ in range(2):
        here.of(Kind(FILM))
    assert counted == [("report", 30), ("report", 2)]
    here.of(Kind(REPORT))
    assert counted[2:] == [("image", 32)]


def test_studies_that_are_added_meanwhile_are_scored_the_next_time(promises, tmp_path, monkeypatch):
    """By another thread, between the scores and what is noted of them."""
    gallery = Gallery(3, "model")
    gallery.save(tmp_path)
    gallery.append(drawn_studies(30, wordings=6))
    here, real = UsualHere(promises, MODEL, gallery), module.scored

    def meanwhile(*arguments, **settings):
        found = real(*arguments, **settings)
        monkeypatch.setattr(module, "scored", real)
        gallery.append(drawn_studies(["a", "b"], seed=4, wordings=6))
        return found

    monkeypatch.setattr(module, "scored", meanwhile)
    here.of(Kind(FILM))
    assert Usual.load(tmp_path / "report-usual.safetensors", "d").studies == 30
    for again in (here, UsualHere(promises, MODEL, gallery)):
        entropies, ranks = again.of(Kind(FILM))
        expected = naive(promises, gallery, Kind(FILM))
        np.testing.assert_allclose(entropies, expected[0], atol=1e-9)
        np.testing.assert_array_equal(ranks, expected[1])


@pytest.mark.parametrize("fault", ["half", "empty", "gone", "another calibration", "a later index"])
def test_what_was_kept_and_cannot_be_used_is_made_anew(promises, tmp_path, fault):
    gallery = Gallery(3, "model")
    gallery.save(tmp_path / "index")
    gallery.append(drawn_studies(30))
    expected = UsualHere(promises, MODEL, gallery).of(Kind(FILM))
    path = tmp_path / "index" / "report-usual.safetensors"
    if fault == "half":
        path.write_bytes(path.read_bytes()[:-5])
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "gone":
        path.unlink()
    elif fault == "another calibration":
        Usual(
            30, torch.ones(QUERIES, 9), torch.zeros(QUERIES, 9).long(), *torch.ones(2, QUERIES).double()
        ).save(path, "other")
    else:
        known = Usual.load(path, "d")
        Usual(31, known.scores, known.items, known.log_mass, known.mean_score).save(path, "d")
    again = UsualHere(promises, MODEL, gallery).of(Kind(FILM))
    assert torch.equal(again[0], expected[0])
    assert torch.equal(again[1], expected[1])
    assert Usual.load(path, "d").studies == 30
    assert Usual.load(path, "other") is None


@pytest.mark.parametrize("error", [PermissionError(13, "read-only"), SafetensorError("I/O error")])
def test_a_folder_that_cannot_be_written_is_asked_all_the_same(promises, tmp_path, monkeypatch, error):
    gallery = Gallery(3, "model")
    gallery.save(tmp_path)
    gallery.append(drawn_studies(12))

    def refused(*_, **__):
        raise error

    monkeypatch.setattr(module, "save_file", refused)
    entropies, _ = UsualHere(promises, MODEL, Gallery.open(tmp_path)).of(Kind(FILM))
    np.testing.assert_allclose(entropies, naive(promises, gallery, Kind(FILM))[0], atol=1e-9)
    assert not list(tmp_path.glob("*usual*"))


def test_own_scores_of_more_queries_than_a_block():
    studies = drawn_studies(600)
    found = own_scores(MODEL, studies.image, studies.report)
    expected = [
        float(MODEL.similarity(studies.image[[i]], studies.report[[i]])) for i in (0, 255, 256, 511, 599)
    ]
    assert found[[0, 255, 256, 511, 599]].tolist() == pytest.approx(expected)
    assert found.shape == (600,)
