"""One function, shown still for some states and under what moves it."""

import io
from datetime import UTC, datetime
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.display import HTML as Page, Image as Shown, Markdown
from ipywidgets import HTML, Dropdown, FileUpload, Text, VBox
from PIL import Image

from medprobclip.data.grey import ImageError
from medprobclip.workbench import widgets
from medprobclip.workbench.widgets import (
    GAP,
    Choice,
    Typed,
    Upload,
    controls,
    explore,
    grid_of,
    png,
    show_source,
)


def grey(level: float, width: float = 1.0):
    """A figure of one grey, 100 pixels high."""
    return plt.figure(figsize=(width, 1), facecolor=(level,) * 3)


@pytest.fixture(autouse=True)
def _white(monkeypatch):
    """`png` paints the paper white; here the paper is the picture."""
    save = plt.Figure.savefig
    monkeypatch.setattr(
        plt.Figure, "savefig", lambda self, file, **look: save(self, file, **look | {"facecolor": "auto"})
    )


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", shown.append)
    return shown


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def test_states_stand_in_rows_from_the_top_left():
    figures = [grey(level, width) for level, width in ((0.0, 1), (0.2, 2), (0.4, 1.5))]
    grid = pixels(grid_of(figures, columns=2))
    assert grid.shape == (2 * 100 + GAP, 150 + GAP + 200)
    assert grid[50, 50] == 0
    assert grid[50, 150 + GAP + 100] == 51
    assert grid[150, 50] == 102
    assert grid[150, 150 + GAP + 100] == grid[50, 150 + GAP // 2] == 255  # nothing there


def test_fewer_states_than_columns_make_one_row():
    assert pixels(grid_of([grey(0.0)], columns=3)).shape == (100, 100)


def test_a_grid_without_a_state_is_refused():
    with pytest.raises(ValueError, match="at least one state"):
        grid_of([])


def test_no_figure_stays_open():
    before = plt.get_fignums()
    png(grey(0.5))
    assert plt.get_fignums() == before


def test_headless_shows_the_grid_alone(displayed):
    explore(grey, [{"level": 0.4}], False, level=[0.0, 0.4])
    (picture,) = displayed
    assert isinstance(picture, Shown)
    assert pixels(picture.data)[50, 50] == 102


def test_with_a_reader_sliders_follow_that_start_at_the_first_state(displayed):
    explore(
        grey, [{"level": 0.4, "width": 1}, {"level": 0.0, "width": 1}], True, level=[0.0, 0.4], width=[1, 2]
    )
    picture, moved = displayed
    assert isinstance(picture, Shown)
    assert isinstance(moved, VBox)
    sliders, _, image = moved.children
    assert [slider.value for slider in sliders.children] == [0.4, 1]
    assert pixels(image.value)[50, 50] == 102
    sliders.children[0].value = 0.0
    assert pixels(image.value)[50, 50] == 0
    sliders.children[1].value = 2
    assert pixels(image.value).shape == (100, 200)


def test_a_slider_may_have_any_name(displayed):
    """Also that of an argument of `explore` and `controls`."""

    def draw(start, draw, states):
        return grey(start + draw + states)

    explore(draw, [{"start": 0.2, "draw": 0.0, "states": 0.2}], True, start=[0.2], draw=[0.0], states=[0.2])
    assert pixels(displayed[1].children[2].value)[50, 50] == 102


@pytest.mark.parametrize("values", [{"level": [0.1, 0.2]}, {"level": []}, {"other": [0.4]}])
def test_a_slider_without_its_start_is_refused(values, displayed):
    with pytest.raises(ValueError, match="the slider"):
        explore(grey, [{"level": 0.4}], True, **values)
    assert displayed == []


def test_names_are_read_as_words():
    (slider,) = (
        controls(lambda sigma_x: grey(sigma_x), {"sigma_x": 0.5}, sigma_x=[0.25, 0.5]).children[0].children
    )
    assert slider.description == "sigma x"
    assert [label for label, _ in slider.options] == ["0.25", "0.5"]


def test_source_is_shown_as_it_stands(displayed):
    show_source(grey, pixels)
    (shown,) = displayed
    assert isinstance(shown, Markdown)
    assert shown.data.startswith("```python\ndef grey(")
    assert "    return plt.figure(figsize=(width, 1)" in shown.data
    assert "\n\ndef pixels(" in shown.data
    assert shown.data.endswith("\n```")


def echo(**state) -> str:
    """A page."""
    return "; ".join(f"{name}={value}" for name, value in state.items())


def test_pages_stand_below_each_other(displayed):
    explore(echo, [{"study": "a"}, {"study": "b"}], False, study=Choice(["a", "b"]))
    (page,) = displayed
    assert isinstance(page, Page)
    assert page.data == "study=a<hr>study=b"


def test_a_list_shows_labels_and_gives_values(displayed):
    explore(echo, [{"study": 2}], True, study=Choice({"one": 1, "two": 2}))
    row, _, page = displayed[1].children
    (choice,) = row.children
    assert isinstance(choice, Dropdown)
    assert isinstance(page, HTML)
    assert [label for label, _ in choice.options] == ["one", "two"]
    assert page.value == "study=2"
    choice.label = "one"
    assert page.value == "study=1"


def test_a_list_without_its_start_is_refused(displayed):
    with pytest.raises(ValueError, match="study has the values"):
        explore(echo, [{"study": 3}], True, study=Choice({"one": 1}))


def test_a_line_is_taken_when_it_is_finished():
    row, _, page = controls(echo, {"words": "first"}, words=Typed("a phrase")).children
    (line,) = row.children
    assert isinstance(line, Text)
    assert (line.placeholder, line.continuous_update) == ("a phrase", False)
    line.value = "second"
    assert page.value == "words=second"


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def uploaded(name: str, content: bytes) -> tuple:
    """What the browser sends."""
    return ({"name": name, "type": "", "size": len(content), "content": content, "last_modified": LONG_AGO},)


def read(film) -> str:
    """A page of a file's name and bytes; a foreseen error for some."""
    if film.suffix == ".txt":
        raise ImageError(f"{film}: no picture.\nMore than one line.")
    return f"{film.name}: {film.read_bytes().decode()}"


def test_an_upload_is_a_file_with_its_own_name(tmp_path):
    (tmp_path / "start.png").write_bytes(b"here")
    box = controls(read, {"film": tmp_path / "start.png"}, film=Upload())
    (button,) = box.children[0].children
    assert isinstance(button, FileUpload)
    assert button.accept == ".png,.jpg,.jpeg,.dcm"
    assert box.children[2].value == "start.png: here"
    button.value = uploaded("../../other.png", b"there")  # no way out of its folder
    assert box.children[2].value == "other.png: there"


def test_a_foreseen_error_is_one_line_in_place_of_the_page(tmp_path, capsys):
    (tmp_path / "start.png").write_bytes(b"here")
    box = controls(read, {"film": tmp_path / "start.png"}, film=Upload())
    (button,) = box.children[0].children
    button.value = uploaded("notes.txt", b"words")
    assert len(box.children) == 2  # nothing old stays beside the new question
    assert capsys.readouterr().out.splitlines()[-1] == "notes.txt: no picture."
    button.value = uploaded("film.png", b"again")
    assert box.children[2].value == "film.png: again"


def test_another_error_is_not_hidden():
    def draw(level):
        return grey(1 / level)

    box = controls(draw, {"level": 1}, level=[0, 1])
    with pytest.raises(ZeroDivisionError):  # where there is no notebook to show it
        box.children[0].children[0].value = 0


def test_a_function_with_arguments_given_before_keeps_its_name(displayed):
    explore(partial(grey, width=2), [{"level": 0.4}], False, level=[0.4])
    assert displayed[0].alt == "grey: level 0.4"
