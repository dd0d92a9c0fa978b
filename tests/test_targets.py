"""Right, partly right and left-out answers, and both losses, against naive loops in float64."""

import itertools
import math

import pytest
import torch

from medprobclip.targets import (
    BatchTargets,
    Targets,
    pseudo_positives,
    sigmoid_loss,
    soft_weights,
    softmax_loss,
    symmetric,
)

N = 5


@pytest.fixture
def logits():
    return 2 * torch.randn(N, N, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def random_targets(left_out: bool, seed: int = 0) -> Targets:
    generator = torch.Generator().manual_seed(seed)
    found = Targets.soft(torch.rand(N, N, generator=generator, dtype=torch.float64))
    return found.ignoring(torch.rand(N, N, generator=generator) < 0.4) if left_out else found


def naive_softmax(logits, weights, counted):
    total = 0.0
    for i in range(N):
        some = [j for j in range(N) if counted is None or counted[i][j]]
        log_sum = math.log(sum(math.exp(logits[i][j]) for j in some))
        mass = sum(weights[i][j] for j in some)
        total -= sum(weights[i][j] / mass * (logits[i][j] - log_sum) for j in some)
    return total / N


def naive_sigmoid(logits, weights, counted):
    values = []
    for i, j in itertools.product(range(N), range(N)):
        if counted is None or counted[i][j]:
            p = 1 / (1 + math.exp(-logits[i][j]))
            values.append(-weights[i][j] * math.log(p) - (1 - weights[i][j]) * math.log(1 - p))
    return sum(values) / len(values)


@pytest.mark.parametrize("left_out", [False, True])
@pytest.mark.parametrize(("loss", "naive"), [(softmax_loss, naive_softmax), (sigmoid_loss, naive_sigmoid)])
def test_losses_agree_with_naive_loops(logits, loss, naive, left_out):
    targets = random_targets(left_out)
    lists = lambda t: (  # noqa: E731
        t.weights.tolist(), None if t.counted is None else t.counted.tolist(),
    )  # fmt: skip
    rows = naive(logits.tolist(), *lists(targets))
    columns = naive(logits.T.tolist(), *lists(targets.T))
    assert float(loss(logits, targets)) == pytest.approx(rows, abs=1e-12)
    assert float(symmetric(loss, logits, targets)) == pytest.approx((rows + columns) / 2, abs=1e-12)


@pytest.mark.parametrize("loss", [softmax_loss, sigmoid_loss])
def test_pairs_left_out_get_no_gradient(logits, loss):
    targets = random_targets(left_out=True)
    logits.requires_grad_()
    symmetric(loss, logits, targets).backward()
    assert (logits.grad[~targets.counted] == 0).all()
    assert (logits.grad[targets.counted] != 0).all()


def test_uniform_logits_cost_log_n_and_perfect_ones_nothing():
    diagonal = Targets.diagonal(8)
    assert float(softmax_loss(torch.zeros(8, 8), diagonal)) == pytest.approx(math.log(8))
    assert float(softmax_loss(100 * torch.eye(8), diagonal)) == pytest.approx(0, abs=1e-6)
    assert float(sigmoid_loss(torch.zeros(8, 8), diagonal)) == pytest.approx(math.log(2))
    assert float(sigmoid_loss(200 * torch.eye(8) - 100, diagonal)) == pytest.approx(0, abs=1e-6)


def test_a_row_without_right_answer_and_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="at least one right answer"):
        softmax_loss(torch.zeros(2, 2), Targets(torch.tensor([[1.0, 1.0], [0.0, 0.0]])))
    with pytest.raises(ValueError, match=r"\[B, B\], got \(2, 3\)"):
        Targets(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="shape of weights"):
        Targets(torch.eye(2), torch.ones(3, 3, dtype=torch.bool))


def test_soft_weights_by_hand():
    r = torch.tensor([[1.0, 0.5], [0.49, 0.0]])
    assert soft_weights(r, 0.5, 2).tolist() == [[1, 0.25], [0, 0]]
    assert soft_weights(r, 0, 1).tolist() == r.tolist()


FINDINGS, IMPRESSIONS, CODING = [0, 1, 0, 3, 4], [7, 7, 8, 9, 9], [5, 6, 5, 5, 6]
TREATMENTS = ["positive", "ignored", "negative"]


@pytest.mark.parametrize("duplicates", TREATMENTS)
@pytest.mark.parametrize("equal_coding", TREATMENTS)
@pytest.mark.parametrize("soft", [False, True])
def test_every_correspondence_agrees_with_a_naive_loop(duplicates, equal_coding, soft):
    r = torch.rand(N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = BatchTargets.of(
        (torch.tensor(FINDINGS), torch.tensor(IMPRESSIONS)), torch.tensor(CODING), r if soft else None,
        duplicates, equal_coding,
    )  # fmt: skip
    alike = {
        "findings": lambda i, j: FINDINGS[i] == FINDINGS[j],
        "impression": lambda i, j: IMPRESSIONS[i] == IMPRESSIONS[j],
        "either": lambda i, j: FINDINGS[i] == FINDINGS[j] or IMPRESSIONS[i] == IMPRESSIONS[j],
        "image": lambda i, j: i == j,
    }
    contrasts = dict(zip(alike, [*found.image_text, found.text_text, found.image_image], strict=True))
    for name, targets in contrasts.items():
        for i, j in itertools.product(range(N), range(N)):
            rules = {equal_coding} if CODING[i] == CODING[j] else set()
            if alike[name](i, j):
                rules.add(duplicates)
            if i == j or "positive" in rules:
                expected = 1.0, True
            elif "ignored" in rules:
                expected = 0.0, False
            else:
                expected = float(r[i, j]) if soft else 0.0, True
            counted = True if targets.counted is None else bool(targets.counted[i, j])
            assert (float(targets.weights[i, j]), counted) == expected, (name, i, j)


def test_a_diagonal_batch_is_one_without_rules():
    ids = torch.arange(N), torch.arange(N)
    for targets in (BatchTargets.diagonal(N), BatchTargets.of(ids)):
        for contrast in (*targets.image_text, targets.image_image, targets.text_text):
            assert torch.equal(contrast.weights, torch.eye(N))
            assert contrast.counted is None


def naive_pseudo_positives(logits, weights, counted):
    result = [list(row) for row in weights]
    for i in range(N):
        best = max(weights[i])
        match = i if weights[i][i] == best else weights[i].index(best)
        for j in range(N):
            if logits[i][j] >= logits[i][match] and (counted is None or counted[i][j]):
                result[i][j] = best
    return result


@pytest.mark.parametrize("left_out", [False, True])
@pytest.mark.parametrize("kind", ["diagonal", "equals", "mixed"])
def test_pseudo_positives_agree_with_a_naive_loop(logits, kind, left_out):
    weights = torch.eye(N, dtype=torch.float64)
    if kind == "equals":
        weights[1, 0] = weights[3, 4] = 1  # among equals the study's own match sets the bar
    if kind == "mixed":
        weights[1] = torch.tensor([0.7, 0.3, 0, 0, 0])  # the partner's report is the truer one
    counted = torch.rand(N, N, generator=torch.Generator().manual_seed(5)) < 0.6
    targets = Targets(weights, (counted | (weights > 0)) if left_out else None)
    for found, scores in ((targets, logits), (targets.T, logits.T)):
        lists = found.weights.tolist(), found.counted.tolist() if left_out else None
        expected = naive_pseudo_positives(scores.tolist(), *lists)
        assert pseudo_positives(scores, found).weights.tolist() == expected
    assert (pseudo_positives(logits, targets).weights != weights).any()


def test_a_model_that_is_right_has_no_pseudo_positives():
    targets = Targets.diagonal(N)
    assert torch.equal(pseudo_positives(torch.eye(N), targets).weights, targets.weights)
