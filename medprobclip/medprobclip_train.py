"""The published command: train on three study tables, choose by validation, score the test set once."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from medprobclip.support.flags import print_anywhere
from medprobclip.support.foreseen import one_line_errors
from medprobclip.training.command_line import parse
from medprobclip.training.profiles import Profile
from medprobclip.training.run_config import Tables, keep_config


def main(arguments: Sequence[str] | None = None) -> None:
    """Check everything, train and score; what is heavy is loaded when the flags are known to be right."""
    print_anywhere()
    published = "python medprobclip/medprobclip_train.py"
    given, prog = (sys.argv[1:], published) if arguments is None else (arguments, "medprobclip train")
    tables, profile = parse(given, prog, __doc__)
    with one_line_errors("Stopped. The same command goes on from the last saved state, if there is one."):
        if tables.dry_run:
            from medprobclip.training.dry_run import dry_run

            dry_run(profile, tables.named())
        else:
            run(tables, profile)


def run(tables: Tables, profile: Profile) -> None:
    """Train into the output folder, score the test table, print both."""
    from contextlib import nullcontext

    from medprobclip.support.locks import locked_folder
    from medprobclip.training.calibrating import calibrate_run, calibration_summary
    from medprobclip.training.claims import started_settings
    from medprobclip.training.preflight import folder_problems, preflight
    from medprobclip.training.processes import Team
    from medprobclip.training.runs import evaluate_run, train_run
    from medprobclip.training.summary import commands_after

    show, team = tables.show_text, Team.here()
    # One lock from the first look to the last score; a folder that has none to give is told with the rest.
    locked = team.leads and not folder_problems(tables.out)
    with locked_folder(tables.out) if locked else nullcontext():
        checked = team.led(
            lambda: preflight(
                tables.named(), profile, tables.out, tables.quarantine, tables.calibrate_share, show
            )
        )
        if team.leads and started_settings(tables.out) is None:  # one that has begun may refuse its tables
            keep_config(tables, profile)
        train_run(checked["training"], checked["validation"], tables.out, profile, show_text=show)
        if team.leads:
            keep_config(tables, profile)
        table = evaluate_run(tables.out, checked["test"], show)[0] if "test" in checked else None
        if "calibration" in checked:
            team.say(calibration_summary(calibrate_run(tables.out, checked["calibration"], show)))
    if table is None:
        team.say(
            f"No test table, no score. Give one later: medprobclip train --out {tables.out} --test_csv CSV"
        )
    else:
        team.say(table.to_string(index=False, float_format=lambda x: f"{x:.1f}", na_rep=""))
    team.say(f"Checkpoint, metrics.json and TensorBoard logs: {tables.out}")
    team.say("\n  ".join(["Next:", *commands_after(tables.out, "calibration" in checked)]))


if __name__ == "__main__":
    main()
