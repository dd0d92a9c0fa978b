"""What one score costs, by arithmetic and by the clock; and the answers of a search, to be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from medprobclip.data.coding import codes_of
from medprobclip.data.radiographs import read_image
from medprobclip.data.reports import sentences
from medprobclip.data.studies import read_studies
from medprobclip.data.views import reference_view
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.evaluation.scaling import broadcast, measure
from medprobclip.gaussian import Gaussian
from medprobclip.search import Hits
from medprobclip.similarity import expected_likelihood
from medprobclip.support.kernels import PRODUCT, SAFE_LOG_VAR
from medprobclip.workbench import style

GALLERIES = {"a large batch": 256, "OpenI": 3_400, "MIMIC-CXR": 228_000, "a hospital's archive": 2_000_000}
ROUNDING = 10.0  # times the error of the plain formula in float32: more would be another score
EPSILON = 1e-7  # a relative error below this is none in float32
WAYS = {"the broadcast": broadcast, "tiles": expected_likelihood}
Score = Callable[[Gaussian, Gaussian], Tensor]


def sizes_in_memory(n: int, dim: int) -> pd.DataFrame:
    """Gigabytes (10⁹ bytes, float32) of n queries' scores by gallery: inputs, answer, one temporary."""
    rows = [
        [name, m, *(4e-9 * count for count in (2 * m * dim, n * m, n * m * dim))]
        for name, m in GALLERIES.items()
    ]
    columns = ["gallery", "M", "Gaussians [M, 2D], GB", "scores [N, M], GB", "one temporary [N, M, D], GB"]
    return pd.DataFrame(rows, columns=columns).set_index("gallery")


def product_ranges() -> pd.DataFrame:
    """Least and largest product of 1, 8 … sums of variances that all sit at a bound, and float32's range."""
    bounds = 2 * torch.tensor([-SAFE_LOG_VAR, SAFE_LOG_VAR], dtype=torch.float64).exp()
    counts = (1, PRODUCT[torch.float32], 16, 64)
    rows = {f"product of {count}": (bounds**count).tolist() for count in counts}
    limits = torch.finfo(torch.float32)
    rows["float32 itself"] = [limits.tiny, limits.max]
    return pd.DataFrame(rows, index=["smallest", "largest"]).T


def said_of_ranges(table: pd.DataFrame) -> str:
    """Which product of `product_ranges` is the longest that float32 can hold, whatever its factors?"""
    own = table.loc["float32 itself"]
    fits = [
        name
        for name, row in table.drop("float32 itself").iterrows()
        if row["smallest"] >= own["smallest"] and row["largest"] <= own["largest"]
    ]
    return f"The longest that always fits into float32 is the {fits[-1]}." if fits else "None of them fits."


def costs_of_a_score(x: Gaussian, y: Gaussian) -> pd.DataFrame:
    """Both ways to the scores of x `[N, D]` and y `[M, D]`, in float32, beside the broadcast in float64.

    Rows: the ways; columns: relative errors of scores and of gradients, seconds and MB of either.
    """
    double = [g.to(torch.float64) for g in (x, y)]
    exact, exact_gradient = broadcast(*double), _gradient(broadcast, *double)
    rows = {}
    for name, score in WAYS.items():
        plain = measure(lambda score=score: score(x, y))
        learning = measure(lambda score=score: _gradient(score, x, y))
        rows[name] = {
            "error": _error(score(x, y), exact),
            "error of the gradient": _error(_gradient(score, x, y), exact_gradient),
            "time, s": plain.seconds, "with gradient, s": learning.seconds,
            "memory, MB": plain.memory_mb, "with gradient, MB": learning.memory_mb,
        }  # fmt: skip
    return pd.DataFrame(rows).T


def said_of_costs(table: pd.DataFrame) -> str:
    """Do both ways of `costs_of_a_score` agree, and which needs less memory? In two sentences."""
    errors = table[["error", "error of the gradient"]].clip(lower=EPSILON)
    times = errors.loc["tiles"] / errors.loc["the broadcast"]
    same = "both round the same score" if times.max() < ROUNDING else "the tiles are not the same score"
    own, published = (table.loc[name, "with gradient, MB"] for name in ("tiles", "the broadcast"))
    said = (
        f"The error of the tiles is {times['error']:.1f} times, and that of their gradient "
        f"{times['error of the gradient']:.1f} times that of the broadcast in float32: {same}."
    )
    if not own == own:  # NaN: not known on this system
        return f"{said} The memory is not known on this system."
    verb = "less" if own < published else "no less"
    return f"{said} With a gradient they hold {own:.3g} MB, {verb} than the broadcast's {published:.3g} MB."


def said_of_search(hits: Hits, scores: Tensor) -> str:
    """Are hits `[N, k]` those of sorting the whole matrix `[N, M]`, and how many queries have ties?"""
    k = hits.ids.shape[1]
    ordered = scores.sort(dim=1, descending=True, stable=True)
    same = {
        "ids": torch.equal(hits.ids, ordered.indices[:, :k]),
        "scores": torch.equal(hits.scores, ordered.values[:, :k]),
    }
    told = " and ".join(f"{name} are {'' if equal else 'not '}the same" for name, equal in same.items())
    return (
        f"{len(scores)} queries, search against sorting the whole matrix: {told}, bit for bit. "
        f"{int(ties(hits).sum())} queries have equal scores among their {k} best."
    )


def ties(hits: Hits) -> Tensor:
    """Has a query equal scores among its hits? bool `[N]`."""
    return (hits.scores[:, 1:] == hits.scores[:, :-1]).any(1)


def answers(
    csv: Path, embeddings: Embeddings, hits: Hits, query: int, shows_text: bool = True
) -> pd.DataFrame:
    """The reports that a search found for one radiograph: score, id, is it right, its first sentence.

    Where no text may be shown: its codes, if there are any, and its length.
    """
    studies = read_studies(csv).set_index("study_id").loc[embeddings.study_ids]
    found = hits.ids[query].tolist()
    texts, codes = studies["findings"].iloc[found], codes_of(studies)
    if shows_text:
        said = {"its first sentence": [sentences(text)[0] for text in texts]}
    else:
        said = {"its codes": [", ".join(codes[item]) for item in found]} if any(codes) else {}
        said |= {"its words": [len(text.split()) for text in texts]}
    return pd.DataFrame(
        {
            "score": hits.scores[query].tolist(),
            "id": found,
            "right": ["yes" if right else "no" for right in embeddings.matches()[query, found]],
            **said,
        },
        index=pd.RangeIndex(1, len(found) + 1, name="rank"),
    )


def asked(csv: Path, embeddings: Embeddings, query: int) -> Figure:
    """The radiograph that asked, with its codes if there are any."""
    style.use_style()
    studies = read_studies(csv).set_index("study_id").loc[embeddings.study_ids]
    study, codes = studies.iloc[query], codes_of(studies)[query]
    figure, ax = plt.subplots(figsize=(3.2, 3.5), layout="constrained")
    film = study["image_paths"][reference_view(study["view_names"])]
    ax.imshow(read_image(film), cmap="gray", vmin=0, vmax=255)
    ax.set_axis_off()
    title = f"query {query}\n{'; '.join(codes[:2])}".rstrip()
    ax.set_title(title, fontsize=9, fontweight="normal")
    return figure


def _gradient(score: Score, x: Gaussian, y: Gaussian) -> Tensor:
    """Of a softmax over the gallery, for the queries' means: `[N, D]`."""
    mean = x.mean.clone().requires_grad_()
    return torch.autograd.grad(score(Gaussian(mean, x.log_var), y).logsumexp(1).sum(), mean)[0]


def _error(value: Tensor, exact: Tensor) -> float:
    return float((value - exact).abs().max() / exact.abs().max())
