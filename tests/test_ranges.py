"""Settings out of range are refused together, each with what it means."""

from dataclasses import dataclass, field

import pytest

from medprobclip.ranges import refuse_out_of_range


@dataclass
class Dose:
    share: float = field(default=0.5, metadata={"help": "of the films"})
    count: int = field(default=3, metadata={"help": "of the views"})


def test_what_fits_is_let_through():
    refuse_out_of_range(Dose(), {"share": True, "count": True})
    refuse_out_of_range(Dose(), {})


def test_all_that_does_not_fit_is_told_at_once():
    with pytest.raises(ValueError, match="out of range") as error:
        refuse_out_of_range(Dose(share=2.0, count=-1), {"share": False, "count": False})
    assert str(error.value).splitlines() == [
        "share = 2.0 is out of range: of the films",
        "count = -1 is out of range: of the views",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_number_fits_nowhere(value):
    """Even where nothing is asked of a field, or the comparison came out true."""
    for ranges in ({}, {"share": True}):
        with pytest.raises(ValueError, match=f"^share = {value} is out of range: of the films$"):
            refuse_out_of_range(Dose(share=value), ranges)
