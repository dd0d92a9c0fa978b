"""Which runs the comparisons are made from: seven methods, their seeds, degraded views, and the ablation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from medprobclip.settings import OBJECTIVES, ObjectiveConfig
from medprobclip.support.packaged import PACKAGED
from medprobclip.training.profiles import Profile
from medprobclip.workbench.workspace import NotebookParameters

# In the order of every table and figure: the paper's methods, then ours.
METHODS = {
    "medprobclip": "MedProbCLIP",
    "clip": "CLIP",
    "cxr-clip": "CXR-CLIP",
    "pcme++": "PCME++",
    "medprobclip-soft": "MedProbCLIP-soft",
    "medprobclip-coded": "MedProbCLIP-coded",
    "medprobclip-inclusion": "MedProbCLIP-inclusion",
}
REFERENCE = NotebookParameters.objective  # what the others are compared with
MORE_SEEDS = (43, 44)  # beside the profile's own
# Methods that are trained once more with half of their views spoilt (`data/degraded.py`).
DEGRADED = {"degraded/medprobclip": "MedProbCLIP, degraded views"}
DEGRADED_SHARE = 0.5

_COSINE = {"score": "cosine", "scale": 1 / 0.07, "max_scale": 100.0}  # as CLIP has it


@dataclass(frozen=True)
class Variant:
    """MedProbCLIP with one thing changed: which part, what changed, and the changes of objective or start."""

    part: str
    change: str
    objective: ObjectiveConfig = OBJECTIVES[REFERENCE]
    from_scratch: bool = False  # the vision encoder starts from nothing, and learns as fast as the rest

    def of(self, profile: Profile) -> Profile:
        """The profile with the change put in."""
        changed = replace(profile, objective=self.objective)
        if self.from_scratch:
            changed = replace(
                changed,
                encoders=replace(profile.encoders, vision="small-resnet"),
                training=replace(profile.training, vision_rate=1.0),
            )
        return changed


def _objective(part: str, change: str, **changes) -> Variant:
    return Variant(part, change, replace(OBJECTIVES[REFERENCE], **changes))


ABLATION: dict[str, Variant] = {  # λ and β as in objectives
    "from-scratch": Variant("image encoder", "starts from nothing", from_scratch=True),
    "no-intra-modal": _objective(
        "intra-modal terms", "none (λ_I = λ_T = 0)", image_image_weight=0.0, text_text_weight=0.0
    ),
    "beta-0": _objective("VIB", "none (β = 0)", kl_weight=0.0),
    "beta-1e-3": _objective("VIB", "β = 0.001", kl_weight=1e-3),
    "beta-1e-2": _objective("VIB", "β = 0.01", kl_weight=1e-2),
    "one-view": _objective("views", "one radiograph a study", views=1, image_image_weight=0.0),
    "one-section": _objective("sections", "findings only", sections=1, text_text_weight=0.0),
    "csd": _objective("score", "CSD", score="csd"),
    "cosine": _objective("score", "cosine of the means", **_COSINE),
    "fixed-variance": _objective("variance", "fixed (σ² = 1)", learned_variance=False),
}


@dataclass(frozen=True)
class Experiment:
    """One run to train: where it lies below `runs/<profile>/`, and its whole profile."""

    folder: Path
    profile: Profile


def group_of(experiment: Experiment) -> str:
    """ "methods", "degraded" or "ablation"."""
    *_, parent = ("methods", *(part for part in experiment.folder.parts[:-1] if not part.startswith("seed-")))
    return parent


def comparison(profile: Profile, full: bool = False) -> list[Experiment]:
    """The methods on the profile's own seed, and the reference with degraded views; with `full` on all seeds.

    Then the others of `DEGRADED` and the ablation, too. What matters most comes first, one seed after the
    other, so that what is finished when it is stopped is whole seeds of it.
    """
    methods = {name: replace(profile, objective=OBJECTIVES[name]) for name in METHODS}
    spoilt = replace(profile.augmentation, degraded_share=DEGRADED_SHARE)
    names = [Path(folder).name for folder in DEGRADED]
    degraded = {name: replace(methods[name], augmentation=spoilt) for name in names}
    if not full:
        runs = [Experiment(Path(name), run) for name, run in methods.items()]
        return [*runs, Experiment(Path("degraded") / REFERENCE, degraded[REFERENCE])]
    variants = {
        name: variant.of(profile)
        for name, variant in ABLATION.items()
        if profile.encoders.vision in PACKAGED or not variant.from_scratch
    }
    runs = []
    groups = (Path(), methods), (Path("degraded"), degraded), (Path("ablation"), variants)
    for group, named in groups:
        for seed in (profile.training.seed, *MORE_SEEDS):
            place = Path() if seed == profile.training.seed else Path(f"seed-{seed}")
            for name, run in named.items():
                training = replace(run.training, seed=seed)
                runs.append(Experiment(place / group / name, replace(run, training=training)))
    return runs
