"""A run folder: train into it, score its test set once, read it back."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from medprobclip.data.assets import cache_folder
from medprobclip.data.dataset import StudyDataset
from medprobclip.data.disjoint import check_disjoint
from medprobclip.data.images import ImageCache, cache_images
from medprobclip.data.notices import table_notices, text_notices, used_and_left_out
from medprobclip.data.privacy import least_patients
from medprobclip.data.studies import read_studies
from medprobclip.data.views import has_frontal_view
from medprobclip.evaluation.ceiling import correspondence
from medprobclip.evaluation.embedding import EVALUATION_SECTION, Embeddings, fit_strangeness
from medprobclip.evaluation.retrieval import read_table, retrieval_table
from medprobclip.model import MedProbCLIPModel
from medprobclip.strangeness import FILE as STRANGENESS_FILE, Strangeness
from medprobclip.support.downloads import check_downloaded
from medprobclip.support.files import file_hash, recovered_folder, write_json
from medprobclip.support.locks import LockedError, locked_folder
from medprobclip.support.threads import pinned_threads
from medprobclip.training.claims import claim, completed, is_finished, require_finished
from medprobclip.training.encoders import SMALL_TEXT, build_model, training_tokenizer
from medprobclip.training.errors import TrainingError
from medprobclip.training.loop import train
from medprobclip.training.processes import Team
from medprobclip.training.profiles import Profile
from medprobclip.training.sharing_out import embed_together
from medprobclip.training.state import read_history
from medprobclip.training.used_studies import Purpose, keep_used, refuse_used


def image_folder() -> Path:
    """Where resized images are kept, one folder a study table; MEDPROBCLIP_IMAGES overrides it."""
    return Path(os.environ.get("MEDPROBCLIP_IMAGES") or cache_folder() / "images")


def image_place(csv: Path) -> Path:
    """Where the resized images of a study table are kept."""
    return image_folder() / hashlib.sha256(os.path.abspath(csv).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Table:
    """A checked study table with its images at one size, and the hash of all that a model sees of it."""

    studies: pd.DataFrame
    images: ImageCache
    digest: str


def open_table(csv: Path, size_px: int) -> Table:
    """Read and check a study table and cache its images, square of `size_px`.

    Raises StudyTableError, ImageError.
    """
    csv = Path(os.path.abspath(csv))  # as `read_studies`: a link stays where it is
    studies = read_studies(csv)
    paths = [path for images in studies["image_paths"] for path in images]
    images = cache_images(paths, size_px, image_place(csv))
    seen = file_hash(csv) + images.fingerprint()
    return Table(studies, images, hashlib.sha256(seen.encode()).hexdigest())


def train_run(
    train_csv: Path,
    val_csv: Path,
    out: Path,
    profile: Profile,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    show_text: bool | None = None,
) -> pd.DataFrame:
    """Train a profile's model on two study tables; returns the history, one row an epoch.

    A finished run is read back, an interrupted one resumed; `used.json` tells which studies made it. Unless
    `show_text` (by default for the default corpus only), messages have no words of reports, and a vocabulary
    learned from them has no rare ones (`privacy.LEAST_PATIENTS`). Raises StudyTableError when a study,
    patient or image file is in both tables, TrainingError when `out` holds a run with other settings or data
    (texts or pixels), or when another process is training into it. Of several processes
    of a launcher all train together, and the first one writes.
    """
    out, team = Path(out), Team.here()
    try:
        with locked_folder(out) if team.leads else nullcontext():
            history = _train_run(train_csv, val_csv, out, profile, on_epoch, show_text, team)
            if team.leads and load_strangeness(out) is None:
                keep_strangeness(out, train_csv)
            team.wait()
            return history
    except LockedError as error:
        raise TrainingError(str(error)) from error


def _train_run(
    train_csv: Path,
    val_csv: Path,
    out: Path,
    profile: Profile,
    on_epoch: Callable[[pd.DataFrame], None] | None,
    show_text: bool | None,
    team: Team,
) -> pd.DataFrame:
    with team.first_alone():  # the others find the images in the cache
        tables = {
            "training": open_table(train_csv, profile.encoders.image_size),
            "validation": open_table(val_csv, profile.encoders.image_size),
        }
    check_disjoint({name: table.studies for name, table in tables.items()})
    training = tables["training"].studies
    wanted = {**profile.settings(), "tables": {name: table.digest for name, table in tables.items()}}
    least = least_patients(training, show_text) if profile.encoders.text in SMALL_TEXT else 1
    known = {"vocabulary": {"least_patients": least}} if least > 1 else {}
    settings = team.led(lambda: claim(out, wanted | known))
    least = settings.get("vocabulary", {"least_patients": 1})["least_patients"]
    if team.leads:
        keep_used(out, {name: table.studies for name, table in tables.items()})
    team.wait()
    if is_finished(out):
        history = read_history(out)
        team.say(f"{out}: {len(history)} epochs are done, reading them back")
        if on_epoch and team.leads:
            on_epoch(history)
        return history
    alone = profile.augmentation.one_section  # validation asks for findings: there it is no help
    try:
        tokenizer = training_tokenizer(profile.encoders, training, least)
        datasets = [
            StudyDataset(table.studies, table.images, tokenizer, one_section=one_section)
            for table, one_section in zip(tables.values(), (alone, False), strict=True)
        ]
        set_seed(profile.training.seed)  # initial weights
        model = build_model(profile.encoders, tokenizer, **profile.objective.model_settings())
    except (ValueError, OSError) as error:  # encoders that do not go together, are not there, cannot do it
        raise TrainingError(str(error)) from error
    if least > 1:
        team.say(f"vocabulary: {len(tokenizer)} pieces, no word of fewer than {least} patients")
    for name, dataset in zip(tables, datasets, strict=True):
        team.say(f"{name}: {used_and_left_out(dataset, alone and name == 'training')}")
        for notice in [*table_notices(tables[name].studies, show_text), *text_notices(dataset, show_text)]:
            team.say(f"{name}: {notice}")
    with pinned_threads(profile.training.threads):
        return train(
            model, tokenizer, *datasets, out,
            profile.training, profile.objective, profile.augmentation, on_epoch if team.leads else None,
            profile.machine,
        )  # fmt: skip


def keep_strangeness(out: Path, train_csv: Path) -> None:
    """Fit the densities of the training inputs with the run's best model and save them beside it."""
    model, tokenizer = load_run(out)
    model.to(Accelerator().device)
    table = open_table(train_csv, model.config.image_size)
    settings = completed(json.loads((Path(out) / "settings.json").read_text()))
    one_section = settings["augmentation"]["one_section"]
    dataset = StudyDataset(table.studies, table.images, tokenizer, one_section=one_section)
    with pinned_threads(run_threads(out)):
        try:
            fit_strangeness(model, dataset, True).save(out / "checkpoint")
        except ValueError as error:  # a backbone that shows nothing inside; inputs that are all the same
            print(f"{out}: nothing will tell strange inputs from others ({error})")


def load_strangeness(out: Path) -> Strangeness | None:
    """How unlike its training inputs something is to the run in `out`; None where that was never fitted."""
    folder = Path(out) / "checkpoint"
    return Strangeness.load(folder) if (folder / STRANGENESS_FILE).exists() else None


def load_run(out: Path) -> tuple[MedProbCLIPModel, PreTrainedTokenizerBase]:
    """The best model of a run, in evaluation mode, and its tokenizer. Raises TrainingError without one."""
    if (folder := recovered_folder(Path(out) / "checkpoint")) is None:
        raise TrainingError(f"{out} holds no checkpoint; train it first (notebook 03)")
    try:
        check_downloaded(folder)
    except OSError as error:
        raise TrainingError(str(error)) from error
    model = AutoModel.from_pretrained(folder).eval()
    model.to(memory_format=torch.channels_last)  # as in training: convolutions are quicker so
    return model, AutoTokenizer.from_pretrained(folder)


def evaluate_run(out: Path, test_csv: Path, show_text: bool | None = None) -> tuple[pd.DataFrame, Embeddings]:
    """Score the test studies with the run's best model; returns the retrieval table and the embeddings.

    Sizes come from the checkpoint. Where the test table has `codes`, an expert's or of its labels, the
    retrieval table has mAP@R with equal coding as relevant; where it has the `appearance` of simulated
    radiographs, the oracle ceiling. The test set is scored once: `metrics.json` and `embeddings.safetensors`
    in `out` are read back as long as checkpoint and test data are unchanged. Raises TrainingError when the
    training is not finished, a test set is no guide on the way; and for a table with studies that the run was
    trained on or chosen by.
    """
    embeddings, dataset, scored = embed_run(out, test_csv, purpose="test", show_text=show_text)
    metrics, team = Path(out) / "metrics.json", Team.here()
    record = json.loads(metrics.read_text()) if metrics.exists() else {}
    team.wait()  # nobody writes before all have looked
    if record.get("scored") == scored:
        return read_table(record["retrieval"]), embeddings
    model, _ = load_run(out)
    retrieval = retrieval_table(
        embeddings.scores(model), embeddings.matches(), **correspondence(dataset.studies)
    )
    rows = json.loads(retrieval.to_json(orient="records"))
    counts = {
        "studies": len(dataset),
        "left_out": dataset.left_out,
        "without_frontal_view": without_frontal_view(dataset),
    }
    if team.leads:
        write_json(metrics, {"scored": scored, "section": EVALUATION_SECTION, **counts, "retrieval": rows})
    return read_table(rows), embeddings


def embed_run(
    out: Path,
    csv: Path,
    name: str = "embeddings",
    purpose: Purpose | None = None,
    show_text: bool | None = None,
) -> tuple[Embeddings, StudyDataset, dict[str, str]]:
    """Embed a table with the run's best model: embeddings, their studies, and the hashes of both.

    Kept in `out/<name>.safetensors` and read back as long as checkpoint and data are unchanged. With a
    `purpose`, studies that made the run are refused. Raises TrainingError for them, when the training is not
    finished, and when no study has the section that is read.
    """
    out = Path(out)
    require_finished(out)
    team, (model, tokenizer) = Team.here(), load_run(out)
    with team.first_alone():
        table = open_table(csv, model.config.image_size)
    if purpose:
        refuse_used(out, csv, table.studies, table.digest, purpose)
    try:
        dataset = StudyDataset(table.studies, table.images, tokenizer, required=(EVALUATION_SECTION,))
    except ValueError as error:
        raise TrainingError(f"{csv}: {error}") from error
    if purpose and len(dataset) < 2:
        raise TrainingError(f"{csv}: only one study has {EVALUATION_SECTION}; a comparison needs two")
    known, source = load_strangeness(out), run_source(out) | {"test_data": table.digest}
    stored = out / f"{name}.safetensors"
    there = Embeddings.source_of(stored) == source
    team.wait()  # nobody writes before all have looked
    if there:
        return Embeddings.load(stored), dataset, source
    team.say(
        f"{Path(csv).stem}: {len(dataset)} studies ({dataset.left_out} without {EVALUATION_SECTION} out, "
        f"{without_frontal_view(dataset)} without a PA or AP view stand for themselves with another)"
    )
    for notice in text_notices(dataset, show_text):
        team.say(f"{Path(csv).stem}: {notice}")
    model.to(Accelerator().device)
    with pinned_threads(run_threads(out)):
        embeddings = embed_together(model, dataset, team, known, progress=True)
    if team.leads:
        embeddings.save(stored, source)
    return embeddings, dataset, source


def run_source(out: Path) -> dict[str, str]:
    """The hashes of what a run makes numbers by: its weights and, where there are any, its densities."""
    files = {"checkpoint": "model.safetensors", "strangeness": STRANGENESS_FILE}
    paths = {part: Path(out) / "checkpoint" / name for part, name in files.items()}
    return {part: file_hash(path) for part, path in paths.items() if path.exists()}


def run_threads(out: Path) -> int | None:
    """The number of CPU threads that a run is pinned to, None for any."""
    return json.loads((Path(out) / "settings.json").read_text())["training"].get("threads")


def without_frontal_view(dataset: StudyDataset) -> int:
    """Studies without a PA or AP radiograph."""
    return sum(not has_frontal_view(views) for views in dataset.studies["view_names"])
