"""Images and texts as they come -> what the model takes; saved and loaded beside the model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import BaseImageProcessor, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.models.auto import (  # not by way of what registers our classes
    AutoImageProcessor,
    AutoProcessor,
)

from medprobclip.data.augment import normalise, to_float
from medprobclip.data.grey import SLIVER, ImageError, used_levels
from medprobclip.data.missing import has_no_text
from medprobclip.data.radiographs import grey_values, read_square, resize_square
from medprobclip.model import MedProbCLIPConfig
from medprobclip.settings import EncoderConfig, GreyConfig
from medprobclip.support.downloads import check_downloaded
from medprobclip.support.imports import announce_in

# A file, an open picture, or its values: grey `[H, W]` or colour `[H, W, 3 or 4]`, uint8 (grey also uint16).
Picture = str | Path | Image.Image | np.ndarray


class MedProbCLIPImageProcessor(BaseImageProcessor):
    """Radiographs as every evaluation here sees them: grey, whole, centred on a black square, normalised."""

    model_input_names = ("pixel_values",)

    def __init__(
        self,
        image_size: int = EncoderConfig.image_size,
        image_mean: float = GreyConfig.mean,
        image_std: float = GreyConfig.std,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.image_size, self.image_mean, self.image_std = image_size, image_mean, image_std

    def preprocess(self, images: Picture | Sequence[Picture]) -> BatchFeature:
        """One picture or B of them -> `pixel_values` float32 `[B, 1, S, S]`.

        Files are read as `data.radiographs.read_square` does, pictures as `read_image`. Raises ImageError for
        one that cannot be used, ValueError for none.
        """
        pictures = [images] if isinstance(images, Picture) else list(images)
        if not pictures:
            raise ValueError("no images: give at least one, or leave them out")
        read = [_square(picture, i, self.image_size) for i, picture in enumerate(pictures)]
        if narrow := [i for i, (_, levels) in enumerate(read) if levels < SLIVER]:
            warnings.warn(
                f"{len(narrow)} of {len(read)} images use fewer than {SLIVER} of 256 grey levels, the first "
                f"at {narrow[0]}: were they cut when they were converted to 8 bits?",
                stacklevel=2,
            )
        squares = np.stack([square for square, _ in read])
        pixels = normalise(to_float(torch.from_numpy(squares)), self.image_mean, self.image_std)
        return BatchFeature({"pixel_values": pixels})


def _square(picture: Picture, position: int, size_px: int) -> tuple[np.ndarray, int]:
    """A picture as uint8 `[S, S]`, and how many grey levels it uses."""
    if isinstance(picture, str | Path):
        return read_square(picture, size_px)
    grey = _grey(picture, position)
    return resize_square(grey, size_px), used_levels(grey)


def _grey(picture: np.ndarray | Image.Image, position: int) -> np.ndarray:
    """Grey values uint8 `[H, W]`. Raises ImageError that names the position in the list."""
    name = f"image {position}"
    if isinstance(picture, np.ndarray):
        grey = picture.ndim == 2 and picture.dtype in (np.uint8, np.uint16)
        colour = picture.ndim == 3 and picture.shape[2] in (3, 4) and picture.dtype == np.uint8
        if not (grey or colour) or picture.size == 0:
            raise ImageError(
                f"{name}: array {picture.dtype} {picture.shape} is no picture. Give uint8 [H, W], "
                "several as a list."
            )
        picture = Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise ImageError(f"{name}: {type(picture).__name__}? Give a path, a PIL image or a numpy array.")
    try:
        return grey_values(picture, name)
    except ImageError:
        raise
    except Exception as error:  # an opened picture is decoded here
        raise ImageError(f"{name}: not readable ({error}). Fetch the file again or convert it.") from error


class MedProbCLIPProcessor(ProcessorMixin):
    """Tokenizer and image preprocessing in one, so that inference is three lines.

    processor, model = AutoProcessor.from_pretrained(folder), AutoModel.from_pretrained(folder)
    image, report = model(**processor(images="film.png", text="No effusion."))
    scores = model.similarity(image, report)

    `import medprobclip` lets `AutoProcessor` and `AutoModel` know both classes.
    """

    def __init__(
        self, image_processor: MedProbCLIPImageProcessor, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        super().__init__(image_processor, tokenizer)

    @classmethod
    def for_model(cls, config: MedProbCLIPConfig, tokenizer: PreTrainedTokenizerBase) -> MedProbCLIPProcessor:
        """The processor of a model with that configuration, trained with that tokenizer."""
        return cls(
            MedProbCLIPImageProcessor(config.image_size, config.image_mean, config.image_std), tokenizer
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **settings) -> MedProbCLIPProcessor:
        """As of every transformers processor. Raises OSError for a Git LFS pointer or web page."""
        check_downloaded(pretrained_model_name_or_path)
        return super().from_pretrained(pretrained_model_name_or_path, **settings)

    def save_pretrained(self, save_directory: str | Path, **settings) -> None:
        """As of every transformers processor, and loadable without `import medprobclip`, as the model."""
        super().save_pretrained(save_directory, **settings)
        announce_in(Path(save_directory), "processor_config.json", {
            "AutoProcessor": type(self).__name__,
            "AutoImageProcessor": MedProbCLIPImageProcessor.__name__,
        })  # fmt: skip

    def __call__(
        self, images: Picture | Sequence[Picture] | None = None, text: str | Sequence[str] | None = None
    ) -> BatchFeature:
        """B images and B' texts, either may be left out -> what `MedProbCLIPModel` takes, as tensors.

        `pixel_values` `[B, 1, S, S]`, `input_ids` and `attention_mask` `[B', L]`: padded to the longest text,
        which is cut at the tokenizer's `model_max_length`. Raises ImageError for an image that cannot be
        used, ValueError when there is nothing to process.
        """
        if images is None and text is None:
            raise ValueError("nothing to process: give images, text or both")
        batch = {} if images is None else dict(self.image_processor(images))
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            if missing := [i for i, one in enumerate(texts) if has_no_text(one)]:
                warnings.warn(
                    f"{len(missing)} of {len(texts)} texts stand for no text, the first at {missing[0]}: "
                    f"'{texts[missing[0]]}'. Leave them out: every such text looks alike",
                    stacklevel=2,
                )
            tokens = self.tokenizer(
                texts, padding=True, truncation=True, return_attention_mask=True, return_tensors="pt"
            )
            batch |= {name: tokens[name] for name in ("input_ids", "attention_mask")}
            self.warn_of_cut_texts(texts, tokens["attention_mask"].sum(1).tolist())
        return BatchFeature(batch)

    def warn_of_cut_texts(self, texts: list[str], lengths: list[int]) -> None:
        """Warn of texts, tokenised to those lengths, of which the model sees the beginning only."""
        limit = self.tokenizer.model_max_length
        full = [text for text, length in zip(texts, lengths, strict=True) if length >= limit]
        whole = self.tokenizer(full, truncation=False, verbose=False)["input_ids"] if full else []
        if cut := sum(len(ids) > limit for ids in whole):
            warnings.warn(f"{cut} of {len(texts)} texts are cut at {limit} tokens", stacklevel=3)


AutoImageProcessor.register(MedProbCLIPConfig, image_processor_classes={"pil": MedProbCLIPImageProcessor})
AutoProcessor.register(MedProbCLIPConfig, MedProbCLIPProcessor)
