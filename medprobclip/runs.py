"""A run folder: train into it, score its test set once, read it back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from accelerate.utils import set_seed
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from medprobclip.data.assets import cache_folder
from medprobclip.data.dataset import SECTIONS, StudyDataset
from medprobclip.data.images import cache_images
from medprobclip.data.openi import build_openi_sim
from medprobclip.data.studies import read_studies
from medprobclip.embedding import EVALUATION_SECTION, Embeddings, embed
from medprobclip.encoders import build_model, build_tokenizer
from medprobclip.evaluation.retrieval import retrieval_table
from medprobclip.files import recovered_folder, write_json
from medprobclip.model import MedProbCLIPModel
from medprobclip.profiles import Profile
from medprobclip.training import TrainingError, train


def prepare_corpus(profile: Profile, data: Path = Path("data")) -> Path:
    """Build the default corpus `openi-sim` for a profile, or find it finished; returns its folder.

    It holds `studies.csv`, `train.csv`, `validate.csv` and `test.csv`. Raises AssetError when the raw
    material can neither be found nor fetched.
    """
    size = profile.encoders.image_size
    count = f"-{profile.corpus_studies}studies" if profile.corpus_studies else ""
    folder = Path(data) / f"openi-sim-{size}px{count}"
    build_openi_sim(folder, size_px=size, n_studies=profile.corpus_studies)
    return folder


def image_folder() -> Path:
    """Where resized images are kept, one folder a study table."""
    return cache_folder() / "images"


def open_dataset(csv: Path, tokenizer: PreTrainedTokenizerBase, profile: Profile) -> StudyDataset:
    """Read and check a study table and cache its images at the profile's size."""
    csv = Path(csv).resolve()
    studies = read_studies(csv)
    place = hashlib.sha256(str(csv).encode()).hexdigest()[:16]
    paths = [path for images in studies["image_paths"] for path in images]
    images = cache_images(paths, profile.encoders.image_size, image_folder() / place)
    return StudyDataset(studies, images, tokenizer, profile.encoders.max_tokens)


def train_run(
    train_csv: Path,
    val_csv: Path,
    out: Path,
    profile: Profile,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Train a profile's model on two study tables; returns the history, one row an epoch.

    A finished run is read back, an interrupted one resumed. Raises TrainingError when `out` holds a run
    with other settings or other data.
    """
    out = Path(out)
    claim(out, settings(profile, train_csv, val_csv))
    history = read_history(out)
    if len(history) == profile.training.epochs and recovered_folder(out / "checkpoint"):
        print(f"{out}: {len(history)} epochs are done, reading them back")
        if on_epoch:
            on_epoch(history)
        return history
    texts = read_studies(train_csv)[list(SECTIONS)].to_numpy().ravel().tolist()
    tokenizer = build_tokenizer(profile.encoders, texts)
    training_set, validation_set = (open_dataset(csv, tokenizer, profile) for csv in (train_csv, val_csv))
    for name, dataset in {"training": training_set, "validation": validation_set}.items():
        print(f"{name}: {len(dataset)} studies ({dataset.left_out} without both sections left out)")
    set_seed(profile.training.seed)  # initial weights
    model = build_model(profile.encoders, tokenizer)
    return train(
        model, tokenizer, training_set, validation_set, out,
        profile.training, profile.objective, profile.augmentation, on_epoch,
    )  # fmt: skip


def load_run(out: Path) -> tuple[MedProbCLIPModel, PreTrainedTokenizerBase]:
    """The best model of a run, in evaluation mode, and its tokenizer. Raises FileNotFoundError."""
    folder = recovered_folder(Path(out) / "checkpoint")
    if folder is None:
        raise FileNotFoundError(f"{out} holds no checkpoint; train it first (notebook 03)")
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def evaluate_run(out: Path, test_csv: Path, profile: Profile) -> tuple[pd.DataFrame, Embeddings]:
    """Score the test studies with the run's best model; returns the retrieval table and the embeddings.

    The test set is scored once for a checkpoint: `metrics.json` and `embeddings.safetensors` in `out` are
    read back as long as checkpoint and test table are unchanged.
    """
    out = Path(out)
    folder = recovered_folder(out / "checkpoint")
    if folder is None:
        raise FileNotFoundError(f"{out} holds no checkpoint; train it first (notebook 03)")
    scored = {"checkpoint": file_hash(folder / "model.safetensors"), "test_csv": file_hash(Path(test_csv))}
    metrics, stored = out / "metrics.json", out / "embeddings.safetensors"
    if metrics.exists() and stored.exists():
        record = json.loads(metrics.read_text())
        if record["scored"] == scored:
            return pd.DataFrame(record["retrieval"]), Embeddings.load(stored)
    model, tokenizer = load_run(out)
    embeddings = embed(model, open_dataset(test_csv, tokenizer, profile), progress=True)
    table = retrieval_table(embeddings.scores(model), embeddings.matches())
    embeddings.save(stored)
    rows = json.loads(table.to_json(orient="records"))
    write_json(metrics, {"scored": scored, "section": EVALUATION_SECTION, "retrieval": rows})
    return pd.DataFrame(rows), embeddings


def read_history(out: Path) -> pd.DataFrame:
    """The history of a run so far, one row an epoch, empty before the first."""
    path = Path(out) / "history.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def settings(profile: Profile, *tables: Path) -> dict:
    """All that decides a run: the profile's values and the content of its tables."""
    return {**asdict(profile), "tables": {Path(table).name: file_hash(Path(table)) for table in tables}}


def claim(out: Path, wanted: dict) -> None:
    """Keep `wanted` as the settings of the run in `out`. Raises TrainingError if it has others."""
    path = out / "settings.json"
    if not path.exists() or read_history(out).empty:  # nothing is lost before the first epoch ends
        write_json(path, wanted)
        return
    found = json.loads(path.read_text())
    if found != wanted:
        changed = [
            f"{key}: {json.dumps(found.get(key))} -> {json.dumps(wanted.get(key))}"
            for key in sorted(wanted.keys() | found.keys())
            if found.get(key) != wanted.get(key)
        ]
        raise TrainingError(
            f"{out} holds a run with other settings or data ({'; '.join(changed)}). "
            "Choose another folder, or delete this one to train anew"
        )


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
