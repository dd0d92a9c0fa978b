"""One simulated patient with and without a finding: what the answers make of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.stats import t as student

from medprobclip.evaluation.discrimination import auroc
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.showcase import EDGES
from medprobclip.simulator.simulate import SimulationConfig, simulate_study
from medprobclip.workbench import style
from medprobclip.workbench.lessons.desk import Desk, Reply

FINDINGS = {  # what is drawn, as OpenI codes it
    "cardiomegaly": "Cardiomegaly/severe",
    "pleural effusion": "Pleural Effusion/right/large",
    "atelectasis": "Pulmonary Atelectasis/base/left",
    "scoliosis": "Scoliosis/thoracic vertebrae/right",
    "pacemaker": "Implanted Medical Device/left",
    "catheter": "Catheters, Indwelling/right",
    "emphysema": "Emphysema/severe",
    "hiatal hernia": "Hernia, Hiatal/large",
}
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Twins:
    """The film without and with a finding, uint8 `[S, S]`, both replies, and where it was drawn.

    `boxes` int `[n, 4]`: left, top, right, bottom. `gain` `[M]`: by how much each report's score rose.
    `named` bool `[M]`: reports whose codes have the finding's heading.
    """

    films: tuple[np.ndarray, np.ndarray]
    replies: tuple[Reply, Reply]
    boxes: np.ndarray
    gain: np.ndarray
    named: np.ndarray


def normal_patients(desk: Desk) -> list[str]:
    """Ids of the studies in whose films nothing was drawn, in the gallery's order."""
    return desk.studies.index[desk.studies["appearance"].map(len) == 0].tolist()


def twins(desk: Desk, patient: str, finding: str) -> Twins:
    """A normal patient's film, and the same with one of `FINDINGS`: same body, same noise, same exposure.

    Raises KeyError for an unknown patient or finding, AssetError where the CT cannot be had.
    """
    return desk.once(("twins", patient, finding), lambda: _twins(desk, patient, finding))


def _twins(desk: Desk, patient: str, finding: str) -> Twins:
    code = FINDINGS[finding]
    plain = desk.once(("plain", patient), lambda: _rendered(desk, patient, ()))
    drawn = _rendered(desk, patient, (code,))
    films = plain.pa, drawn.pa
    before = desk.once(("plain reply", patient), lambda: desk.ask([plain.pa])[0])
    replies = before, desk.ask([drawn.pa])[0]
    boxes = [[getattr(one, f"pa_{edge}") for edge in EDGES] for one in drawn.rendered]
    heading = code.split("/")[0]
    named = desk.studies["codes"].map(lambda codes: heading in {c.split("/")[0] for c in codes})
    gain = replies[1].scores - replies[0].scores
    return Twins(films, replies, np.array(boxes).reshape(-1, 4), gain, named.to_numpy(bool))


def _rendered(desk: Desk, patient: str, codes: tuple[str, ...]):
    config = SimulationConfig(desk.retriever.model.config.image_size)
    anatomy = desk.once("anatomy", lambda: load_anatomy(config.pixel_mm))
    sex = desk.studies.loc[patient].get("sex", "")
    return simulate_study(patient, codes, config, anatomy, sex, views=("pa",))


def same_patient(desk: Desk, patient: str, finding: str) -> Figure:
    """Both films, how reports' scores moved from one to the other, and what is said of either."""
    style.use_style()
    pair = twins(desk, patient, finding)
    figure = plt.figure(figsize=(10.4, 3.7))
    for place, (film, title) in enumerate(zip(pair.films, ("without", f"with {finding}"), strict=True)):
        ax = figure.add_axes((0.005 + 0.235 * place, 0.08, 0.225, 0.74))
        ax.imshow(film, vmin=0, vmax=255)
        ax.axis("off")
        ax.set_title(title, fontsize=10)
    for left, top, right, bottom in pair.boxes:
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec=style.MARK, lw=1.2))
    ax = figure.add_axes((0.53, 0.2, 0.185, 0.62))
    bins = np.histogram_bin_edges(pair.gain, 24)
    groups = {f"name it ({pair.named.sum()})": (pair.named, style.REPORT)}
    groups |= {f"do not ({(~pair.named).sum()})": (~pair.named, style.QUIET)}
    for label, (which, colour) in groups.items():
        if which.any():
            weights = np.full(which.sum(), 100 / which.sum())
            ax.hist(pair.gain[which], bins, weights=weights, color=colour, alpha=0.6, lw=0, label=label)
    ax.set_xlabel("change of a report's score", fontsize=9)
    ax.set_ylabel("% of these reports", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.set_title("Reports that …", fontsize=10)
    ax.set_ylim(0, 1.35 * ax.get_ylim()[1])
    ax.legend(loc="upper right", fontsize=8, borderaxespad=0.1)
    ax.axvline(0, color=style.INK, lw=0.8)
    figure.text(
        0.005, 0.92, f"Patient {patient}, twice: nothing but the finding differs", weight="bold", size=11
    )
    for line, words in enumerate(_told(pair)):
        weight = "bold" if line == 0 else "normal"
        for column, text in enumerate(words):
            place = (0.735, 0.835, 0.925)[column]
            figure.text(place, 0.78 - 0.09 * line, text, size=8.5, va="center", weight=weight)
    figure.text(0.735, 0.2, _shift(pair), size=8.5, va="center")
    return figure


def _told(pair: Twins) -> list[tuple[str, str, str]]:
    """Rows of a small table: what, without, with."""
    before, after = pair.replies
    said = [("", "without", "with")]
    said.append(("variance", f"{before.variance:.1f}", f"{after.variance:.1f}"))
    p = ["unknown" if r.answers.p_strange is None else f"{r.answers.p_strange:.3f}" for r in pair.replies]
    said.append(("strangeness p", *p))
    said.append(("entropy", f"{before.entropy:.2f}", f"{after.entropy:.2f}"))
    said.append(("in the set", f"{before.answers.set_size}", f"{after.answers.set_size}"))
    said.append(("first answer", *(reply.answers.table["study_id"][0] for reply in pair.replies)))
    return said


def _shift(pair: Twins) -> str:
    if not pair.named.any() or pair.named.all():
        return "No report of the index names it,\nor all do: nothing to compare."
    share = auroc(pair.gain, pair.named)
    first = "A report that names it gains more"
    return f"{first}\nthan one that does not in {share:.0%}\nof such pairs (50%: a coin)."


def contrast_table(desk: Desk, patients: Sequence[str], findings: Sequence[str]) -> pd.DataFrame:
    """What a finding changes, by finding, over patients: rows `finding, what, value, low, high, patients`.

    `what`: "gain", the mean change of score of reports that name the finding less that of the others; and
    "variance", the change of the film's total variance. Bounds are Student's 95 % interval over patients, NaN
    for fewer than two; a finding that no report names, or all do, has no gain.
    """
    rows = []
    for finding in findings:
        pairs = [twins(desk, patient, finding) for patient in patients]
        values = {
            "variance": [after.variance - before.variance for before, after in (p.replies for p in pairs)]
        }
        if pairs and pairs[0].named.any() and not pairs[0].named.all():
            values["gain"] = [float(p.gain[p.named].mean() - p.gain[~p.named].mean()) for p in pairs]
        for what, of in values.items():
            value, low, high = _mean_with_bounds(np.array(of))
            rows.append((finding, what, value, low, high, len(of)))
    return pd.DataFrame(rows, columns=["finding", "what", "value", "low", "high", "patients"])


def _mean_with_bounds(values: np.ndarray) -> tuple[float, float, float]:
    if len(values) < 2:
        return float(values.mean()) if len(values) else float("nan"), float("nan"), float("nan")
    reach = student.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)
