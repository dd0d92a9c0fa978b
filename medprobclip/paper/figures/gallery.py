"""`figures/README.md`: every figure with its caption, and in words what its numbers show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from medprobclip.evaluation.calibration import CALIBRATORS
from medprobclip.evaluation.hubs import BANK
from medprobclip.evaluation.resampling import verdicts as compared
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper import promises, verdicts
from medprobclip.paper.figures.catalogue import FIGURES
from medprobclip.paper.tables.ablation import variant_labels
from medprobclip.paper.tables.experiments import METHODS

HEAD = """# Every figure and table

Written by `make figures`, this page, too: do not edit it. Reports are real (OpenI), radiographs simulated
from one chest CT; encoders are small. Every method starts from the same image encoder, which was taught to
name findings that the simulator drew in invented patients (`medprobclip/chest_encoder`), and from a text
encoder that knows nothing. So no number here says how a method does on real radiographs. Grey numbers in the
pictures are the paper's, as reported on MIMIC-CXR.

In the lists, the first method has its 95 % bootstrap interval over test studies and seeds; the others have
their paired difference from it, with interval and p-value (not corrected for the number of comparisons). "No
difference shown" means that the interval holds 0. Seeds are few, and what they leave out is more than
chance: the same seed on another processor ends elsewhere, too. Runs repeat themselves on one machine,
whatever its number of free threads, because so many compute while the demo trains; on another processor
they do not.
"""

ONE_SEED = "an interval of one seed holds other test studies only: another seed may turn a difference round"


def gallery(folder: Path) -> str:
    """The page for the figures in `folder`, from their CSV files. Raises FileNotFoundError without one."""
    parts = [HEAD]
    for name, entry in FIGURES.items():
        title = f"{entry.paper}: {name}" if entry.paper else name
        maker = f"notebook {entry.maker}" if entry.maker[0].isdigit() else f"`{entry.maker}`"
        numbers = pd.read_csv(Path(folder) / f"{name}.csv")
        parts.append(
            f"## {title}\n\n{entry.caption}. By {maker}; [numbers]({name}.csv).\n\n![{name}]({name}.png)\n"
        )
        said = list(CLAIMS[name](numbers)) if name in CLAIMS else []
        parts += [f"```\n{text.rstrip()}\n```\n" for text in said]
    return "\n".join(parts)


def _by_direction(table: pd.DataFrame, metrics: tuple[str, ...], unit: str) -> Iterator[str]:
    table = table[table["score"] != BANK]
    for direction, metric in table[["direction", "metric"]].drop_duplicates().itertuples(index=False):
        if metric in metrics:
            rows = table[(table["direction"] == direction) & (table["metric"] == metric)]
            where = f"{DIRECTIONS[direction]}, " if direction in DIRECTIONS else ""
            yield compared(f"{where}{metric}", rows, METHODS, unit)


def _recall(table: pd.DataFrame) -> Iterator[str]:
    own = table[(table["metric"] == "RSUM") & (table["score"] != BANK)]
    seeds = own.set_index("method").reindex(METHODS)["seeds"].fillna(0)
    trained = "seeds trained: " + ", ".join(f"{METHODS[name]} {n:.0f}" for name, n in seeds.items())
    yield trained + ("\n" + ONE_SEED if (seeds == 1).any() else "")
    yield from _by_direction(table, ("RSUM",), "")
    yield from _by_direction(table, ("R@10",), " %")
    yield from _of_the_ceiling(table, ("RSUM", "R@10"))
    yield from _less_hubs(table, ("RSUM", "R@10"), "")


def _many(table: pd.DataFrame) -> Iterator[str]:
    yield from _by_direction(table, ("mAP@R", "plausible share"), " %")
    yield from _of_the_ceiling(table, ("mAP@R",))
    yield from _less_hubs(table, ("mAP@R",), " %")


def _parts(table: pd.DataFrame, metrics: tuple[str, ...]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each direction and metric, and where they are from, in words."""
    for (direction, metric), rows in table.groupby(["direction", "metric"], sort=False):
        if metric in metrics:
            yield f"{DIRECTIONS[direction]}, {metric}" if direction in DIRECTIONS else metric, rows


def _of_the_ceiling(table: pd.DataFrame, metrics: tuple[str, ...]) -> Iterator[str]:
    """How much of what a perfect reader could reach each method reaches."""
    lines = ["share of the oracle ceiling, %"]
    for where, rows in _parts(table[table["score"] != BANK], metrics):
        values = rows.set_index("method")["value"]
        shares = [f"{METHODS[m]} {100 * values[m] / values['ceiling']:.0f}" for m in METHODS if m in values]
        lines.append(f"{where} (ceiling {values['ceiling']:.1f}): {', '.join(shares)}")
    yield "\n  ".join(lines)


def _less_hubs(table: pd.DataFrame, metrics: tuple[str, ...], unit: str) -> Iterator[str]:
    """What the bank's term changes, by method."""
    lines = ["less the bank's term, and the difference from the same method's own score"]
    for where, rows in _parts(table[table["score"] == BANK], metrics):
        lines.append(where)
        for row in rows.itertuples():
            interval = f"[{row.difference_low:+.3g}, {row.difference_high:+.3g}]"
            value = f"{row.value:.3g}{unit}, {row.difference:+.3g} {interval}"
            lines.append(f"  {METHODS[row.method]}: {value}")
    yield "\n  ".join(lines)


def _hubs(table: pd.DataFrame) -> Iterator[str]:
    for direction, label in DIRECTIONS.items():
        rows = table[table["direction"] == direction].set_index(["kind", "name"])[["skew", "orphans"]]
        lines = [f"{label}, skew and share in nobody's first ten: own score -> less the bank's term"]
        for name in rows.loc["method"].index:
            own, less = rows.loc[("method", name)], rows.loc[("bank", name)]
            change = f"skew {own['skew']:.2f} -> {less['skew']:.2f}"
            lines.append(f"{METHODS[name]}: {change}, {own['orphans']:.0f} % -> {less['orphans']:.0f} %")
        yield "\n  ".join(lines)


def _zero_shot(table: pd.DataFrame) -> Iterator[str]:
    yield compared("mean AUROC", table[table["finding"] == "Mean"], METHODS)
    yield compared("No Finding, AUROC", table[table["finding"] == "No Finding"], METHODS)


def _areas(table: pd.DataFrame) -> Iterator[str]:
    for (direction, k), rows in table.groupby(["direction", "k"], sort=False):
        yield compared(f"{DIRECTIONS[direction]}, AURC at R@{k} (less is better)", rows, METHODS)


def _calibration(table: pd.DataFrame) -> Iterator[str]:
    rows = table[table["level"] == "i2t"].pivot(index="method", columns="calibrator", values="ace")
    lines = [f"report among the first ten, adaptive ECE: {', '.join(CALIBRATORS.values())}"]
    for method, row in rows.loc[table["method"].unique(), list(CALIBRATORS)].iterrows():
        lines.append(f"{METHODS[method]}: {', '.join(f'{error:.3f}' for error in row)}")
    yield "\n  ".join(lines)


def _robustness(table: pd.DataFrame) -> Iterator[str]:
    by_fault = table[table["panel"] == "by fault"]
    faulty = by_fault[by_fault["severity"] == by_fault["severity"].max()].groupby("method", sort=False)
    lines = ["at severity 5, mean of all corruptions: R@10, total variance (1 = no fault)"]
    for method, row in faulty[["recall", "variance"]].mean().iterrows():
        clean = by_fault[(by_fault["method"] == method) & (by_fault["severity"] == 0)]["recall"].iloc[0]
        lines.append(
            f"{METHODS[method]}: {row['recall']:.1f} % (without a fault {clean:.1f} %), {row['variance']:.2f}"
        )
    yield "\n  ".join(lines)
    yield from _each(verdicts.noticing_faults, verdicts.detection_of(table))


def _each(said: Callable[[pd.DataFrame, str], Iterator[str]], table: pd.DataFrame) -> Iterator[str]:
    """The sentences about every method of a table, below each other."""
    yield "\n".join(sentence for method in table["method"].unique() for sentence in said(table, method))


def _ablation(table: pd.DataFrame) -> Iterator[str]:
    labels = variant_labels(table.fillna({"part": ""}))
    for metric, rows in table[table["value"].notna()].groupby("metric", sort=False):
        yield compared(metric, rows, labels)


CLAIMS = {
    "table_1": _recall,
    "many_to_many": _many,
    "hubs": _hubs,
    "table_2": _zero_shot,
    "figure_2_areas": _areas,
    "confidences": partial(_each, verdicts.variance_or_entropy),
    "calibration": _calibration,
    "what_variance_knows": partial(_each, verdicts.about_ambiguity),
    "guarantees": partial(_each, promises.kept_promises),
    "set_sizes": partial(_each, promises.what_sets_cost),
    "broken_promise": partial(_each, promises.broken_promises),
    "robustness": _robustness,
    "third_kind": lambda table: ["\n".join(verdicts.third_kind(table))],
    "selective_faulty": partial(_each, verdicts.two_numbers),
    "degraded_training": lambda table: ["\n".join(verdicts.degraded_views(table))],
    "ablation": _ablation,
}
