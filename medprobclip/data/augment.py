"""From stored grey images to what the encoder sees: training views and plain evaluation input."""

from __future__ import annotations

import kornia.augmentation as K
import torch
from torch import Tensor, nn

from medprobclip.data.degraded import degraded_share
from medprobclip.settings import AugmentationConfig


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
        self.config = config = config or AugmentationConfig()
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
    def forward(self, images: Tensor, spoilt: bool = False) -> Tensor:
        """V = 1 or 2 radiographs of each study, uint8 `[V, B, H, W]` -> float `[V, B, 1, H, W]` in [0, 1].

        With `spoilt` one more: degraded copies of the first, `[V + 1, B, 1, H, W]`.
        """
        pipelines = self.pipelines[: len(images)]
        views = torch.stack(
            [pipeline(to_float(view)) for pipeline, view in zip(pipelines, images, strict=True)]
        )
        share, severity = self.config.degraded_share, self.config.degraded_severity
        if share:
            views = degraded_share(views, share, severity)
        copies = degraded_share(views[:1], 1.0, severity) if spoilt else views[:0]  # of what was seen
        return torch.cat([views, copies])
