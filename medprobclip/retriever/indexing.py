"""Study tables and embeddings -> the gallery, piece by piece."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from medprobclip.data.dataset import SECTIONS, StudyDataset
from medprobclip.data.images import cache_images
from medprobclip.data.reports import wording_keys
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.embedding import EVALUATION_SECTION, Embeddings, embed_images, embed_texts
from medprobclip.model import MedProbCLIPModel
from medprobclip.retriever.gallery import Gallery, GalleryError, Studies
from medprobclip.support.progress import progress_bar
from medprobclip.training.runs import image_folder, image_place

PIECE = 512  # studies embedded between two looks at the disk: half a minute of the demo's model


def embedded_studies(embeddings: Embeddings) -> Studies:
    """Embeddings of a held-out set as studies to add: which of them read alike is known, the text is not."""
    first: dict[int, str] = {}
    names = [
        first.setdefault(i, s)
        for i, s in zip(embeddings.text_ids.tolist(), embeddings.study_ids, strict=True)
    ]
    # Below zero: of names, so never equal to, nor compared with, the keys of texts.
    wording = -1 - torch.tensor(wording_keys([[*name.encode()] for name in names]), dtype=torch.int64)
    return Studies(list(embeddings.study_ids), embeddings.image, embeddings.report, wording)


def index_table(
    gallery: Gallery,
    model: MedProbCLIPModel,
    tokenizer: PreTrainedTokenizerBase,
    studies: str | Path | pd.DataFrame,
    progress: bool = False,
) -> int:
    """Embed the studies of a table that the gallery lacks and append them, `PIECE` at a time.

    Each is one radiograph, the frontal one where there is one, and its findings; studies without findings
    are left out, and with `progress` counted. What was appended stays when this is interrupted, and is
    skipped the next time. Returns how many were new. Raises StudyTableError, ImageError, and GalleryError for
    a study that is there with another report.
    """
    name, place = "studies", image_folder() / "indexed"
    if not isinstance(studies, pd.DataFrame):
        name, place = str(studies), image_place(Path(studies))
        studies = read_studies(Path(os.path.abspath(studies)))
    else:
        if missing := {"study_id", "image_paths", "view_names", *SECTIONS} - set(studies):
            raise GalleryError(f"the table lacks {', '.join(sorted(missing))}; read it with read_studies")
        if studies["image_paths"].map(lambda paths: isinstance(paths, str)).any():
            raise GalleryError("image_paths are to be lists of paths: read the table with read_studies")
        paths = "\n".join(path for paths in studies["image_paths"] for path in paths)
        place = place / hashlib.sha256(paths.encode()).hexdigest()[:16]
    paths = [path for paths in studies["image_paths"] for path in paths]
    images = cache_images(paths, model.config.image_size, place)
    try:
        dataset = StudyDataset(studies, images, tokenizer, required=(EVALUATION_SECTION,))
    except ValueError as error:
        raise GalleryError(f"{name}: {error}") from None
    tokens = dataset.tokens[EVALUATION_SECTION]
    keys, ids = wording_keys(tokens), dataset.study_ids
    known = gallery.wordings
    if changed := [i for i, key in zip(ids, keys, strict=True) if key != known.get(i, key) >= 0]:
        raise GalleryError(
            f"{name}: {len(changed)} studies are in the index with another report, first {changed[0]}. A "
            "study of the index never changes: give the new report a new id, or build the index anew"
        )
    rows = [row for row, study_id in enumerate(ids) if study_id not in known]
    if progress:
        left = f", {dataset.left_out} without {EVALUATION_SECTION} left out" * bool(dataset.left_out)
        there = f", {len(ids) - len(rows)} in the index already" * (len(rows) < len(ids))
        print(f"{name}: {len(dataset)} studies{left}{there}")
    added = 0
    with progress_bar(len(rows), "indexing", "study", shown=progress) as bar:
        for start in range(0, len(rows), PIECE):
            piece = rows[start : start + PIECE]
            texts = dataset.studies[EVALUATION_SECTION].iloc[piece].tolist()
            added += gallery.append(
                Studies(
                    [ids[row] for row in piece],
                    embed_images(model, dataset.reference_images(piece))[0],
                    embed_texts(model, [tokens[row] for row in piece], tokenizer.pad_token_id)[0],
                    torch.tensor([keys[row] for row in piece], dtype=torch.int64),
                    texts if gallery.with_text else None,
                )
            )
            bar.update(len(piece))
    return added
