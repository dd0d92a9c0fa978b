"""Scores that are parts of a large whole are computed as the whole would be."""

import torch

from medprobclip.evaluation.scaling import draw
from medprobclip.similarity import expected_likelihood
from medprobclip.support import kernels


def test_a_part_is_computed_as_its_whole():
    like = torch.zeros(1)
    small, large = kernels.way(8, like, safe=True), kernels.way(2**40, like, safe=True)
    assert small == "eager"
    with kernels.part_of(2**40):
        assert kernels.way(8, like, safe=True) == large
        with kernels.part_of(8):  # the inner whole counts
            assert kernels.way(8, like, safe=True) == small
        assert kernels.way(8, like.double(), safe=True) == "eager"
    assert kernels.way(8, like, safe=True) == small


def test_blocks_have_the_scores_of_the_whole_bit_for_bit(monkeypatch):
    """Whatever computes them here; where a compiler is, eager scores would differ in the last digits."""
    x, y = draw(3, 40, seed=0), draw(700, 40, seed=1)
    size = len(x) * len(y) * y.dim
    monkeypatch.setattr(kernels, "CONFIG", kernels.KernelConfig(cpu_kernel_from=size))
    whole = expected_likelihood(x, y)
    with kernels.part_of(size):
        blocks = [expected_likelihood(x, y[start : start + 90]) for start in range(0, len(y), 90)]
    assert torch.equal(torch.cat(blocks, 1), whole)
