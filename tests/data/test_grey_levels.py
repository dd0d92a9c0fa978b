"""Grey levels counted, against sorting all pixels."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from medprobclip.data.grey import ImageError, level_counts, refuse_blank, trimmed_range, used_levels

PICTURES = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 255), fill=st.just(7)
)


@given(PICTURES)
def test_levels_are_counted_as_one_by_one(grey):
    counts = level_counts(grey)
    assert counts.tolist() == [int((grey == level).sum()) for level in range(256)]
    fullest = sorted(counts.tolist(), reverse=True)
    fewest = next(n for n in range(1, 257) if sum(fullest[:n]) >= 0.98 * grey.size)
    assert used_levels(grey) == fewest


@given(PICTURES)
def test_a_picture_is_blank_where_its_trimmed_range_is_none(grey):
    low, high = trimmed_range(grey.ravel())
    if high > low:
        assert refuse_blank(grey, "x") is grey
    else:
        with pytest.raises(ImageError, match=rf"x: blank, .* {low:g}\. "):
            refuse_blank(grey, "x")
