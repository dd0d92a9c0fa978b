"""Where things lie: tables, runs and figures of a profile and objective under the repository's root."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medprobclip.training.profiles import Profile, get_profile

if TYPE_CHECKING:
    from medprobclip.workbench.corpus import Corpus

ROOT = Path(__file__).resolve().parents[2]  # the repository
# Notebooks: Gaussians, data, model, training, retrieval, uncertainty, questions.
WALK = ("00", "01", "02", "03", "04", "05", "06")


@dataclass(frozen=True)
class NotebookParameters:
    """The `parameters` cell of every notebook; papermill overrides it."""

    profile: str = field(default="demo", metadata={"help": "smoke, demo, laptop or paper"})
    objective: str = field(default="medprobclip", metadata={"help": "a key of OBJECTIVES: what is minimised"})
    root: str = field(default="..", metadata={"help": "the repository, seen from the notebook"})

    publish: bool = field(
        default=False, metadata={"help": "write into figures/ of the repository, not beside the run"}
    )
    own_tables: str = field(
        default="",
        metadata={"help": "folder with your train.csv, validate.csv and test.csv; none: the demo's corpus"},
    )
    show_text: bool = field(
        default=False, metadata={"help": "show sentences of your reports (the demo's are public)"}
    )

    def workspace(self) -> Workspace:
        """The folders of this profile and objective.

        Raises ValueError when either is unknown, and when a profile for one's own tables is without them.
        """
        profile = get_profile(self.profile, self.objective)
        if profile.needs_own_tables and not self.own_tables:
            raise ValueError(
                f"the {self.profile} profile is for radiographs of your own: name the folder of their tables "
                "(own_tables, --tables); docs/own_data.md says how to get them"
            )
        if self.publish and self.own_tables:
            raise ValueError("publish: figures/ of the repository shows the demo's corpus, not yours")
        tables = Path(self.own_tables).expanduser().absolute() if self.own_tables else None
        root = Path(self.root).resolve()
        return Workspace(root, profile, self.objective, self.publish, tables, self.show_text)

    def as_dict(self) -> dict[str, str | bool]:
        return asdict(self)


@dataclass(frozen=True)
class Workspace:
    """The folders of one profile, trained with the objective of that name."""

    root: Path
    profile: Profile
    objective: str
    publish: bool = False
    tables: Path | None = None
    show_text: bool = False

    @property
    def data(self) -> Path:
        """Corpora, one folder each."""
        return self.root / "data"

    @property
    def runs(self) -> Path:
        """All that this profile produced of these tables, one folder an objective."""
        of = f"-{self.tables.name}" if self.tables else ""
        return self.root / "runs" / f"{self.profile.name}{of}"

    @property
    def shows_text(self) -> bool:
        """May sentences of reports be shown? The demo's may, one's own where that is asked for."""
        return self.tables is None or self.show_text

    @property
    def run(self) -> Path:
        """The trained model, its metrics and embeddings."""
        return self.runs / self.objective

    @property
    def notebooks(self) -> Path:
        """Executed notebooks."""
        return self.run / "notebooks"

    @property
    def figures(self) -> Path:
        """Beside the run; only `make figures` writes the committed ones."""
        return self.root / "figures" if self.publish else self.run / "figures"

    @property
    def report(self) -> Path:
        """What one sends to a colleague: notebooks 04, 05 and 08 as one page."""
        return self.runs / "report" / "index.html"

    def corpus(self) -> Corpus:
        """The tables: the default corpus of the profile, built where it is not finished, or your own.

        Raises AssetError when the raw material of the default corpus can neither be found nor fetched, and
        StudyTableError as `own_corpus`.
        """
        from medprobclip.data.studies import SPLITS  # and with it pandas, that no --help needs
        from medprobclip.workbench.corpus import EXPERTS, Corpus, own_corpus

        if self.tables:
            return own_corpus(self.tables, self.runs / "tables", self.show_text)
        from medprobclip.simulator.openi_sim import build_openi_sim  # the simulator, and the CT's reader

        size, count = self.profile.encoders.image_size, self.profile.corpus_studies
        folder = self.data / f"openi-sim-{size}px{f'-{count}studies' if count else ''}"
        build_openi_sim(folder, size_px=size, n_studies=count)
        parts = {split: folder / f"{split}.csv" for split in SPLITS}
        return Corpus(**parts, coding=EXPERTS, simulated=folder)
