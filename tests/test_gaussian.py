"""Gaussian against torch.distributions, closed forms and Monte Carlo."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch.distributions import Independent, Normal, kl_divergence
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.data import DataLoader, Dataset

from medprobclip.gaussian import Gaussian


def as_distribution(g: Gaussian) -> Independent:
    return Independent(Normal(g.mean, g.var.sqrt()), 1)


def test_kl_agrees_with_torch_distributions(make_gaussian):
    g = make_gaussian(7, 5)
    standard = Independent(Normal(torch.zeros_like(g.mean), torch.ones_like(g.mean)), 1)
    torch.testing.assert_close(g.kl_to_standard_normal(), kl_divergence(as_distribution(g), standard))


def test_kl_agrees_with_monte_carlo(make_gaussian):
    g = make_gaussian(3, 4)
    z = g.sample(200_000, torch.Generator().manual_seed(1))
    log_ratio = as_distribution(g).log_prob(z) - Normal(0, 1).log_prob(z).sum(-1)
    error = log_ratio.std(0) / len(z) ** 0.5
    assert ((log_ratio.mean(0) - g.kl_to_standard_normal()).abs() < 5 * error).all()


def test_kl_between_two_agrees_with_torch_distributions(make_gaussian):
    p, q = make_gaussian(7, 5, seed=1), make_gaussian(7, 5, seed=2)
    torch.testing.assert_close(p.kl(q), kl_divergence(as_distribution(p), as_distribution(q)))
    assert p.kl(p).abs().max() < 1e-12
    torch.testing.assert_close(p.kl(q[3:4])[3], p[3].kl(q[3]))  # shapes broadcast
    standard = Gaussian(torch.zeros_like(p.mean), torch.zeros_like(p.mean))
    torch.testing.assert_close(p.kl(standard), p.kl_to_standard_normal())


def log_overlap(p: Gaussian, q: Gaussian) -> float:
    """log ∫ p² q of two Gaussians in one dimension, numerically."""
    f, g = (norm(float(x.mean), float(x.var) ** 0.5) for x in (p, q))
    edges = sorted([*f.interval(1 - 1e-15), *g.interval(1 - 1e-15)])
    whole = (quad(lambda x: f.pdf(x) ** 2 * g.pdf(x), *part)[0] for part in itertools.pairwise(edges))
    return math.log(sum(whole))


def test_inclusion_agrees_with_integrals(make_gaussian):
    """log ∫ p² q − log ∫ p q², which add up over the dimensions."""
    p, q = make_gaussian(4, 3, seed=1), make_gaussian(4, 3, seed=2)
    sides = [Gaussian(g.mean.view(12, 1), g.log_var.view(12, 1)) for g in (p, q)]
    values = [log_overlap(a, b) - log_overlap(b, a) for a, b in zip(*sides, strict=True)]
    expected = torch.tensor(values, dtype=torch.float64).view(4, 3).sum(1)
    torch.testing.assert_close(p.inclusion(q), expected, rtol=1e-6, atol=1e-6)


def test_inclusion_is_a_sum_over_dimensions_and_turns_its_sign_with_the_order(make_gaussian):
    p, q = make_gaussian(7, 5, seed=1), make_gaussian(7, 5, seed=2)
    alone = [Gaussian(g.mean[..., None], g.log_var[..., None]) for g in (p, q)]
    torch.testing.assert_close(p.inclusion(q), alone[0].inclusion(alone[1]).sum(-1))
    torch.testing.assert_close(q.inclusion(p), -p.inclusion(q))
    torch.testing.assert_close(p.inclusion(q[3:4])[3], p[3].inclusion(q[3]))  # shapes broadcast
    assert p.inclusion(q).abs().min() > 1e-3
    assert p.inclusion(p).abs().max() < 1e-12
    moved = Gaussian(p.mean + 1, p.log_var)  # as wide: neither lies in the other
    assert p.inclusion(moved).abs().max() < 1e-12


def test_what_is_wider_includes_wherever_it_lies(make_gaussian):
    p, q = make_gaussian(200, 5, seed=1), make_gaussian(200, 5, seed=2)
    wider = Gaussian(q.mean, p.log_var + 0.1 + q.log_var.abs())
    assert p.inclusion(wider).min() > 0
    wider_still = Gaussian(p.mean, p.log_var + 0.2)
    widest = Gaussian(p.mean, p.log_var + 3.0)
    assert (p.inclusion(widest) > p.inclusion(wider_still)).all()


def test_entropy_and_total_variance(make_gaussian):
    g = make_gaussian(6, 3)
    torch.testing.assert_close(g.entropy(), as_distribution(g).entropy())
    torch.testing.assert_close(g.total_variance(), as_distribution(g).variance.sum(-1))


def test_sums_of_half_precision_are_taken_in_float32(make_gaussian):
    g = make_gaussian(3, 512).to(torch.bfloat16)
    exact = g.to(torch.float64)
    for name in ("entropy", "total_variance", "kl_to_standard_normal"):
        torch.testing.assert_close(getattr(g, name)().double(), getattr(exact, name)(), rtol=1e-5, atol=1e-3)
    for name in ("kl", "inclusion"):
        found, expected = getattr(g, name)(g[:1]), getattr(exact, name)(exact[:1])
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-3)


def test_standard_normal_has_no_kl():
    assert Gaussian(torch.zeros(2, 8), torch.zeros(2, 8)).kl_to_standard_normal().eq(0).all()


def test_samples_have_the_moments_and_gradients(make_gaussian):
    g = make_gaussian(2, 3)
    g = Gaussian(g.mean.requires_grad_(), g.log_var.requires_grad_())
    z = g.sample(100_000, torch.Generator().manual_seed(0))
    assert z.shape == (100_000, 2, 3)
    sigma = g.var.sqrt().detach()
    torch.testing.assert_close(z.mean(0).detach(), g.mean.detach(), atol=5 * float(sigma.max()) / 316, rtol=0)
    torch.testing.assert_close(z.std(0).detach(), sigma, rtol=0.02, atol=0)
    z.sum().backward()
    torch.testing.assert_close(g.mean.grad, torch.full_like(g.mean, 100_000))


def test_index_cat_and_chunk_undo_each_other(make_gaussian):
    a, b = make_gaussian(4, 3, seed=1), make_gaussian(4, 3, seed=2)
    both = Gaussian.cat([a, b])
    assert len(both) == 8
    for part, original in zip(both.chunk(2), (a, b), strict=True):
        assert torch.equal(part.mean, original.mean)
        assert torch.equal(part.log_var, original.log_var)
    assert torch.equal(both[5].mean, b.mean[1])
    with pytest.raises(ValueError, match="equal parts"):
        both[:7].chunk(2)


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        Gaussian(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="dtype"):
        Gaussian(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.float64))


def assert_same(a: Gaussian, b: Gaussian) -> None:
    assert torch.equal(a.mean, b.mean)
    assert torch.equal(a.log_var, b.log_var)


def test_moves_and_casts(make_gaussian):
    g = make_gaussian(4, 3)
    assert g.to("meta").mean.device.type == "meta"
    assert g.float().log_var.dtype == torch.float32
    assert_same(g.to(torch.float64), g)
    assert [part.dim for part in g] == [3] * 4  # iterating gives its rows
    assert_same(Gaussian.stack(list(g)), g)


class OneByOne(Dataset):
    """Each item is a Gaussian `[D]` beside its number."""

    def __init__(self, g: Gaussian) -> None:
        self.g = g

    def __len__(self) -> int:
        return len(self.g)

    def __getitem__(self, i: int) -> dict:
        return {"embedding": self.g[i], "row": i}


def test_a_data_loader_collates_it(make_gaussian):
    g = make_gaussian(5, 3)
    batches = list(DataLoader(OneByOne(g), batch_size=2))
    assert [batch["embedding"].shape for batch in batches] == [(2, 3), (2, 3), (1, 3)]
    assert_same(Gaussian.cat([batch["embedding"] for batch in batches]), g)


def test_it_is_a_tree_of_two_tensors(make_gaussian):
    g = make_gaussian(5, 3)
    leaves, structure = tree_flatten({"image": g})
    assert len(leaves) == 2
    assert_same(tree_unflatten(leaves, structure)["image"], g)
    assert_same(tree_map(lambda t: 2 * t, g), Gaussian(2 * g.mean, 2 * g.log_var))


GATHER = """
import os, sys, torch
# They meet at a file: a port that was free may be another's by now. Accelerate asks for one all the same.
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{sys.argv[2]}", rank=int(sys.argv[1]), world_size=2
)
os.environ.update(RANK=sys.argv[1], LOCAL_RANK=sys.argv[1], WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
                  MASTER_PORT="0", ACCELERATE_USE_CPU="true")
from accelerate import Accelerator
from medprobclip.gaussian import Gaussian
accelerator = Accelerator(cpu=True)
rank = accelerator.process_index
mine = Gaussian(torch.full((2, 3), float(rank)), torch.full((2, 3), 10.0 + rank))
whole = mine.map(accelerator.gather)
assert accelerator.num_processes == 2
assert whole.mean[:, 0].tolist() == [0.0, 0.0, 1.0, 1.0], whole
assert whole.log_var[:, 0].tolist() == [10.0, 10.0, 11.0, 11.0], whole
print("gathered")
torch.distributed.destroy_process_group()
"""


def test_it_is_gathered_across_processes(tmp_path):
    command = [sys.executable, "-c", GATHER]
    running = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meeting")], stdout=-1, stderr=-1, text=True)
        for rank in (0, 1)
    ]
    for process in running:
        out, error = process.communicate(timeout=600)  # ends what hangs; it takes a few seconds
        assert process.returncode == 0, error
        assert "gathered" in out


def test_saved_and_mapped_back(make_gaussian, tmp_path):
    g = make_gaussian(5, 3)
    g[:, :2].save(tmp_path / "g.safetensors")  # not contiguous
    assert_same(Gaussian.load(tmp_path / "g.safetensors"), g[:, :2])
    with pytest.raises(FileNotFoundError):
        Gaussian.load(tmp_path / "none.safetensors")
