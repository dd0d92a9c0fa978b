"""Where things lie: corpus, runs and figures of a profile and objective under the repository's root."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from medprobclip.profiles import Profile, get_profile


@dataclass(frozen=True)
class NotebookParameters:
    """The `parameters` cell of every notebook; papermill overrides it."""

    profile: str = field(default="demo", metadata={"help": "smoke or demo"})
    objective: str = field(default="medprobclip", metadata={"help": "a key of OBJECTIVES: what is minimised"})
    root: str = field(default="..", metadata={"help": "the repository, seen from the notebook"})

    def workspace(self) -> Workspace:
        """The folders of this profile and objective. Raises ValueError when either is unknown."""
        profile = get_profile(self.profile, self.objective)
        return Workspace(Path(self.root).resolve(), profile, self.objective)

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Workspace:
    """The folders of one profile, trained with the objective of that name."""

    root: Path
    profile: Profile
    objective: str

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
        """Committed figures come from the demo's default; all others stay with their run."""
        committed = self.profile.name == "demo" and self.objective == NotebookParameters.objective
        return self.root / "figures" if committed else self.run / "figures"
