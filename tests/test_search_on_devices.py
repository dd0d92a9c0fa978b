"""Exact search on every device against float64 on the CPU, ties, parts and penalties included."""

import pytest
import torch

from medprobclip import search
from medprobclip.evaluation.scaling import cosine_top_k
from medprobclip.gaussian import Gaussian
from medprobclip.search import from_keys, ordered_keys, top_k


def draw(n: int, dim: int, seed: int) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(*torch.randn(2, n, dim, generator=generator))


def exact(queries: Gaussian, gallery: Gaussian) -> torch.Tensor:
    """All scores in float64 on the CPU `[N, M]`, by the plain formula."""
    x, y = queries.to(torch.float64), gallery.to(torch.float64)
    s = x.var[:, None] + y.var[None]
    return -0.5 * ((x.mean[:, None] - y.mean[None]).square() / s + s.log()).sum(-1)


def agrees(hits, truth: torch.Tensor, k: int, device) -> None:
    """The k best, best first; where rounding could change two places it may."""
    assert {hits.ids.device.type, hits.scores.device.type} == {device.type}
    assert hits.ids.dtype == torch.int64
    ids, scores = hits.ids.cpu(), hits.scores.cpu().double()
    best = truth.topk(k, dim=1)
    torch.testing.assert_close(scores, best.values, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(truth.gather(1, ids), best.values, rtol=1e-5, atol=1e-4)
    assert all(len(set(row)) == k for row in ids.tolist())
    beside = truth.topk(min(k + 1, truth.shape[1]), dim=1).values
    clear = (beside[:, :-1] - beside[:, 1:] > 1e-3)[:, :k]
    sure = clear & torch.cat([clear[:, :1], clear[:, :-1]], 1)
    assert sure.sum() >= sure.shape[0]
    assert torch.equal(ids[:, : sure.shape[1]][sure], best.indices[:, : sure.shape[1]][sure])


@pytest.fixture
def blocks_of_700(monkeypatch):
    """A gallery of 3,000 has five blocks, the last one smaller."""
    monkeypatch.setattr(search, "BLOCK", 700)


@pytest.mark.parametrize("k", [1, 10, 800])
def test_agrees_with_float64(device, blocks_of_700, k):
    queries, gallery = draw(9, 32, 0), draw(3000, 32, 1)
    agrees(top_k(queries.to(device), gallery.to(device), k), exact(queries, gallery), k, device)


def test_a_gallery_on_disk_in_parts_is_searched_where_the_queries_are(device, blocks_of_700, tmp_path):
    queries, gallery = draw(9, 32, 0), draw(3000, 32, 1)
    parts = []
    for start in (0, 1100, 2500):
        gallery[start : {0: 1100, 1100: 2500, 2500: 3000}[start]].save(tmp_path / f"{start}.safetensors")
        parts.append(Gaussian.load(tmp_path / f"{start}.safetensors"))
    agrees(top_k(queries.to(device), parts, 10), exact(queries, gallery), 10, device)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["penalty on the CPU", "penalty on the device"])
def test_a_penalty_on_either_device(device, blocks_of_700, elsewhere):
    queries, gallery = draw(9, 32, 0), draw(3000, 32, 1)
    penalty = torch.linspace(0, 20, 3000)
    hits = top_k(
        queries.to(device), gallery.to(device), 10, penalty=penalty if elsewhere else penalty.to(device)
    )
    agrees(hits, exact(queries, gallery) - penalty.double(), 10, device)


def test_ties_are_in_ascending_order_of_id(device, blocks_of_700):
    """Thirty items a hundred times each: bit-equal scores through all blocks, in order of their ids."""
    places = torch.arange(3000) % 30
    gallery = draw(30, 64, 1)[places]
    queries = draw(5, 64, 0)
    ids = top_k(queries.to(device), gallery.to(device), 250).ids.cpu()
    order = exact(queries, gallery[:30]).argsort(1, descending=True)
    for row, best in zip(ids, order, strict=True):
        expected = torch.cat([torch.arange(int(item), 3000, 30) for item in best[:3]])[:250]
        assert row.tolist() == expected.tolist()


def test_no_queries_have_empty_hits_on_their_device(device):
    hits = top_k(draw(0, 8, 0).to(device), draw(10, 8, 1).to(device), 3)
    assert hits.scores.shape == hits.ids.shape == (0, 3)
    assert hits.scores.device.type == hits.ids.device.type == device.type


def test_what_is_not_a_number_is_refused(device):
    queries, gallery = draw(3, 8, 0).to(device), draw(10, 8, 1).to(device)
    gallery.mean[7, 2] = float("nan")
    with pytest.raises(ValueError, match="query 0 and gallery item 7 have a score of NaN"):
        top_k(queries, gallery, 3)


def test_keys_and_back(device):
    scores = torch.tensor([[-1e30, -2.5, -0.0, 0.0, 1e-40, 3.25, 1e30]], device=device)
    ids = torch.tensor([[0, 5, 2**31, 7, 9, 2**32 - 1, 1]], device=device)
    keys = ordered_keys(scores, ids)
    back = from_keys(keys)
    assert torch.equal(back.scores, scores + 0.0)
    assert torch.equal(back.ids, ids)
    assert keys.argsort(1).tolist() == [[0, 1, 2, 3, 4, 5, 6]]


def test_brute_force_cosine(device):
    x, y = draw(9, 32, 0), draw(3000, 32, 1)
    scores, ids = cosine_top_k(x.to(device), y.to(device), 10)
    a, b = (g.mean.double() / g.mean.double().norm(dim=1, keepdim=True) for g in (x, y))
    best = (a @ b.T).topk(10)
    torch.testing.assert_close(scores.cpu().double(), best.values, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close((a @ b.T).gather(1, ids.cpu()), best.values, rtol=1e-5, atol=1e-5)
