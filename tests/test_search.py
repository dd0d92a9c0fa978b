"""Top-k search against a naive sort of the full score matrix, ties and parts of a gallery included."""

import re
from dataclasses import replace

import pytest
import torch
from counting import most_held
from hypothesis import given, settings, strategies as st

from medprobclip import search
from medprobclip.gaussian import Gaussian
from medprobclip.search import from_keys, ordered_keys, top_k
from medprobclip.similarity import expected_likelihood
from medprobclip.support import kernels


def draw(n: int, dim: int, seed: int, spread: float = 1.0) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(*(spread * torch.randn(2, n, dim, generator=generator)))


def brute_force(queries: Gaussian, gallery: Gaussian, k: int, penalty=0.0) -> tuple[list, list]:
    """Sort all pairs in Python: highest score (less the item's penalty) first, then the lower id."""
    scores = (expected_likelihood(queries, gallery) - penalty).tolist()
    ids = [sorted(range(len(row)), key=lambda j: (-row[j], j))[:k] for row in scores]
    return [[row[j] for j in best] for row, best in zip(scores, ids, strict=True)], ids


def agrees(queries: Gaussian, gallery: Gaussian, k: int, parts=None, penalty=None) -> None:
    hits = top_k(queries, gallery if parts is None else parts, k, penalty=penalty)
    scores, ids = brute_force(queries, gallery, k, 0.0 if penalty is None else penalty)
    assert hits.ids.tolist() == ids
    assert hits.scores.tolist() == scores


@pytest.fixture
def small_blocks(monkeypatch):
    """Seven items at a time, so that a small gallery has many blocks."""
    monkeypatch.setattr(search, "BLOCK", 7)


@pytest.mark.parametrize("k", [1, 5, 20, 64])
def test_agrees_with_a_sort_of_all_pairs(small_blocks, k):
    agrees(draw(9, 6, 0), draw(64, 6, 1), k)


@given(
    n=st.integers(1, 5),
    m=st.integers(1, 40),
    distinct=st.integers(1, 6),
    block=st.integers(1, 9),
    seed=st.integers(0, 999),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_ties_are_in_ascending_order_of_id(n, m, distinct, block, seed, data):
    """A gallery of few different items, each many times over: most scores tie."""
    generator = torch.Generator().manual_seed(seed)
    gallery = draw(distinct, 3, seed)[torch.randint(distinct, (m,), generator=generator)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK", block)
        agrees(draw(n, 3, seed + 1), gallery, data.draw(st.integers(1, m)))


@pytest.mark.parametrize(("block", "k"), [(7, 20), (2048, 1), (2048, 20), (2048, 49), (2048, 50)])
def test_a_gallery_of_identical_items(block, k, monkeypatch):
    """Every row ties, of more queries than are ordered by key at once."""
    monkeypatch.setattr(search, "BLOCK", block)
    hits = top_k(draw(300, 4, 0), draw(1, 4, 1)[[0] * 50], k)
    assert hits.ids.tolist() == [list(range(k))] * 300


def test_ties_that_displace_what_was_best(monkeypatch):
    """The second block holds copies of one item that all queries prefer to the first block's."""
    monkeypatch.setattr(search, "BLOCK", 64)
    far, near = draw(64, 4, 1), draw(1, 4, 2, spread=0.1)[[0] * 64]
    gallery = Gaussian.cat([Gaussian(far.mean + 50, far.log_var), near])
    assert top_k(draw(9, 4, 0), gallery, 20).ids.tolist() == [list(range(64, 84))] * 9


def test_adversarial_order_the_best_come_last(small_blocks):
    """Every block holds better items than all before it, or only worse ones."""
    query, gallery = draw(1, 4, 0), draw(60, 4, 1, spread=3.0)
    order = expected_likelihood(query, gallery)[0].argsort()
    agrees(query, gallery[order], 8)
    agrees(query, gallery[order.flip(0)], 8)


def test_low_variance_items_far_away(small_blocks):
    """log s and the distance pull in opposite directions: an order by means alone would be wrong."""
    gallery = draw(40, 5, 1, spread=2.0)
    gallery = Gaussian(gallery.mean, gallery.log_var.clamp(-6, 6).where(gallery.mean > 0, torch.tensor(-6.0)))
    agrees(draw(6, 5, 0), gallery, 10)


def test_parts_count_through(small_blocks):
    gallery = draw(50, 6, 1)
    agrees(draw(5, 6, 0), gallery, 12, parts=[gallery[:3], gallery[3:31], gallery[31:]])


def test_parts_mapped_from_disk(small_blocks, tmp_path):
    gallery = draw(50, 6, 1)
    paths = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    for path, part in zip(paths, (gallery[:20], gallery[20:]), strict=True):
        part.save(path)
    agrees(draw(5, 6, 0), gallery, 12, parts=[Gaussian.load(path) for path in paths])


def test_bfloat16_gallery(small_blocks):
    """Stored in half the space: the scores are those of the rounded numbers, in float32."""
    agrees(draw(5, 6, 0), draw(50, 6, 1).to(torch.bfloat16), 12)


@pytest.mark.parametrize("mode", ["cpu_kernel_from", "compile_from"])
def test_compiled_search_agrees_bit_for_bit(mode, monkeypatch, compiler):
    monkeypatch.setattr(kernels, "CONFIG", replace(kernels.CONFIG, **{"cpu_kernel_from": 2**62, mode: 0}))
    monkeypatch.setattr(search, "BLOCK", 150)
    gallery = draw(400, 64, 1)
    gallery = Gaussian.cat([gallery, gallery[50:350]])
    agrees(draw(13, 64, 0), gallery, 30)


def test_keys_keep_the_order_and_the_numbers():
    scores = torch.tensor([[-3.5, 0.0, -0.0, 2.0, -float("inf"), 1e-38, -1e-38, 3e38]])
    ids = torch.tensor([[7, 2, 5, 2**32 - 1, 0, 1, 3, 4]])
    keys = ordered_keys(scores, ids).sort(descending=True).values
    hits = from_keys(keys)
    assert hits.ids.tolist() == [[4, 2**32 - 1, 1, 2, 5, 3, 7, 0]]
    assert hits.scores.tolist() == scores[0].sort(descending=True).values[None].tolist()


def test_memory_does_not_grow_with_the_gallery(tmp_path):
    """Galleries of 10 and 42 MB on disk are searched in the same 11 MB, scores included."""
    queries, held = draw(16, 64, 0), []
    for blocks in (10, 40):
        draw(blocks * search.BLOCK, 64, 1).save(path := tmp_path / f"{blocks}.safetensors")
        gallery = Gaussian.load(path)
        held.append(most_held(lambda gallery=gallery: top_k(queries, gallery, 5)))
    assert held[1] == pytest.approx(held[0], rel=0.01)
    assert held[1] < 25e6


def test_float64_is_searched_in_float32(small_blocks):
    """One type for every part: what differs in float64 only is a tie, in ascending order of id."""
    zero = torch.zeros(2, 1, dtype=torch.float64)
    query = Gaussian(zero[:1] + 1, zero[:1])
    gallery = Gaussian(torch.tensor([[0.0], [1e-9]], dtype=torch.float64), zero)
    assert top_k(query, gallery, 2).ids.tolist() == [[0, 1]]
    agrees(draw(4, 6, 0).to(torch.float64).float(), draw(30, 6, 1), 5, [draw(30, 6, 1).to(torch.float64)])


def test_no_queries_and_empty_parts(small_blocks):
    gallery = draw(20, 4, 1)
    assert top_k(draw(0, 4, 0), gallery, 3).ids.shape == (0, 3)
    agrees(draw(2, 4, 0), gallery, 3, [gallery[:0], gallery[:9], gallery[9:9], gallery[9:]])


def test_infinitely_unlikely_items_come_last(small_blocks):
    gallery = draw(20, 4, 1)
    gallery.mean[3] = float("inf")
    hits = top_k(draw(2, 4, 0), gallery, 20)
    assert hits.ids[:, -1].tolist() == [3, 3]
    assert hits.scores[:, -1].tolist() == [-float("inf")] * 2


@pytest.mark.parametrize("k", [0, 51])
def test_more_than_there_is_is_refused(k):
    with pytest.raises(ValueError, match=f"k = {k}, but the gallery holds 50 items"):
        top_k(draw(2, 4, 0), draw(50, 4, 1), k)


def test_a_score_that_is_no_number_is_refused(small_blocks):
    gallery = draw(50, 4, 1)
    gallery.mean[33, 2] = float("nan")
    with pytest.raises(ValueError, match="query 0 and gallery item 33"):
        top_k(draw(2, 4, 0), gallery, 3)


def test_unequal_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(5, 4\)"):
        top_k(draw(2, 3, 0), draw(5, 4, 1), 1)


def drawn_penalty(n: int, spread: float = 4.0) -> torch.Tensor:
    """As far apart as the scores are, so that it decides the order as much as they do; of either sign."""
    return spread * torch.randn(n, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("k", [1, 5, 64])
def test_a_penalty_is_taken_from_every_score_of_its_item(small_blocks, k):
    queries, gallery, penalty = draw(9, 6, 0), draw(64, 6, 1), drawn_penalty(64)
    agrees(queries, gallery, k, penalty=penalty)
    plain = top_k(queries, gallery, k).ids
    assert not torch.equal(top_k(queries, gallery, k, penalty=penalty).ids, plain)


def test_penalties_count_through_the_parts(small_blocks):
    """Blocks of seven begin anew in each part; an empty part has no penalty."""
    gallery = draw(50, 6, 1)
    parts = [gallery[:3], gallery[3:3], gallery[3:31], gallery[31:]]
    agrees(draw(5, 6, 0), gallery, 12, parts, drawn_penalty(50))


def test_a_penalty_can_make_and_break_ties(small_blocks):
    """Alike items with penalties of 0, 1 and 2 in turn: those of 0 first, in ascending order of id."""
    gallery, penalty = draw(1, 4, 1)[[0] * 50], torch.arange(50.0) % 3
    agrees(draw(3, 4, 0), gallery, 20, penalty=penalty)
    hits = top_k(draw(3, 4, 0), gallery, 20, penalty=penalty)
    assert hits.ids.tolist() == [[*range(0, 50, 3), 1, 4, 7]] * 3


def test_a_hub_is_no_longer_found_by_all(small_blocks):
    """An item in the middle of all queries, surer than the others, is penalised out of every answer."""
    gallery = draw(40, 3, 1)
    gallery.log_var.add_(3)
    gallery.mean[17], gallery.log_var[17] = 0, -8
    queries, penalty = draw(12, 3, 0, spread=0.3), torch.zeros(40)
    assert top_k(queries, gallery, 1).ids.tolist() == [[17]] * 12
    penalty[17] = 1e6
    hits = top_k(queries, gallery, 40, penalty=penalty)
    assert hits.ids[:, -1].tolist() == [17] * 12
    rest = top_k(queries, gallery, 40)
    assert hits.ids[:, :-1].tolist() == [[i for i in row if i != 17] for row in rest.ids.tolist()]


def test_no_penalty_is_one_of_zeros(small_blocks):
    queries, gallery = draw(5, 6, 0), draw(50, 6, 1)
    plain, zeros = top_k(queries, gallery, 9), top_k(queries, gallery, 9, penalty=torch.zeros(50))
    assert torch.equal(plain.ids, zeros.ids)
    assert torch.equal(plain.scores, zeros.scores)


def test_a_penalty_in_float64_is_taken_in_float32(small_blocks):
    penalty = drawn_penalty(50).double() + 1e-12
    agrees(draw(5, 6, 0), draw(50, 6, 1), 9, penalty=penalty.float())
    hits = top_k(draw(5, 6, 0), draw(50, 6, 1), 9, penalty=penalty)
    assert hits.scores.dtype == torch.float32
    assert hits.ids.tolist() == top_k(draw(5, 6, 0), draw(50, 6, 1), 9, penalty=penalty.float()).ids.tolist()


@pytest.mark.parametrize(
    ("penalty", "shape"),
    [
        (torch.zeros(49), "(49,)"),
        (torch.zeros(51), "(51,)"),
        (torch.zeros(1), "(1,)"),
        (torch.zeros(50, 1), "(50, 1)"),
        (torch.tensor(0.0), "()"),
        (torch.tensor([0.0] * 49 + [float("nan")]), "(50,)"),
        (torch.tensor([float("-inf")] + [0.0] * 49), "(50,)"),
    ],
    ids=["short", "long", "one", "column", "scalar", "nan", "infinite"],
)
def test_a_penalty_of_another_kind_is_refused(penalty, shape):
    gallery = draw(50, 4, 1)
    message = f"the penalty {re.escape(shape)} needs one finite number for each of 50 items"
    with pytest.raises(ValueError, match=message):
        top_k(draw(2, 4, 0), [gallery[:20], gallery[20:]], 3, penalty=penalty)
