"""Several methods on the same queries, from one or more seeds each: intervals, paired differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from medprobclip.evaluation.retrieval import BootstrapConfig


def resampled_means(values: np.ndarray, salt: int = 0, config: BootstrapConfig | None = None) -> np.ndarray:
    """Bootstrap means of per-query values of S runs on the same N queries: `[S, N]` -> `[resamples]`.

    Each draw takes N queries and S - 1 runs (the one, if S is 1), both with replacement, so that the spread
    holds both what other studies and what another seed would have changed (a crossed bootstrap: Owen 2007).
    One run fewer makes the variance over runs that of S - 1 degrees of freedom (Rao & Wu 1988); drawing S
    would make it a third too small for three. Calls with one N draw the same queries, which pairs them; runs
    are drawn by `salt`, so give every method its own. The gallery stays whole. Raises ValueError on NaN or
    another shape.
    """
    values, config = checked_values(values), config or BootstrapConfig()
    n = values.shape[1]
    rows = drawn_queries(n, config) + n * np.arange(config.resamples)[:, None]
    times = np.bincount(rows.ravel(), minlength=rows.size).reshape(rows.shape)  # a query stands in a draw
    return over_drawn_runs(values @ times.T.astype(float) / n, salt, config)


def compare(
    values: dict[str, np.ndarray], reference: str, config: BootstrapConfig | None = None
) -> pd.DataFrame:
    """One row a method: its mean, and how far it is from the reference's on the same queries.

    `values`: per-query values `[S, N]` of each method, S its runs (seeds); N is the same for all. Columns:
    `method`, `value`, `low`, `high` (interval over queries and seeds, see `resampled_means`), `seeds`,
    `least`, `most` (of the single runs); `difference` from the reference, `difference_low`,
    `difference_high` and `p`, all absent for the reference itself. p is the two-sided bootstrap p-value of
    no difference, twice the smaller share of draws on one side of 0 (Efron & Tibshirani 1993, ch. 15),
    counted with one more draw so that it is never 0, and not corrected for how many are compared. Raises
    ValueError without the reference, on NaN, or when N differs.
    """
    config = config or BootstrapConfig()
    values = {name: checked_values(v) for name, v in values.items()}
    if len({v.shape[1] for v in values.values()}) > 1:
        raise ValueError(f"methods have different queries: { {n: v.shape for n, v in values.items()} }")
    draws = {name: resampled_means(v, salt, config) for salt, (name, v) in enumerate(values.items())}
    return summaries({name: v.mean(1) for name, v in values.items()}, draws, reference, config)


def summaries(
    runs: dict[str, np.ndarray],
    draws: dict[str, np.ndarray],
    reference: str,
    config: BootstrapConfig | None = None,
) -> pd.DataFrame:
    """The table of `compare` from each method's number a run `[S]` and its paired draws `[resamples]`.

    For statistics that are no mean over queries, such as a median rank or AURC. Raises ValueError without
    the reference.
    """
    if reference not in runs:
        raise ValueError(f"nothing of the reference '{reference}' among {', '.join(runs)}")
    config = config or BootstrapConfig()
    rows = []
    for name in runs:
        low, high = percentiles(draws[name], config)
        row = {"method": name, "value": float(np.mean(runs[name])), "low": low, "high": high}
        row |= {
            "seeds": len(runs[name]),
            "least": float(np.min(runs[name])),
            "most": float(np.max(runs[name])),
        }
        if name != reference:
            row |= _difference(runs[name], draws[name], runs[reference], draws[reference], config)
        rows.append(row)
    return pd.DataFrame(rows)


def _difference(
    runs: np.ndarray,
    draws: np.ndarray,
    reference_runs: np.ndarray,
    reference_draws: np.ndarray,
    config: BootstrapConfig,
) -> dict[str, float]:
    differences = draws - reference_draws
    low, high = percentiles(differences, config)
    sides = [1 + np.sum(differences <= 0), 1 + np.sum(differences >= 0)]
    return {
        "difference": float(np.mean(runs) - np.mean(reference_runs)),
        "difference_low": low,
        "difference_high": high,
        "p": float(min(1.0, 2 * min(sides) / (np.isfinite(differences).sum() + 1))),
    }


def resampled(
    statistic: Callable[[int, np.ndarray], np.ndarray],
    runs: int,
    n: int,
    salt: int = 0,
    config: BootstrapConfig | None = None,
) -> np.ndarray:
    """Bootstrap draws of a statistic of the queries, averaged over the drawn runs: `[resamples]`.

    `statistic(run, rows)` maps drawn queries int `[resamples, N]` to its values `[resamples]`. The same
    queries and runs are drawn as by `resampled_means`.
    """
    config = config or BootstrapConfig()
    rows = drawn_queries(n, config)
    return over_drawn_runs(np.stack([statistic(run, rows) for run in range(runs)]), salt, config)


def drawn_queries(n: int, config: BootstrapConfig) -> np.ndarray:
    """Queries of each draw, the same for one n and seed: int `[resamples, n]`."""
    return np.random.default_rng((config.seed, 0)).integers(0, n, (config.resamples, n))


def over_drawn_runs(by_run: np.ndarray, salt: int, config: BootstrapConfig) -> np.ndarray:
    """Mean over S - 1 runs, at least one, drawn with replacement: `[S, resamples]` -> `[resamples]`."""
    runs = len(by_run)
    shape = (config.resamples, max(1, runs - 1))
    chosen = np.random.default_rng((config.seed, 1, salt)).integers(0, runs, shape)
    return np.take_along_axis(by_run, chosen.T, axis=0).mean(0)


def percentiles(draws: np.ndarray, config: BootstrapConfig) -> tuple[float, float]:
    """Bounds of the percentile interval; draws for which the statistic is not defined (NaN) are left out."""
    tail = 100 * (1 - config.level) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def checked_values(values: np.ndarray | Sequence) -> np.ndarray:
    """As float64 `[S, N]`. Raises ValueError on another shape, nothing, or NaN."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values {values.shape} need the shape [runs, queries], neither empty")
    if np.isnan(values).any():
        raise ValueError("values contain NaN")
    return values


def verdicts(title: str, table: pd.DataFrame, labels: dict[str, str], unit: str = "") -> str:
    """A table of `compare` in words: the value of the reference, the paired differences of the others.

    A difference whose interval holds 0 is called none. Methods without a label are left out.
    """
    rows = {row["method"]: row for row in table.to_dict("records") if row["method"] in labels}
    reference = next(name for name, row in rows.items() if pd.isna(row.get("difference", np.nan)))
    own = rows.pop(reference)
    said = [f"{labels[reference]}: {own['value']:.3g}{unit} [{own['low']:.3g}, {own['high']:.3g}]"]
    for name, row in rows.items():
        low, high = row["difference_low"], row["difference_high"]
        how = "no difference shown" if low <= 0 <= high else ("more" if low > 0 else "less")
        difference = f"{row['difference']:+.3g} [{low:+.3g}, {high:+.3g}], p = {row['p']:.2g}"
        said.append(f"{labels[name]}: {row['value']:.3g}{unit}, {how}: {difference}")
    return "\n  ".join([title, *said]) + "\n"
