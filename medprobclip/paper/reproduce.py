"""Every table and figure, with the baselines, in one go."""

from __future__ import annotations

import time

from medprobclip.paper.opening import conclusion, example_film
from medprobclip.paper.pages import write_handout, write_pages
from medprobclip.paper.tables.experiments import comparison
from medprobclip.support.packaged import PACKAGED
from medprobclip.training.claims import is_finished
from medprobclip.training.runs import train_run
from medprobclip.workbench.headless import run_notebooks
from medprobclip.workbench.report import write_report
from medprobclip.workbench.workspace import NotebookParameters, Workspace

# Notebooks around the training of the baselines.
BEFORE, AFTER = ("00", "01", "02", "03"), ("04", "05", "06", "07", "08")
REPORTED = ("04", "05", "08")  # notebooks that become the page for a colleague


def reproduce(parameters: NotebookParameters, full: bool = False) -> Workspace:
    """Train what is missing, run all notebooks, and write the report `runs/<profile>/report/index.html`.

    Beside it the course as one page to hand out, `course.html`.

    Seven methods on one seed, and the reference with spoilt views; with `full` all of `comparison`. Finished
    runs are reused, interrupted ones resumed. Raises what `run_notebooks`, `train_run` and `write_report`
    raise.
    """
    workspace = run_notebooks(parameters, BEFORE)
    corpus = workspace.corpus()
    runs = comparison(workspace.profile, full)
    started = time.perf_counter()
    for number, run in enumerate(runs, start=1):
        out = workspace.runs / run.folder
        minutes = (time.perf_counter() - started) / 60
        print(
            f"\n[run {number}/{len(runs)}] {run.folder} ({minutes:.0f} minutes of training so far)",
            flush=True,
        )
        if is_finished(out):
            print("finished before")
        train_run(corpus / "train.csv", corpus / "validate.csv", out, run.profile)
    run_notebooks(parameters, AFTER)
    notebooks = [path for path in sorted(workspace.notebooks.glob("*.ipynb")) if path.name[:2] in REPORTED]
    write_report(
        notebooks, workspace.report, "MedProbCLIP: retrieval and doubt",
        "Which report belongs to a film, and when a model had better not say: films and reports become "
        "Gaussians. Research software, not a medical device: nothing here may guide the care of a patient, "
        "and no number says how the method does on real radiographs.",
        conclusion(workspace.figures), example_film(corpus / "test.csv"),
        f"Profile {workspace.profile.name}: real OpenI reports, radiographs simulated from one chest CT "
        f"according to each report's expert codes. {_start(workspace)}",
        workspace.figures,
    )  # fmt: skip
    write_handout(workspace)
    if parameters.publish:
        write_pages(workspace.root)
    return workspace


def _start(workspace: Workspace) -> str:
    """What the image encoder knew before, in words."""
    if workspace.profile.encoders.vision not in PACKAGED:
        return "Encoders start from nothing."
    return (
        "The image encoder, the same for every method, was taught to name findings that the simulator drew "
        "in the films of invented patients; it had read no report and seen no study of this corpus."
    )
