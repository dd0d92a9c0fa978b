"""Can exact search skip items by a bound? `python benchmarks/pruning.py --help`

Upper bounds of the score, for blocks of the gallery. With m and l the means and log variances of items,
v = exp(l), w of a query, and v° the largest, v₋ the smallest and v₀ the middle variance of a block, dimension
by dimension:

    one product      (μ − m)² / s ≥ (μ − m)² / (w° + v°), w° the largest of all queries; log s ≥ log (w + v₋)
    two products     (μ − m)² / s ≥ (μ − m)² / (w + v°);  log s as above
    three products   the same;  log s ≥ its tangent at l₀, as log (w + eˡ) is convex
    six products     1 / (w + v) ≥ its tangent at v₀, as it is convex;  log s as before
    a quarter        the exact sum over the dimensions that differ most; in the others 0 and log (w + v₋)
    boxes            the nearest point of the box of the block's means, v°, v₋: one number a block and query

What a bound cannot exclude, even if the k-th best score were known from the start, must be scored:
`survivors`, a share of all pairs. `bounding` is the time of the bound, `cost` that and the time of scoring
the survivors, both over the time of scoring all: below 1 the bound pays, before anything is spent on
choosing, gathering and rounding. Blocks of 2,048 items hold them in their order, or those of like total
variance; boxes hold 16 or 64 neighbours, of halves of halves along the first principal axis (what that costs
is not counted). Writes `pruning.csv`.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from trained import training_radiographs, varied_sections

from medprobclip.evaluation.scaling import draw, measure
from medprobclip.gaussian import Gaussian
from medprobclip.search import BLOCK, top_k
from medprobclip.similarity import expected_likelihood


def weighted(x: Gaussian, y: Gaussian, weight: torch.Tensor) -> torch.Tensor:
    """Σ weight (μ − m)² of `[N, D]`, `[M, D]` and weights `[1 or N, D]` -> `[N, M]`."""
    squares = weight @ y.mean.square().T
    return (weight * x.mean.square()).sum(1)[:, None] - 2 * (weight * x.mean) @ y.mean.T + squares


def bounds(x: Gaussian, y: Gaussian, largest: torch.Tensor, telling: torch.Tensor) -> dict[str, torch.Tensor]:
    """Upper bounds of the scores of a block `[N, M]`; `telling`: dimensions, those that differ most first."""
    low, high, middle = y.var.amin(0), y.var.amax(0), y.log_var.mean(0)
    log_low = (x.var + low).log().sum(1)[:, None]
    slope = middle.exp() / (x.var + middle.exp())
    log_tangent = (x.var + middle.exp()).log().sum(1)[:, None] + slope @ (y.log_var - middle).T
    inverse, centre = 1 / (x.var + y.var.mean(0)), y.var.mean(0)
    tangent = weighted(x, y, inverse + centre * inverse.square())
    slopes, moved = inverse.square(), Gaussian(y.mean * y.var, y.log_var)
    tangent -= (slopes * x.mean.square()) @ y.var.T - 2 * (slopes * x.mean) @ moved.mean.T
    tangent -= slopes @ (y.mean.square() * y.var).T
    some, others = telling[: len(telling) // 4], telling[len(telling) // 4 :]
    quarter = expected_likelihood(x[:, some], y[:, some])
    return {
        "one product": -0.5 * (weighted(x, y, 1 / (largest + high)[None]) + log_low),
        "two products": -0.5 * (weighted(x, y, 1 / (x.var + high)) + log_low),
        "three products": -0.5 * (weighted(x, y, 1 / (x.var + high)) + log_tangent),
        "six products": -0.5 * (tangent + log_tangent),
        "a quarter": quarter - 0.5 * (x.var[:, others] + low[others]).log().sum(1)[:, None],
    }


def survivors(x: Gaussian, y: Gaussian, k: int) -> dict[str, float]:
    """Share of all pairs whose bound reaches the k-th best score of their query."""
    limit = top_k(x, y, k).scores[:, -1:]
    telling, largest = y.mean.var(0).argsort(descending=True), x.var.amax(0)
    kept: dict[str, int] = {}
    for start in range(0, len(y), BLOCK):
        block = y[start : start + BLOCK]
        exact = expected_likelihood(x, block)
        for name, bound in bounds(x, block, largest, telling).items():
            assert (bound >= exact - 1e-3).all(), name
            kept[name] = kept.get(name, 0) + int((bound >= limit).sum())
    return {name: count / (len(x) * len(y)) for name, count in kept.items()}


def neighbours(points: torch.Tensor, ids: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Groups of at most `size` ids of points `[M, D]` that lie close together."""
    if len(ids) <= size:
        return [ids]
    chosen = points[ids] - points[ids].mean(0)
    axis = torch.ones(points.shape[1])
    for _ in range(8):  # power iteration
        axis = torch.nn.functional.normalize(chosen.T @ (chosen @ axis), dim=0)
    order = ids[(chosen @ axis).argsort()]
    half = len(ids) // 2
    return neighbours(points, order[:half], size) + neighbours(points, order[half:], size)


def survivors_of_boxes(x: Gaussian, y: Gaussian, k: int, size: int) -> float:
    """Share of all pairs in boxes whose bound reaches the k-th best score of the query."""
    limit, kept = top_k(x, y, k).scores[:, -1], 0
    for ids in neighbours(torch.cat([y.mean, y.log_var], 1), torch.arange(len(y)), size):
        box = y[ids]
        below, above = box.mean.amin(0) - x.mean, x.mean - box.mean.amax(0)
        gap, var = below.clamp(min=0) + above.clamp(min=0), box.var
        bound = -0.5 * (gap.square() / (x.var + var.amax(0)) + (x.var + var.amin(0)).log()).sum(1)
        kept += int((bound >= limit).sum()) * len(ids)
    return kept / (len(x) * len(y))


def rows(name: str, x: Gaussian, y: Gaussian, k: int) -> list[dict]:
    """Survivors and cost of every bound for one gallery, in both orders."""
    block = y[:BLOCK]
    kernel = measure(lambda: expected_likelihood(x, block)).seconds
    product = measure(lambda: x.mean @ block.mean.T).seconds
    products = {"one product": 1, "two products": 2, "three products": 3, "six products": 6}
    found = []
    for order, gallery in (("as it is", y), ("alike", y[y.total_variance().argsort()])):
        for bound, share in survivors(x, gallery, k).items():
            bounding = products[bound] * product / kernel if bound in products else 1 / 4
            found.append((order, bound, bounding, share))
    for size in (64, 16):
        share = survivors_of_boxes(x, y, k, size)
        found.append(("neighbours", f"boxes of {size}", 1 / size, share))
    names = ("order", "bound", "bounding", "survivors")
    table = [{"embeddings": name, "dim": y.dim, **dict(zip(names, row, strict=True))} for row in found]
    return [{**row, "cost": row["bounding"] + row["survivors"]} for row in table]


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("--queries", type=int, default=500, help="N, queries (default 500)")
    command.add_argument("--gallery", type=int, default=100_000, help="M, items (default 100000)")
    command.add_argument("--k", type=int, default=10, help="best items sought (default 10)")
    command.add_argument("--run", type=Path, help="a trained run's folder: measured, too")
    command.add_argument("--table", type=Path, help="its training table, of whose texts its gallery is made")
    arguments = command.parse_args()
    n, m = arguments.queries, arguments.gallery
    found = rows("random", draw(n, 512, seed=0), draw(m, 512, seed=1), arguments.k)
    if arguments.run:
        gallery = Gaussian.load(varied_sections(arguments.run, arguments.table, m))
        found += rows("trained", training_radiographs(arguments.run)[:n], gallery, arguments.k)
    table = pd.DataFrame(found)
    table.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format=lambda v: f"{v:.3g}"))


if __name__ == "__main__":
    main()
