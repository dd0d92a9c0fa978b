"""What calibration studies give a run: match probabilities, and how strange good inputs are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from medprobclip.support.files import write_json
from medprobclip.training.loop import TrainingError
from medprobclip.training.runs import embed_run, load_run


def calibrate_run(out: Path, csv: Path) -> dict:
    """Fit the probability of a match on held-out studies that chose nothing; returns `out/calibration.json`.

    Platt's `slope` and `intercept` of the model's logits over all pairs, and the size of the `gallery` in
    which they hold (`evaluation.calibration.ForGallery` moves them to another). Besides, the `strangeness` of
    these studies' radiographs (`image`) and sections (`report`), least first: `evaluation.conformal.p_values`
    says by them how rarely a good one is stranger. Raises what `embed_run` raises, and TrainingError when
    there is nothing to fit.
    """
    from medprobclip.evaluation.calibration import Platt  # scikit-learn takes its time

    embeddings, _, source = embed_run(out, csv, "embeddings-calibrate")
    try:
        fitted = Platt.fit(embeddings.scores(load_run(out)[0]), embeddings.matches())
    except ValueError as error:
        raise TrainingError(f"{csv}: no match probability can be fitted ({error})") from error
    told = {"image": embeddings.image_strangeness, "report": embeddings.report_strangeness}
    record = {"platt": asdict(fitted), "gallery": len(embeddings), "fitted_on": source}
    record["strangeness"] = {side: sorted(t.tolist()) for side, t in told.items() if t is not None}
    write_json(Path(out) / "calibration.json", record)
    return record
