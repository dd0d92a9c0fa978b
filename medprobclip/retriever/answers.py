"""What one gets: a ranked table, its doubts, and words for them."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medprobclip.retriever.promises import Kind, percent

SHOWN = 60  # characters of a report, on a terminal and in a notebook


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to one query, best first.

    `table` has one row an answer: `rank`, `study_id`, `score` (logit of the model), `probability` of a match
    (calibrated, in a gallery of this size), `in_set`, and `text` where the index keeps it. `set_size` counts
    the studies of the whole index in the set at `alpha`. `ambiguity` is the share of calibration queries, in
    percent, that are surer of their answer in this index (None for a phrase); `p_strange` the conformal
    p-value of the input (None where the model cannot tell). `abstain`: better not answered, and `reason` says
    why; `promise` says what holds, and under which conditions.
    """

    table: pd.DataFrame
    kind: Kind
    studies: int
    alpha: float
    set_size: int
    ambiguity: float | None
    p_strange: float | None
    abstain: bool
    reason: str
    promise: str

    def __len__(self) -> int:
        return len(self.table)

    @property
    def doubts(self) -> str:
        """Set size, ambiguity and strangeness in one line."""
        level = percent(1 - self.alpha)
        said = [f"{self.set_size} of {self.studies} {self.kind.answers} in the set at {level}"]
        if self.ambiguity is not None:
            said.append(f"more ambiguous than {self.ambiguity:.0f} % of {self.kind.compared}")
        if self.p_strange is None:
            said.append("strangeness unknown")
        else:
            said.append(f"strangeness p = {self.p_strange:.3f} among {self.kind.compared}")
        return "; ".join(said)

    def _shown(self) -> pd.DataFrame:
        """The table as people read it: rounded, and only the beginning of a text."""
        table = self.table.copy()
        if "text" in table:
            table["text"] = [t if len(t) <= SHOWN else t[: SHOWN - 1] + "…" for t in table["text"]]
        return table.assign(
            score=table["score"].map("{:.2f}".format),
            probability=table["probability"].map(lambda p: "" if np.isnan(p) else f"{p:.1%}"),
            in_set=table["in_set"].map({True: "yes", False: "no"}),
        )

    def __str__(self) -> str:
        lines = [self._shown().to_string(index=False), "", self.doubts, self.promise]
        return "\n".join(([self._verdict, ""] if self.abstain else []) + lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        verdict = f"<p><b>{html.escape(self._verdict)}</b></p>" if self.abstain else ""
        table = self._shown().to_html(index=False)
        return f"{verdict}{table}<p>{html.escape(self.doubts)}.<br>{html.escape(self.promise)}</p>"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "query": self.kind.name,
            "abstain": self.abstain,
            "reason": self.reason,
            "alpha": self.alpha,
            "set_size": self.set_size,
            "studies": self.studies,
            "ambiguity_percentile": self.ambiguity,
            "p_strange": self.p_strange,
            "promise": self.promise,
            "answers": [
                {name: None if value != value else value for name, value in row.items()}  # NaN is no JSON
                for row in self.table.to_dict("records")
            ],
        }

    @property
    def _verdict(self) -> str:
        return f"Better not answered: {self.reason}."
