"""Vision models that come with the package, by name: folders as transformers writes them."""

from pathlib import Path

PACKAGED = {"chest-encoder": Path(__file__).parents[1] / "chest_encoder"}
