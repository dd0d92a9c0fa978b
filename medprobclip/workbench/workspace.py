"""Where things lie: corpus, runs and figures of a profile and objective under the repository's root."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from medprobclip.training.profiles import Profile, get_profile

ROOT = Path(__file__).resolve().parents[2]  # the repository
# Notebooks: Gaussians, data, model, training, retrieval, uncertainty, questions.
WALK = ("00", "01", "02", "03", "04", "05", "06")


@dataclass(frozen=True)
class NotebookParameters:
    """The `parameters` cell of every notebook; papermill overrides it."""

    profile: str = field(default="demo", metadata={"help": "smoke or demo"})
    objective: str = field(default="medprobclip", metadata={"help": "a key of OBJECTIVES: what is minimised"})
    root: str = field(default="..", metadata={"help": "the repository, seen from the notebook"})

    publish: bool = field(
        default=False, metadata={"help": "write into figures/ of the repository, not beside the run"}
    )

    def workspace(self) -> Workspace:
        """The folders of this profile and objective. Raises ValueError when either is unknown."""
        profile = get_profile(self.profile, self.objective)
        return Workspace(Path(self.root).resolve(), profile, self.objective, self.publish)

    def as_dict(self) -> dict[str, str | bool]:
        return asdict(self)


@dataclass(frozen=True)
class Workspace:
    """The folders of one profile, trained with the objective of that name."""

    root: Path
    profile: Profile
    objective: str
    publish: bool = False

    @property
    def data(self) -> Path:
        """Corpora, one folder each."""
        return self.root / "data"

    @property
    def runs(self) -> Path:
        """All that this profile produced, one folder an objective."""
        return self.root / "runs" / self.profile.name

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

    def corpus(self) -> Path:
        """Build the default corpus `openi-sim` of the profile, or find it finished; returns its folder.

        It holds `studies.csv`, `train.csv`, `calibrate.csv`, `validate.csv` and `test.csv`. Raises AssetError
        when the raw material can neither be found nor fetched, ValueError for the `paper` profile.
        """
        if self.profile.name == "paper":
            raise ValueError(
                "the paper profile is for real radiographs: give your own study tables to "
                "`medprobclip train` (docs/profiles.md and docs/own_data.md)"
            )
        from medprobclip.simulator.openi_sim import build_openi_sim  # the simulator, and the CT's reader

        size, count = self.profile.encoders.image_size, self.profile.corpus_studies
        folder = self.data / f"openi-sim-{size}px{f'-{count}studies' if count else ''}"
        build_openi_sim(folder, size_px=size, n_studies=count)
        return folder
