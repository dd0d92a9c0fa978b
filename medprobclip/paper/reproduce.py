"""Every table and figure, with the baselines, from one command: `python -m medprobclip.paper.reproduce`."""

from __future__ import annotations

import argparse
import sys
import time

from medprobclip.data.assets import AssetError
from medprobclip.paper.figures.gallery import gallery
from medprobclip.paper.tables.experiments import comparison
from medprobclip.support.files import replaced_file
from medprobclip.training.loop import TrainingError
from medprobclip.training.profiles import PROFILES
from medprobclip.training.runs import is_finished, train_run
from medprobclip.workbench.headless import ROOT, guarded, run_notebooks
from medprobclip.workbench.report import write_report
from medprobclip.workbench.workspace import NotebookParameters, Workspace, prepare_corpus

BEFORE, AFTER = ("01", "02", "03"), ("04", "05", "07", "08")  # notebooks around the training of the baselines
REPORTED = ("04", "05", "08")  # notebooks that become the page for a colleague


def reproduce(parameters: NotebookParameters, full: bool = False) -> Workspace:
    """Train what is missing, run all notebooks, and write the report `runs/<profile>/report/index.html`.

    Five methods on one seed; with `full` also the ablation and two more seeds. Finished runs are reused,
    interrupted ones resumed. Raises what `run_notebooks`, `train_run` and `write_report` raise.
    """
    workspace = run_notebooks(parameters, BEFORE)
    corpus = prepare_corpus(workspace.profile, workspace.data)
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
        f"Profile {workspace.profile.name}: real OpenI reports, radiographs simulated from one chest CT "
        "according to each report's expert codes. Research software, not a medical device: nothing here may "
        "guide the care of a patient, and no number says how the method does on real radiographs.",
    )  # fmt: skip
    if parameters.publish:
        with replaced_file(workspace.figures / "README.md") as temporary:
            temporary.write_text(gallery(workspace.figures), encoding="utf-8")
    return workspace


def parser() -> argparse.ArgumentParser:
    """Command line; the default profile is the notebooks' own."""
    command = argparse.ArgumentParser(
        prog="python -m medprobclip.paper.reproduce",
        description="Train the methods that are missing and regenerate every table and figure.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument(
        "--profile", choices=sorted(PROFILES.keys() - {"paper"}), default=NotebookParameters.profile,
        help="demo writes the committed figures/; smoke, whose numbers mean nothing, beside its run",
    )  # fmt: skip
    command.add_argument(
        "--full", action="store_true", help="also the ablation and two more seeds: about two hours more"
    )
    return command


def main() -> None:
    arguments = parser().parse_args()

    def work() -> None:
        publish = arguments.profile == NotebookParameters.profile
        try:
            workspace = reproduce(
                NotebookParameters(arguments.profile, root=str(ROOT), publish=publish), arguments.full
            )
        except (TrainingError, AssetError) as error:
            sys.exit(f"\n{error}")
        print(f"\nDone. Look at\n  {workspace.figures}/   every figure and table, with its numbers as CSV")
        print(f"  {workspace.report}   the page to send to a colleague")

    guarded(work)


if __name__ == "__main__":
    main()
