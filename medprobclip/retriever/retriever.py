"""Ask a trained run: the one object that indexes studies and answers films and texts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from huggingface_hub import HfApi, snapshot_download
from transformers.models.auto import AutoModel

from medprobclip.evaluation.embedding import Embeddings
from medprobclip.model import MedProbCLIPModel
from medprobclip.processor import MedProbCLIPProcessor
from medprobclip.retriever.answers import Answers
from medprobclip.retriever.card import card
from medprobclip.retriever.doubt import Doubt
from medprobclip.retriever.gallery import WAIT, Gallery, GalleryError, Studies
from medprobclip.retriever.indexing import embedded_studies, index_table
from medprobclip.retriever.promises import FILM, PHRASE, REPORT, Kind, Promises
from medprobclip.retriever.queries import Asked, Query, embed_queries
from medprobclip.retriever.scoring import Scored, scored
from medprobclip.retriever.settings import AnswerConfig
from medprobclip.retriever.usual import UsualHere
from medprobclip.strangeness import FILE as STRANGENESS, Strangeness
from medprobclip.support.downloads import check_downloaded
from medprobclip.support.files import file_hash, recovered_folder
from medprobclip.support.locks import locked_folder
from medprobclip.training.calibrating import load_calibration

INDEX = "index"  # the gallery's folder in that of a saved retriever
WEIGHTS, CARD, UNFINISHED = "model.safetensors", "README.md", ".unfinished"


class Retriever:
    """A trained run that can be asked.

    retriever = Retriever.from_run("runs/demo/medprobclip")
    retriever.index("data/openi-sim-128px/test.csv")
    answers = retriever.search("film.png")          # or a DICOM file, a picture, an array, text, or many
    answers.table, answers.abstain, answers.reason

    `config` holds the defaults of an answer and when none is given; the model may be moved to a GPU.
    """

    def __init__(self, checkpoint: Path, promises: Promises, config: AnswerConfig | None = None) -> None:
        check_downloaded(checkpoint)
        self.checkpoint, self.promises, self.config = Path(checkpoint), promises, config or AnswerConfig()
        self.model_hash = file_hash(self.checkpoint / WEIGHTS)
        if promises.record["fitted_on"]["checkpoint"] != self.model_hash:
            raise GalleryError(
                f"{checkpoint} is another model than the one that was calibrated; calibrate the run anew"
            )
        self.model: MedProbCLIPModel = AutoModel.from_pretrained(self.checkpoint).eval()
        self.model.to(memory_format=torch.channels_last)
        self.processor = MedProbCLIPProcessor.from_pretrained(self.checkpoint)
        known = self.checkpoint / STRANGENESS
        self.strangeness = Strangeness.load(self.checkpoint) if known.exists() else None
        calibrated = promises.record["fitted_on"].get("strangeness")
        if known.exists() and calibrated and file_hash(known) != calibrated:
            raise GalleryError(f"{known} is another than at the calibration; calibrate the run anew")
        self._use(Gallery(self.model.config.embed_dim, self.model_hash))

    @classmethod
    def from_run(cls, run: str | Path, config: AnswerConfig | None = None) -> Retriever:
        """The best model of a finished, calibrated run, with an empty index in memory.

        Raises GalleryError for a run without checkpoint or whole calibration, TrainingError for one that was
        trained anew since.
        """
        if (checkpoint := recovered_folder(Path(run) / "checkpoint")) is None:
            raise GalleryError(f"{run} holds no checkpoint; train it first")
        promises = Promises.load(Path(run))  # first: it says what is wrong with a file that is none
        load_calibration(Path(run))
        return cls(checkpoint, promises, config)

    @classmethod
    def load(cls, folder: str | Path, config: AnswerConfig | None = None) -> Retriever:
        """Inverse of `save`: model, promises and index of one folder, or of a repository of the Hub.

        What is added is added in the folder.

        Raises GalleryError where the folder holds none, or its index is of another model.
        """
        if not Path(folder).exists() and is_hub_name(str(folder)):
            try:
                folder = snapshot_download(str(folder))
            except OSError as error:
                raise GalleryError(
                    f"{folder} is no folder here, and from the Hub it cannot be fetched "
                    f"({next(iter(str(error).splitlines()), type(error).__name__)})"
                ) from None
        folder = Path(folder).absolute()
        if (folder / UNFINISHED).exists():
            raise GalleryError(
                f"{folder} was not written to its end; the same call of medprobclip index goes on"
            )
        if not (folder / WEIGHTS).exists():
            raise GalleryError(f"{folder} holds no saved retriever; build one with medprobclip index")
        retriever = cls(folder, Promises.load(folder), config)
        retriever.attach(folder / INDEX)
        return retriever

    def attach(self, folder: str | Path) -> None:
        """Answer from the index in a folder, and add to it. Raises GalleryError for one of another model."""
        gallery = Gallery.open(Path(folder))
        if gallery.model != self.model_hash:
            raise GalleryError(
                f"{folder} was built with another model ({gallery.model[:12]}, this one is "
                f"{self.model_hash[:12]}): scores would mean nothing. Build the index anew"
            )
        self._use(gallery)

    def require_model_of(self, run: str | Path) -> None:
        """Raise GalleryError when the best model of a run is another one."""
        weights = Path(run) / "checkpoint" / WEIGHTS
        if not weights.exists():
            raise GalleryError(f"{run} holds no checkpoint; train it first")
        if file_hash(weights) != self.model_hash:
            raise GalleryError(
                f"{self.checkpoint} was built with another model than {run}: their embeddings do not go "
                "together. Choose another folder"
            )

    def _use(self, gallery: Gallery) -> None:
        self.gallery, self.usual = gallery, UsualHere(self.promises, self.model, gallery)

    def save(self, folder: str | Path, with_text: bool = False) -> None:
        """Write model, promises and index into one folder without pickles, and go on there.

        Report text is written only `with_text`, where the index has it. Raises GalleryError where the folder
        holds something else, LockedError while another process writes it.
        """
        folder = Path(folder).absolute()
        if with_text and not self.gallery.with_text and len(self.gallery):
            raise GalleryError("the index has no report text to save: index the studies with_text")
        with locked_folder(folder, WAIT):
            found = {file.name for file in folder.iterdir() if not file.name.startswith(".lock")}
            if found and UNFINISHED not in found:
                raise GalleryError(f"{folder} is not empty; choose another folder")
            shutil.rmtree(folder / INDEX, ignore_errors=True)  # of a call that was interrupted
            (folder / UNFINISHED).touch()
            for file in self.checkpoint.iterdir():
                if file.is_file() and not file.name.startswith(".lock"):
                    shutil.copyfile(file, folder / file.name)  # readable as new files are
            self.promises.save(folder)
            gallery = Gallery(self.gallery.dim, self.model_hash, with_text)
            gallery.save(folder / INDEX)
            for part in self.gallery.parts:
                gallery.append(part)
            (folder / CARD).write_text(card(with_text), encoding="utf-8")
            (folder / UNFINISHED).unlink()
        self.checkpoint = folder
        self._use(gallery)

    def push_to_hub(self, repo_id: str, private: bool = True, token: str | None = None) -> str:
        """Upload the saved folder, model, promises and index, to a repository of the Hub; returns its URL.

        Private unless asked otherwise: it holds embeddings and ids, perhaps texts, of patients. Raises
        GalleryError before `save`, and for a repository that is there and public.
        """
        if self.gallery.folder != self.checkpoint / INDEX:
            raise GalleryError("save the retriever into a folder first: that is what is uploaded")
        hub = HfApi(token=token)
        hub.create_repo(repo_id, private=private, exist_ok=True)
        if private and not hub.repo_info(repo_id).private:
            raise GalleryError(f"{repo_id} is there and public: make it private or say private=False")
        hidden = ["*.lock*", "*.tmp*"]
        return str(hub.upload_folder(repo_id=repo_id, folder_path=self.checkpoint, ignore_patterns=hidden))

    def index(
        self,
        studies: str | Path | pd.DataFrame | Embeddings | Studies,
        with_text: bool = False,
        progress: bool = False,
    ) -> int:
        """Add studies at the end of the index; returns how many were new. Ids that are there are skipped.

        A study table (CSV, or as `data.studies.read_studies` gives it) is embedded piece by piece, and what
        is done is kept; or embeddings of this model. An index that is empty and in memory keeps report text
        when `with_text`. Raises GalleryError when a study is there with another report, or text is wanted
        that the index does not keep, and what reading the table raises.
        """
        if with_text and not self.gallery.with_text:
            if len(self.gallery) or self.gallery.folder is not None:
                raise GalleryError("this index was begun without report text, and what is in it stays so")
            if isinstance(studies, Embeddings) or (isinstance(studies, Studies) and studies.texts is None):
                raise GalleryError("embeddings hold no report text: give a study table or Studies with texts")
            self.gallery.with_text = True
        if isinstance(studies, Embeddings):
            studies = embedded_studies(studies)
        if isinstance(studies, Studies):
            added = self.gallery.append(studies)
        else:
            added = index_table(self.gallery, self.model, self.processor.tokenizer, studies, progress)
        if len(self.gallery):
            for kind in (Kind(FILM), Kind(REPORT)):
                self.usual.of(kind)
        return added

    def search(
        self, query: Query | Sequence[Query], k: int | None = None, alpha: float | None = None
    ) -> Answers | list[Answers]:
        """The k best answers to a film (path, DICOM, picture, array: reports) or a text (films), or to many.

        Raises GalleryError for an empty index, a k beyond it, and queries that say nothing; ImageError for a
        film that cannot be read; ValueError for an alpha outside (0, 1).
        """
        one = isinstance(query, str | Path | np.ndarray) or not isinstance(query, Iterable)
        queries = [query] if one else list(query)
        if not queries:
            return []
        asked = embed_queries(self.model, self.processor, self.strangeness, self.promises, queries)
        answers = self.search_embedded(asked, k, alpha)
        return answers[0] if one else answers

    def search_embedded(
        self, asked: Asked, k: int | None = None, alpha: float | None = None
    ) -> list[Answers]:
        """As `search`, for queries that are Gaussians already."""
        given = {name: value for name, value in (("k", k), ("alpha", alpha)) if value is not None}
        config, gallery = replace(self.config, **given), copy(self.gallery)  # another thread may append
        if k is None:  # not asked for: a small index has fewer answers
            config = replace(config, k=min(config.k, max(1, len(gallery))))
        answers: list[Answers | None] = [None] * len(asked.kinds)
        for side in ("report", "image"):
            rows = [row for row, kind in enumerate(asked.kinds) if kind.finds == side]
            if not rows:
                continue
            thresholds = torch.tensor(
                [self.promises.threshold(asked.kinds[row], config.alpha) for row in rows]
            )
            queries = asked.gaussian[rows].to(self.model.device)
            found = scored(self.model.similarity, queries, gallery, side, config.k, thresholds)
            for place, row in enumerate(rows):
                strange = asked.strangeness[row]
                answers[row] = self._answer(
                    gallery, found, place, float(thresholds[place]), asked.kinds[row], strange, config
                )
        return answers

    def _answer(
        self,
        gallery: Gallery,
        found: Scored,
        row: int,
        threshold: float,
        kind: Kind,
        strange: float | None,
        config: AnswerConfig,
    ) -> Answers:
        scores = found.scores[row].cpu().numpy()
        studies = [gallery.study(number) for number in found.items[row].tolist()]
        table = pd.DataFrame({
            "rank": np.arange(1, len(scores) + 1),
            "study_id": [study_id for study_id, _ in studies],
            "score": scores.astype(float),
            "probability": self.promises.probabilities(kind, scores.astype(float), len(gallery)),
            "in_set": scores >= threshold,
        })  # fmt: skip
        if gallery.with_text:
            table["text"] = [text for _, text in studies]
        set_size, entropy = int(found.reaching[row]), float(found.entropy[row])
        doubt = Doubt(kind, len(gallery), set_size, threshold, self.promises.p_value(kind, strange))
        if kind.name != PHRASE:
            doubt = doubt.among(entropy, *self.usual.of(kind))
        reason = doubt.reason(config)
        return Answers(
            table, kind, len(gallery), config.alpha, set_size, doubt.ambiguity, doubt.p_strange,
            bool(reason), reason, doubt.promise(len(self.promises), config),
        )  # fmt: skip


def is_hub_name(name: str) -> bool:
    """Could it be a repository of the Hub, "owner/name"?"""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None
