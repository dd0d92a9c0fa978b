"""The first screen of the report: what was found, and a film with a sentence of its report."""

from __future__ import annotations

from pathlib import Path

from medprobclip.data.radiographs import read_image
from medprobclip.data.reports import sentence_about
from medprobclip.data.studies import read_studies
from medprobclip.data.views import reference_view
from medprobclip.paper.findings.readme import NEEDED, what_was_found
from medprobclip.simulator.showcase import LONGEST, SHOWN, choose_examples
from medprobclip.workbench.report import Film

PLAIN = sorted(SHOWN, key=lambda shown: shown[0] != "Pleural Effusion")  # seen by those who read no films


def conclusion(figures: Path) -> list[str]:
    """What was found, in the sentences of the README, from the CSV files in the folder.

    Raises FileNotFoundError without one of `NEEDED`.
    """
    if missing := [name for name in NEEDED if not (Path(figures) / f"{name}.csv").exists()]:
        raise FileNotFoundError(f"{figures} lacks the numbers of {', '.join(missing)}")
    return what_was_found(figures)


def example_film(test_csv: Path) -> Film:
    """A test study with a plain finding: its reference radiograph, and one sentence of its report."""
    studies = read_studies(test_csv)
    chosen = choose_examples(studies, PLAIN)
    study = studies.iloc[0]
    sentence = sentence_about(f"{study['impression']} {study['findings']}", "")
    if len(chosen):
        study = studies.set_index("study_id", drop=False).loc[chosen["study_id"].iloc[0]]
        sentence = chosen["sentence"].iloc[0]
    if len(sentence) > LONGEST:
        sentence = f"{sentence[:LONGEST].rsplit(' ', 1)[0]} …"
    picture = read_image(study["image_paths"][reference_view(study["view_names"])])
    return Film(picture, f"Simulated from the codes of a report that says: “{sentence}”")
