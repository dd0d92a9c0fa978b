"""`medprobclip readability`: can a small network see in the pictures what the simulator drew?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from medprobclip.settings import ClassifierConfig, ReadabilityConfig
from medprobclip.support.flags import HelpWithDefaults, add_flags, from_flags
from medprobclip.workbench.workspace import ROOT

OUT = ROOT / "runs" / "readability"


def parser() -> ArgumentParser:
    """Command line; the committed figure comes from the defaults."""
    command = ArgumentParser(
        prog="medprobclip readability",
        description="Render invented patients, train a small network to name their findings, and score it "
        "kind by kind on patients it has not met.",
        formatter_class=HelpWithDefaults,
    )
    add_flags(command, ReadabilityConfig())
    add_flags(command, ClassifierConfig())
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parser().parse_args(arguments)
    config, classifier = from_flags(ReadabilityConfig, chosen), from_flags(ClassifierConfig, chosen)
    from medprobclip.data.assets import AssetError, fetch
    from medprobclip.data.images import ImageError
    from medprobclip.data.openi import read_openi_reports
    from medprobclip.paper.figures import catalogue as figures
    from medprobclip.paper.readability import READABLE, UNMEASURED, check_readability, codes_by_kind
    from medprobclip.training.loop import TrainingError

    try:
        reports = read_openi_reports(fetch("openi_reports"))
        codes = codes_by_kind(reports["codes"].explode().dropna())
        table = check_readability(codes, OUT, config, classifier)
    except (AssetError, ImageError, TrainingError, ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command keeps the finished radiographs and trains anew.")
    print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep=""))
    hard = table[~table["verdict"].isin([READABLE, UNMEASURED])]
    print(f"\n{len(hard)} of {len(table)} kinds are hard (AUROC below {config.hard_below:g}):")
    for verdict, kinds in hard.groupby("verdict")["kind"]:
        print(f"  {verdict}: {', '.join(kinds)}")
    # Committed figures come from the defaults; others stay with their run.
    folder = ROOT / "figures" if (config, classifier) == (ReadabilityConfig(), ClassifierConfig()) else OUT
    path = figures.save("readability", figures.readability(table, config.hard_below), table, folder)
    print(f"Table: {OUT / 'readability.csv'}; figure: {path}")
