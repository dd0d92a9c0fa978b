"""Named sets of the same settings: `smoke` for tests, `demo`, `laptop` for your own, `paper` for a GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from medprobclip.settings import (
    OBJECTIVES,
    AugmentationConfig,
    EncoderConfig,
    ObjectiveConfig,
    ScalingConfig,
)
from medprobclip.training_settings import MachineConfig, TrainingConfig


@dataclass(frozen=True)
class Profile:
    """Everything that decides a run. The defaults of every part are the paper's (arXiv 2602.16019)."""

    name: str
    encoders: EncoderConfig = EncoderConfig()
    training: TrainingConfig = TrainingConfig()
    machine: MachineConfig = MachineConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    scaling: ScalingConfig = ScalingConfig()
    showcase_px: int = field(default=224, metadata={"help": "edge of the pictures of notebook 01, pixels"})
    needs_own_tables: bool = field(
        default=False, metadata={"help": "for tables of one's own; the others have the default corpus, too"}
    )
    corpus_studies: int | None = field(
        default=None, metadata={"help": "studies of the default corpus, all when none"}
    )

    def settings(self) -> dict:
        """What a training run is known by, ready for JSON: not what is for notebooks, or may change."""
        apart = ("scaling", "needs_own_tables", "machine")
        return {name: value for name, value in asdict(self).items() if name not in apart}


_DEMO = Profile(
    "demo",  # two to three minutes of training on two CPU cores
    EncoderConfig(
        "chest-encoder",
        "small-bert",
        embed_dim=128,
        image_size=128,
        max_tokens=128,
        text_pooling="mean",
    ),
    # The text encoder starts from nothing: its rate is 20 times that of fine-tuning, and the mean of
    # its tokens is sooner of use than a first token that has yet to learn to attend.
    # All is decayed as in the runs that the committed figures show: at 1e-7 a step it decides nothing.
    TrainingConfig(
        epochs=8, batch_size=64, learning_rate=1e-3, vision_rate=0.3, decay_all=True, warmup=0.1, threads=2
    ),
    # Few reports are soon known by heart.
    augmentation=AugmentationConfig(sentence_drop=0.2, sentence_shuffle=True),
)
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke",  # every notebook in seconds, for tests: the numbers mean nothing
            EncoderConfig(
                "tiny-resnet", "tiny-bert", embed_dim=16, image_size=64, max_tokens=64, vocab_size=800
            ),
            TrainingConfig(epochs=2, batch_size=16, learning_rate=1e-3),
            scaling=ScalingConfig(queries=16, dim=32, galleries=(32, 128, 512)),
            showcase_px=64,
            corpus_studies=100,
        ),
        _DEMO,
        # Small encoders for real films, OpenI's 3,800 studies on two CPU cores. As `demo`, whose settings
        # were chosen on simulated films (none could be chosen on real ones), but with twice the epochs,
        # reports that vary by whole statements, and the studies that have one section only.
        replace(
            _DEMO,
            name="laptop",
            training=replace(_DEMO.training, epochs=16),
            augmentation=replace(_DEMO.augmentation, sentence_ties=True, one_section=True),
            needs_own_tables=True,
        ),
        Profile("paper", needs_own_tables=True),
    )
}


def get_profile(name: str, objective: str = "medprobclip") -> Profile:
    """The named profile with the named objective. Raises ValueError that lists the names."""
    if name not in PROFILES:
        raise ValueError(f"no profile '{name}'; choose one of {', '.join(PROFILES)}")
    if objective not in OBJECTIVES:
        raise ValueError(f"no objective '{objective}'; choose one of {', '.join(OBJECTIVES)}")
    return replace(PROFILES[name], objective=OBJECTIVES[objective])
