"""Mixed samples: some radiographs of a batch are mixed with another one, and their targets alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medprobclip.targets import BatchTargets, Targets


@dataclass(frozen=True, eq=False)
class Mix:
    """Image `rows[k]` keeps the share `kept` of itself and takes the rest from image `partners[k]`.

    As used by PCME++ (Chun 2024): mixup (Zhang 2018) averages the two; CutMix (Yun 2019) pastes the `box`
    (top, bottom, left, right in pixels) of the partner. `rows` and `partners` are int64 `[n]`.
    """

    rows: Tensor
    partners: Tensor
    kept: float
    box: tuple[int, int, int, int] | None = None

    @staticmethod
    def draw(n: int, share: float, size_px: int) -> Mix:
        """Draw what to do with a batch of n images of size_px²: mixup or CutMix, at even odds.

        `share` of the images is mixed, with λ ~ Beta(2, 2) for all of them. Uses torch's own generator, whose
        state is saved with the training, so that a resumed run draws the same.
        """
        order, mixed = torch.randperm(n), round(share * n)
        rows, partners = order[:mixed], order.roll(-1)[:mixed]  # never itself
        kept = torch.distributions.Beta(2.0, 2.0).sample().item()
        if torch.rand(()) < 0.5:
            return Mix(rows, partners, kept)
        side = int(size_px * (1 - kept) ** 0.5)  # less than the image: it keeps a part of itself
        box = []
        for corner in (torch.randint(size_px, (2,)) - side // 2).tolist():
            box += [max(corner, 0), min(corner + side, size_px)]
        area = (box[1] - box[0]) * (box[3] - box[2])  # the border may have cut it: what is left counts
        return Mix(rows, partners, 1 - area / size_px**2, tuple(box))

    def images(self, pixels: Tensor) -> Tensor:
        """Mix every view of a batch: `[V, B, C, S, S]` -> the same shape."""
        mixed = pixels.clone()
        if self.box is None:
            mixed[:, self.rows] = (
                self.kept * pixels[:, self.rows] + (1 - self.kept) * pixels[:, self.partners]
            )
        else:
            top, bottom, left, right = self.box
            part = pixels[:, self.partners, :, top:bottom, left:right]
            mixed[:, self.rows, :, top:bottom, left:right] = part
        return mixed

    def targets(self, targets: BatchTargets) -> BatchTargets:
        """Mix the rows of image to text alike: a mixed image is partly right for either study's report.

        A pair that either study leaves out is left out, unless it is partly right for the other.
        """
        return replace(targets, image_text=tuple(self._mixed(section) for section in targets.image_text))

    def _mixed(self, targets: Targets) -> Targets:
        weights, counted = targets.weights.clone(), targets.counted
        weights[self.rows] = (
            self.kept * targets.weights[self.rows] + (1 - self.kept) * targets.weights[self.partners]
        )
        if counted is not None:
            mixed = counted.clone()
            mixed[self.rows] = counted[self.rows] & counted[self.partners] | (weights[self.rows] > 0)
            counted = mixed
        return Targets(weights, counted)
