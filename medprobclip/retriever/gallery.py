"""Studies that can be found: two Gaussians each, in memory or in a folder that grows by appending."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medprobclip.gaussian import Gaussian
from medprobclip.support.files import file_size, replaced_file, write_json
from medprobclip.support.locks import locked_folder

FORMAT = 1
MANIFEST = "index.json"
REMEDY = "copy the index anew, or build it anew"
SMALL = 4096  # a last part of fewer studies is written anew with what is appended, so parts stay few
LARGE = 16384  # studies of a part at most: ids and texts are its header, which has to stay below 100 MB
WAIT = 60.0  # seconds for another process that is appending
_ONE_THREAD = threading.RLock()  # the folder's lock keeps other processes out, not other threads


class GalleryError(ValueError):
    """The gallery cannot be used, or not for this; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Studies:
    """n studies: their ids, radiograph and report as Gaussians `[n, D]` on the CPU, and which read alike.

    `wording` int64 `[n]` is equal where the report sections are the same to the model (`wording_keys`);
    `texts` are the sections themselves, None unless they may be shown. Raises GalleryError when lengths
    differ, an id stands twice, or a number is not finite.
    """

    study_ids: list[str]
    image: Gaussian
    report: Gaussian
    wording: Tensor
    texts: list[str] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.study_ids), len(self.image), len(self.report), len(self.wording)}
        if self.texts is not None:
            lengths.add(len(self.texts))
        if len(lengths) > 1 or self.image.shape != self.report.shape:
            raise GalleryError(f"study ids, Gaussians and texts do not go together: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.study_ids)

    def check(self) -> None:
        """Raise GalleryError for an id that stands twice or an embedding that is not finite."""
        seen: set[str] = set()
        if (twice := next((i for i in self.study_ids if i in seen or seen.add(i)), None)) is not None:
            raise GalleryError(f"study {twice} stands twice among those to add; every study needs its own id")
        for name, side in (("radiograph", self.image), ("report", self.report)):
            finite = side.mean.isfinite().all(-1) & side.log_var.isfinite().all(-1)
            if not finite.all():
                study = self.study_ids[int((~finite).nonzero()[0])]
                raise GalleryError(f"the {name} of study {study} has an embedding of NaN or infinity")

    def side(self, name: str) -> Gaussian:
        """ "image" or "report": the Gaussians of that side."""
        return self.image if name == "image" else self.report

    def select(self, rows: list[int]) -> Studies:
        """Those at the given places, in their order."""
        texts = None if self.texts is None else [self.texts[row] for row in rows]
        ids = [self.study_ids[row] for row in rows]
        return Studies(ids, self.image[rows], self.report[rows], self.wording[rows], texts)

    @staticmethod
    def cat(parts: list[Studies]) -> Studies:
        """One after the other; texts only where every part has them."""
        texts = None
        if all(part.texts is not None for part in parts):
            texts = [text for part in parts for text in part.texts]
        return Studies(
            [i for part in parts for i in part.study_ids],
            Gaussian.cat([part.image for part in parts]),
            Gaussian.cat([part.report for part in parts]),
            torch.cat([part.wording for part in parts]),
            texts,
        )

    def save(self, path: Path) -> None:
        """Write as one safetensors file, whole or not at all; ids and texts in its metadata."""
        tensors = {
            "image_mean": self.image.mean, "image_log_var": self.image.log_var,
            "report_mean": self.report.mean, "report_log_var": self.report.log_var,
            "wording": self.wording,
        }  # fmt: skip
        metadata = {"study_ids": json.dumps(self.study_ids)}
        if self.texts is not None:
            metadata["texts"] = json.dumps(self.texts)
        try:
            with replaced_file(path) as temporary:
                save_file({n: t.contiguous() for n, t in tensors.items()}, temporary, metadata=metadata)
        except SafetensorError as error:  # no place, no permission
            raise OSError(f"{path}: {error}") from error

    @classmethod
    def load(cls, path: Path) -> Studies:
        """Inverse of `save`; the Gaussians are mapped into memory and read from disk when they are used."""
        with safe_open(path, framework="pt") as file:
            of = {name: file.get_tensor(name) for name in file.keys()}
            metadata = file.metadata()
        return cls(
            json.loads(metadata["study_ids"]),
            Gaussian(of["image_mean"], of["image_log_var"]),
            Gaussian(of["report_mean"], of["report_log_var"]),
            of["wording"],
            json.loads(metadata["texts"]) if "texts" in metadata else None,
        )


class Gallery:
    """Studies in the order in which they were added: a study's number and id never change.

    In memory, or in a folder: `index.json` lists the parts, each a file that is written once. What an
    interruption leaves beside them is not in the list and does no harm. `dim` is D; `model` tells whose
    embeddings these are (the hash of its weights); `with_text` says whether report text is kept.
    """

    def __init__(self, dim: int, model: str, with_text: bool = False) -> None:
        self.dim, self.model, self.with_text = dim, model, with_text
        self.folder: Path | None = None
        self.parts: list[Studies] = []
        self.files: list[dict] = []
        self.wordings: dict[str, int] = {}  # of every study by its id

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def blocks(self, side: str, size: int, first: int = 0) -> Iterator[tuple[int, Gaussian]]:
        """(number of its first study, at most `size` of that side's Gaussians), from study `first` on."""
        offset = 0
        for part in self.parts:
            for start in range(max(0, first - offset), len(part), size):
                yield offset + start, part.side(side)[start : start + size]
            offset += len(part)

    @property
    def wording(self) -> Tensor:
        """int64 `[M]`: equal where reports are worded alike."""
        return torch.cat([part.wording for part in self.parts]) if self.parts else torch.empty(0).long()

    def study(self, number: int) -> tuple[str, str | None]:
        """Id and text of the study with that number. Raises IndexError beyond the last."""
        row = number
        for part in self.parts:
            if 0 <= row < len(part):
                return part.study_ids[row], part.texts[row] if part.texts is not None else None
            row -= len(part)
        raise IndexError(f"no study has the number {number}")

    def append(self, studies: Studies) -> int:
        """Add those whose id is not there yet, at the end; returns how many. The folder is safe at any time.

        Another process that appends is waited for, and what it added is seen. Raises GalleryError for
        studies of another dimension, an id twice among them, numbers that are not finite, or missing texts;
        LockedError when the other one takes longer than a minute.
        """
        if studies.image.dim != self.dim:
            raise GalleryError(f"the studies have {studies.image.dim} dimensions, the index {self.dim}")
        if self.with_text and studies.texts is None:
            raise GalleryError("this index keeps report text: give the studies with theirs")
        sides = (g.detach().to("cpu", torch.float32) for g in (studies.image, studies.report))
        texts = studies.texts if self.with_text else None
        studies = Studies(list(studies.study_ids), *sides, studies.wording.to("cpu"), texts)
        studies.check()
        if self.folder is None:
            with _ONE_THREAD:
                new = self._new(studies)
                self._take([*self.parts, new] if len(new) else self.parts, [])
            return len(new)
        with _ONE_THREAD, locked_folder(self.folder, WAIT):
            for leftover in self.folder.glob("*.tmp*"):  # of a process that was killed while it wrote
                with suppress(OSError):
                    leftover.unlink()
            self._read()
            if not len(new := self._new(studies)):
                return 0
            small = bool(self.parts) and len(self.parts[-1]) < SMALL
            kept = len(self.parts) - small
            added = Studies.cat([self.parts[-1], new]) if small else new
            files, parts, replaced = self.files[:kept], self.parts[:kept], self.files[kept:]
            free = 1 + int(self.files[-1]["name"][5:11]) if self.files else 0
            for number, start in enumerate(range(0, len(added), LARGE), free):
                part = added.select([*range(start, min(start + LARGE, len(added)))])
                path = self.folder / f"part-{number:06d}.safetensors"
                part.save(path)
                files.append({"name": path.name, "studies": len(part), "bytes": path.stat().st_size})
                parts.append(Studies.load(path))
            self._write_manifest(files)  # from here on they are there
            self._take(parts, files)
            for file in replaced:  # one that somebody reads may stay (Windows) and does no harm
                with suppress(OSError):
                    (self.folder / file["name"]).unlink()
            return len(new)

    def save(self, folder: Path) -> None:
        """Write all studies into a folder and go on there. Raises GalleryError where an index is."""
        folder = Path(folder).absolute()
        with _ONE_THREAD, locked_folder(folder, WAIT):
            if (folder / MANIFEST).exists():
                raise GalleryError(f"{folder} holds an index already; append to it or choose another folder")
            written = Gallery(self.dim, self.model, self.with_text)
            written.folder = folder
            written._write_manifest([])
            for part in self.parts:
                written.append(part)
            vars(self).update(vars(written))

    @classmethod
    def open(cls, folder: Path) -> Gallery:
        """The index in a folder. Raises GalleryError when there is none, or it is not whole."""
        gallery = cls(0, "")
        gallery.folder = Path(folder).absolute()  # wherever the process goes
        gallery._read()
        return gallery

    def _new(self, studies: Studies) -> Studies:
        rows = [row for row, study_id in enumerate(studies.study_ids) if study_id not in self.wordings]
        return studies if len(rows) == len(studies) else studies.select(rows)

    def _take(self, parts: list[Studies], files: list[dict]) -> None:
        for part in parts:
            if not any(part is known for known in self.parts):
                self.wordings.update(zip(part.study_ids, part.wording.tolist(), strict=True))
        self.parts, self.files = parts, files

    def _write_manifest(self, files: list[dict]) -> None:
        write_json(self.folder / MANIFEST, {
            "format": FORMAT, "model": self.model, "dimensions": self.dim, "with_text": self.with_text,
            "parts": files,
        })  # fmt: skip

    def _manifest(self) -> dict:
        path = self.folder / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            version = found["format"]
            if version == FORMAT:
                _check_manifest(found)
        except FileNotFoundError:
            raise GalleryError(
                f"{self.folder} holds no index ({MANIFEST} is missing); build one with medprobclip index"
            ) from None
        except (ValueError, LookupError, TypeError) as error:
            raise GalleryError(f"{path} cannot be read ({error}); {REMEDY}") from None
        if version != FORMAT:
            raise GalleryError(f"{path} has format {version}, this version reads {FORMAT}; build it anew")
        return found

    def _read(self) -> None:
        """Take over what the folder holds now; parts that are open already stay open."""
        found = self._manifest()
        opened = {str(file): part for file, part in zip(self.files, self.parts, strict=True)}
        try:
            parts = [opened.get(str(f)) or self._open(f, found["dimensions"]) for f in found["parts"]]
        except GalleryError:
            if self._manifest() != found:  # somebody appended in between
                return self._read()
            raise
        self.dim, self.model, self.with_text = found["dimensions"], found["model"], found["with_text"]
        self._take(parts, found["parts"])

    def _open(self, file: dict, dim: int) -> Studies:
        path = self.folder / file["name"]
        size = file_size(path)
        if size != file["bytes"]:
            raise GalleryError(f"{path} has {size} of {file['bytes']} bytes; {REMEDY}")
        try:
            path.open("rb").close()  # for the reason why it cannot be opened
            part = Studies.load(path)
        except (SafetensorError, KeyError, ValueError, OSError, RuntimeError) as error:
            raise GalleryError(f"{path} cannot be read ({error}); {REMEDY}") from None
        if len(part) != file["studies"] or part.image.dim != dim:
            raise GalleryError(f"{path} does not hold what {MANIFEST} says of it; build the index anew")
        return part


def _check_manifest(found: dict) -> None:
    """Raise KeyError or TypeError for what is JSON, but lacks what `Gallery` writes."""
    kinds = {"model": str, "dimensions": int, "with_text": bool, "parts": list}
    parts = [(part, {"name": str, "studies": int, "bytes": int}) for part in found["parts"]]
    for part, wanted in [(found, kinds), *parts]:
        for name, kind in wanted.items():
            if not isinstance(part[name], kind):
                raise TypeError(f"{name} is {part[name]}")
