"""Every table and figure, with the baselines, in one go."""

from __future__ import annotations

import time

from medprobclip.data.coding import codes_of
from medprobclip.data.studies import read_studies
from medprobclip.paper.opening import conclusion, example_film, introduction, made_of
from medprobclip.paper.pages import write_handout, write_pages
from medprobclip.paper.tables.experiments import METHODS, Experiment, comparison
from medprobclip.training.claims import is_finished
from medprobclip.training.runs import train_run
from medprobclip.workbench.corpus import CODING, Corpus, aside
from medprobclip.workbench.headless import run_notebooks
from medprobclip.workbench.report import write_report
from medprobclip.workbench.workspace import NotebookParameters, Workspace

# Notebooks around the training of the baselines.
BEFORE, AFTER = ("00", "01", "02", "03"), ("04", "05", "06", "07", "08")
REPORTED = ("04", "05", "08")  # notebooks that become the page for a colleague


def reproduce(parameters: NotebookParameters, full: bool = False) -> Workspace:
    """Train what is missing, run all notebooks, and write the report `index.html` of `Workspace.report`.

    Beside it the course as one page to hand out, `course.html`.

    Seven methods on one seed, and the reference with spoilt views; with `full` all of `comparison`. Those
    that learn from a coding are left out where nobody coded the studies. Finished runs are reused,
    interrupted ones resumed. Raises what `run_notebooks`, `train_run` and `write_report` raise.
    """
    workspace = run_notebooks(parameters, BEFORE)
    corpus = workspace.corpus()
    runs = trainable(comparison(workspace.profile, full), corpus)
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
        train_run(corpus.train, corpus.validate, out, run.profile, show_text=corpus.shows_text)
    run_notebooks(parameters, AFTER)
    notebooks = [path for path in sorted(workspace.notebooks.glob("*.ipynb")) if path.name[:2] in REPORTED]
    write_report(
        notebooks, workspace.report, "MedProbCLIP: retrieval and doubt", introduction(corpus),
        conclusion(workspace.figures, bool(corpus.simulated)), example_film(corpus),
        made_of(corpus, workspace.profile), workspace.figures,
    )  # fmt: skip
    write_handout(workspace, corpus)
    if parameters.publish:
        write_pages(workspace.root)
    return workspace


def trainable(runs: list[Experiment], corpus: Corpus) -> list[Experiment]:
    """Those that these studies can train; of methods that need a coding and find none, a sentence is said."""
    coded = [run for run in runs if run.profile.objective.equal_coding != "negative"]
    if not coded or any(codes_of(read_studies(corpus.train))):
        return runs
    for name in dict.fromkeys(METHODS[run.folder.name] for run in coded):
        print(aside(name, CODING))
    return [run for run in runs if run not in coded]
