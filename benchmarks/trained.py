"""Embeddings of a trained run in any number: radiographs of its studies, and variations of their sections."""

from pathlib import Path

import numpy as np

from medprobclip.data.dataset import SECTIONS
from medprobclip.data.reports import varied
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.embedding import Embeddings, embed_texts
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.processor import MedProbCLIPProcessor


def training_radiographs(run: Path) -> Gaussian:
    """The radiographs of a run's training studies `[N, D]`."""
    return Embeddings.load(run / "embeddings-train.safetensors").image


def varied_sections(run: Path, table: Path, size: int) -> Path:
    """A file of `size` sections of a run's training table, embedded, each with sentences left out.

    A section that says a third less, in another order, is another text: a few thousand studies give a
    gallery of any size. It is kept in the run's folder, half a millisecond a text.
    """
    kept = run / f"varied-{size}.safetensors"
    if not kept.exists():
        generator, studies = np.random.default_rng(0), read_studies(table)
        texts = [text for section in SECTIONS for text in studies[section]]
        drawn = [varied(texts[i % len(texts)], 1 / 3, True, generator) for i in range(size)]
        model = MedProbCLIPModel.from_pretrained(run / "checkpoint").eval()
        tokenizer = MedProbCLIPProcessor.from_pretrained(run / "checkpoint").tokenizer
        limit = model.config.text_config.max_position_embeddings
        tokens = tokenizer(drawn, truncation=True, max_length=limit)["input_ids"]
        embed_texts(model, tokens, tokenizer.pad_token_id)[0].save(kept)
    return kept
