"""What calibration studies allow to promise, for films, reports and phrases."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from medprobclip.evaluation.calibration import ForGallery, Platt
from medprobclip.evaluation.conformal import p_values, set_threshold
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.retriever.gallery import GalleryError
from medprobclip.support.files import write_json
from medprobclip.training.calibrating import EMBEDDINGS, FILE

WANTED = (
    "platt", "gallery", "fitted_on", "strangeness", "best_right", "phrases", "shortest", "wording",
)  # fmt: skip
FILM, REPORT, PHRASE = "radiograph", "report", "phrase"  # kinds of query


@dataclass(frozen=True)
class Kind:
    """What a query is, and with which calibration queries it is compared: phrases by their length."""

    name: str
    words: int = 0  # of the pieces that a phrase is compared with

    @property
    def finds(self) -> str:
        """The side of the gallery that it is asked against."""
        return "report" if self.name == FILM else "image"

    @property
    def answers(self) -> str:
        """What it finds, in words."""
        return "reports" if self.name == FILM else "films"

    @property
    def compared(self) -> str:
        """The calibration queries that speak for it, in words."""
        if self.name == PHRASE:
            return f"pieces of {self.words} word{'s' * (self.words > 1)} of the calibration reports"
        return f"the calibration {'films' if self.name == FILM else 'reports'}"


@dataclass(frozen=True, eq=False)
class Promises:
    """The calibration record of a run, and the embeddings of its n calibration studies.

    Raises GalleryError from `load` when there is none, or it belongs to another model.
    """

    record: dict
    studies: Embeddings

    @classmethod
    def load(cls, folder: Path) -> Promises:
        """From a run folder or a saved retriever."""
        path = Path(folder) / FILE
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            studies = Embeddings.load(stored := Path(folder) / f"{EMBEDDINGS}.safetensors")
            complete = set(WANTED) <= set(record)
        except FileNotFoundError:
            complete = False
        except (ValueError, LookupError, TypeError, SafetensorError) as error:
            raise GalleryError(f"{path} cannot be read ({error}); calibrate the run anew") from None
        if not complete:
            raise GalleryError(
                f"{folder} was not calibrated as this version does, and promises need studies that chose "
                f"nothing: medprobclip calibrate --run {folder} --csv TABLE.csv"
            )
        if Embeddings.source_of(stored) != record["fitted_on"]:  # a calibration that was interrupted
            raise GalleryError(f"{path} and {stored.name} are of two calibrations; calibrate the run anew")
        return cls(record, studies)

    def save(self, folder: Path) -> None:
        """Write both files into a folder."""
        write_json(Path(folder) / FILE, self.record)
        self.studies.save(Path(folder) / f"{EMBEDDINGS}.safetensors", self.record["fitted_on"])

    def __len__(self) -> int:
        return len(self.studies)

    @cached_property
    def digest(self) -> str:
        """Of model and calibration studies: what is computed from both is known by it."""
        return hashlib.sha256(json.dumps(self.record["fitted_on"], sort_keys=True).encode()).hexdigest()

    @property
    def wording(self) -> Tensor:
        """int64 `[n]`, as in the gallery."""
        return torch.tensor(self.record["wording"], dtype=torch.int64)

    def kind_of(self, text: str) -> Kind:
        """A text of fewer words than nearly all calibration reports is a phrase, compared with pieces."""
        words = len(text.split())
        if words >= self.record["shortest"]:
            return Kind(REPORT)
        lengths = sorted(map(int, self.record["phrases"]))
        return Kind(PHRASE, max((n for n in lengths if n <= words), default=lengths[0]))

    def _of(self, kind: Kind, what: str) -> np.ndarray | None:
        if kind.name == PHRASE:
            found = self.record["phrases"][str(kind.words)].get(what)
        else:
            found = self.record[what].get("image" if kind.name == FILM else "report")
        return None if found is None else np.asarray(found)

    def threshold(self, kind: Kind, alpha: float) -> float:
        """The logit from which an answer is in the set, `conformal.set_threshold`."""
        return set_threshold(self._of(kind, "best_right"), alpha)

    def p_value(self, kind: Kind, strangeness: float | None) -> float | None:
        """`conformal.p_values` of one input; None where the model cannot tell."""
        usual = self._of(kind, "strangeness")
        if strangeness is None or usual is None:
            return None
        return float(p_values(np.array([strangeness]), usual)[0])

    def probabilities(self, kind: Kind, scores: np.ndarray, gallery: int) -> np.ndarray:
        """Of a match, of logits `[k]` in a gallery of that size (at least two, or it is certain).

        A phrase matches a share of the films, whatever their number; NaN where no calibration film lacks it.
        """
        if kind.name == PHRASE:
            fitted = self.record["phrases"][str(kind.words)].get("platt")
            return np.full(len(scores), np.nan) if fitted is None else Platt(**fitted)(scores)
        fitted = Platt(**self.record["platt"])
        return ForGallery(fitted, self.record["gallery"], max(2, gallery))(scores)


def percent(share: float) -> str:
    """0.9 -> "90%", 0.999 -> "99.9%": what is promised must not be rounded up to more."""
    return f"{100 * share:.6g}%"
