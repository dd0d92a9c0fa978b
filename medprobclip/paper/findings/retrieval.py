"""What the figures of notebook 04 show: recall, many-to-many, hubs, zero-shot findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from medprobclip.data.chexpert import coded, other_findings, unsure_findings
from medprobclip.evaluation.hubs import BANK
from medprobclip.evaluation.resampling import verdicts as compared
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.findings.words import against, listed, told_method
from medprobclip.paper.tables.experiments import METHODS

COIN = 0.5  # AUROC of who knows nothing
ONE_SEED = "an interval of one seed holds other test studies only: another seed may turn a difference round"


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


def _by_direction(table: pd.DataFrame, metrics: tuple[str, ...], unit: str) -> Iterator[str]:
    for where, rows in _parts(table[table["score"] != BANK], metrics):
        yield compared(where, rows, METHODS, unit)


def _parts(table: pd.DataFrame, metrics: tuple[str, ...]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each direction and metric, and where they are from, in words."""
    for (direction, metric), rows in table.groupby(["direction", "metric"], sort=False):
        if metric in metrics:
            yield f"{DIRECTIONS[direction]}, {metric}" if direction in DIRECTIONS else metric, rows


def _of_the_ceiling(table: pd.DataFrame, metrics: tuple[str, ...]) -> Iterator[str]:
    """How much of what a perfect reader could reach each method reaches; nothing without the simulator."""
    if not (table["method"] == "ceiling").any():
        return
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


def _finds(table: pd.DataFrame) -> str:
    method = told_method(table["method"])
    own = table[table["score"] != BANK].set_index(["direction", "metric", "method"])["value"]
    found = [own[direction, "R@10", method] for direction in DIRECTIONS]
    chance = own["i2t", "R@10", "random"]
    reader = _reader(own.get(("i2t", "R@10", "ceiling")), ", a perfect reader of the films")
    sums = table[(table["metric"] == "RSUM") & (table["score"] != BANK)].set_index("method")
    row = sums.loc[method]
    return (
        f"{METHODS[method]} has a right answer among the first ten for {found[0]:.0f} % of the films and "
        f"{found[1]:.0f} % of the reports; a random order {chance:.1f} %{reader}. "
        f"RSUM {row['value']:.0f} [{row['low']:.0f}, {row['high']:.0f}]{_rivals(sums)}."
    )


def _reader(ceiling: float | None, words: str) -> str:
    """The ceiling in words, where there is one."""
    return "" if ceiling is None else f"{words} {ceiling:.0f} %"


def _rivals(sums: pd.DataFrame) -> str:
    """How many other methods are better or worse, and which, or not shown to differ; of one alone nothing."""
    rows = sums[sums["difference_low"].notna()] if "difference_low" in sums else sums.iloc[:0]
    if rows.empty:
        return ""
    words = ("better", "worse", "not shown to differ")
    each = {
        METHODS[r.Index]: against(r.difference_low, r.difference_high, "worse", "better", words[2])
        for r in rows.itertuples()
    }
    told = []
    for word in words:
        if who := [name for name, verdict in each.items() if verdict == word]:
            told.append(f"{len(who)} {word}" + ("" if word == words[2] else f" ({', '.join(who)})"))
    return f"; of {len(each)} other methods {listed(told)}"


def _answers_all(table: pd.DataFrame) -> str:
    method = told_method(table["method"])
    own = table[table["score"] != BANK].set_index(["direction", "metric", "method"])
    maps = [own.loc[(d, "mAP@R", method), "value"] for d in DIRECTIONS]
    chance = own.loc[("i2t", "mAP@R", "random"), "value"]
    reader = _reader(own["value"].get(("i2t", "mAP@R", "ceiling")), " and a perfect reader")
    said = []
    for direction, label in DIRECTIONS.items():
        row, luck = (own.loc[(direction, "plausible share", name)] for name in (method, "random"))
        if pd.isna(row["value"]):
            continue
        low, high = row["low"] - luck["value"], row["high"] - luck["value"]
        how = against(low, high, "fewer than", "more than", "not shown to differ from")
        said.append(
            f"{row['value']:.0f} % from {label}, {how} the {luck['value']:.0f} % of a random wrong answer"
        )
    wrong = f" Of its wrong first answers these are coded exactly alike: {'; '.join(said)}." if said else ""
    return (
        f"{METHODS[method]} reaches mAP@R {maps[0]:.0f} % from image to text and {maps[1]:.0f} % from text "
        f"to image, where a random order has {chance:.0f} %{reader}.{wrong}"
    )


def hubs_by_direction(table: pd.DataFrame) -> list[str]:
    """Does the method's score make more hubs than the cosine of the same Gaussians? One a direction.

    The ranges of the seeds must be apart for a verdict. Of a single seed the numbers alone decide, and it is
    said.
    """
    method = told_method(table.loc[table["kind"] == "method", "name"])
    said = []
    for direction, label in DIRECTIONS.items():
        rows = table[table["direction"] == direction].set_index(["kind", "name"])
        own, less, cosine = (
            rows.loc[("method", method)],
            rows.loc[("bank", method)],
            rows.loc[("score", "cosine")],
        )
        gap = own["skew_least"] - cosine["skew_most"], own["skew_most"] - cosine["skew_least"]
        verdict = against(*gap, "fewer hubs than", "more hubs than", "not shown to differ in hubs from")
        alone = "" if own["skew_most"] > own["skew_least"] else ", in one seed"
        change = less["skew"] - own["skew"]
        moves = "lowers" if change < 0 else "raises" if change > 0 else "leaves"
        to = f"it to {less['skew']:.1f}" if change else "it as it is"
        said.append(
            f"{label.capitalize()}: skew {own['skew']:.1f}, {verdict} the cosine of the same Gaussians "
            f"({cosine['skew']:.1f}{alone}); the bank's term {moves} {to}"
        )
    return said


def _hub_headline(table: pd.DataFrame) -> str:
    method = told_method(table.loc[table["kind"] == "method", "name"])
    return f"{METHODS[method]}. {'. '.join(hubs_by_direction(table))}."


def _names_findings(table: pd.DataFrame) -> str:
    method = told_method(table["method"])
    rows = table[table["method"] == method].set_index("finding")
    mean = rows.loc["Mean"]
    said = (
        f"{METHODS[method]} tells findings that it was never taught to name with a mean AUROC of "
        f"{mean['value']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}]."
    )
    single = rows.drop(index=["Mean", "No Finding"], errors="ignore")
    doubtful = single[(single["low"] <= COIN) & (single["high"] >= COIN)]
    below = single[single["high"] < COIN]
    parts = []
    if len(below):
        parts.append(f"worse than a coin: {listed(_areas_of(below))}")
    if len(doubtful):
        parts.append(f"not shown to be better than a coin: {listed(_areas_of(doubtful))}")
    return f"{said} {_sentence('; '.join(parts))}" if parts else f"{said} Each finding is above a coin."


def _areas_of(rows: pd.DataFrame, most: int = 4) -> list[str]:
    named = [f"{name} {row['value']:.2f}" for name, row in rows.sort_values("value").head(most).iterrows()]
    return [*named, f"{len(rows) - most} more"] if len(rows) > most else named


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def below_chance(recall: pd.DataFrame, many: pd.DataFrame | None, findings: pd.DataFrame | None) -> list[str]:
    """Where a method stands below chance, and whether its interval does: from the three tables.

    Of a table that is None nothing is said: it stepped aside. The random row is the chance of a retrieval
    measure, 0.5 that of an AUROC. Empty lists say so, too.
    """
    lower = []
    for table in (recall, many) if many is not None else (recall,):
        chance = table[table["method"] == "random"].set_index(["direction", "metric"])["value"]
        for row in table[table["method"].isin(METHODS) & (table["score"] != BANK)].itertuples():
            luck = chance.get((row.direction, row.metric))
            if luck is not None and row.value < luck:
                where = f"{DIRECTIONS[row.direction]}, " if row.direction in DIRECTIONS else ""
                lower.append((f"{METHODS[row.method]}, {where}{row.metric} {row.value:.1f}", row.high < luck))
    areas = [] if findings is None else findings[findings["method"].isin(METHODS)].itertuples()
    for row in areas:
        if row.value < COIN:
            area = f"{METHODS[row.method]}, {row.finding} {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
            lower.append((area, row.high < COIN))
    if not lower:
        return ["Nothing stands below chance."]
    surely, perhaps = ([name for name, sure in lower if bool(sure) is kept] for kept in (True, False))
    said = [f"Below chance, with the whole interval: {'; '.join(surely)}."] if surely else []
    if perhaps:
        said.append(
            "Below chance, with an interval that holds chance, so that nothing is shown: "
            f"{'; '.join(perhaps)}."
        )
    return said


def how_to_read(methods: int, seeds: int, ceiling: bool = True) -> str:
    """How the comparison of methods is read: of what it shows, and of nothing else; is there a ceiling?"""
    said = [
        "The value is a mean over the test studies; its interval holds what other test studies"
        + (" and another seed would have changed." if seeds > 1 else " would have changed.")
    ]
    if seeds == 1:
        said.append("There is one seed: another training may well turn a difference round.")
    if methods > 1:
        said.append(
            "A **hollow** point cannot be told from MedProbCLIP: the interval of the paired difference holds "
            "0. A **diamond** above it is the same model less the bank's term."
        )
    else:
        frame = "chance and ceiling" if ceiling else "chance"
        said.append(f"One method is trained, so there is nothing to compare: the frame is {frame}.")
    return " ".join(said)


def told_by_labels(codes: Sequence[tuple[str, ...]]) -> str:
    """Of studies whose codes are labels: who is judged, what is left out, and who read the reports."""
    known = coded(codes)
    unsure = unsure_findings(codes)[known]
    return (
        f"{known.sum()} of {len(codes)} test studies are coded. {unsure.to_numpy().sum()} of their "
        f"{unsure.size} labels of the thirteen findings, in {unsure.any(axis=1).sum()} studies, are "
        "uncertain and left out: neither positive nor negative. The labels come from a program that read "
        "the reports; it errs on some, and a report may be silent about what the film shows."
    )


def told_by_experts(codes: Sequence[tuple[str, ...]]) -> str:
    """Of studies that experts coded: how many, and what is coded beside the thirteen findings."""
    outside = other_findings(codes).sum()
    return (
        f"{coded(codes).sum()} of {len(codes)} test studies are coded.\n"
        f"{outside} of them count as No Finding although something else is coded (scoliosis, say)."
    )


HEADLINES = {
    "table_1": _finds,
    "many_to_many": _answers_all,
    "hubs": _hub_headline,
    "table_2": _names_findings,
}
DETAILS = {"table_1": _recall, "many_to_many": _many, "hubs": _hubs, "table_2": _zero_shot}
