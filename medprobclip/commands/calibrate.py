"""`medprobclip calibrate`: what a finished run can promise, fitted on studies that chose nothing."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path


def parser() -> ArgumentParser:
    """Command line; both flags are needed."""
    command = ArgumentParser(
        prog="medprobclip calibrate",
        description="Fit the probability of a match, and how strange good inputs are, on studies that "
        "neither trained a finished run nor chose its epoch, and keep both as calibration.json in the run "
        "folder. n studies can promise error rates (alpha) from 1/(n + 1) on: 99 studies 0.01. Called again, "
        "it fits anew.",
        allow_abbrev=False,
    )
    command.add_argument(
        "--run", type=Path, required=True, help="folder of a finished run, the --out of `medprobclip train`"
    )
    command.add_argument(
        "--csv", type=Path, required=True, metavar="TABLE",
        help="study table (CSV: study_id, image_paths, view_names, findings, impression), of two or more",
    )  # fmt: skip
    command.add_argument(
        "--show_text", action="store_true", default=None,
        help="let words of reports be printed; by default only those of the demo's public corpus",
    )  # fmt: skip
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parser().parse_args(arguments)
    from medprobclip.support.foreseen import one_line_errors

    with one_line_errors("\nStopped. The same command starts again."):
        from medprobclip.data.notices import table_notices
        from medprobclip.data.studies import read_studies
        from medprobclip.support.locks import locked_folder
        from medprobclip.training.calibrating import FILE, calibrate_run, calibration_summary, few_studies
        from medprobclip.training.claims import require_finished

        require_finished(chosen.run)  # a lock would make the folder
        with locked_folder(chosen.run):
            notices = table_notices(read_studies(chosen.csv), chosen.show_text)
            record = calibrate_run(chosen.run, chosen.csv, chosen.show_text)
    for notice in [*notices, *few_studies(record["gallery"])]:
        print(f"{chosen.csv.stem}: {notice}")
    print(calibration_summary(record))
    print(f"Kept in {chosen.run / FILE}")
