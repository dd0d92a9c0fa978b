"""Films and texts as they come -> Gaussians, what kind of query each is, and how strange."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from medprobclip.data.grey import ImageError
from medprobclip.data.missing import has_no_text
from medprobclip.evaluation.embedding import default_batch, embed_texts, evaluating
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.processor import MedProbCLIPProcessor, Picture
from medprobclip.retriever.gallery import GalleryError
from medprobclip.retriever.promises import FILM, Kind, Promises
from medprobclip.strangeness import Strangeness

Query = Picture  # a str is a file where it names one or ends like one, else report text
ENDINGS = (  # of pictures, also of such as cannot be read: these are no words
    ".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".dic", ".ima", ".tif", ".tiff", ".bmp", ".gif", ".webp",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Asked:
    """N queries: the kind of each, their Gaussians `[N, D]`, and their strangeness, None where unknown."""

    kinds: list[Kind]
    gaussian: Gaussian
    strangeness: list[float | None]


def is_film(query: Query) -> bool:
    """A picture, its values or its file; a str that names a file or ends like one. Else it is text."""
    if not isinstance(query, str):
        return True
    return query.lower().endswith(ENDINGS) or (
        len(query) < 4096 and "\0" not in query and os.path.isfile(query)
    )


def embed_queries(
    model: MedProbCLIPModel,
    processor: MedProbCLIPProcessor,
    strangeness: Strangeness | None,
    promises: Promises,
    queries: Sequence[Query],
) -> Asked:
    """Films and texts in any order -> what is known of each, in that order.

    Raises ImageError for a film that cannot be used, GalleryError for text that says nothing, for what is
    neither film nor text, and for an embedding that is not finite.
    """
    for place, query in enumerate(queries):
        if not isinstance(query, str | Path | Image.Image | np.ndarray):
            raise GalleryError(
                f"query {place}: {type(query).__name__}? Give a film (path, picture, array) or text"
            )
        if not is_film(query) and not query.isascii() and query != query.encode(errors="ignore").decode():
            raise GalleryError(f"query {place} is no text: it has bytes that are no characters")
        if not is_film(query) and has_no_text(query):
            raise GalleryError(f"query {place} says nothing: '{query}'. Give some words of a report")
    films = [place for place, query in enumerate(queries) if is_film(query)]
    texts = [place for place, query in enumerate(queries) if not is_film(query)]
    parts, told = [], []
    for start in range(0, len(films), default_batch(model)):
        gaussian, strange = _films(
            model, processor, strangeness, [queries[i] for i in films[start : start + default_batch(model)]]
        )
        parts.append(gaussian)
        told += strange
    if texts:
        tokenizer = processor.tokenizer
        words = [queries[place] for place in texts]
        tokens = tokenizer(words, truncation=True)["input_ids"]
        processor.warn_of_cut_texts(words, list(map(len, tokens)))
        gaussian, strange = embed_texts(model, tokens, tokenizer.pad_token_id, strangeness)
        parts.append(gaussian)
        told += [None] * len(texts) if strange is None else strange.tolist()
    places = films + texts
    back = sorted(range(len(places)), key=places.__getitem__)
    gaussian = Gaussian.cat(parts)[back]
    finite = gaussian.mean.isfinite().all(-1) & gaussian.log_var.isfinite().all(-1)
    if not finite.all():
        raise GalleryError(
            f"query {int((~finite).nonzero()[0])} has an embedding of NaN or infinity: is the model whole?"
        )
    kinds = [Kind(FILM) if is_film(query) else promises.kind_of(query) for query in queries]
    return Asked(kinds, gaussian, [told[place] for place in back])


@torch.no_grad()
def _films(
    model: MedProbCLIPModel,
    processor: MedProbCLIPProcessor,
    strangeness: Strangeness | None,
    films: Sequence[Picture],
) -> tuple[Gaussian, list[float | None]]:
    films = [_there(film) if isinstance(film, str | Path) else film for film in films]
    pixels = processor(images=films)["pixel_values"].to(model.device)
    with evaluating(model):
        if strangeness is None:
            return model.encode_image(pixels).float().to("cpu"), [None] * len(films)
        gaussian, inner = model.encode_image_and_inner(pixels)
        return gaussian.float().to("cpu"), strangeness.image.strangeness(inner).tolist()


def _there(path: str | Path) -> str | Path:
    """The path. Raises ImageError, without `read_image`'s word of a study table, if nothing is there."""
    if not Path(path).exists():
        raise ImageError(f"{path}: no such file")
    if Path(path).is_dir():
        raise ImageError(f"{path}: a folder; give its films as a list")
    return path
