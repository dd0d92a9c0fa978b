"""One pass over the gallery gives what the whole score matrix does."""

import numpy as np
import pytest
import torch
from galleries import drawn_studies
from scipy.special import logsumexp, softmax
from scipy.stats import entropy

from medprobclip.retriever import scoring
from medprobclip.retriever.gallery import Gallery, GalleryError
from medprobclip.retriever.scoring import scored
from medprobclip.similarity import expected_likelihood

STUDIES = 900  # more than three of the smallest blocks


@pytest.fixture(scope="module")
def gallery():
    """Parts that are no multiple of a block."""
    found, whole = Gallery(3, "model"), drawn_studies(STUDIES)
    for start, stop in ((0, 1), (1, 600), (600, STUDIES)):
        found.append(whole.select([*range(start, stop)]))
    return found


@pytest.fixture(params=["one block a part", "many blocks"])
def blocks(request, monkeypatch):
    if request.param == "many blocks":
        monkeypatch.setattr(scoring, "SCORES", 1)


def rounded(x, y):
    """Many ties, at the k-th place too; zeros of both signs among them."""
    return (2 * expected_likelihood(x, y)).round() / 2 + 3


def wide(x, y):
    """Logits whose exponentials overflow."""
    return 500 * expected_likelihood(x, y)


@pytest.mark.parametrize("similarity", [expected_likelihood, rounded, wide])
@pytest.mark.parametrize("side", ["image", "report"])
@pytest.mark.parametrize(("k", "first"), [(1, 0), (10, 0), (STUDIES, 0), (7, 1), (100, 650)])
@torch.no_grad()
def test_as_the_whole_matrix(gallery, blocks, similarity, side, k, first):
    queries = drawn_studies(5, seed=3).image
    matrix = torch.cat([similarity(queries, block) for _, block in gallery.blocks(side, 10**6)], 1)
    scores = matrix[:, first:].numpy()
    thresholds = torch.tensor([np.sort(row)[-i] for i, row in enumerate(scores, 2)])
    found = scored(similarity, queries, gallery, side, k, thresholds, first)
    order = np.argsort(-scores.astype(float), axis=1, kind="stable")[:, :k]
    if similarity is rounded:
        assert len(np.unique(scores)) < 60
    np.testing.assert_array_equal(found.items.numpy(), order + first)
    np.testing.assert_array_equal(found.scores.numpy(), np.take_along_axis(scores, order, 1))
    assert found.scores.dtype == torch.float32
    for row, threshold in enumerate(thresholds.tolist()):
        assert int(found.reaching[row]) == sum(score >= threshold for score in scores[row].tolist())
    exact = scores.astype(float)
    np.testing.assert_allclose(found.log_mass, logsumexp(exact, axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.mean_score, (softmax(exact, axis=1) * exact).sum(1), rtol=1e-12)
    np.testing.assert_allclose(found.entropy, entropy(softmax(exact, axis=1), axis=1), atol=1e-9)


def test_everything_and_nothing_reaches_a_threshold(gallery, blocks):
    limits = torch.tensor([-torch.inf, torch.inf])
    found = scored(expected_likelihood, drawn_studies(2).image, gallery, "report", 3, limits)
    assert found.reaching.tolist() == [STUDIES, 0]


def test_equal_scores_of_all_are_in_order_of_number_and_as_uncertain_as_can_be(gallery, blocks):
    found = scored(lambda x, y: torch.zeros(len(x), len(y)), drawn_studies(2).image, gallery, "image", 600)
    assert found.items.tolist() == [[*range(600)]] * 2
    np.testing.assert_allclose(found.entropy, np.log(STUDIES), rtol=1e-12)


def test_a_score_is_the_same_wherever_a_study_stands(gallery, monkeypatch):
    queries = drawn_studies(4, seed=3).image
    whole = scored(expected_likelihood, queries, gallery, "report", 50)
    monkeypatch.setattr(scoring, "SCORES", 1)
    pieces = scored(expected_likelihood, queries, gallery, "report", 50)
    assert torch.equal(whole.items, pieces.items)
    assert torch.equal(whole.scores, pieces.scores)


def test_what_exists_at_one_time_is_a_block(gallery, monkeypatch):
    """Whatever the number of queries; the k best so far do not count."""
    sizes = []

    def watched(x, y):
        sizes.append((len(x), len(y)))
        return expected_likelihood(x, y)

    monkeypatch.setattr(scoring, "SCORES", 300 * 40)
    scored(watched, drawn_studies(40).image, gallery, "image", 5)
    assert max(rows for _, rows in sizes) == 300
    assert sum(rows for _, rows in sizes) == STUDIES
    sizes.clear()
    monkeypatch.setattr(scoring, "NUMBERS", 3 * 280)
    scored(watched, drawn_studies(2).image, gallery, "image", 5)
    assert max(rows for _, rows in sizes) == 280


@pytest.mark.parametrize("k", [0, -1, STUDIES + 1])
def test_a_k_that_cannot_be(gallery, k):
    with pytest.raises(GalleryError) as refused:
        scored(expected_likelihood, drawn_studies(1).image, gallery, "image", k)
    assert str(refused.value) == f"k = {k}, but the index holds {STUDIES} studies: ask for 1 to {STUDIES}"


def test_faults(gallery):
    queries = drawn_studies(2).image
    with pytest.raises(GalleryError, match=r"^the index holds no studies yet; add some \(Retriever.index, "):
        scored(expected_likelihood, queries, Gallery(3, "model"), "image", 1)
    with pytest.raises(GalleryError, match="^the query has 4 dimensions, the index 3$"):
        scored(expected_likelihood, drawn_studies(2, dim=4).image, gallery, "image", 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_names_query_and_study(gallery, blocks, value):
    """Infinite ones too: their entropy is no number."""
    seventh = gallery.parts[1].image.mean[-3, 0]

    def broken(x, y):
        scores = expected_likelihood(x, y)
        scores[1, y.mean[:, 0] == seventh] = value
        return scores

    with pytest.raises(GalleryError, match=f"^query 1 and study s597 have a score of {value}$"):
        scored(broken, drawn_studies(2).image, gallery, "image", 1)
