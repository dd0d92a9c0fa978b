# Names to take from the package itself, each loaded when it is first used.
from . import lessons as lessons
from .checks import check as check
from .corpus import CODING as CODING, SIMULATOR as SIMULATOR, aside as aside
from .widgets import (
    Choice as Choice,
    Typed as Typed,
    Upload as Upload,
    explore as explore,
    show_source as show_source,
)
from .workspace import NotebookParameters as NotebookParameters, Workspace as Workspace

__all__: list[str]
