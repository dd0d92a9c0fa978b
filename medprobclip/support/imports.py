"""A saved folder that says what must be imported to load it."""

from __future__ import annotations

import json
from pathlib import Path

from medprobclip.support.files import replaced_file

MODULE = "import_medprobclip"
_SOURCE = '''"""What `trust_remote_code=True` runs: it only imports the installed package.

`import medprobclip` before loading does the same, and this file is not read.
Without the package: pip install medprobclip, or from a checkout, pip install -e .
"""

from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.processor import MedProbCLIPImageProcessor, MedProbCLIPProcessor

__all__ = [
    "MedProbCLIPConfig",
    "MedProbCLIPImageProcessor",
    "MedProbCLIPModel",
    "MedProbCLIPProcessor",
]
'''


def announce_in(folder: Path, configuration: str, classes: dict[str, str]) -> None:
    """Tell transformers' Auto classes, in a saved configuration file, where our classes come from.

    Without it, loading ends in the advice to update transformers when nobody imported `medprobclip`; with it,
    in the advice to pass `trust_remote_code=True`, which imports the installed package and nothing else, or
    says that it is not installed.
    """
    path = folder / configuration
    content = json.loads(path.read_text(encoding="utf-8"))
    content["auto_map"] = {auto: f"{MODULE}.{name}" for auto, name in classes.items()}
    for file, text in ((path, json.dumps(content, indent=2) + "\n"), (folder / f"{MODULE}.py", _SOURCE)):
        with replaced_file(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
