"""Every objective against naive loops over pairs in float64."""

import math
from dataclasses import replace

import pytest
import torch

from medprobclip.gaussian import Gaussian
from medprobclip.objectives import Views, batch_targets, objective_terms, term_weights
from medprobclip.settings import OBJECTIVES, ObjectiveConfig
from medprobclip.similarity import SCORES, expected_likelihood
from medprobclip.training.mixing import Mix

N, D = 5, 4
FINDINGS, IMPRESSIONS, CODING = [0, 1, 0, 3, 4], [7, 7, 8, 9, 9], [5, 6, 5, 5, 6]
IDS = torch.tensor(FINDINGS), torch.tensor(IMPRESSIONS)
A, B = 1.3, 0.2


@pytest.fixture
def gaussians(make_gaussian):
    return [make_gaussian(N, D, seed=s) for s in range(4)]


def naive_score(name, x, y, i, j):
    mean_x, mean_y = x.mean[i].tolist(), y.mean[j].tolist()
    var_x, var_y = (
        [math.exp(v) for v in g.log_var[k].tolist()] for g, k in ((x, i), (y, j))
    )  # fmt: skip
    if name == "cosine":
        dot = sum(a * b for a, b in zip(mean_x, mean_y, strict=True))
        return dot / math.sqrt(sum(a * a for a in mean_x) * sum(b * b for b in mean_y))
    total = 0.0
    for a, b, v, w in zip(mean_x, mean_y, var_x, var_y, strict=True):
        if name == "csd":
            total += (a - b) ** 2 + v + w
        else:
            total += 0.5 * ((a - b) ** 2 / (v + w) + math.log(v + w))
    return -total


def naive_logits(name, x, y):
    return [[A * naive_score(name, x, y, i, j) + B for j in range(N)] for i in range(N)]


def transposed(matrix):
    return [list(row) for row in zip(*matrix, strict=True)]


def naive_softmax(logits, weights):
    """Cross-entropy of the rows; a weight of None is a pair that is left out."""
    total = 0.0
    for line, w in zip(logits, weights, strict=True):
        kept = [(v, m) for v, m in zip(line, w, strict=True) if m is not None]
        log_sum = math.log(sum(math.exp(v) for v, _ in kept))
        total -= sum(m * (v - log_sum) for v, m in kept) / sum(m for _, m in kept) / N
    return total


def naive_sigmoid(logits, weights):
    values = [
        math.log1p(math.exp(-v)) * m + math.log1p(math.exp(v)) * (1 - m)
        for line, w in zip(logits, weights, strict=True)
        for v, m in zip(line, w, strict=True)
        if m is not None
    ]
    return sum(values) / len(values)


def naive_symmetric(loss, logits, weights):
    return (loss(logits, weights) + loss(transposed(logits), transposed(weights))) / 2


def naive_kl(parts):
    values = []
    for g in parts:
        for i in range(N):
            kl = 0.0
            for d in range(D):
                log_var, mean = float(g.log_var[i, d]), float(g.mean[i, d])
                kl += 0.5 * (math.exp(log_var) + mean**2 - 1 - log_var)
            values.append(kl)
    return sum(values) / len(values)


def naive_pseudo(logits, weights):
    """m̃: what scores at least as high as the true match is right, too."""
    result = [list(row) for row in weights]
    for i in range(N):
        best = max(weights[i])
        match = i if weights[i][i] == best else weights[i].index(best)
        for j in range(N):
            if logits[i][j] >= logits[i][match]:
                result[i][j] = best
    return result


def naive_weights(config, r=None):
    """Weights by contrast ("findings", "impression", "text", "image"); None: left out."""

    def weight(i, j, alike):
        if i == j:
            return 1.0
        rules = {config.duplicates} if alike else set()
        if CODING[i] == CODING[j]:
            rules.add(config.equal_coding)
        if "positive" in rules:
            return 1.0
        if "ignored" in rules:
            return None
        soft = 0.0 if r is None else float(r[i, j])
        return soft**config.soft_power if soft >= config.soft_threshold else 0.0

    alike = {
        "findings": lambda i, j: FINDINGS[i] == FINDINGS[j],
        "impression": lambda i, j: IMPRESSIONS[i] == IMPRESSIONS[j],
        "text": lambda i, j: FINDINGS[i] == FINDINGS[j] or IMPRESSIONS[i] == IMPRESSIONS[j],
        "image": lambda i, j: False,
    }
    return {k: [[weight(i, j, f(i, j)) for j in range(N)] for i in range(N)] for k, f in alike.items()}


def similarity(score):
    return lambda x, y: A * SCORES[score](x, y) + B


def naive_inclusion(image, spoilt, c):
    """−log sigmoid(c H) with H = log ∫ p² q − log ∫ p q², both from the normal density of the means' gap."""
    values = []
    for i in range(N):
        inside = 0.0
        for d in range(D):
            v, w = math.exp(float(image.log_var[i, d])), math.exp(float(spoilt.log_var[i, d]))
            gap = float(image.mean[i, d] - spoilt.mean[i, d])
            for sign, a, b in ((1, v, w), (-1, w, v)):  # ∫ f² g: f² is a normal of a / 2 over 2 √(π a)
                log_density = -0.5 * math.log(2 * math.pi * (a / 2 + b)) - gap**2 / (a + 2 * b)
                inside += sign * (log_density - math.log(2 * math.sqrt(math.pi * a)))
        values.append(math.log1p(math.exp(-c * inside)))
    return sum(values) / N


def check(terms, naive, weights):
    loss = sum(weights[name] * value for name, value in naive.items())
    expected = {"loss": loss, **naive}
    assert {name: pytest.approx(float(value), abs=1e-9) for name, value in terms.items()} == expected


CORRESPONDENCES = [
    {},
    {"duplicates": "negative"},
    {"duplicates": "ignored"},
    {"equal_coding": "positive"},
    {"equal_coding": "ignored", "duplicates": "positive"},
    {"soft": "tfidf", "soft_threshold": 0.4, "soft_power": 3.0},
    {"soft": "encoder", "equal_coding": "ignored"},
]


@pytest.mark.parametrize("changes", CORRESPONDENCES, ids=str)
@pytest.mark.parametrize("name", ["medprobclip", "cxr-clip", "clip"])
def test_softmax_objectives_agree_with_naive_loops(gaussians, name, changes):
    config = replace(OBJECTIVES[name], **changes)
    r = torch.rand(N, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    r = r if config.soft != "none" else None
    (i1, i2), (t1, t2) = gaussians[:2], gaussians[2:]
    targets = batch_targets(config, IDS, torch.tensor(CODING), r)
    terms = objective_terms(Views((i1, i2), (t1, t2), targets), similarity(config.score), config)

    m = naive_weights(config, r)
    s = lambda x, y, contrast: naive_symmetric(  # noqa: E731
        naive_softmax, naive_logits(config.score, x, y), m[contrast]
    )
    if name == "clip":
        naive, weights = {"image_text": s(i1, t1, "findings")}, {"image_text": 1.0}
    else:
        image_text = [s(i, t, k) for i in (i1, i2) for t, k in ((t1, "findings"), (t2, "impression"))]
        naive = {
            "image_text": sum(image_text) / 4,
            "image_image": s(i1, i2, "image"),
            "text_text": s(t1, t2, "text"),
        }
        weights = {"image_text": 1.0, "image_image": 1.0, "text_text": 0.5}
    if name == "medprobclip":
        naive |= {"kl_image": naive_kl([i1, i2]), "kl_text": naive_kl([t1, t2])}
        weights |= {"text_text": 0.1, "kl_image": 1e-4, "kl_text": 1e-4}
    check(terms, naive, weights)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    "changes", CORRESPONDENCES[:2] + CORRESPONDENCES[3:4] + CORRESPONDENCES[5:6], ids=str
)
def test_pcme_agrees_with_naive_loops(gaussians, changes, mixed):
    """L = 2 BCE(ℓ, m) + β (KL_I + KL_T) + α [BCE(ℓ, m̃) + BCE(ℓᵀ, m̃ᵀ)], KL mean over B and D."""
    config = replace(OBJECTIVES["pcme++"], **changes)
    r = torch.rand(N, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    r = r if config.soft != "none" else None
    image, text = gaussians[0], gaussians[2]
    targets = batch_targets(config, IDS, torch.tensor(CODING), r)
    m = naive_weights(config, r)["findings"]
    if mixed:  # 1 takes 40 % of 3, and 4 takes 40 % of 1
        targets = Mix(torch.tensor([1, 4]), torch.tensor([3, 1]), 0.6).targets(targets)
        clean = [list(row) for row in m]
        for row, partner in ((1, 3), (4, 1)):
            m[row] = [0.6 * a + 0.4 * b for a, b in zip(clean[row], clean[partner], strict=True)]
    terms = objective_terms(Views((image,), (text,), targets), similarity("csd"), config)

    logits = naive_logits("csd", image, text)
    turned, m_turned = transposed(logits), transposed(m)
    naive = {
        "image_text": naive_sigmoid(logits, m),
        "kl_image": naive_kl([image]) / D,
        "kl_text": naive_kl([text]) / D,
        "pseudo_positive": naive_sigmoid(logits, naive_pseudo(logits, m))
        + naive_sigmoid(turned, naive_pseudo(turned, m_turned)),
    }
    # 0.6 in float32 weights
    loss = 2 * naive["image_text"] + 1e-4 * (naive["kl_image"] + naive["kl_text"])
    loss += 0.1 * naive["pseudo_positive"]
    expected = {"loss": loss, **naive}
    assert {name: pytest.approx(float(value), abs=1e-6) for name, value in terms.items()} == expected


@pytest.mark.parametrize("c", [0.3, 1.0])
def test_inclusion_agrees_with_a_naive_loop(gaussians, make_gaussian, c):
    """Of the first view in its copy, beside the terms that the reference has anyway."""
    reference, spoilt = OBJECTIVES["medprobclip"], make_gaussian(N, D, seed=4)
    views = Views(tuple(gaussians[:2]), tuple(gaussians[2:]), spoilt=spoilt)
    plain = objective_terms(views, expected_likelihood, reference)
    assert "inclusion" not in plain
    config = replace(OBJECTIVES["medprobclip-inclusion"], inclusion_weight=0.7, inclusion_scale=c)
    expected = naive_inclusion(gaussians[0], spoilt, c)
    assert expected != pytest.approx(naive_inclusion(gaussians[1], spoilt, c), rel=0.01)
    terms = objective_terms(views, expected_likelihood, config)
    added = {"inclusion": expected, "loss": float(plain["loss"]) + 0.7 * expected}
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(
        {name: float(value) for name, value in plain.items()} | added, abs=1e-9
    )


def test_inclusion_makes_copies_wider_and_first_views_narrower(gaussians, make_gaussian):
    """Where the means agree; the second view is not asked."""
    first, second, spoilt = (
        Gaussian(gaussians[0].mean, torch.zeros(N, D, dtype=torch.float64).requires_grad_()) for _ in range(3)
    )
    views = Views((first, second), tuple(gaussians[2:]), spoilt=spoilt)
    config = OBJECTIVES["medprobclip-inclusion"]
    objective_terms(views, expected_likelihood, config)["inclusion"].backward()
    assert (spoilt.log_var.grad < -1e-3).all()  # a step against the gradient widens
    assert (first.log_var.grad > 1e-3).all()
    assert second.log_var.grad is None


def test_inclusion_without_spoilt_copies_is_refused(gaussians):
    views = Views(tuple(gaussians[:2]), tuple(gaussians[2:]))
    with pytest.raises(ValueError, match="needs spoilt copies of the first views"):
        objective_terms(views, expected_likelihood, OBJECTIVES["medprobclip-inclusion"])


def test_loss_is_the_weighted_sum_of_the_terms(gaussians, make_gaussian):
    views = Views(tuple(gaussians[:2]), tuple(gaussians[2:]), spoilt=make_gaussian(N, D, seed=4))
    for config in OBJECTIVES.values():
        terms = objective_terms(views, similarity(config.score), config)
        weights = term_weights(config)
        assert terms.keys() == {"loss", *weights}
        torch.testing.assert_close(terms["loss"], sum(w * terms[name] for name, w in weights.items()))


def test_one_view_is_enough_for_objectives_of_one_view(gaussians):
    both = Views(tuple(gaussians[:2]), tuple(gaussians[2:]))
    first = Views(both.images[:1], both.reports[:1])
    clip = OBJECTIVES["clip"]
    assert objective_terms(first, similarity("cosine"), clip) == objective_terms(
        both, similarity("cosine"), clip
    )
    with pytest.raises(ValueError, match="need 2 views and 2 sections, got 1 and 1"):
        objective_terms(first, similarity("cosine"), OBJECTIVES["cxr-clip"])


def test_without_targets_each_study_answers_for_itself(gaussians):
    config = ObjectiveConfig(duplicates="negative")
    views = Views(tuple(gaussians[:2]), tuple(gaussians[2:]))
    published = replace(views, targets=batch_targets(config, IDS, None, None))
    terms = objective_terms(views, expected_likelihood, config)
    for name, value in objective_terms(published, expected_likelihood, config).items():
        torch.testing.assert_close(value, terms[name])


def test_shift_gets_no_gradient_from_a_softmax_but_from_a_sigmoid(gaussians):
    """Under a softmax b moves every logit alike, so the published b never learns."""
    views = Views(tuple(gaussians[:2]), tuple(gaussians[2:]))
    for name in ("medprobclip", "pcme++"):
        b = torch.zeros((), dtype=torch.float64, requires_grad=True)
        terms = objective_terms(views, lambda x, y: expected_likelihood(x, y) + b, OBJECTIVES[name])  # noqa: B023
        terms["loss"].backward()
        assert (abs(float(b.grad)) < 1e-12) == (name == "medprobclip")


def test_soft_targets_work_with_every_score_and_loss(gaussians):
    r = torch.rand(N, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for score in SCORES:
        for loss in ("softmax", "sigmoid"):
            config = ObjectiveConfig(loss=loss, score=score, soft="tfidf")
            parts = [Gaussian(g.mean.clone().requires_grad_(), g.log_var) for g in gaussians]
            views = Views(tuple(parts[:2]), tuple(parts[2:]), batch_targets(config, IDS, None, r))
            objective_terms(views, similarity(score), config)["loss"].backward()
            assert all(torch.isfinite(g.mean.grad).all() and g.mean.grad.any() for g in parts)


def test_a_correspondence_without_its_source_is_refused():
    with pytest.raises(ValueError, match="'ignored' needs a study table with a column `codes`"):
        batch_targets(ObjectiveConfig(equal_coding="ignored"), IDS, None, None)
    with pytest.raises(ValueError, match="'tfidf' needs the similarity"):
        batch_targets(ObjectiveConfig(soft="tfidf"), IDS, None, None)
