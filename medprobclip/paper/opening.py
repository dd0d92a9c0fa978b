"""The first screen of the report: what was found, a film with a word on its study, and whose studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from medprobclip.data.coding import codes_of
from medprobclip.data.labels import UNCERTAIN
from medprobclip.data.radiographs import read_image
from medprobclip.data.reports import sentence_about
from medprobclip.data.studies import SPLITS, read_studies
from medprobclip.data.views import reference_view
from medprobclip.paper.findings.readme import NEEDED, what_was_found
from medprobclip.simulator.showcase import LONGEST, SHOWN, choose_examples
from medprobclip.support.packaged import PACKAGED
from medprobclip.training.encoders import SMALL_VISION
from medprobclip.training.profiles import Profile
from medprobclip.workbench.corpus import Corpus
from medprobclip.workbench.report import Film

PLAIN = sorted(SHOWN, key=lambda shown: shown[0] != "Pleural Effusion")  # seen by those who read no films
LARGEST = 512  # pixels of an edge: the page holds the film at the size at which it is shown
NO_DEVICE = "Research software, not a medical device: nothing here may guide the care of a patient"


def introduction(corpus: Corpus) -> str:
    """What the page is about, and how far one may go with it."""
    about = (
        "Which report belongs to a film, and when a model had better not say: films and reports become "
        f"Gaussians. {NO_DEVICE}"
    )
    if corpus.simulated:
        return f"{about}, and no number says how the method does on real radiographs."
    return f"{about}. {for_whom(corpus)}"


def for_whom(corpus: Corpus) -> str:
    """What a page of executed notebooks holds of one's own studies, and who may have it."""
    held = ", ids and sentences of reports" if corpus.shows_text else " and ids, no text of reports"
    return f"This page holds radiographs{held}: give it to those only who may see these studies."


def conclusion(figures: Path, simulated: bool = True) -> list[str]:
    """What was found, in the sentences of the README, from the CSV files in the folder.

    Without `simulated`, of somebody's own radiographs, nothing is said of figures that are not there; with
    it, raises FileNotFoundError without one of `NEEDED`.
    """
    missing = [name for name in NEEDED if not (Path(figures) / f"{name}.csv").exists()]
    if missing and simulated:
        raise FileNotFoundError(f"{figures} lacks the numbers of {', '.join(missing)}")
    return what_was_found(figures, simulated=simulated)


def example_film(corpus: Corpus) -> Film:
    """A test study with a plain finding, or the first one: its reference radiograph.

    Under it stands one sentence of its report or, where text is withheld, how the study is coded.
    """
    studies = read_studies(corpus.test)
    present = [tuple(c for c in codes if not c.endswith(f"/{UNCERTAIN}")) for codes in codes_of(studies)]
    chosen = choose_examples(studies.assign(codes=pd.Series(present, dtype=object), sex=""), PLAIN)
    study = studies.iloc[0]
    sentence = sentence_about(f"{study['impression']} {study['findings']}", "")
    if len(chosen):
        study = studies.set_index("study_id", drop=False).loc[chosen["study_id"].iloc[0]]
        sentence = chosen["sentence"].iloc[0]
    if len(sentence) > LONGEST:
        sentence = f"{sentence[:LONGEST].rsplit(' ', 1)[0]} …"
    if corpus.simulated:
        caption = f"Simulated from the codes of a report that says: “{sentence}”"
    elif corpus.shows_text:
        caption = f"Study {study['study_id']}, whose report says: “{sentence}”"
    else:
        codes = ", ".join(study.get("codes", ()))
        caption = f"Study {study['study_id']}" + (f", coded {codes}" if codes else "; nobody coded it")
    picture = Image.fromarray(read_image(study["image_paths"][reference_view(study["view_names"])]))
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    return Film(np.asarray(picture), caption)


def made_of(corpus: Corpus, profile: Profile) -> str:
    """The studies, and what the encoders knew before, in words."""
    if corpus.simulated:
        what = (
            "real OpenI reports, radiographs simulated from one chest CT according to each report's expert "
            "codes."
        )
    else:
        uses = ("to train", "to calibrate", "to validate", "to test")
        counts = [len(read_studies(corpus.part(split))) for split in SPLITS]
        told = ", ".join(f"{n:,} {use}" for n, use in zip(counts, uses, strict=True))
        what = f"{corpus.described()} Studies: {told}."
    return f"Profile {profile.name}: {what} {_start(corpus, profile)}"


def _start(corpus: Corpus, profile: Profile) -> str:
    encoders = profile.encoders
    if encoders.vision in PACKAGED:
        seen = "study of this corpus" if corpus.simulated else "real film"
        return (
            "The image encoder, the same for every method, was taught to name findings that the simulator "
            f"drew in the films of invented patients; it had read no report and seen no {seen}."
        )
    if encoders.vision in SMALL_VISION:
        return "Encoders start from nothing."
    return f"Every method starts from the pretrained encoders {encoders.vision} and {encoders.text}."
