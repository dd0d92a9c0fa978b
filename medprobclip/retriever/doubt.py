"""When not to answer, and what may be promised, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from medprobclip.evaluation.selective import selective_threshold
from medprobclip.retriever.promises import FILM, PHRASE, Kind, percent
from medprobclip.retriever.settings import AnswerConfig
from medprobclip.retriever.usual import DEPTH

UNLIKE = {
    FILM: "unlike any film it was trained on",
    PHRASE: "unlike any words of the reports it was trained on",
}


@dataclass(frozen=True, eq=False)
class Doubt:
    """What is known of one answered query.

    The `set_size` of the index's `studies` reach the `threshold`; `p_strange` as in `Answers`. Of the
    calibration queries in this index (`among`): `entropies` and `ranks` of the best right answer, `[n]` each.
    """

    kind: Kind
    studies: int
    set_size: int
    threshold: float
    p_strange: float | None
    entropy: float = 0.0
    entropies: Tensor | None = None
    ranks: Tensor | None = None

    def among(self, entropy: float, entropies: Tensor, ranks: Tensor) -> Doubt:
        """With the query's own entropy, and those of the calibration queries."""
        return replace(self, entropy=entropy, entropies=entropies, ranks=ranks)

    @property
    def ambiguity(self) -> float | None:
        """Share of the calibration queries, in percent, that are surer of their answer in this index."""
        if self.entropies is None:
            return None
        return 100 * float((self.entropies < self.entropy).double().mean())

    def most_entropy(self, config: AnswerConfig) -> float | None:
        """The entropy up to which the share of answers without a right one is promised; None: nowhere.

        `evaluation.selective.selective_threshold` of the calibration queries in this index.
        """
        wrong = (self.ranks > min(config.k, DEPTH)).numpy()
        least = selective_threshold(-self.entropies.numpy(), wrong, config.risk, config.delta)
        return None if least is None else -least

    def reason(self, config: AnswerConfig) -> str:
        """Why it is better not answered; "" when it may be.

        Strange: a p-value of at most `strange_rate`. Ambiguous: an entropy above `most_entropy`. A phrase
        fits many films by its nature and is asked to list them, so it is never too ambiguous.
        """
        if self.p_strange is not None and self.p_strange <= config.strange_rate:
            what = UNLIKE.get(self.kind.name, "unlike any report it was trained on")
            return f"{what} (p = {self.p_strange:.3f}, at most {config.strange_rate:g} is strange)"
        if self.entropies is None:
            return ""
        most, fit = self.most_entropy(config), f"{self.set_size} {self.kind.answers} may fit"
        if self.set_size < 2:
            fit = f"no {self.kind.answers[:-1]} stands out"
        if most is None:
            return (
                f"{fit}, and however sure it is, the first {config.k} cannot be promised to hold a right one "
                f"for {percent(1 - config.risk)} of such queries"
            )
        if self.entropy <= most:
            return ""
        return f"{fit}: more ambiguous than {self.ambiguity:.0f} % of {self.kind.compared}"

    def promise(self, calibration: int, config: AnswerConfig) -> str:
        """What holds, and under which conditions."""
        asked, words = self.kind.compared, "these words" if self.kind.words > 1 else "this word"
        right = {
            FILM: "the film's own report, or one worded alike,",
            PHRASE: f"a film whose report has {words}",
        }.get(self.kind.name, "the film of the report, or of one worded alike,")
        if self.threshold == -float("inf"):
            level = percent(1 - config.alpha)
            said = (
                f"{calibration} calibration studies are too few for a set at {level}: it is the whole index."
            )
        else:
            said = (
                f"The set holds {right} with a probability of at least {percent(1 - config.alpha)}, if the "
                f"index has it and the query is one like {asked} ({calibration} studies that chose nothing)."
            )
        if self.entropies is not None and self.most_entropy(config) is not None:
            said += (
                f" Of such queries that are sure enough to be answered, at most {percent(config.risk)} have "
                f"no right answer among the first {config.k} (confidence {percent(1 - config.delta)})."
            )
        return said
