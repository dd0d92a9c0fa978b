"""Where things lie: corpus, runs and figures of a profile under the repository's root."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from medprobclip.profiles import Profile, get_profile

OBJECTIVE = "medprobclip"


@dataclass(frozen=True)
class NotebookParameters:
    """The `parameters` cell of every notebook; papermill overrides it."""

    profile: str = field(default="demo", metadata={"help": "smoke or demo"})
    root: str = field(default="..", metadata={"help": "the repository, seen from the notebook"})

    def workspace(self) -> Workspace:
        """The folders of this profile. Raises ValueError for an unknown profile."""
        return Workspace(Path(self.root).resolve(), get_profile(self.profile))

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Workspace:
    """The folders of one profile."""

    root: Path
    profile: Profile

    @property
    def data(self) -> Path:
        """Corpora, one folder each."""
        return self.root / "data"

    @property
    def runs(self) -> Path:
        """All that this profile produced."""
        return self.root / "runs" / self.profile.name

    @property
    def run(self) -> Path:
        """The trained model, its metrics and embeddings."""
        return self.runs / OBJECTIVE

    @property
    def notebooks(self) -> Path:
        """Executed notebooks."""
        return self.runs / "notebooks"

    @property
    def figures(self) -> Path:
        """Committed figures come from the demo profile; other profiles keep theirs with their runs."""
        return self.root / "figures" if self.profile.name == "demo" else self.runs / "figures"
