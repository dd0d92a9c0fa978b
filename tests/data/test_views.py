"""View names as archives write them, and which radiograph stands for a study."""

import pytest

from medprobclip.data.views import (
    has_frontal_view,
    named_views,
    reference_view,
    unknown_views,
    view_kind,
)

NAMES = {
    "PA": [
        "PA", "pa", " Pa ", "PA LLD", "PA RLD", "CHEST PA", "PA_ERECT", "PA1", "P.A.", "P-A",
        "Postero-anterior",
    ],
    "AP": [
        "AP", "ap", "AP AXIAL", "AP LLD", "AP RLD", "AP Supine", "AP ERECT", "ap-portable", "A.P.",
        "Antero-posterior", "ＡＰ",
    ],
    "FRONTAL": ["FRONTAL", "Frontal", "LLD", "RLD", "LATERAL DECUBITUS", "LT LAT DEC", "lordotic"],
    "OBLIQUE": ["LAO", "RAO", "OBLIQUE", "PA OBLIQUE", "AP RAO"],
    "LATERAL": [
        "LATERAL", "lateral", "LL", "RL", "L", "XTABLE LATERAL", "SWIMMERS", "LEFT LATERAL", "LAT",
        "SWIMMER'S", "XTABLE", "X-TABLE", "DORSAL DECUBITUS",
    ],
    "unknown": [
        "", " ", "nan", "None", "N/A", "CHEST", "2 views", "-", "ROOM AIR", "PAX", "APPLE", "BED-SIDE",
        "LEFT SIDE DOWN", "NON LATERAL", "ERECT L", "CHEST (PA AND LAT)", "PA/LAT", "FRONTAL AND LATERAL",
        "AP LATERAL", "PA or AP",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names])
def test_a_name_says_its_kind(kind, name):
    assert view_kind(name) == kind


@pytest.mark.parametrize(
    ("views", "index"),
    [
        (("LATERAL", "PA"), 1),
        (("AP", "pa"), 1),
        (("LL", "AP"), 1),
        (("LATERAL", "LL"), 0),
        (("",), 0),
        (("", ""), 0),
        (("LATERAL", "AP AXIAL"), 1),
        (("LL", "PA LLD"), 1),
        (("LATERAL", "AP Supine"), 1),
        (("LATERAL", "CHEST"), 1),  # who knows: but not the lateral
        (("LAO", ""), 1),
        (("LATERAL", "LAO"), 1),
        (("CHEST", "FRONTAL", "AP", "PA"), 3),
    ],
)
def test_the_most_frontal_view_stands_for_a_study(views, index):
    assert reference_view(views) == index


def test_a_study_without_images_has_none():
    with pytest.raises(ValueError, match="without images"):
        reference_view(())


def test_a_lateral_never_stands_for_a_study_that_has_another_view():
    laterals = set(NAMES["LATERAL"])
    for other in (name for kind, names in NAMES.items() for name in names if kind != "LATERAL"):
        for lateral in laterals:
            assert reference_view((lateral, other)) == 1
            assert reference_view((other, lateral)) == 0


def test_frontal_and_unknown_views_are_told():
    assert has_frontal_view(("LATERAL", "AP Supine"))
    assert not has_frontal_view(("LATERAL", "CHEST", ""))
    counts = unknown_views([("PA", "CHEST"), ("", ""), ("CHEST", ""), ("AP ERECT",)])
    assert counts == {"": 3, "CHEST": 2}
    assert named_views(counts) == "'' 3 times, 'CHEST' 2 times"
    assert named_views({str(i): 1 for i in range(10)}).endswith("'7' 1 time and 2 more")
