"""Which runs the comparisons are made from: five methods, their seeds, and the ablation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from medprobclip.settings import OBJECTIVES, ObjectiveConfig
from medprobclip.training.profiles import Profile
from medprobclip.workbench.workspace import NotebookParameters

# In the order of every table and figure: the paper's methods, then ours.
METHODS = {
    "medprobclip": "MedProbCLIP",
    "clip": "CLIP",
    "cxr-clip": "CXR-CLIP",
    "pcme++": "PCME++",
    "medprobclip-soft": "MedProbCLIP-soft",
}
REFERENCE = NotebookParameters.objective  # what the others are compared with
MORE_SEEDS = (43, 44)  # beside the profile's own

_COSINE = {"score": "cosine", "scale": 1 / 0.07, "max_scale": 100.0}  # as CLIP has it
# MedProbCLIP with one thing changed: name -> (which part, what changed, objective). λ and β as in objectives.
ABLATION: dict[str, tuple[str, str, ObjectiveConfig]] = {
    "no-intra-modal": (
        "intra-modal terms", "none (λ_I = λ_T = 0)",
        replace(OBJECTIVES[REFERENCE], image_image_weight=0.0, text_text_weight=0.0),
    ),
    "beta-0": ("VIB", "none (β = 0)", replace(OBJECTIVES[REFERENCE], kl_weight=0.0)),
    "beta-1e-3": ("VIB", "β = 0.001", replace(OBJECTIVES[REFERENCE], kl_weight=1e-3)),
    "beta-1e-2": ("VIB", "β = 0.01", replace(OBJECTIVES[REFERENCE], kl_weight=1e-2)),
    "one-view": (
        "views", "one radiograph a study", replace(OBJECTIVES[REFERENCE], views=1, image_image_weight=0.0),
    ),
    "one-section": (
        "sections", "findings only", replace(OBJECTIVES[REFERENCE], sections=1, text_text_weight=0.0),
    ),
    "csd": ("score", "CSD", replace(OBJECTIVES[REFERENCE], score="csd")),
    "cosine": ("score", "cosine of the means", replace(OBJECTIVES[REFERENCE], **_COSINE)),
    "fixed-variance": ("variance", "fixed (σ² = 1)", replace(OBJECTIVES[REFERENCE], learned_variance=False)),
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """One run to train: where it lies below `runs/<profile>/`, and its whole profile."""

    folder: Path
    profile: Profile


def comparison(profile: Profile, full: bool = False) -> list[Experiment]:
    """The five methods on the profile's own seed; with `full` the ablation and the other seeds after them."""
    methods = {name: replace(profile, objective=OBJECTIVES[name]) for name in METHODS}
    runs = [Experiment(Path(name), run) for name, run in methods.items()]
    if full:
        for name, (_, _, objective) in ABLATION.items():
            runs.append(Experiment(Path("ablation") / name, replace(profile, objective=objective)))
        for seed in MORE_SEEDS:
            for name, run in methods.items():
                training = replace(run.training, seed=seed)
                runs.append(Experiment(Path(f"seed-{seed}") / name, replace(run, training=training)))
    return runs
