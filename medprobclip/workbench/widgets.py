"""A picture that one can move and that is a page all the same.

What can be moved is one pure function, `state -> Figure`, given as keyword arguments. `explore` shows it for
a few chosen states first, as one plain picture: this is what a notebook without a kernel, a page of HTML and
a headless run keep. Where somebody sits before the notebook, sliders follow that draw the same function.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import Image as Shown, Markdown, display
from ipywidgets import HBox, Image, Layout, Output, SelectionSlider, VBox
from matplotlib.figure import Figure
from PIL import Image as Pictures

State = Mapping[str, object]
Draw = Callable[..., Figure]

DPI = 100
GAP = 16  # pixels between the pictures of a grid


def explore(
    draw: Draw, states: Sequence[State], interactive: bool, columns: int = 2, /, **sliders: Sequence[object]
) -> None:
    """Show `draw(**state)` for every state as one picture; then, if `interactive`, with sliders.

    `sliders` gives the values of each argument in ascending order, a slider each; they start at the first
    state. A notebook has a parameter `interactive`, True when it is opened and False in headless runs: a
    kernel cannot know whether anybody looks. Raises ValueError as `static_grid` and `controls`.
    """
    if interactive:
        moved = controls(draw, states[0] if states else {}, **sliders)
    words = "; ".join(", ".join(f"{name} {value}" for name, value in state.items()) for state in states)
    display(Shown(static_grid(draw, states, columns), alt=f"{draw.__name__}: {words}"))
    if interactive:
        display(moved)


def static_grid(draw: Draw, states: Sequence[State], columns: int = 2) -> bytes:
    """The pictures of all states in rows from the top left, as one PNG. Raises ValueError without a state."""
    if not states:
        raise ValueError("a grid needs at least one state")
    pictures = [Pictures.open(io.BytesIO(png(draw(**state)))).convert("RGB") for state in states]
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


def controls(draw: Draw, start: State, /, **sliders: Sequence[object]) -> VBox:
    """Sliders over a picture that follows them. An error of `draw` is shown below it, until the next move.

    Raises ValueError when a slider has no values, or `start` is not among them.
    """
    for name, values in sliders.items():
        if name not in start or start[name] not in values:
            raise ValueError(f"the slider {name} has the values {list(values)}, not {start.get(name)!r}")
    handles = {
        name: SelectionSlider(
            options=[(_plain(value), value) for value in values],
            value=start[name],
            description=name.replace("_", " "),
            style={"description_width": "initial"},
            layout=Layout(width="300px"),
        )
        for name, values in sliders.items()
    }
    picture, errors = Image(format="png", layout=Layout(max_width="100%")), Output()

    def follow(_change: object = None) -> None:
        errors.clear_output()
        with errors:
            picture.value = png(draw(**{name: handle.value for name, handle in handles.items()}))

    for handle in handles.values():
        handle.observe(follow, names="value")
    follow()
    row = HBox(list(handles.values()), layout=Layout(flex_flow="row wrap"))
    return VBox([row, picture, errors], layout=Layout(align_items="flex-start"))  # not stretched


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
