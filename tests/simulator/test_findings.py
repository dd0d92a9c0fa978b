"""Findings: each changes the picture where it says, on its side, and more when it is more severe."""

import numpy as np
import pytest

from medprobclip.data.coding import parse_code
from medprobclip.simulator.chest.deformation import FRAME_MM, FRAME_TOP_MM, Deformation
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.drawing.edits import Canvas
from medprobclip.simulator.findings import RULES, count_coverage, find_rule, is_covered, side_choices
from medprobclip.simulator.simulate import SimulationConfig, _draw, simulate_study

CONFIG = SimulationConfig()
PATIENT = "CXR77"
MOVED_MM = 0.4  # what moves by more than this may change the picture
GREY = 1.0  # mean change beside a finding; enhancement and scatter reach a few pixels further


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(2.5)


@pytest.fixture(scope="module")
def normal(chest):
    return simulate_study(PATIENT, (), CONFIG, chest)


def change(study, normal, view):
    return np.abs(getattr(study, view).astype(float) - getattr(normal, view))


def boxes(study, view, margin=5):
    """Where the truth says that findings are, with a margin of the film's enhancement; bool [S, S]."""
    mask = np.zeros((CONFIG.size_px,) * 2, bool)
    for row in study.rendered:
        left, top, right, bottom = (getattr(row, f"{view}_{e}") for e in ("left", "top", "right", "bottom"))
        mask[max(0, top - margin) : bottom + margin + 1, max(0, left - margin) : right + margin + 1] = True
    return mask


def moved(code, chest, view):
    """Where a finding's change of shape moves the patient, worked out without any picture; bool [S, S]."""
    patient = simulate_study(PATIENT, (), CONFIG, chest).patient
    canvas = Canvas(chest, patient.shape, chest.attenuation.copy())
    _draw(canvas, PATIENT, (code,), CONFIG.seed)
    size, pixel = CONFIG.size_px, CONFIG.pixel_mm
    before, after = (Deformation(chest, shape, size) for shape in (patient.shape, canvas.shape))
    y, z, x = np.meshgrid(
        np.arange(3, before.extent[1], 6.0),
        (np.arange(0, size, 2) + 1) * pixel + FRAME_TOP_MM - FRAME_MM,
        (np.arange(0, size, 2) + 1) * pixel + before.middle_x - FRAME_MM / 2,
        indexing="ij",
    )
    film = np.stack([x.ravel(), y.ravel(), z.ravel()], 1)
    far = np.linalg.norm(after.to_source(film) - before.to_source(film), axis=1).reshape(y.shape) > MOVED_MM
    if view == "pa":
        return far.any(0)[::-1].repeat(2, 0).repeat(2, 1)
    mask = np.zeros((size, size), bool)
    start = (size - round(before.extent[1] / pixel)) // 2
    columns = np.clip(((before.extent[1] - y[:, 0, 0]) / pixel + start).astype(int), 0, size - 1)
    for column, row in zip(columns, far.any(2), strict=True):
        mask[:, max(0, column - 2) : column + 3] |= row[::-1].repeat(2)[:, None]
    return mask


def example_codes():
    """One code per kind of finding."""
    codes = {}
    for rule in RULES:
        codes.setdefault(rule.kind, "/".join([rule.heading, *sorted(rule.words, reverse=True)[:1]]))
    return sorted(codes.items())


@pytest.mark.parametrize(("kind", "code"), example_codes())
def test_changes_the_picture_where_it_should_and_only_there(kind, code, chest, normal):
    study = simulate_study(PATIENT, (code,), CONFIG, chest)
    assert study.uncovered == ()
    assert {row.kind for row in study.rendered} == {kind}
    seen = []
    for view in ("pa", "lateral"):
        difference = change(study, normal, view)
        seen.append(np.sort(difference.ravel())[-25:].mean())
        allowed = boxes(study, view) | moved(code, chest, view)
        assert difference[allowed].sum() > 0.8 * difference.sum(), (kind, view)
        if kind != "poor technique":  # which changes the whole film
            assert difference[~allowed].sum() <= GREY * (~allowed).sum(), (kind, view)
    assert max(seen) > 15, f"{kind} can hardly be seen: {seen}"
    assert max(row.pa_conspicuity + row.lateral_conspicuity for row in study.rendered) > 0.2


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


def test_a_posterior_effusion_shows_behind(chest, normal):
    """Fluid in the posterior sulcus: in the back third of the lateral film, and little on the PA film."""
    study = simulate_study(PATIENT, ("Pleural Effusion/right/posterior",), CONFIG, chest)
    lateral = np.maximum(change(study, normal, "lateral") - 4, 0).sum(0)
    assert (lateral * np.arange(CONFIG.size_px)).sum() / lateral.sum() > 80  # the back is at the right
    free = simulate_study(PATIENT, ("Pleural Effusion/right",), CONFIG, chest)
    assert change(study, normal, "pa").sum() < 0.6 * change(free, normal, "pa").sum()


def test_mediastinum_widens_on_the_side_of_the_code(chest, normal):
    for side, columns in (("right", slice(0, 62)), ("left", slice(66, 128))):
        difference = change(
            simulate_study(PATIENT, (f"Mediastinum/{side}/enlarged",), CONFIG, chest), normal, "pa"
        )
        assert difference[:, columns].sum() > 0.7 * difference.sum()


def test_every_fault_of_technique_occurs(chest):
    """Turned, leaning, underexposed, cut off: over a few patients all of them."""
    code = ("Technical Quality of Image Unsatisfactory",)
    faults = set()
    for i in range(24):
        patient = simulate_study(f"CXR{i}", (), CONFIG, chest, views=("pa",)).patient
        canvas = Canvas(chest, patient.shape, chest.attenuation.copy())
        _draw(canvas, f"CXR{i}", code, CONFIG.seed)
        shape = canvas.shape
        turned = abs(shape.rotation_deg - patient.shape.rotation_deg) > 8
        leaning = abs(shape.roll_deg - patient.shape.roll_deg) > 4
        cut = np.abs(np.subtract(shape.shift, patient.shape.shift)).max() > 30
        faults.add((turned, leaning, cut, canvas.film.get("dose", 1.0) < 0.05))
    assert len(faults) == 4
    assert all(sum(fault) == 1 for fault in faults)


def test_side_choices():
    assert side_choices("Nodule/lung/left") == [("left",)]
    assert side_choices("Nodule/lung") == [("right",), ("left",)]
    assert side_choices("Nodule/lung/multiple") == [("right", "left")]
    assert side_choices("Emphysema") == [("right", "left")]
    assert side_choices("Cardiomegaly/right") == [("midline",)]
    assert side_choices("Nipple Shadow") == []


def test_codes_are_parsed():
    coding = parse_code("Opacity/lung/base/bilateral/streaky/mild")
    assert (coding.heading, coding.side, coding.region) == ("Opacity", "both", "base")
    assert coding.severity < 1
    assert "streaky" in coding.words
    assert parse_code("Cicatrix/lung/lingula").side == "left"
    assert parse_code("Opacity/lung/base/retrocardiac").region == "retrocardiac"
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
