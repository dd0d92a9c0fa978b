"""The canvas: every change is recorded, and can be taken back on its own."""

import numpy as np
import pytest

from medprobclip.simulator.chest.deformation import Shape
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.drawing.edits import Canvas


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(5.0)


@pytest.fixture
def canvas(chest):
    return Canvas(chest, Shape(), chest.attenuation.copy())


def without(canvas, marks, align=1):
    volume = canvas.volume.copy()
    box, part = canvas.part_without(marks, align)
    volume[box] = part
    return volume


def test_marks_add_up_to_what_changed(canvas, chest):
    centre = chest.points["region/left/lung"][700]
    canvas.ball(centre, 20, 1.0)
    canvas.wire(np.stack([centre, centre + [0, 0, 40]]), 60.0)
    total = chest.attenuation.copy()
    for mark in canvas.marks:
        total[mark.where] += mark.delta
    np.testing.assert_allclose(total, canvas.volume, atol=1e-5)


@pytest.mark.parametrize("align", [1, 2, 4])
def test_taking_back_one_leaves_the_other(canvas, chest, align):
    one, two = chest.points["region/left/lung"][300], chest.points["region/right/lung"][900]
    canvas.ball(one, 15, 1.0)
    first = tuple(canvas.marks)
    alone = canvas.volume.copy()
    canvas.ball(two, 15, 1.0)
    second = tuple(canvas.marks[len(first) :])
    np.testing.assert_allclose(without(canvas, second, align), alone, atol=1e-5)
    np.testing.assert_allclose(without(canvas, first + second, align), chest.attenuation, atol=1e-5)
    box, _ = canvas.part_without(second, align)
    assert all(b.start % align == 0 for b in box)


def test_nothing_goes_below_air(canvas, chest):
    where, _ = canvas.around(chest.points["region/left/lung"][300], 20)
    canvas.add(where, np.full([s.stop - s.start for s in where], -5.0, np.float32))
    assert canvas.volume.min() == 0
    np.testing.assert_allclose(without(canvas, canvas.marks), chest.attenuation, atol=1e-5)


def test_shape_and_film_without_a_mark(canvas):
    canvas.reshape([0, 0, 0], [9, 9, 9], heart=1.5)
    canvas.bend(dome_mm=(10.0, 0.0))
    canvas.fault(dose=0.1, darker=0.3)
    canvas.fault(dose=0.2)
    assert canvas.shape == Shape(heart=1.5, dome_mm=(10.0, 0.0))
    assert canvas.shape_without(canvas.marks[:1]) == Shape(dome_mm=(10.0, 0.0))
    assert canvas.film == {"dose": 0.2, "darker": 0.3}
    assert canvas.film_without(canvas.marks[3:]) == {"dose": 0.1, "darker": 0.3}


def test_a_wire_holds_the_metal_it_was_given(canvas, chest):
    """Cross-section times length, in mm3 of water."""
    start = chest.points["carina"]
    before = canvas.volume.sum(dtype=float)
    canvas.wire(np.stack([start, start + [0, 0, 60.0]]), 50.0)
    added = (canvas.volume.sum(dtype=float) - before) * chest.voxel_mm**3
    assert added == pytest.approx(50.0 * 60, rel=0.05)
