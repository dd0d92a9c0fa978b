"""From stored grey images to what the encoder sees: training views and plain evaluation input."""

from __future__ import annotations

from dataclasses import dataclass, field

import kornia.augmentation as K
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class AugmentationConfig:
    """Random changes of a training view. Never a left-right flip: reports name sides.

    Crop areas, rotation, brightness and contrast are those of arXiv 2602.16019; how much is blurred, and
    that crops keep the image's shape, is ours.
    """

    crop_area_1: float = field(default=0.85, metadata={"help": "least share of the area kept, first view"})
    crop_area_2: float = field(default=0.80, metadata={"help": "least share of the area kept, second view"})
    rotation: float = field(default=5.0, metadata={"help": "largest rotation to either side, degrees"})
    brightness: float = field(default=0.08, metadata={"help": "largest change of brightness, share of white"})
    contrast: float = field(default=0.10, metadata={"help": "largest relative change of contrast"})
    blur_share: float = field(default=0.3, metadata={"help": "share of the views that are blurred"})
    blur_sigma: float = field(default=0.6, metadata={"help": "largest Gaussian blur, standard deviation, px"})


def to_float(images: Tensor) -> Tensor:
    """Grey uint8 `[B, H, W]` -> float `[B, 1, H, W]` in [0, 1]."""
    return images[:, None].float() / 255


def normalise(images: Tensor, mean: float, std: float) -> Tensor:
    """Grey values in [0, 1] -> (value − mean) / std, the shape kept."""
    return (images - mean) / std


class TrainingViews(nn.Module):
    """Augmented views of each study, the first or both, in batches on the images' own device."""

    def __init__(self, size_px: int, config: AugmentationConfig | None = None) -> None:
        super().__init__()
        config = config or AugmentationConfig()
        self.pipelines = nn.ModuleList(
            K.AugmentationSequential(
                K.RandomResizedCrop((size_px, size_px), scale=(area, 1.0), ratio=(1.0, 1.0)),
                K.RandomRotation(config.rotation, p=1.0),
                K.RandomBrightness((1 - config.brightness, 1 + config.brightness)),
                K.RandomContrast((1 - config.contrast, 1 + config.contrast)),
                K.RandomGaussianBlur((3, 3), (0.1, config.blur_sigma), p=config.blur_share),
            )
            for area in (config.crop_area_1, config.crop_area_2)
        )

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """V = 1 or 2 radiographs of each study, uint8 `[V, B, H, W]` -> float `[V, B, 1, H, W]` in [0, 1]."""
        pipelines = self.pipelines[: len(images)]
        return torch.stack(
            [pipeline(to_float(view)) for pipeline, view in zip(pipelines, images, strict=True)]
        )
