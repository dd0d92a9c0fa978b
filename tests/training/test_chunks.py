"""A few studies' activations at a time: the terms and gradients of the whole batch, however it is cut.

Of several processes: `test_processes.py`.
"""

import weakref

import pytest
import torch
from contrasted import CASES, Alike, measured, whole_batch
from tiny import RESNET, TEXT, VIT, build
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from medprobclip.objectives import Views, objective_terms
from medprobclip.settings import OBJECTIVES
from medprobclip.training.chunks import backward_in_chunks, cut
from medprobclip.training.processes import Team
from medprobclip.training.steps import BatchLoss, answers, encode_views

OBJECTIVE = OBJECTIVES["medprobclip"]


@pytest.fixture(scope="module")
def whole():
    """Of every objective, without chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medprobclip.support.precision.has_bfloat16", lambda device: False)
        return {name: measured(name, objective, Team(), None) for name, objective in CASES.items()}


def near(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, of in expected.items():
        torch.testing.assert_close(
            found[name], of, atol=1e-5, rtol=1e-5, msg=lambda why, name=name: f"{name}: {why}"
        )


@pytest.mark.parametrize("chunk", [1, 3, 7, 10])
def test_terms_and_gradients_are_those_of_the_whole_batch(whole, float32, chunk):
    """Of seven studies, for every objective; what had no gradient has none."""
    for name, objective in CASES.items():
        near(measured(name, objective, Team(), None, chunk), whole[name])


def step(model, chunk: int = 0, objective=OBJECTIVE, **more) -> tuple[dict, dict]:
    """Terms and gradients of the made-up batch, at once without a chunk."""
    device = model.device
    batch, pixels = whole_batch()
    batch, pixels = batch.to(device), pixels[: objective.views].to(device)
    targets = answers(batch, objective, Alike() if objective.soft != "none" else None)
    loss = BatchLoss(model, objective, Team())
    if chunk:
        terms = backward_in_chunks(loss, batch, pixels, targets, False, chunk, **more)
    else:
        terms = loss(batch, pixels, targets, False)
        terms["loss"].backward()
    return terms, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def by_hand(model, chunk: int) -> dict:
    """Gradients of one graph over all chunks: every study is encoded once, all activations are held."""
    batch, pixels = whole_batch()
    batch, pixels = batch.to(model.device), pixels[:2].to(model.device)
    parts = [encode_views(model, *part) for part in cut(batch, pixels, chunk)]
    images, reports = (
        tuple(of[0].cat(of) for of in zip(*sides, strict=True))
        for sides in ([part.images for part in parts], [part.reports for part in parts])
    )
    targets = answers(batch, OBJECTIVE, None)
    objective_terms(Views(images, reports, targets), model.similarity, OBJECTIVE)["loss"].backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def dropping(device) -> nn.Module:
    """A model that drops a third of its numbers, in both encoders."""
    third = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    configs = [type(config)(**{**config.to_dict(), **third}) for config in (VIT, TEXT)]
    return build(*configs).train().to(device)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_second_pass_drops_what_the_first_dropped(float32, device, checkpointing):
    """As if each study had been encoded once, with as many draws; another seed drops other numbers. The same
    where layers keep no activations either, and are computed a third time.
    """
    found = []
    for seed, work in (
        (7, by_hand),
        (7, lambda model, chunk: step(model, chunk)[1]),
        (8, lambda model, chunk: step(model, chunk)[1]),
    ):
        model = dropping(device)
        if checkpointing and work is not by_hand:
            model.activation_checkpointing_enable()
        torch.manual_seed(seed)
        gradients = work(model, 3)
        found.append((gradients, torch.rand(3, device=device), torch.rand(3)))
    (truth, *draws), (ours, *same), (others, *_) = found
    near(ours, truth)
    for ours_next, truth_next in zip(same, draws, strict=True):
        torch.testing.assert_close(ours_next, truth_next, rtol=0, atol=0)
    name = "vision_head.linear.weight"
    assert (others[name] - truth[name]).norm() > 0.05 * truth[name].norm()


def most_saved(work) -> int:
    """The most bytes that the graph held at a time."""
    held = most = 0

    class Kept:
        def __init__(self, tensor):
            nonlocal held, most
            self.tensor = tensor.detach()  # else what a node has made holds the node, for ever
            held += tensor.nbytes
            most = max(most, held)
            weakref.finalize(self, freed, tensor.nbytes)

    def freed(size):
        nonlocal held
        held -= size

    with saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        work()
    assert held == 0
    return most


def test_fewer_activations_are_held(float32):
    def of(chunk):
        return most_saved(lambda: step(build(VIT).train(), chunk))

    at_once, sevenths = of(0), of(1)
    assert of(3) < 0.6 * at_once
    assert sevenths < 0.3 * at_once
    assert sevenths < of(2) < of(3)


def test_only_the_loss_is_scaled(float32):
    """As a scaler for float16 does: once, and every gradient with it."""
    _, plain = step(build(VIT), 3)
    asked = []

    def scaled(loss):
        asked.append(loss.item())
        (1024 * loss).backward()

    terms, found = step(build(VIT), 3, backward=scaled)
    assert asked == [terms["loss"].item()]
    near({name: gradient / 1024 for name, gradient in found.items()}, plain)


def test_batch_normalisation_is_refused_unless_it_is_frozen(float32):
    model = build(RESNET).train()
    with pytest.raises(ValueError, match="batch normalisation.*freeze the vision encoder"):
        step(model, 3)
    assert all(p.grad is None for p in model.parameters())
    found = []
    for chunk in (0, 3):
        frozen = build(RESNET)
        frozen.freeze("vision")
        for module in frozen.train().modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        terms, gradients = step(frozen, chunk)
        found.append({name: of.detach() for name, of in terms.items()} | gradients)
    near(*found)
    assert not any(name.startswith("vision_model") for name in found[1])
    assert any(name.startswith("vision_head") for name in found[1])


def test_a_chunk_of_nothing_is_refused(float32):
    batch, pixels = whole_batch()
    with pytest.raises(ValueError, match="1 at least, got 0"):
        cut(batch, pixels, 0)


def test_every_study_is_in_one_chunk_with_its_views_and_sections():
    batch, pixels = whole_batch()
    parts = cut(batch, pixels, 3)
    assert [part.shape[:2] for _, part in parts] == [(3, 3), (3, 3), (3, 1)]
    torch.testing.assert_close(torch.cat([part for _, part in parts], 1), pixels)
    for section in range(2):
        ids = torch.cat([part.sections[section].input_ids for part, _ in parts])
        torch.testing.assert_close(ids, batch.sections[section].input_ids)
    assert all(torch.equal(part.rows, batch.rows) for part, _ in parts)
