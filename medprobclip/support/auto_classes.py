"""transformers' Auto classes know ours from `import medprobclip` on, which does not load transformers.

`AutoModel.from_pretrained(folder)` finds a class that was registered, and registering needs transformers and
torch. So it happens when a name such as `transformers.AutoModel` is used for the first time.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LIBRARY, REGISTERS = "transformers", "medprobclip.processor"  # importing the second registers all classes


def announce() -> None:
    """Have the classes registered as soon as they can be asked for; call it once."""
    if LIBRARY in sys.modules:
        watch(sys.modules[LIBRARY])
    else:
        sys.meta_path.insert(0, WhenImported())


def asks_for_a_class(name: str) -> bool:
    """Is this what one takes from transformers to load a folder?"""
    return name.startswith("Auto") or name == "pipeline"


def watch(library: ModuleType) -> None:
    """Register at the first use of an Auto class; at once when one is in use already."""
    if any(map(asks_for_a_class, vars(library))):
        importlib.import_module(REGISTERS)
        return

    class Watched(type(library)):  # transformers is a module that looks its names up when they are used
        def __getattr__(self, name: str) -> object:
            value = super().__getattr__(name)
            if asks_for_a_class(name):
                importlib.import_module(REGISTERS)
            return value

    library.__class__ = Watched


class WhenImported(MetaPathFinder):
    """Leaves finding the library to the other finders, and watches it once it is loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != LIBRARY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_watch(module: ModuleType) -> None:
                load(module)
                watch(sys.modules[name])  # it puts another module in its own place

            spec.loader.exec_module = load_and_watch
        return spec
