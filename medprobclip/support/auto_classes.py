"""transformers' Auto classes know ours from `import medprobclip` on, which does not load transformers.

`AutoModel.from_pretrained(folder)` finds a class that was registered, and registering needs transformers and
torch. So it happens when a name such as `transformers.AutoModel` is used for the first time.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

LIBRARY, REGISTERS = "transformers", "medprobclip.processor"  # importing the second registers all classes


def announce() -> None:
    """Have the classes registered as soon as they can be asked for; call it once."""
    if f"{LIBRARY}.models.auto" in sys.modules:  # somebody may hold an Auto class already
        importlib.import_module(REGISTERS)
    elif LIBRARY in sys.modules:
        watch(sys.modules[LIBRARY])
    else:
        sys.meta_path.insert(0, WhenImported())


def watch(library: ModuleType) -> None:
    """Register when the library is asked for an Auto class or a pipeline.

    Its module looks names up when they are used, by a class of its own. That class is changed, since the
    library puts a second module in the place of the first while it loads.
    """
    lazy = type(library)
    look_up = lazy.__getattr__

    def look_up_and_register(module: ModuleType, name: str) -> object:
        value = look_up(module, name)
        if module.__name__ == LIBRARY and (name.startswith("Auto") or name == "pipeline"):
            importlib.import_module(REGISTERS)
        return value

    lazy.__getattr__ = look_up_and_register


class WhenImported:
    """An entry of `sys.meta_path`: leaves finding the library to the others, watches it once loaded."""

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != LIBRARY:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_watch(module: ModuleType) -> None:
                load(module)
                watch(sys.modules[name])  # it puts another module in its own place

            spec.loader.exec_module = load_and_watch
        return spec
