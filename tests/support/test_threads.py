"""A fixed number of threads inside, what it was before outside."""

import pytest
import torch

from medprobclip.support.threads import pinned_threads


@pytest.fixture(autouse=True)
def before():
    """So many that each number of a test differs from it; at the end what the process had."""
    own = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(own)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_so_many_inside_and_the_old_number_outside(number):
    with pinned_threads(number):
        assert torch.get_num_threads() == number
    assert torch.get_num_threads() == 3


def test_the_old_number_comes_back_after_an_exception():
    with pytest.raises(ZeroDivisionError, match="2 threads"), pinned_threads(2):
        raise ZeroDivisionError(f"{torch.get_num_threads()} threads")
    assert torch.get_num_threads() == 3


def test_none_leaves_it():
    with pinned_threads(None):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3


def test_one_within_another():
    with pinned_threads(1):
        with pinned_threads(2):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
        with pinned_threads(None):
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
