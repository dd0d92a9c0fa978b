"""The objective against a naive loop over pairs in float64."""

import math

import pytest
import torch

from medprobclip.objectives import (
    ObjectiveConfig,
    Views,
    medprobclip_objective,
    symmetric_cross_entropy,
    term_weights,
)
from medprobclip.similarity import expected_likelihood


def naive_logit(x, y, i, j, a=1.3, b=0.2):
    total = 0.0
    for d in range(x.dim):
        s = math.exp(x.log_var[i, d]) + math.exp(y.log_var[j, d])
        total += (float(x.mean[i, d]) - float(y.mean[j, d])) ** 2 / s + math.log(s)
    return -a * 0.5 * total + b


def naive_cross_entropy(x, y, matches):
    """S: both directions, each query's target spread evenly over its matches."""
    n = len(x)
    logits = [[naive_logit(x, y, i, j) for j in range(n)] for i in range(n)]
    total = 0.0
    for i in range(n):
        for line, match in (
            (logits[i], [matches[i][j] for j in range(n)]),
            ([logits[j][i] for j in range(n)], [matches[j][i] for j in range(n)]),
        ):
            log_sum = math.log(sum(math.exp(v) for v in line))
            right = [v for v, m in zip(line, match, strict=True) if m]
            total += -sum(v - log_sum for v in right) / len(right) / n
    return total / 2


def naive_kl(parts):
    values = []
    for g in parts:
        for i in range(len(g)):
            kl = 0.0
            for d in range(g.dim):
                log_var, mean = float(g.log_var[i, d]), float(g.mean[i, d])
                kl += 0.5 * (math.exp(log_var) + mean**2 - 1 - log_var)
            values.append(kl)
    return sum(values) / len(values)


@pytest.fixture
def gaussians(make_gaussian):
    return [make_gaussian(5, 4, seed=s) for s in range(4)]


@pytest.mark.parametrize("duplicates", [False, True])
def test_every_term_agrees_with_a_naive_loop(gaussians, duplicates):
    i1, i2, t1, t2 = gaussians
    findings, impressions = [0, 1, 0, 3, 4], [7, 7, 8, 9, 9]
    ids = (torch.tensor(findings), torch.tensor(impressions)) if duplicates else None
    config = ObjectiveConfig(image_image_weight=0.7, text_text_weight=0.3, kl_weight=0.01)
    terms = medprobclip_objective(
        Views((i1, i2), (t1, t2), ids), lambda x, y: 1.3 * expected_likelihood(x, y) + 0.2, config
    )

    diagonal = [[i == j for j in range(5)] for i in range(5)]
    by_section, either = [diagonal, diagonal], diagonal
    if duplicates:
        by_section = [[[a == b for b in s] for a in s] for s in (findings, impressions)]
        either = [[by_section[0][i][j] or by_section[1][i][j] for j in range(5)] for i in range(5)]
    naive = {
        "image_text": sum(
            naive_cross_entropy(i, t, by_section[s]) for i in (i1, i2) for s, t in enumerate((t1, t2))
        ) / 4,
        "image_image": naive_cross_entropy(i1, i2, diagonal),
        "text_text": naive_cross_entropy(t1, t2, either),
        "kl_image": naive_kl([i1, i2]),
        "kl_text": naive_kl([t1, t2]),
    }  # fmt: skip
    loss = naive["image_text"] + 0.7 * naive["image_image"] + 0.3 * naive["text_text"]
    loss += 0.01 * (naive["kl_image"] + naive["kl_text"])
    assert {name: pytest.approx(float(value), abs=1e-9) for name, value in terms.items()} == {
        "loss": loss,
        **naive,
    }


def test_loss_is_the_weighted_sum(gaussians):
    i1, i2, t1, t2 = gaussians
    terms = medprobclip_objective(Views((i1, i2), (t1, t2)), expected_likelihood)
    total = sum(weight * terms[name] for name, weight in term_weights(ObjectiveConfig()).items())
    torch.testing.assert_close(terms["loss"], total)


def test_published_weights():
    assert term_weights(ObjectiveConfig()) == {
        "image_text": 1.0, "image_image": 1.0, "text_text": 0.1, "kl_image": 1e-4, "kl_text": 1e-4,
    }  # fmt: skip


def test_uniform_logits_cost_log_n_and_perfect_ones_nothing():
    assert float(symmetric_cross_entropy(torch.zeros(8, 8))) == pytest.approx(math.log(8))
    assert float(symmetric_cross_entropy(100 * torch.eye(8))) == pytest.approx(0, abs=1e-6)


def test_matches_on_the_diagonal_change_nothing():
    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        symmetric_cross_entropy(logits, torch.eye(6, dtype=torch.bool)), symmetric_cross_entropy(logits)
    )


def test_a_row_without_match_is_refused():
    with pytest.raises(ValueError, match="at least one match"):
        symmetric_cross_entropy(torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]))


def test_shift_gets_no_gradient(gaussians):
    """Under a softmax b moves every logit alike, so the published b never learns."""
    i1, i2, t1, t2 = gaussians
    b = torch.zeros((), dtype=torch.float64, requires_grad=True)
    terms = medprobclip_objective(Views((i1, i2), (t1, t2)), lambda x, y: expected_likelihood(x, y) + b)
    terms["loss"].backward()
    assert abs(float(b.grad)) < 1e-12
