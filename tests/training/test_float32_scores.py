"""Encoders in half precision, everything after them in float32: Gaussians, scores, KL, loss."""

from contextlib import nullcontext

import pytest
import torch
from contrasted import CASES, STUDIES, Alike, whole_batch
from tiny import TEXT, VIT, build
from torch import nn

from medprobclip.gaussian import Gaussian
from medprobclip.objectives import Views, objective_terms
from medprobclip.similarity import SCORES, ScaledSimilarity
from medprobclip.training import steps
from medprobclip.training.processes import Team
from medprobclip.training.steps import BatchLoss, answers

HALF = pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
SIDES = 5  # two views, two sections, one spoilt copy


def drawn() -> list[Gaussian]:
    """Views, sections and copies, whose sums half precision would get wrong in the third digit."""
    generator = torch.Generator().manual_seed(2)
    parts = torch.randn(SIDES, 2, STUDIES, 24, generator=generator) * torch.tensor([3.0, 1.0]).view(2, 1, 1)
    return [Gaussian(mean.requires_grad_(), log_var.requires_grad_()) for mean, log_var in parts.unbind()]


def views_of(sides, targets) -> Views:
    return Views(tuple(sides[:2]), tuple(sides[2:4]), targets, sides[4])


def with_gradients(work, half) -> list[torch.Tensor]:
    """What `work` makes of `drawn` sides under autocast, and the gradients of its sum."""
    sides = drawn()
    with torch.autocast("cpu", half) if half else nullcontext():
        made = work(sides)
    made.sum().backward()
    return [made, *(tensor.grad for side in sides for tensor in (side.mean, side.log_var))]


@HALF
@pytest.mark.parametrize("score", SCORES)
def test_a_score_and_its_gradients_do_not_know_autocast(score, half):
    """Bit for bit."""
    similarity = ScaledSimilarity(score, 1.5, 0.5)
    plain, ours = (with_gradients(lambda sides: similarity(sides[0], sides[2]), how) for how in (None, half))
    assert ours[0].dtype == torch.float32
    for found, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@HALF
@pytest.mark.parametrize("name", CASES)
def test_nor_do_an_objectives_terms_and_their_gradients(name, half):
    """Bit for bit: KL and inclusion are among them."""
    objective = CASES[name]
    targets = answers(whole_batch()[0], objective, Alike() if objective.soft != "none" else None)
    similarity = ScaledSimilarity(objective.score, objective.scale, objective.shift)

    def terms(sides):
        return torch.stack([*objective_terms(views_of(sides, targets), similarity, objective).values()])

    plain, ours = (with_gradients(terms, how) for how in (None, half))
    assert ours[0].dtype == torch.float32
    for found, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@HALF
@pytest.mark.parametrize("name", ["medprobclip", "medprobclip-inclusion", "sigmoid", "clip"])
def test_half_ends_at_the_heads(name, half, monkeypatch):
    """Of a whole step, autocast around all of it, as accelerate has it: the terms are those of float64 on the
    same Gaussians, though the encoders did compute in half.
    """
    monkeypatch.setattr(steps, "autocast", lambda device, *_: torch.autocast(device.type, half))
    objective = CASES[name]
    model = build(VIT, TEXT, **objective.model_settings())
    products, heads, seen = [], [], []
    for name_of, module in model.named_modules():
        if isinstance(module, nn.Linear):
            kept = heads if "_head." in name_of else products
            module.register_forward_hook(lambda module, inputs, made, kept=kept: kept.append(made.dtype))
    monkeypatch.setattr(
        steps, "objective_terms", lambda views, *rest: (seen.append(views), objective_terms(views, *rest))[1]
    )
    batch, pixels = whole_batch()
    spoilt = objective.inclusion_weight > 0
    targets = answers(batch, objective, None)
    with torch.autocast("cpu", half):
        terms = BatchLoss(model, objective, Team())(
            batch, pixels[: objective.views + spoilt], targets, spoilt
        )
    assert set(products) == {half}
    assert set(heads) == {torch.float32}
    (views,) = seen
    sides = [*views.images, *views.reports, *([views.spoilt] if spoilt else [])]
    assert {side.mean.dtype for side in sides} == {torch.float32}
    wide = [side.to(torch.float64) for side in sides]
    v, s = len(views.images), len(views.reports)
    exact = Views(tuple(wide[:v]), tuple(wide[v : v + s]), targets, wide[-1] if spoilt else None)
    for key, truth in objective_terms(exact, model.similarity.double(), objective).items():
        assert terms[key].dtype == torch.float32
        torch.testing.assert_close(terms[key].double(), truth, rtol=1e-5, atol=1e-5)
