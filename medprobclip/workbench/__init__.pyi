# Names to take from the package itself, each loaded when it is first used.
from .workspace import NotebookParameters as NotebookParameters, Workspace as Workspace

__all__: list[str]
