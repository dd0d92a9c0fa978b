"""The defaults of an answer; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from medprobclip.ranges import refuse_out_of_range


@dataclass(frozen=True)
class AnswerConfig:
    """How many answers, and how sure they must be. Raises ValueError for what is out of range."""

    k: int = field(default=10, metadata={"help": "answers to a query, at least 1"})
    alpha: float = field(
        default=0.1, metadata={"help": "chance that the set misses every right answer, between 0 and 1"}
    )
    strange_rate: float = field(
        default=0.05, metadata={"help": "chance that a good input is called strange, 0 to 1 (0: never)"}
    )
    risk: float = field(
        default=0.5,  # as often right as wrong: what a list of ten is worth looking through for
        metadata={
            "help": "most of the answered queries whose first k are all wrong, a share between 0 and 1"
        },
    )
    delta: float = field(
        default=0.1, metadata={"help": "chance that this share is above the risk, between 0 and 1"}
    )

    def __post_init__(self) -> None:
        refuse_out_of_range(self, {
            "k": self.k >= 1,
            "alpha": 0 < self.alpha < 1,
            "strange_rate": 0 <= self.strange_rate <= 1,
            "risk": 0 < self.risk < 1,
            "delta": 0 < self.delta < 1,
        })  # fmt: skip
