"""Pages that `make figures` writes: of the figures, parts of two others, the course to hand out."""

from __future__ import annotations

from pathlib import Path

from medprobclip.paper.course import course_map, slides, with_thumbnails
from medprobclip.paper.figures.gallery import gallery
from medprobclip.paper.findings.readme import FOUND, what_was_found, with_part
from medprobclip.paper.opening import NO_DEVICE, for_whom
from medprobclip.support.files import replaced_file
from medprobclip.workbench.corpus import Corpus
from medprobclip.workbench.report import write_report
from medprobclip.workbench.workspace import Workspace

README, COURSE, GALLERY = "README.md", "notebooks/README.md", "figures/README.md"
CHAPTERS, MAP, SLIDES = "the notebooks", "the map", "figures for slides"


def pages(root: Path) -> dict[str, str]:
    """Path below `root` -> the page as figures and notebooks there want it.

    Raises FileNotFoundError without a page or a figure's numbers, ValueError for a page without its marks.
    """
    root = Path(root)
    readme, course = ((root / name).read_text(encoding="utf-8") for name in (README, COURSE))
    readme = with_part(readme, FOUND, [f"- {said}" for said in what_was_found(root / "figures")])
    readme = with_part(readme, CHAPTERS, with_thumbnails(root / "notebooks"))
    course = with_part(course, MAP, course_map(root / "notebooks"))
    return {
        README: readme,
        COURSE: with_part(course, SLIDES, slides()),
        GALLERY: gallery(root / "figures"),
    }


def write_pages(root: Path) -> None:
    """Write them. Raises what `pages` raises."""
    for name, text in pages(root).items():
        with replaced_file(Path(root) / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def write_handout(workspace: Workspace, corpus: Corpus) -> Path:
    """All executed notebooks and the glossary as one page beside the report, `course.html`, for a class
    without a network.

    Raises what `write_report` raises.
    """
    whose = (
        "Reports are OpenI's (CC BY-NC-ND 4.0): keep this page within your class. Radiographs are simulated; "
        "nothing here may guide the care of a patient."
        if corpus.simulated
        else f"{for_whom(corpus)} {NO_DEVICE}."
    )
    return write_report(
        [*sorted(workspace.notebooks.glob("*.ipynb")), workspace.root / "notebooks" / "glossary.md"],
        workspace.report.with_name("course.html"),
        "MedProbCLIP: the course",
        f"Predict before you read on; answers to the exercises are folded. {whose}",
        figures=workspace.figures,
    )
