"""Scores that know about hubs: the bank's term of every item by loops, and what it does to an order."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from medprobclip.evaluation import hubs
from medprobclip.evaluation.hubs import STRENGTHS, bank_terms, without_hubs
from medprobclip.gaussian import Gaussian
from medprobclip.search import top_k
from medprobclip.similarity import SCORES, ScaledSimilarity, expected_likelihood


def naive_kl(x: Gaussian, y: Gaussian, i: int, j: int) -> float:
    """−KL(x_i ‖ y_j), one dimension after another."""
    total = 0.0
    for mx, vx, my, vy in zip(*(t.tolist() for t in (x.mean[i], x.var[i], y.mean[j], y.var[j])), strict=True):
        total += 0.5 * (vx / vy + (mx - my) ** 2 / vy - 1 + math.log(vy / vx))
    return -total


def naive_likelihood(x: Gaussian, y: Gaussian, i: int, j: int) -> float:
    """−½ Σ [(μx − μy)² / s + log s], one dimension after another."""
    total = 0.0
    for mx, vx, my, vy in zip(*(t.tolist() for t in (x.mean[i], x.var[i], y.mean[j], y.var[j])), strict=True):
        total += 0.5 * ((mx - my) ** 2 / (vx + vy) + math.log(vx + vy))
    return -total


NAIVE = {"expected_likelihood": naive_likelihood, "kl": naive_kl}


def naive_terms(score: str, bank: Gaussian, gallery: Gaussian, a: float, b: float, images_ask: bool) -> list:
    """log Σ exp of the logits of every bank query, item by item; radiographs always come first."""
    of, terms = NAIVE[score], []
    for g in range(len(gallery)):
        pairs = ((bank, gallery, q, g) if images_ask else (gallery, bank, g, q) for q in range(len(bank)))
        terms.append(math.log(sum(math.exp(a * of(*pair) + b) for pair in pairs)))
    return terms


@pytest.mark.parametrize("score", NAIVE)
@pytest.mark.parametrize("images_ask", [True, False])
def test_terms_against_a_loop_over_the_bank(make_gaussian, score, images_ask):
    bank, gallery = make_gaussian(7, 3).float(), make_gaussian(5, 3, seed=1).float()
    similarity = ScaledSimilarity(score, a=0.7, b=-1.3)
    found = bank_terms(similarity, bank, gallery, images_ask)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    np.testing.assert_allclose(found, naive_terms(score, bank, gallery, 0.7, -1.3, images_ask), rtol=1e-4)


def test_who_asks_matters_to_a_score_that_is_not_symmetric(make_gaussian):
    bank, gallery = make_gaussian(7, 3).float(), make_gaussian(5, 3, seed=1).float()
    one, other = (bank_terms(ScaledSimilarity("kl"), bank, gallery, asks) for asks in (True, False))
    assert (one - other).abs().min() > 0.01
    one, other = (bank_terms(ScaledSimilarity("csd"), bank, gallery, asks) for asks in (True, False))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("images_ask", [True, False])
def test_blocks_change_nothing(make_gaussian, monkeypatch, images_ask):
    """Of 23 items, three at a time: seven whole blocks and one of two."""
    bank, gallery = make_gaussian(6, 4).float(), make_gaussian(23, 4, seed=1).float()
    similarity = ScaledSimilarity("kl", a=0.3)
    whole, seen = bank_terms(similarity, bank, gallery, images_ask), []
    monkeypatch.setattr(hubs, "BLOCK", 3)
    similarity.register_forward_hook(lambda module, args, scores: seen.append(tuple(scores.shape)))
    torch.testing.assert_close(bank_terms(similarity, bank, gallery, images_ask), whole)
    assert seen == [(6, n) if images_ask else (n, 6) for n in (3, 3, 3, 3, 3, 3, 3, 2)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_terms_are_float32_whatever_is_stored(make_gaussian, dtype):
    """Of 300 alike queries they are log 300 above that of one."""
    one, gallery = make_gaussian(1, 4).to(dtype), make_gaussian(5, 4, seed=1).to(dtype)
    terms = bank_terms(ScaledSimilarity("csd"), one[[0] * 300], gallery)
    single = bank_terms(ScaledSimilarity("csd"), one, gallery)
    assert terms.dtype == torch.float32
    torch.testing.assert_close(terms, single + math.log(300))


def test_scores_far_below_zero_do_not_underflow():
    """exp(−10,000) is 0 in every precision; the term is −10,000 + log 2 all the same."""
    mean = torch.tensor([[100.0]])
    bank, item = Gaussian(mean.repeat(2, 1), torch.full((2, 1), -60.0)), Gaussian(0 * mean, 0 * mean - 60)
    terms = bank_terms(ScaledSimilarity("csd"), bank, item)
    assert float(terms) == pytest.approx(-10_000 + math.log(2))


def test_an_empty_gallery_has_no_terms_and_an_empty_bank_is_refused(make_gaussian):
    some = make_gaussian(4, 3)
    assert bank_terms(ScaledSimilarity(), some, some[:0]).shape == (0,)
    with pytest.raises(ValueError, match="a bank without queries"):
        bank_terms(ScaledSimilarity(), some[:0], some)


@pytest.mark.parametrize("score", ["expected_likelihood", "cosine", "kl"])
def test_with_the_whole_term_it_is_bayes_rule(make_gaussian, score):
    """exp(s − term) of the bank's own queries are probabilities: they sum to 1 for every item."""
    bank, gallery = make_gaussian(9, 3).float(), make_gaussian(6, 3, seed=1).float()
    similarity = ScaledSimilarity(score, a=2.0, b=0.4)
    with torch.no_grad():
        scores = similarity(bank, gallery).numpy()
    terms = bank_terms(similarity, bank, gallery).numpy()
    p = np.exp(without_hubs(scores, terms, np.zeros(9)))
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(0), 1, rtol=1e-5)
    shifted = ScaledSimilarity(score, a=2.0, b=7.0)  # the shift b is of no query: it cancels
    with torch.no_grad():
        other = without_hubs(shifted(bank, gallery).numpy(), bank_terms(shifted, bank, gallery), np.zeros(9))
    np.testing.assert_allclose(np.exp(other), p, rtol=1e-4)


def order(values) -> list[int]:
    """Best first, in plain Python."""
    return sorted(range(len(values)), key=lambda i: -values[i])


@pytest.mark.parametrize("strength", STRENGTHS)
def test_one_matrix_ranks_both_ways(strength):
    """Rows by s less the columns' terms, columns by s less the rows' terms."""
    generator = np.random.default_rng(0)
    scores, columns, rows = (
        generator.normal(size=(8, 11)),
        generator.normal(size=11),
        generator.normal(size=8),
    )
    found = without_hubs(scores, columns, rows, strength)
    for i in range(8):
        assert order(found[i]) == order([scores[i, j] - strength * columns[j] for j in range(11)])
    for j in range(11):
        assert order(found[:, j]) == order([scores[i, j] - strength * rows[i] for i in range(8)])
    changed = [order(found[i]) != order(scores[i]) for i in range(8)]
    assert any(changed) == (strength > 0)


def test_corrected_scores_by_hand():
    found = without_hubs([[1.0, 2.0], [3.0, 5.0]], [10.0, 20.0], [100.0, 200.0], 0.5)
    assert found.tolist() == [[1 - 5 - 50, 2 - 10 - 50], [3 - 5 - 100, 5 - 10 - 100]]
    assert without_hubs([[1.0, 2.0]], [10.0, 20.0], [0.0]).tolist() == [[-9, -18]]  # all of it by default


def test_a_hub_loses_exactly_what_it_was_raised_by():
    """One item is 5 closer to whoever asks: of the corrected scores nobody sees that."""
    generator = np.random.default_rng(1)
    scores, bank = generator.normal(size=(6, 8)), generator.normal(size=(20, 8))
    raised = 5.0 * (np.arange(8) == 3)
    assert (np.argmax(scores + raised, axis=1) == 3).all()
    plain, hub = (
        without_hubs(scores + more, logsumexp(bank + more, axis=0), np.zeros(6)) for more in (0, raised)
    )
    np.testing.assert_allclose(hub, plain)
    assert (np.argmax(hub, axis=1) != 3).any()
    half = without_hubs(scores + raised, logsumexp(bank + raised, axis=0), np.zeros(6), 0.5)
    expected = without_hubs(scores, logsumexp(bank, axis=0), np.zeros(6), 0.5) + 0.5 * raised
    np.testing.assert_allclose(half, expected)


def test_items_are_not_favoured_for_their_low_variance():
    """log s favours a sure item with every query; less the bank's term, each query finds its own."""
    places = torch.tensor([[-1.5], [0.0], [1.5]])
    queries = Gaussian(places, torch.zeros(3, 1))
    gallery = Gaussian(places, torch.tensor([[3.0], [-6.0], [3.0]]))  # the middle one is sure
    similarity = ScaledSimilarity()
    scores = expected_likelihood(queries, gallery).numpy()
    assert scores.argmax(1).tolist() == [1, 1, 1]
    terms = bank_terms(similarity, queries, gallery).numpy()
    assert without_hubs(scores, terms, np.zeros(3)).argmax(1).tolist() == [0, 1, 2]


@torch.no_grad()
def test_search_with_the_terms_as_its_penalty_finds_the_corrected_order(make_gaussian):
    """The search knows neither a nor b: its penalty is strength · terms / a."""
    queries, bank, gallery = (make_gaussian(n, 4, seed=n).float() for n in (6, 30, 25))
    similarity = ScaledSimilarity(a=3.0, b=-2.0)
    terms = bank_terms(similarity, bank, gallery)
    corrected = without_hubs(similarity(queries, gallery).numpy(), terms.numpy(), np.zeros(6), 0.75)
    hits = top_k(queries, gallery, 25, penalty=0.75 * terms / 3)
    assert hits.ids.tolist() == [order(row) for row in corrected]
    assert hits.ids.tolist() != top_k(queries, gallery, 25).ids.tolist()


@pytest.mark.parametrize("lengths", [(2, 3), (3, 3), (2, 2), (4, 2)])
def test_terms_of_another_shape_are_refused(lengths):
    columns, rows = map(np.zeros, lengths)
    with pytest.raises(ValueError, match=rf"scores \(2, 3\) with {lengths[1]} row and {lengths[0]} column"):
        without_hubs(np.zeros((2, 3)), columns, rows)


def test_every_score_has_terms(make_gaussian):
    bank, gallery = make_gaussian(7, 3).float(), make_gaussian(5, 3, seed=1).float()
    for name, score in SCORES.items():
        terms = bank_terms(ScaledSimilarity(name), bank, gallery)
        np.testing.assert_allclose(terms, logsumexp(score(bank, gallery).numpy(), axis=0), rtol=1e-4)
