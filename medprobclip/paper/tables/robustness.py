"""Every method on radiographs with a fault, at five severities: does it fail, and does it know?"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from medprobclip.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from medprobclip.data.views import reference_view
from medprobclip.evaluation.confidence import confidences
from medprobclip.evaluation.discrimination import auroc
from medprobclip.evaluation.embedding import Embeddings, embed_images
from medprobclip.evaluation.reliability import drawn_aurc, risk_coverage
from medprobclip.evaluation.resampling import drawn_queries, percentiles
from medprobclip.evaluation.retrieval import BootstrapConfig
from medprobclip.model import MedProbCLIPModel
from medprobclip.paper.tables.reliability import calibrators
from medprobclip.paper.tables.scored_runs import Result, Results
from medprobclip.support.files import write_json
from medprobclip.support.threads import pinned_threads
from medprobclip.training.runs import file_hash, load_run, open_table, run_threads

K = 10  # of the recall, and of the errors behind AURC
# What the kept rows are computed by, besides the model: a change measures them anew.
CODE = (
    "paper/tables/robustness.py", "data/corruptions.py", "evaluation/embedding.py",
    "paper/tables/reliability.py",
    "evaluation/calibration.py", "evaluation/confidence.py", "evaluation/discrimination.py",
    "evaluation/reliability.py", "evaluation/resampling.py", "evaluation/retrieval.py",
)  # fmt: skip


def robustness_table(
    calibration: Results, test: Results, csv: Path, chosen: dict[tuple[str, str], str]
) -> pd.DataFrame:
    """The first run of each method on the test radiographs with every corruption, and without (severity 0).

    Reports stay as they are. Columns: `method`, `corruption`, `severity`; with bounds `_low` and `_high` over
    test studies: `recall` (R@10 in percent, mean of both directions), `aurc` (of the radiographs' queries at
    R@10, by the method's confidence in `chosen`) and `variance` (mean total variance of the radiographs,
    relative to that without a fault); `detects`, the AUROC of the total variance for telling faulty from
    faultless radiographs: 0.5 knows nothing, above it the variance grows with the fault.

    What is measured is kept in each run's folder, corruption by corruption, and read back as long as the run,
    its embeddings, the confidence and the corruption are unchanged.
    """
    faults = [Fault(m, calibration[m][0], runs[0], chosen[m, "i2t"]) for m, runs in test.items()]
    studies, models, images = faults[0].run.truth.studies, {}, None
    rows = []
    for name in tqdm(("none", *CORRUPTIONS), "corruptions", unit="corruption"):
        waiting = [fault for fault in faults if fault.stored(name) is None]
        for fault in waiting:
            models.setdefault(fault.method, load_run(fault.run.folder)[0])
        measured = {fault.method: [] for fault in waiting}
        for severity in ((0,) if name == "none" else SEVERITIES) if waiting else ():
            if images is None:
                images = reference_radiographs(studies, csv, models[waiting[0].method].config.image_size)
            faulty = (
                images if severity == 0 else corrupt(images, name, severity, studies["study_id"].tolist())
            )
            for fault in waiting:
                with pinned_threads(fault.threads):
                    row = fault.measure(models[fault.method], torch.from_numpy(faulty))
                measured[fault.method].append({"corruption": name, "severity": severity, **row})
        for fault in waiting:
            write_json(fault.path(name), {"source": fault.source(name), "rows": measured[fault.method]})
        rows += [{"method": fault.method, **row} for fault in faults for row in fault.stored(name)]
    return pd.DataFrame(rows)


def mean_over_corruptions(table: pd.DataFrame) -> pd.DataFrame:
    """`robustness_table` averaged over the corruptions, by method and severity; 0 is without a fault."""
    values = ["recall", "aurc", "variance", "detects"]
    return table.groupby(["method", "severity"], sort=False, as_index=False)[values].mean()


def reference_radiographs(studies: pd.DataFrame, csv: Path, size: int) -> np.ndarray:
    """The one radiograph of each study that stands for it in every evaluation: uint8 `[N, S, S]`."""
    paths = [
        paths[reference_view(views)]
        for paths, views in zip(studies["image_paths"], studies["view_names"], strict=True)
    ]
    return open_table(csv, size).images.rows(paths)


@dataclass(frozen=True, eq=False)
class Fault:
    """One method under every corruption: its run on calibration and test studies, its confidence."""

    method: str
    fitted: Result
    run: Result
    confidence: str

    @property
    def threads(self) -> int | None:
        """With how many the run was trained, so that its embeddings repeat themselves."""
        return run_threads(self.run.folder)

    def path(self, corruption: str) -> Path:
        """Where the rows of a corruption are kept."""
        return self.run.folder / "robustness" / f"{corruption}.json"

    def source(self, corruption: str) -> dict[str, str]:
        """What they depend on: checkpoint, studies, confidence, and how the fault is made and measured."""
        source = Embeddings.source_of(self.run.folder / "embeddings.safetensors") or {}
        fitted = Embeddings.source_of(self.fitted.folder / "embeddings-calibrate.safetensors") or {}
        source["calibration_data"] = fitted.get("test_data")
        code = " ".join(file_hash(Path(__file__).parents[2] / name) for name in CODE)
        return {**source, "corruption": corruption, "confidence": self.confidence, "code": code}

    def stored(self, corruption: str) -> list[dict] | None:
        """The rows as they were kept; None where there are none or something has changed since."""
        path = self.path(corruption)
        kept = json.loads(path.read_text()) if path.exists() else {}
        return kept["rows"] if kept.get("source") == self.source(corruption) else None

    def measure(self, model: MedProbCLIPModel, images: torch.Tensor) -> dict[str, float]:
        """The measurements of one row: the run on these radiographs, beside its own on the faultless ones."""
        own = self.run.embeddings
        embeddings = Embeddings(own.study_ids, embed_images(model, images), own.report, own.text_ids)
        faulty = replace(self.run, embeddings=embeddings, scores=embeddings.scores(model))
        config = BootstrapConfig()
        rows = drawn_queries(len(own), config)
        platt = calibrators(self.fitted, len(own))["platt"]
        sure = confidences(faulty.scores, faulty.total_variance["i2t"], platt, K)[self.confidence]
        recall = 100.0 * np.mean([ranks <= K for ranks in faulty.ranks.values()], axis=0)
        wrong = faulty.ranks["i2t"] > K
        now, clean = faulty.total_variance["i2t"], self.run.total_variance["i2t"]
        row = {"detects": auroc(np.concatenate([now, clean]), np.arange(2 * len(own)) < len(own))}
        for name, value, draws in (
            ("recall", recall.mean(), recall[rows].mean(1)),
            ("aurc", risk_coverage(sure, wrong).aurc, drawn_aurc(sure, wrong, rows)),
            ("variance", now.mean() / clean.mean(), now[rows].mean(1) / clean[rows].mean(1)),
        ):
            low, high = percentiles(draws, config)
            row |= {name: float(value), f"{name}_low": low, f"{name}_high": high}
        return row
