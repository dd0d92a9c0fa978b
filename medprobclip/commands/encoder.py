"""`medprobclip encoder`: the chest encoder, from invented patients to the committed file."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from medprobclip.school_settings import ReadabilityConfig, SchoolConfig
from medprobclip.support.flags import HelpWithDefaults, add_flags, from_flags
from medprobclip.workbench.workspace import ROOT

OUT = ROOT / "runs" / "encoder"


def parser() -> ArgumentParser:
    """Command line; the committed encoder and its figure come from the defaults."""
    command = ArgumentParser(
        prog="medprobclip encoder",
        description="Render invented patients, train the demo's image encoder to name what was drawn in "
        "them, and score it kind by kind on patients it has not met. With the defaults it replaces the "
        "committed encoder and its figure (about an hour on two cores). An interrupted call goes on.",
        formatter_class=HelpWithDefaults,
    )
    add_flags(command, SchoolConfig())
    add_flags(command, ReadabilityConfig())
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    command = parser()
    chosen = command.parse_args(arguments)
    try:
        config, readability = from_flags(SchoolConfig, chosen), from_flags(ReadabilityConfig, chosen)
    except ValueError as error:  # out of range
        command.error(str(error))
    from medprobclip.data.assets import AssetError
    from medprobclip.data.grey import ImageError
    from medprobclip.paper.chest_encoder import READABLE, UNMEASURED, school_encoder
    from medprobclip.paper.figures import catalogue as figures
    from medprobclip.simulator.openi_sim import training_codes
    from medprobclip.simulator.school import codes_by_kind
    from medprobclip.support.files import replaced_file
    from medprobclip.support.packaged import PACKAGED
    from medprobclip.training.errors import TrainingError

    try:
        table = school_encoder(codes_by_kind(training_codes()), OUT, config, readability)
    except (AssetError, ImageError, TrainingError, ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on after the last finished epoch.")
    print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}", na_rep=""))
    hard = table[~table["verdict"].isin([READABLE, UNMEASURED])]
    print(f"\n{len(hard)} of {len(table)} kinds are hard (AUROC below {readability.hard_below:g}):")
    for verdict, kinds in hard.groupby("verdict")["kind"]:
        print(f"  {verdict}: {', '.join(kinds)}")
    # What is committed comes from the defaults; others stay with their run.
    committed = (config, readability) == (SchoolConfig(), ReadabilityConfig())
    folder, encoder = (ROOT / "figures" if committed else OUT), OUT / "encoder"
    path = figures.save("readability", figures.readability(table, readability.hard_below), table, folder)
    if committed:
        for file in encoder.iterdir():
            with replaced_file(PACKAGED["chest-encoder"] / file.name) as temporary:
                shutil.copyfile(file, temporary)
        encoder = PACKAGED["chest-encoder"]
    print(f"Encoder: {encoder}; table: {OUT / 'readability.csv'}; figure: {path}")
