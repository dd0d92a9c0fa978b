"""Which density of which features notices what training had nothing like? On validation studies.

A density is fitted to features of the training radiographs (or report sections) and asked to tell validation
ones from spoilt copies of themselves: the six families of `medprobclip/data/degraded.py`, and texts in which
a share of the words has its letters scrambled or is replaced by random words (those to choose by of
`medprobclip/data/odd_texts.py`). What is held back for the evaluation plays no part.

    python benchmarks/strangeness.py --run runs/demo/medprobclip --corpus data/openi-sim-128px \
        --out benchmarks/strangeness.csv      # ten minutes on a busy machine
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.covariance import OAS, ShrunkCovariance
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor
from tqdm import tqdm

from medprobclip.data.augment import to_float
from medprobclip.data.dataset import SECTIONS, padded
from medprobclip.data.degraded import DEGRADATIONS, degrade
from medprobclip.data.odd_texts import ODD_TEXTS, odd_texts
from medprobclip.data.views import reference_view
from medprobclip.evaluation.discrimination import auroc
from medprobclip.evaluation.embedding import EVALUATION_SECTION, prepare_images
from medprobclip.training.runs import load_run, open_table

SEVERITIES = (0.1, 0.2, 0.4, 0.7, 1.0)  # of degraded films; of texts the share of words that are odd
TEXTS = [name for name, kind in ODD_TEXTS.items() if kind.detectable and not kind.held_back]
LARGE_CLASS = 20  # training studies; smaller classes of the relative distance are taken together

Features = dict[str, np.ndarray]  # name -> [N, G]
Scorer = Callable[[np.ndarray], np.ndarray]  # features [N, G] -> [N], larger: stranger


@dataclass(frozen=True)
class Side:
    """Films or texts: what may be fitted on, with a class an item, and what is to be told apart."""

    train: dict[str, tuple[Features, np.ndarray]]
    clean: Features
    worse: dict[tuple[str, float], Features]
    other: Features  # laterals; impressions
    alike: Features | None = None  # shuffled words


@torch.no_grad()
def look(model, images: np.ndarray | Tensor) -> Features:
    """uint8 `[N, S, S]` or float `[N, 1, S, S]` -> every stage's mean over places, the Gaussian."""
    parts = []
    for batch in torch.as_tensor(images).split(64):
        pixels = prepare_images(batch, model)
        output = model.vision_model(pixel_values=pixels, output_hidden_states=True)
        gaussian = model.encode_image(pixels)
        stages = [hidden.mean((2, 3)) for hidden in output.hidden_states]
        parts.append([*stages, torch.cat(stages, 1), gaussian.mean, gaussian.log_var])
    return named(parts)


@torch.no_grad()
def read(model, tokenizer, texts: list[str]) -> Features:
    """N texts -> every layer's mean over tokens, the Gaussian."""
    tokens = tokenizer(texts, truncation=True)["input_ids"]
    order = np.argsort([len(ids) for ids in tokens], kind="stable")
    parts = []
    for start in range(0, len(order), 64):
        batch = padded([tokens[row] for row in order[start : start + 64]], tokenizer.pad_token_id)
        ids, mask = batch.input_ids, batch.attention_mask
        output = model.text_model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        gaussian = model.encode_text(ids, mask)
        weight = (mask / mask.sum(1, keepdim=True))[..., None]
        stages = [(hidden * weight).sum(1) for hidden in output.hidden_states]
        parts.append([*stages, torch.cat(stages, 1), gaussian.mean, gaussian.log_var])
    back = np.argsort(order)
    return {name: values[back] for name, values in named(parts).items()}


def named(parts: list[list[Tensor]]) -> Features:
    columns = [torch.cat(column).double().numpy() for column in zip(*parts, strict=True)]
    last = len(columns) - 4
    stages = [f"stage {i}" + (", last" if i == last else "") for i in range(last + 1)]
    return dict(zip([*stages, "all stages", "mean", "log variance"], columns, strict=True))


def films(model, corpus: Path) -> Side:
    found = {}
    for split in ("train", "validate"):
        table = open_table(corpus / f"{split}.csv", model.config.image_size)
        views = list(zip(table.studies["image_paths"], table.studies["view_names"], strict=True))
        places = [reference_view(names) for _, names in views]
        reference = [paths[place] for (paths, _), place in zip(views, places, strict=True)]
        others = [
            [path for i, path in enumerate(paths) if i != place]
            for (paths, _), place in zip(views, places, strict=True)
        ]
        rows = np.repeat(np.arange(len(others)), [len(paths) for paths in others])
        second = [path for paths in others for path in paths]
        found[split] = table.images.rows(reference), table.images.rows(second)
        if split == "train":
            classes = classes_of(table.studies["codes"])
            every_class = np.concatenate([classes, classes[rows]])
    reference, second = (look(model, images) for images in found["train"])
    every = {name: np.concatenate([reference[name], second[name]]) for name in reference}
    images = to_float(torch.from_numpy(found["validate"][0]))
    torch.manual_seed(0)
    worse = {}
    for number, family in enumerate(tqdm(DEGRADATIONS, "degraded copies")):
        for severity in SEVERITIES:
            amount = torch.full((len(images),), severity)
            spoilt = degrade(images, amount, torch.full((len(images),), number))
            # Stored as a film is, in 256 grey values.
            stored = (spoilt[:, 0] * 255).round().to(torch.uint8)
            worse[family, severity] = look(model, stored)
    train = {"reference films": (reference, classes), "all films": (every, every_class)}
    return Side(train, look(model, found["validate"][0]), worse, look(model, found["validate"][1]))


def texts(model, tokenizer, corpus: Path) -> Side:
    train, validate = (
        open_table(corpus / f"{split}.csv", model.config.image_size).studies
        for split in ("train", "validate")
    )
    classes = classes_of(train["codes"])
    sections = [(read(model, tokenizer, train[name].tolist())) for name in SECTIONS]
    one = sections[SECTIONS.index(EVALUATION_SECTION)]
    both = {name: np.concatenate([section[name] for section in sections]) for name in one}
    fitted = {EVALUATION_SECTION: (one, classes), "both sections": (both, np.tile(classes, len(SECTIONS)))}
    reports = validate[EVALUATION_SECTION].tolist()
    worse = {
        (family, share): read(model, tokenizer, mixed(reports, odd_texts(family, reports), share))
        for family in TEXTS
        for share in SEVERITIES
    }
    other = next(name for name in SECTIONS if name != EVALUATION_SECTION)
    return Side(
        fitted,
        read(model, tokenizer, reports),
        worse,
        read(model, tokenizer, validate[other].tolist()),
        read(model, tokenizer, odd_texts("shuffled_words", reports)),
    )


def mixed(texts: list[str], odd: list[str], share: float) -> list[str]:
    """A share of each text's words, at least one, replaced by what stands at the same place of the other."""
    rng = np.random.default_rng(0)
    found = []
    for text, other in zip(texts, odd, strict=True):
        words = text.split()
        for place in rng.permutation(len(words))[: max(1, round(share * len(words)))]:
            words[place] = other.split()[place]
        found.append(" ".join(words))
    return found


def classes_of(codes: pd.Series) -> np.ndarray:
    """The heading of a study's first expert code, the rarer ones taken together."""
    first = codes.str.split(";").str[0].str.split("/").str[0]
    return first.where(first.map(first.value_counts()) >= LARGE_CLASS, "other").to_numpy()


def gaussian(covariance) -> Callable[[np.ndarray, np.ndarray], Scorer]:
    return lambda x, classes: covariance().fit(x).mahalanobis


def relative(x: np.ndarray, classes: np.ndarray) -> Scorer:
    """Distance from the nearest class less that from all (Ren 2021, arXiv 2106.09022)."""
    means = pd.DataFrame(x).groupby(classes).mean()
    centred = x - means.loc[classes].to_numpy()
    within = ShrunkCovariance(shrinkage=1e-3, assume_centered=True).fit(centred)
    overall = ShrunkCovariance(shrinkage=1e-3).fit(x)
    return lambda z: (
        np.min([within.mahalanobis(z - mean) for mean in means.to_numpy()], 0) - overall.mahalanobis(z)
    )


def mixture(components: int) -> Callable[[np.ndarray, np.ndarray], Scorer]:
    def fit(x: np.ndarray, classes: np.ndarray) -> Scorer:
        ridge = 1e-3 * x.var(0).mean()
        found = GaussianMixture(components, reg_covar=ridge, max_iter=200, random_state=0).fit(x)
        return lambda z: -found.score_samples(z)

    return fit


def nearest(k: int, scale: type) -> Callable[[np.ndarray, np.ndarray], Scorer]:
    """Distance from the kth nearest training item (Sun 2022, arXiv 2204.06507)."""

    def fit(x: np.ndarray, classes: np.ndarray) -> Scorer:
        scaler = scale().fit(x)
        index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(scaler.transform(x))
        return lambda z: index.kneighbors(scaler.transform(z))[0][:, -1]

    return fit


DENSITIES: dict[str, Callable[[np.ndarray, np.ndarray], Scorer]] = {
    **{
        f"Gaussian, shrinkage {share:g}": gaussian(partial(ShrunkCovariance, shrinkage=share))
        for share in (1e-4, 1e-3, 1e-2)
    },
    "Gaussian, OAS": gaussian(OAS),
    "relative Mahalanobis": relative,
    **{f"mixture of {n}": mixture(n) for n in (2, 5)},
    **{f"nearest {k}, standardised": nearest(k, StandardScaler) for k in (1, 10, 50)},
    **{f"nearest {k}, cosine": nearest(k, Normalizer) for k in (1, 10, 50)},
}


def told(strange: np.ndarray, usual: np.ndarray) -> float:
    return auroc(np.concatenate([strange, usual]), np.arange(len(strange) + len(usual)) < len(strange))


def judge(score: Scorer, side: Side, name: str) -> dict[str, float]:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        clean = score(side.clean[name])
        seconds.append(time.perf_counter() - start)
    row = {
        f"AUROC at {severity:g}": np.mean(
            [told(score(f[name]), clean) for (_, at), f in side.worse.items() if at == severity]
        )
        for severity in SEVERITIES
    }
    row["mean AUROC"] = np.mean([*row.values()])
    row["other view or section"] = told(score(side.other[name]), clean)
    row["shuffled words"] = np.nan if side.alike is None else told(score(side.alike[name]), clean)
    return row | {"ms_an_item": 1000 * np.median(seconds) / len(clean)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo/medprobclip"), help="a finished run")
    parser.add_argument("--corpus", type=Path, default=Path("data/openi-sim-128px"), help="its study tables")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/strangeness.csv"), help="where rows go")
    arguments = parser.parse_args()
    model, tokenizer = load_run(arguments.run)
    sides = {
        "texts": texts(model.eval(), tokenizer, arguments.corpus),
        "films": films(model, arguments.corpus),
    }
    rows = []
    for kind, side in sides.items():
        for fitted_on, (features, classes) in side.train.items():
            for name in tqdm(features, f"{kind}, {fitted_on}"):
                for density, fit in DENSITIES.items():
                    found = judge(fit(features[name], classes), side, name)
                    what = {"side": kind, "features": name, "density": density, "fitted on": fitted_on}
                    rows.append(what | found)
    table = pd.DataFrame(rows)
    table.to_csv(arguments.out, index=False, float_format="%.4g")
    best = table.sort_values("mean AUROC", ascending=False).groupby("side", sort=False).head(12)
    print(best.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
