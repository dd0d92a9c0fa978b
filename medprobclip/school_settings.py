"""The defaults of the chest encoder's school, and of judging what it sees; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from medprobclip.ranges import refuse_out_of_range
from medprobclip.settings import SmallVision


@dataclass(frozen=True)
class SchoolConfig:
    """The chest encoder's school: who is looked at, what is taught, how long and how fast."""

    vision: SmallVision = field(default="small-resnet", metadata={"help": "built from scratch"})
    patients: int = field(default=16000, metadata={"help": "invented patients, a PA and a lateral film each"})
    size_px: int = field(default=128, metadata={"help": "side of the radiographs, px: as in the demo"})
    least_positives: int = field(
        default=25, metadata={"help": "a side, place or severity is taught if so many patients have it"}
    )
    epochs: int = field(default=24, metadata={"help": "passes over the training patients"})
    batch_size: int = field(default=32, metadata={"help": "patients a step, two films each"})
    learning_rate: float = field(default=2e-3, metadata={"help": "peak of AdamW's rate: from scratch"})
    weight_decay: float = field(default=0.05, metadata={"help": "AdamW's decoupled weight decay"})
    seed: int = field(default=42, metadata={"help": "of initial weights, order and augmentation"})

    def __post_init__(self) -> None:
        least = {"patients": 10, "size_px": 8, "least_positives": 1, "epochs": 1, "batch_size": 1, "seed": 0}
        ranges = {name: getattr(self, name) >= value for name, value in least.items()}
        ranges |= {name: getattr(self, name) >= 0 for name in ("learning_rate", "weight_decay")}
        refuse_out_of_range(self, ranges)


@dataclass(frozen=True)
class ReadabilityConfig:
    """When a kind of finding counts as hard, and what excuses it."""

    hard_below: float = field(default=0.75, metadata={"help": "AUROC under which a kind is hard"})
    # Medians of the kinds have a gap between 23 and 28 mm, and between 0.42 and 0.58; the latter is also
    # where `truth.conspicuity` draws its line.
    small_mm: float = field(
        default=25.0, metadata={"help": "a hard kind of a lesser median size is small; 10 px by default"}
    )
    subtle: float = field(
        default=0.5, metadata={"help": "a hard kind of a lesser median conspicuity is subtle"}
    )
