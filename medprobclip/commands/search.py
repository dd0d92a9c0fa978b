"""`medprobclip search`: ask an index folder by a film or by words; says when it would rather not answer."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from medprobclip.retriever.settings import AnswerConfig
from medprobclip.support.flags import HelpWithDefaults, add_flags, from_flags

ABSTAINED = 3  # exit code


def parser() -> ArgumentParser:
    """Command line; the defaults of an answer are `AnswerConfig`'s."""
    command = ArgumentParser(
        prog="medprobclip search",
        description="Ask an index: a film for reports, or words for films.",
        epilog="Exit codes: 0 answered, 3 better not answered (the table is printed all the same, with the "
        "reason), 1 an error, 2 a wrong flag. Report text is shown where the index was built --with_text.",
        formatter_class=HelpWithDefaults,
        allow_abbrev=False,
    )  # fmt: skip
    command.add_argument("index", type=Path, metavar="INDEX", help="folder written by `medprobclip index`")
    asked = command.add_mutually_exclusive_group(required=True)
    asked.add_argument("--image", type=Path, metavar="FILM", help="a radiograph, PNG, JPEG or DICOM")
    asked.add_argument(
        "--text", help='words of a report, such as "right pleural effusion", or a whole section'
    )
    add_flags(command.add_argument_group("answers"), AnswerConfig())
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    command = parser()
    chosen = command.parse_args(arguments)
    try:
        config = from_flags(AnswerConfig(), chosen)
    except ValueError as error:
        command.error(str(error))
    from medprobclip.support.foreseen import one_line_errors

    with one_line_errors("Stopped."):
        from medprobclip.retriever.gallery import GalleryError
        from medprobclip.retriever.queries import is_film
        from medprobclip.retriever.retriever import Retriever

        if chosen.image is None and is_film(chosen.text):
            raise GalleryError(f"--text {chosen.text} names a file: ask by --image, or in more words")
        with redirect_stdout(sys.stderr):  # stdout is for the answers alone
            retriever = Retriever.load(chosen.index, config)
            k = None if chosen.k == AnswerConfig.k else chosen.k
            answers = retriever.search(chosen.text if chosen.image is None else chosen.image, k)
        print(json.dumps(answers.to_dict(), indent=2) if chosen.json else answers)
    sys.exit(ABSTAINED if answers.abstain else 0)
