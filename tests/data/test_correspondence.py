"""Groups of studies that say the same, counted by hand."""

import numpy as np

from medprobclip.data.correspondence import group_sizes, same_coding, sharing_table


def test_counted_by_hand():
    codes = [("a", "b"), ("normal",), ("b", "a"), ("a",), ("normal",), ("normal",)]
    ids = same_coding(codes)
    assert (ids[:, None] == ids).sum() == 4 + 9 + 1
    assert group_sizes(ids).tolist() == [2, 3, 2, 1, 3, 3]
    table = sharing_table(group_sizes(ids))
    assert table["size"].tolist() == [1, 2, 3]
    assert table["studies"].tolist() == [1, 2, 3]


def test_a_study_that_nobody_coded_is_like_no_other():
    codes = [("No Indexing",), ("normal",), ("No Indexing",), (), ("normal",), ()]
    assert group_sizes(same_coding(codes)).tolist() == [1, 2, 1, 1, 2, 1]


def test_every_study_is_in_one_group():
    ids = np.random.default_rng(0).integers(0, 9, 100)
    assert sharing_table(group_sizes(ids))["studies"].sum() == 100
