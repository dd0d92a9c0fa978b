"""A picture or a page that one can move and that stands still as well.

What can be moved is one pure function, `state -> Figure` or `state -> str` (a page of HTML), given as keyword
arguments. `explore` shows it for a few chosen states first, as one plain picture or page: this is what a
notebook without a kernel, a page of HTML and a headless run keep. Where somebody sits before the notebook,
sliders, lists, a line of text or an upload follow that draw the same function.
"""

from __future__ import annotations

import inspect
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import HTML as Page, Image as Shown, Markdown, display
from ipywidgets import (
    HTML,
    DOMWidget,
    Dropdown,
    FileUpload,
    HBox,
    Image,
    Layout,
    Output,
    SelectionSlider,
    Text,
    VBox,
)
from matplotlib.figure import Figure
from PIL import Image as Pictures

from medprobclip.support.foreseen import FORESEEN

State = Mapping[str, object]
Draw = Callable[..., Figure | str]

DPI = 100
GAP = 16  # pixels between the pictures of a grid
WIDTH = "300px"
INSIDE = "calc(100% - 4px)"  # its margin would make a scroll bar


@dataclass(frozen=True)
class Choice:
    """A list to choose from: values, or labels with the value of each."""

    options: Sequence[object] | Mapping[str, object]


@dataclass(frozen=True)
class Typed:
    """A line of text, taken when Enter is pressed or the line is left; `hint` stands in an empty one."""

    hint: str = ""


@dataclass(frozen=True)
class Upload:
    """A file of the reader's, as a Path with its own name; `accept` says which endings are offered."""

    accept: str = ".png,.jpg,.jpeg,.dcm"


Control = Sequence[object] | Choice | Typed | Upload


def explore(
    draw: Draw, states: Sequence[State], interactive: bool, columns: int = 2, /, **moved: Control
) -> None:
    """Show `draw(**state)` for every state, still; then, if `interactive`, with something to move it by.

    `moved` gives each argument its values in ascending order, for a slider, or a `Choice`, `Typed` or
    `Upload`; they start at the first state. A notebook has a parameter `interactive`, True when it is opened
    and False in headless runs: a kernel cannot know whether anybody looks. Raises ValueError as
    `grid_of` and `controls`.
    """
    if interactive:
        box = controls(draw, states[0] if states else {}, **moved)
    drawn = [draw(**state) for state in states]
    if drawn and isinstance(drawn[0], str):
        display(Page("<hr>".join(drawn)))
    else:
        words = "; ".join(", ".join(f"{name} {value}" for name, value in state.items()) for state in states)
        display(Shown(grid_of(drawn, columns), alt=f"{_name_of(draw)}: {words}"))
    if interactive:
        display(box)


def grid_of(figures: Sequence[Figure], columns: int = 2) -> bytes:
    """Figures in rows from the top left, as one PNG; they are closed. Raises ValueError without any."""
    if not figures:
        raise ValueError("a grid needs at least one state")
    pictures = [Pictures.open(io.BytesIO(png(figure))).convert("RGB") for figure in figures]
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    widths = [max(row[i].width for row in rows if i < len(row)) for i in range(len(rows[0]))]
    heights = [max(picture.height for picture in row) for row in rows]
    whole = (sum(widths) + GAP * (len(widths) - 1), sum(heights) + GAP * (len(heights) - 1))
    grid = Pictures.new("RGB", whole, "white")
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            grid.paste(picture, (sum(widths[:c]) + GAP * c, sum(heights[:r]) + GAP * r))
    buffer = io.BytesIO()
    grid.save(buffer, "PNG")
    return buffer.getvalue()


def controls(draw: Draw, start: State, /, **moved: Control) -> VBox:
    """What moves a picture or page, and this below it, which follows.

    An error of `draw` stands between them until the next move, and the picture is gone meanwhile; of one that
    was foreseen (a file that is no film) it is one line. Raises ValueError when a slider or a list has no
    values, or `start` is not among them.
    """
    for name, control in moved.items():
        values = [value for _, value in _labelled(control)]
        if name not in start or (not isinstance(control, Typed | Upload) and start[name] not in values):
            raise ValueError(f"the slider {name} has the values {values}, not {start.get(name)!r}")
    handles = {name: _handle(name, control, start[name]) for name, control in moved.items()}
    folder = tempfile.TemporaryDirectory(prefix="medprobclip-uploads-")
    row = HBox(list(handles.values()), layout=Layout(flex_flow="row wrap", grid_gap="4px 24px"))
    errors = Output()
    box = VBox([row, errors], layout=Layout(align_items="flex-start"))  # not stretched
    picture = Image(format="png", layout=Layout(max_width=INSIDE))
    page = HTML(layout=Layout(max_width=INSIDE))

    def value_of(name: str, handle: DOMWidget) -> object:
        if not isinstance(handle, FileUpload):
            return handle.value
        if not handle.value:
            return start[name]
        path = Path(folder.name) / Path(handle.value[0]["name"]).name
        path.write_bytes(handle.value[0]["content"])
        return path

    def follow(_change: object = None) -> None:
        errors.clear_output()
        shown = ()
        with errors:
            try:
                drawn = draw(**{name: value_of(name, handle) for name, handle in handles.items()})
                shown = (page if isinstance(drawn, str) else picture,)
                shown[0].value = drawn if isinstance(drawn, str) else png(drawn)
            except Exception as error:
                if type(error).__name__ not in FORESEEN:
                    raise
                print(f"{error}".replace(f"{folder.name}/", "").splitlines()[0])
        box.children = (row, errors, *shown)

    for handle in handles.values():
        handle.observe(follow, names="value")
    follow()
    return box


def _name_of(draw: Draw) -> str:
    """Of the function itself, when some of its arguments were given before."""
    return (draw.func if isinstance(draw, partial) else draw).__name__


def _labelled(control: Control) -> list[tuple[str, object]]:
    """Label and value of all that can be chosen; nothing of what is typed or uploaded."""
    if isinstance(control, Typed | Upload):
        return []
    values = control.options if isinstance(control, Choice) else control
    return list(values.items()) if isinstance(values, Mapping) else [(_plain(v), v) for v in values]


def _handle(name: str, control: Control, start: object) -> DOMWidget:
    words = name.replace("_", " ")
    if isinstance(control, Upload):
        text = f"{words}: choose a file"
        return FileUpload(accept=control.accept, description=text, layout=Layout(width=WIDTH))
    look = {"style": {"description_width": "initial"}, "layout": Layout(width=WIDTH)}
    if isinstance(control, Typed):
        look["layout"].width = "600px"
        typed = {"continuous_update": False, "placeholder": control.hint}
        return Text(value=start, description=words, **typed, **look)
    kind = Dropdown if isinstance(control, Choice) else SelectionSlider
    return kind(options=_labelled(control), value=start, description=words, **look)


def show_source(*functions: Callable[..., object]) -> None:
    """Show the code of functions or classes as the page has it."""
    code = "\n\n".join(inspect.getsource(function).rstrip() for function in functions)
    display(Markdown(f"```python\n{code}\n```"))


def png(figure: Figure) -> bytes:
    """The picture of a figure, which is closed, so that no notebook shows it a second time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"
