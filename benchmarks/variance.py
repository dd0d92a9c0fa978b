"""Can the variance itself be made to notice that a radiograph tells less? Ways to try, on validation studies.

Means, reports and image encoder of a finished run stay as they are; only what becomes of the radiograph's
variance changes. Each way learns from training radiographs and degraded copies of five of the six families of
`medprobclip/data/degraded.py` and is judged on validation radiographs with the sixth, all six in turn. The
evaluation's eleven faults play no part.

    python benchmarks/variance.py --run runs/demo/medprobclip --corpus data/openi-sim-128px \
        --out benchmarks/variance.csv      # a quarter of an hour on a busy machine
    python benchmarks/variance.py --only "distance-aware, gentle"      # the table keeps the others
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm
from variance_ways import WAYS, Films, Split, Variance, scores, stacked

from medprobclip.data.augment import normalise, to_float
from medprobclip.data.dataset import StudyDataset
from medprobclip.data.degraded import DEGRADATIONS, degrade
from medprobclip.evaluation.discrimination import auroc
from medprobclip.evaluation.embedding import EVALUATION_SECTION, embed_texts
from medprobclip.evaluation.reliability import risk_coverage
from medprobclip.evaluation.retrieval import first_match_ranks
from medprobclip.gaussian import Gaussian
from medprobclip.training.runs import load_run, open_table

SEVERITIES = (0.4, 1.0)  # of the validation copies
K = 10


@torch.no_grad()
def look(model, pixels: Tensor) -> Films:
    parts = []
    for batch in pixels.split(64):
        seen = []
        handle = model.vision_norm.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        gaussian, inner = model.encode_image_and_inner(
            normalise(batch, model.config.image_mean, model.config.image_std)
        )
        handle.remove()
        parts.append((seen[0], inner, gaussian))
    return stacked([Films(*part) for part in parts])


def prepare(model, tokenizer, csv: Path, severities: list[float | None]) -> Split:
    """So many copies of each family, of these severities; None is drawn evenly in (0, 1]."""
    table = open_table(csv, model.config.image_size)
    dataset = StudyDataset(table.studies, table.images, tokenizer, required=(EVALUATION_SECTION,))
    images = to_float(dataset.reference_images(np.arange(len(dataset))))
    reports, _ = embed_texts(model, dataset.tokens[EVALUATION_SECTION], tokenizer.pad_token_id)
    ids = dataset.text_ids[EVALUATION_SECTION]
    worse = {}
    torch.manual_seed(0)
    for number, family in enumerate(tqdm(DEGRADATIONS, f"degraded copies, {csv.stem}")):
        for place, severity in enumerate(severities):
            amount = torch.rand(len(images)) if severity is None else torch.full((len(images),), severity)
            spoilt = degrade(images, amount, torch.full((len(images),), number))
            worse[family, severity or f"drawn {place}"] = look(model, spoilt)
    return Split(look(model, images), worse, reports, ids[:, None] == ids[None, :])


@torch.no_grad()
def judge(validation: Split, log_var: Variance, family: str) -> dict[str, float]:
    clean = Gaussian(validation.clean.own.mean, log_var(validation.clean))
    before = scores(validation.clean.own, validation.reports).numpy()
    logits = scores(clean, validation.reports).numpy()
    rank = {"i2t": first_match_ranks(logits, validation.matches)}
    rank["t2i"] = first_match_ranks(logits.T, validation.matches.T)
    was = [first_match_ranks(before, validation.matches), first_match_ranks(before.T, validation.matches.T)]
    row = {f"R@10 {d}": 100 * float((r <= K).mean()) for d, r in rank.items()}
    row["R@10 change"] = np.mean([*row.values()]) - 100 * float(np.mean([r <= K for r in was]))
    row["AURC i2t"] = risk_coverage(-clean.total_variance().numpy(), rank["i2t"] > K).aurc
    for severity in SEVERITIES:
        films = validation.worse[family, severity]
        worse = Gaussian(films.own.mean, log_var(films))
        label = np.arange(2 * len(clean)) < len(clean)
        for name, of in (("Σσ²", Gaussian.total_variance), ("Σ log σ²", lambda g: g.log_var.sum(1))):
            values = torch.cat([of(worse), of(clean)]).numpy()
            row[f"{name} at {severity:g}"] = auroc(values, label)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo/medprobclip"), help="a finished run")
    parser.add_argument("--corpus", type=Path, default=Path("data/openi-sim-128px"), help="its study tables")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/variance.csv"), help="where rows go")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), help="ways to try")
    arguments = parser.parse_args()
    model, tokenizer = load_run(arguments.run)
    train = prepare(model, tokenizer, arguments.corpus / "train.csv", [None, None])
    validation = prepare(model, tokenizer, arguments.corpus / "validate.csv", list(SEVERITIES))
    rows = []
    for way in tqdm(arguments.only, "ways"):
        for inner in (False, True):
            for family in DEGRADATIONS:
                others = tuple(name for name in DEGRADATIONS if name != family)
                found = judge(validation, WAYS[way](train, others, inner), family)
                rows.append(
                    {"way": way, "reads": "inner too" if inner else "pooled", "family": family, **found}
                )
    table = pd.DataFrame(rows)
    if arguments.out.exists():
        kept = pd.read_csv(arguments.out)
        table = pd.concat([kept[~kept["way"].isin(arguments.only)], table], ignore_index=True)
        table = table.sort_values("way", key=lambda way: way.map(list(WAYS).index), kind="stable")
    table.to_csv(arguments.out, index=False, float_format="%.4g")
    print(table.groupby(["way", "reads"], sort=False).mean(numeric_only=True).round(3).to_string())


if __name__ == "__main__":
    main()
