"""Findings: each changes the picture where it says, on its side, and more when it is more severe."""

import numpy as np
import pytest

from medprobclip.data.anatomy import load_anatomy
from medprobclip.data.coding import parse_code
from medprobclip.data.findings import RULES, count_coverage, find_rule, is_covered
from medprobclip.data.simulate import SimulationConfig, simulate_study

CONFIG = SimulationConfig()
PATIENT = "CXR77"
# kinds that move large parts of the chest, so that some change falls outside their box
MOVING = {
    "hyperinflation",
    "emphysema",
    "kyphosis",
    "scoliosis",
    "mediastinal shift",
    "volume loss",
    "poor technique",
    "atelectasis",
}


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(2.5)


@pytest.fixture(scope="module")
def normal(chest):
    return simulate_study(PATIENT, (), CONFIG, chest)


def change(study, normal, view):
    return np.abs(getattr(study, view).astype(float) - getattr(normal, view))


def inside(study, view, margin=4):
    mask = np.zeros((CONFIG.size_px,) * 2, bool)
    for row in study.rendered:
        left, top, right, bottom = (getattr(row, f"{view}_{e}") for e in ("left", "top", "right", "bottom"))
        mask[max(0, top - margin) : bottom + margin + 1, max(0, left - margin) : right + margin + 1] = True
    return mask


def example_codes():
    """One code per kind of finding."""
    codes = {}
    for rule in RULES:
        codes.setdefault(rule.kind, "/".join([rule.heading, *sorted(rule.words, reverse=True)[:1]]))
    return sorted(codes.items())


@pytest.mark.parametrize(("kind", "code"), example_codes())
def test_changes_the_picture_where_it_says(kind, code, chest, normal):
    study = simulate_study(PATIENT, (code,), CONFIG, chest)
    assert study.uncovered == ()
    assert {row.kind for row in study.rendered} == {kind}
    seen = []
    for view in ("pa", "lateral"):
        difference = change(study, normal, view)
        seen.append(np.sort(difference.ravel())[-25:].mean())
        if seen[-1] > 8:  # hidden in one view is possible; where it shows, it shows in its box
            share = difference[inside(study, view)].sum() / difference.sum()
            assert share > (0.3 if kind in MOVING else 0.65), (kind, view, share)
    assert max(seen) > 15, f"{kind} can hardly be seen: {seen}"


def test_right_effusion_raises_opacity_at_the_image_left_base_and_nowhere_else(chest):
    for patient in ("CXR1", "CXR2", "CXR3"):
        plain = simulate_study(patient, ("normal",), CONFIG, chest)
        study = simulate_study(patient, ("Pleural Effusion/right",), CONFIG, chest)
        difference = study.pa.astype(float) - plain.pa
        base, elsewhere = difference[64:110, :60], difference.copy()
        elsewhere[60:, :64] = 0
        assert np.sort(base.ravel())[-100:].mean() > 40
        assert np.abs(elsewhere).max() < 12
        assert np.abs(elsewhere).mean() < 0.5
        assert all(row.side == "right" for row in study.rendered)


@pytest.mark.parametrize(
    "heading",
    [
        "Pleural Effusion/{}",
        "Opacity/lung/base/{}",
        "Diaphragm/{}/elevated",
        "Pneumothorax/{}",
        "Nodule/lung/{}",
        "Thickening/pleura/{}",
        "Calcified Granuloma/lung/upper lobe/{}",
        "Pulmonary Atelectasis/base/{}",
    ],
)
def test_side_of_the_code_is_the_side_of_the_picture(heading, chest, normal):
    columns = np.arange(CONFIG.size_px)
    for side, expected in (("right", slice(0, 64)), ("left", slice(64, 128))):
        study = simulate_study(PATIENT, (heading.format(side),), CONFIG, chest)
        difference = change(study, normal, "pa")
        assert difference[:, expected].sum() > 0.8 * difference.sum()
        assert (difference.sum(0) * columns).sum() / difference.sum() != pytest.approx(64, abs=5)


def test_bilateral_draws_both_sides(chest):
    study = simulate_study(PATIENT, ("Pleural Effusion/bilateral/small",), CONFIG, chest)
    assert [row.side for row in study.rendered] == ["right", "left"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("Cardiomegaly", ("/borderline", "/mild", "", "/moderate", "/severe")),
        ("Pleural Effusion/left", ("/small", "", "/moderate", "/large")),
        ("Lung/hypoinflation", ("/mild", "", "/severe")),
        ("Opacity/lung/base/right", ("/mild", "", "/large")),
        ("Pneumothorax/right", ("/small", "", "/large")),
        ("Nodule/lung/right", ("/small", "", "/large")),
        ("Scoliosis/thoracic vertebrae/right", ("/mild", "", "/severe")),
        ("Pulmonary Congestion", ("/mild", "", "/severe")),
    ],
)
def test_more_severe_is_more_visible(code, words, chest, normal):
    sizes = [
        change(simulate_study(PATIENT, (code + word,), CONFIG, chest), normal, "pa").sum() for word in words
    ]
    assert all(a < b for a, b in zip(sizes, sizes[1:], strict=False)), sizes


@pytest.mark.parametrize(
    "code",
    [
        "Nodule/lung/upper lobe/right",
        "Mass/lung/left",
        "Hernia, Hiatal/large",
        "Calcified Granuloma/lung/base/left",
    ],
)
def test_both_views_show_it_at_the_same_height(code, chest, normal):
    study = simulate_study(PATIENT, (code,), CONFIG, chest)
    rows = np.arange(CONFIG.size_px)
    heights = []
    for view in ("pa", "lateral"):
        strength = np.maximum(change(study, normal, view) - 4, 0).sum(1)
        heights.append((strength * rows).sum() / strength.sum())
    assert heights[0] == pytest.approx(heights[1], abs=2.5)


def test_regions_are_where_they_are_called(chest):
    def height(code):
        rows = [simulate_study(f"CXR{i}", (code,), CONFIG, chest).rendered[0].z_mm for i in range(4)]
        return np.mean(rows)

    assert height("Nodule/lung/apex/left") > height("Nodule/lung/upper lobe/left")
    assert height("Nodule/lung/upper lobe/left") > height("Nodule/lung/base/left") + 30


def test_codes_are_parsed():
    coding = parse_code("Opacity/lung/base/bilateral/streaky/mild")
    assert (coding.heading, coding.side, coding.region) == ("Opacity", "both", "base")
    assert coding.severity < 1
    assert "streaky" in coding.words
    assert parse_code("Cicatrix/lung/lingula").side == "left"
    assert parse_code("Technical Quality of Image Unsatisfactory ").heading.endswith("Unsatisfactory")
    assert parse_code("Nodule/mild").without_severity == parse_code("Nodule/severe").without_severity


def test_uncovered_codes_are_counted_and_reported(chest):
    study = simulate_study(PATIENT, ("Nipple Shadow", "Cardiomegaly", "normal"), CONFIG, chest)
    assert study.uncovered == ("Nipple Shadow",)
    table = count_coverage(["Cardiomegaly/mild", "Cardiomegaly", "Nipple Shadow", "normal"])
    counts = table.set_index("heading")[["drawn", "undrawn"]].to_dict("index")
    assert counts == {
        "Cardiomegaly": {"drawn": 2, "undrawn": 0},
        "Nipple Shadow": {"drawn": 0, "undrawn": 1},
        "normal": {"drawn": 1, "undrawn": 0},
    }
    assert not is_covered("Nipple Shadow")


def test_rules_reach_their_own_rows():
    """No row is hidden behind an earlier one."""
    for rule in RULES:
        codes = ["/".join([rule.heading, word]) for word in sorted(rule.words)] or [rule.heading]
        assert any(find_rule(parse_code(code)) is rule for code in codes), rule
