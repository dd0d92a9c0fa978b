"""How many studies and images each rule dropped."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

COLUMNS = ("rule", "studies_dropped", "images_dropped", "studies_left", "images_left")


class ArchiveError(ValueError):
    """Files that cannot become study tables: the message names file, place and remedy, and no text of it."""


class Flow:
    """Images, one row each, that pass one rule after another; every rule leaves a line in `table`.

    `images` has a column `study_id`. `notes` are counts that dropped nothing.
    """

    def __init__(self, images: pd.DataFrame, source: str) -> None:
        self.images = images.reset_index(drop=True)
        self.notes: list[str] = []
        self._lines: list[tuple] = [(source, 0, 0, self.images["study_id"].nunique(), len(self.images))]

    def keep(self, kept: Iterable[bool], rule: str, seen: str = "") -> pd.DataFrame:
        """Images that pass, bool `[images]`; also under `images`. `rule` says what is wrong with the others.

        Raises ArchiveError that ends in `seen` when none is left.
        """
        kept = np.asarray(list(kept), dtype=bool)
        _, _, _, studies, images = self._lines[-1]
        left = self.images[kept].reset_index(drop=True)
        count = left["study_id"].nunique()
        self._lines.append((rule, studies - count, images - len(left), count, len(left)))
        if left.empty:
            raise ArchiveError(
                f"no study is left: {images} of {images} images: {rule}{'. ' * bool(seen)}{seen}"
            )
        self.images = left
        return left

    def table(self) -> pd.DataFrame:
        """One row a rule, the source first: columns `COLUMNS`."""
        return pd.DataFrame(self._lines, columns=list(COLUMNS))

    def __str__(self) -> str:
        names = [name.replace("_", " ") for name in COLUMNS[1:]]
        width = max(len(line[0]) for line in self._lines)
        shown = [" " * width + "".join(f"  {name:>15}" for name in names)]
        shown += [
            f"{rule:<{width}}" + "".join(f"  {number:>15,}" for number in numbers)
            for rule, *numbers in self._lines
        ]
        return "\n".join([*shown, *self.notes])
