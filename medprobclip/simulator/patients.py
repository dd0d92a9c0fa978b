"""Who is behind a study: sex, age, build and position, drawn from the study id alone.

Ranges are plausible adult ones, not fitted to a population. Women are smaller, with breasts; with age the
upper back rounds and the bones fade, more so in women (DXA reference curves show the same order).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medprobclip.simulator.chest.anatomy import Anatomy
from medprobclip.simulator.chest.deformation import Bump, Shape

SEXES = ("female", "male")
AGES = (18, 90)  # years
BREAST_TISSUE = 0.95  # fat and gland, relative to water


@dataclass(frozen=True)
class PatientConfig:
    """How patients differ; spreads are standard deviations, cut at 2.2 of them."""

    size_spread: float = 0.02  # overall size of the chest
    female_size: float = 0.975  # women's chests, relative to ...
    male_size: float = 1.015  # ... and men's
    aspect_spread: tuple[float, float, float] = (0.022, 0.045, 0.022)  # width, depth, height apart from size
    habitus: tuple[float, float] = (0.12, 0.30)  # thickness of the chest wall: mean and spread (0.3: 30 %)
    breath_mm: float = 5.5  # height of the diaphragm
    heart_spread: float = 0.045  # width of the heart
    rotation_deg: float = 1.8  # obliquity
    roll_deg: float = 1.1  # leaning
    tilt: float = 0.025  # forward or backward leaning, mm per mm
    shift_mm: float = 4.0  # centring
    local_mm: float = 4.5  # smooth local differences in shape
    breast_mm: tuple[float, float] = (17.0, 6.0)  # depth on the film: mean and spread; flattened in the PA
    kyphosis_mm: float = 9.0  # rounding of the upper back at 90 years, beyond that at 40
    bone_loss: tuple[float, float] = (0.40, 0.22)  # of mineral at 90 years: women, men; starts at 45
    exposure_spread: float = 0.035  # how well the automatic exposure is met, share of lung to mediastinum


@dataclass(frozen=True)
class Patient:
    """One person, before any finding."""

    sex: str  # "female" or "male"
    age: int  # years
    shape: Shape
    breast_mm: float  # 0 in men
    bone: float  # mineral relative to the prepared chest
    darker: float  # of the film curve, see `develop`


def draw_patient(rng: np.random.Generator, sex: str = "", config: PatientConfig | None = None) -> Patient:
    """A person of the given sex, or of a random one if it is "".

    Raises ValueError for another sex. The same numbers are drawn whatever the sex, so that two people with
    one seed differ in nothing else.
    """
    config = config or PatientConfig()
    if sex not in ("", *SEXES):
        raise ValueError(f"sex is {sex!r}; choose 'female', 'male' or '' for not known")

    def normal(spread: float) -> float:
        return float(np.clip(rng.normal(0, 1), -2.2, 2.2) * spread)

    drawn = SEXES[int(rng.random() < 0.5)]
    sex = sex or drawn
    age = int(np.clip(rng.normal(55, 17), *AGES))
    size = (config.female_size if sex == "female" else config.male_size) * (1 + normal(config.size_spread))
    old = max(age - 40, 0) / 50
    breath = normal(config.breath_mm)
    shape = Shape(
        size=tuple(size * (1 + normal(s)) for s in config.aspect_spread),
        habitus=max(config.habitus[0] + normal(config.habitus[1]), -0.4),
        roll_deg=normal(config.roll_deg),
        rotation_deg=normal(config.rotation_deg),
        tilt=normal(config.tilt),
        shift=(normal(config.shift_mm), normal(config.shift_mm)),
        dome_mm=tuple(breath + normal(0.5 * config.breath_mm) for _ in range(2)),
        heart=1 + normal(config.heart_spread) + 0.05 * old,
        bumps=_round_back(max(config.kyphosis_mm * old + normal(1.5), 0.0)),
        local=config.local_mm * rng.normal(0, 1, (3, 5, 5, 5)).clip(-2, 2),
    )
    breast = max(config.breast_mm[0] + normal(config.breast_mm[1]), 5.0) + 8 * max(shape.habitus, 0)
    bone = 1.05 - config.bone_loss[sex == "male"] * max(age - 45, 0) / 45 + normal(0.06)
    return Patient(sex, age, shape, breast * (sex == "female"), bone, normal(config.exposure_spread))


def body_of(patient: Patient, anatomy: Anatomy) -> np.ndarray:
    """The prepared chest with this person's bones and breasts: attenuation [Z, Y, X], a new array."""
    volume = anatomy.attenuation + np.float32(patient.bone - 1) * anatomy.mineral
    if patient.breast_mm:
        _add_breasts(volume, patient.breast_mm, anatomy)
    return volume


def _round_back(amount: float) -> tuple[Bump, ...]:
    """The upper spine back and the neck forward, mm; see `bone_findings.kyphosis` for the finding."""
    if not amount:
        return ()
    return (
        Bump("y", -amount, (170.0, 57.0, 235.0), (95.0, 60.0, 50.0)),
        Bump("y", 0.6 * amount, (170.0, 102.0, 320.0), (110.0, 80.0, 40.0)),
    )


def _add_breasts(volume: np.ndarray, depth_mm: float, anatomy: Anatomy) -> None:
    """Soft tissue in front of the chest wall: full and round below, thin towards the collar bone."""
    v = anatomy.voxel_mm
    centre_z = anatomy.points["carina"][2] - 48
    middle = anatomy.points["carina"][0] + 14  # the sternum's line in this CT
    z, y, x = ((np.arange(n, dtype=np.float32) + 0.5) * v for n in volume.shape)
    height = np.where(z < centre_z, (centre_z - z) / 44.0, (z - centre_z) / 88.0)[:, None]
    thickness = np.zeros((len(z), len(x)), np.float32)
    for side in (-1, 1):
        across = (x - middle - side * 64)[None] / 56.0
        thickness += depth_mm * np.clip(1 - height**2 - across**2, 0, None)  # thin edges: no hard rim
    rows, columns = (np.flatnonzero((thickness > 0.5).any(axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    thickness, skin = thickness[part][:, None], anatomy.skin_mm[part][:, None]
    back = int(max(skin.min() / v - 1, 0))
    depth = y[None, back:, None] - skin
    soft = np.clip(0.5 + (thickness - depth) / v, 0, 1) * (depth > -v) * (thickness > 0.5)
    region = volume[part[0], back:, part[1]]
    np.maximum(region, soft * BREAST_TISSUE, out=region)
