"""What an OpenI expert code says: `Opacity/lung/base/left/mild` -> heading, side, region, severity, texture.

A code is a heading followed by qualifiers in any order. Qualifier words that mean nothing here (e.g.
`acute`) are kept in `words` and have no effect.
"""

from dataclasses import dataclass

import pandas as pd

SEVERITY = {
    "borderline": 0.6,
    "small": 0.7,
    "mild": 0.7,
    "moderate": 1.25,
    "prominent": 1.2,
    "enlarged": 1.2,
    "large": 1.6,
    "severe": 1.7,
}
REGIONS = (  # the narrower place first: of `base/retrocardiac` the second counts
    "retrocardiac",
    "costophrenic angle",
    "cardiophrenic angle",
    "lingula",
    "middle lobe",
    "apex",
    "hilum",
    "upper lobe",
    "lower lobe",
    "base",
    "paratracheal",
    "mediastinum",
    "trachea, carina",
)
SIDED_REGIONS = {"middle lobe": "right", "lingula": "left", "retrocardiac": "left"}
NORMAL = "normal"
UNCODED = "No Indexing"  # nobody coded the study
NO_FINDING = (NORMAL, UNCODED)  # nothing to draw


@dataclass(frozen=True)
class Coding:
    """One parsed code."""

    code: str
    heading: str
    words: frozenset[str]  # all qualifiers
    side: str | None  # "left", "right", "both" or None: not said
    region: str | None  # one of REGIONS or None
    severity: float  # 1 = as the plain code; 0.6 borderline ... 1.7 severe
    multiple: bool

    @property
    def without_severity(self) -> str:
        """Heading and qualifiers except the grades: mild and severe findings share place and texture."""
        return "/".join([self.heading, *sorted(self.words - SEVERITY.keys())])


def codes_of(studies: pd.DataFrame) -> list[tuple[str, ...]]:
    """The codes of each study of a table, () for all where nobody coded any."""
    return studies["codes"].tolist() if "codes" in studies else [()] * len(studies)


def parse_code(code: str) -> Coding:
    """Parse one code; never fails: an unknown heading is left to the findings table to report."""
    heading, *rest = (part.strip() for part in code.split("/"))
    words = frozenset(word.lower() for word in rest if word)
    side = (
        "both"
        if "bilateral" in words or {"left", "right"} <= words
        else next((word for word in ("left", "right") if word in words), None)
    )
    region = next((region for region in REGIONS if region in words), None)
    if side is None and region in SIDED_REGIONS:
        side = SIDED_REGIONS[region]
    grades = [SEVERITY[word] for word in sorted(words) if word in SEVERITY]
    severity = max(grades) if grades and max(grades) > 1 else min(grades, default=1.0)
    return Coding(
        code,
        " ".join(heading.split()),
        words,
        side,
        region,
        severity,
        bool(words & {"multiple", "scattered", "diffuse", "multilobar"}),
    )
