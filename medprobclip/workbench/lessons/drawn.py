"""What the simulator drew, for looking at it: twelve findings, one study, every kind by conspicuity."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medprobclip.data.radiographs import read_image
from medprobclip.evaluation.reliability import by_group
from medprobclip.simulator.showcase import choose_examples, show_examples
from medprobclip.simulator.simulate import SimulationConfig

MOST_KINDS = 30  # the most frequent kinds are told


class Sheet(NamedTuple):
    """n findings, each in one patient; as `figures.contact_sheet` takes them, and their numbers."""

    pictures: np.ndarray  # uint8 [n, 2, 2, S, S]: PA and lateral; without and with
    boxes: np.ndarray  # int [n, 2, 4]: left, top, right, bottom
    codes: list[str]
    sentences: list[str]  # of the real reports
    numbers: pd.DataFrame  # study_id, code, pa_conspicuity, lateral_conspicuity


def finding_sheet(reports: pd.DataFrame, size_px: int) -> Sheet:
    """Simulate one patient for each finding of `showcase.SHOWN`, without and with it; a second each.

    `reports` is the table of `load_reports`. Raises AssetError if the CT cannot be fetched.
    """
    examples = show_examples(choose_examples(reports), SimulationConfig(size_px=size_px))
    numbers = pd.DataFrame(
        [(e.study_id, e.code, *e.conspicuity) for e in examples],
        columns=["study_id", "code", "pa_conspicuity", "lateral_conspicuity"],
    )
    pictures, boxes = (np.stack([getattr(e, name) for e in examples]) for name in ("pictures", "boxes"))
    return Sheet(pictures, boxes, [e.code for e in examples], [e.sentence for e in examples], numbers)


def study_with_findings(studies: pd.DataFrame) -> pd.Series:
    """The first study with a PA and a lateral film and three to six codes."""
    several = studies["codes"].map(len).between(3, 6) & (studies["view_names"].map(len) == 2)
    return studies[several].iloc[0]


class Truth(NamedTuple):
    """One study with all that was drawn, and every kind: as `figures.rendered_truth` takes them."""

    pa: np.ndarray  # uint8 [S, S]
    lateral: np.ndarray
    found: pd.DataFrame  # its rows of rendered.csv
    conspicuity: pd.DataFrame  # of `conspicuity_by_kind`


def drawn_truth(simulated: Path, studies: pd.DataFrame) -> Truth:
    """The truth in the simulator's folder, and the study with findings among `studies`."""
    rendered = pd.read_csv(simulated / "rendered.csv")
    study = study_with_findings(studies)
    pa, lateral = (read_image(path) for path in study["image_paths"])
    found = rendered[rendered["study_id"] == study["study_id"]]
    return Truth(pa, lateral, found, conspicuity_by_kind(rendered))


def conspicuity_by_kind(rendered: pd.DataFrame) -> pd.DataFrame:
    """Quartiles of the conspicuity in the better film, the best seen kind first: `evaluation.by_group`.

    `rendered` is the corpus's table of all that was drawn: `kind, pa_conspicuity, lateral_conspicuity`.
    """
    seen = rendered[["pa_conspicuity", "lateral_conspicuity"]].max(axis=1)
    kinds = rendered["kind"].value_counts().index[:MOST_KINDS]
    order = seen.groupby(rendered["kind"]).median()[kinds].sort_values(ascending=False).index.tolist()
    told = rendered["kind"].isin(order)
    return by_group(seen[told].to_numpy(), rendered.loc[told, "kind"].map(order.index).to_numpy(), order)
