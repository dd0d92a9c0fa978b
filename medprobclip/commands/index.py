"""`medprobclip index`: a study table -> a folder that can be asked, with the model and its promises in it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path


def parser() -> ArgumentParser:
    """Command line."""
    command = ArgumentParser(
        prog="medprobclip index",
        description="Embed the studies of a table with a finished, calibrated run and write an index folder "
        "for `medprobclip search`: model, promises and embeddings, self-contained, without pickles. Where "
        "the folder is there already, the studies that it lacks are added at its end; an interrupted call "
        "goes on.",
        allow_abbrev=False,
    )
    command.add_argument(
        "table", type=Path, metavar="TABLE.csv",
        help="study table (study_id, image_paths, view_names, findings, impression)",
    )  # fmt: skip
    command.add_argument(
        "--run", type=Path,
        help="folder of the run, the --out of `medprobclip train`; not needed to add to an index",
    )  # fmt: skip
    command.add_argument("--out", type=Path, required=True, help="the index folder, new or to be added to")
    command.add_argument(
        "--with_text", action="store_true",
        help="keep report text in a new index, for everybody who gets the folder to read (default: no text)",
    )  # fmt: skip
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parser().parse_args(arguments)
    from medprobclip.support.foreseen import one_line_errors

    with one_line_errors("Stopped. What was indexed is kept; the same command goes on."):
        from medprobclip.retriever.gallery import WAIT, GalleryError
        from medprobclip.retriever.retriever import UNFINISHED, WEIGHTS, Retriever
        from medprobclip.support.locks import locked_folder

        whole = (chosen.out / WEIGHTS).exists() and not (chosen.out / UNFINISHED).exists()
        if not whole and chosen.run is None:
            raise GalleryError(f"{chosen.out} is no index yet: say with --run whose embeddings it is to hold")
        if not whole:
            new = Retriever.from_run(chosen.run)
            with locked_folder(chosen.out, WAIT):
                if not (chosen.out / WEIGHTS).exists() or (chosen.out / UNFINISHED).exists():
                    new.save(chosen.out, chosen.with_text)
        retriever = Retriever.load(chosen.out)
        if chosen.run is not None:
            retriever.require_model_of(chosen.run)
        added = retriever.index(chosen.table, chosen.with_text, progress=True)
        print(f"{added} studies added, {len(retriever.gallery)} in {chosen.out}. Ask it:")
        print(f'  medprobclip search {chosen.out} --text "right pleural effusion"')
