"""Mixing of training images with others of their batch: mixup and CutMix, one share a batch."""

import numpy as np
import torch
from torch import Tensor


def draw_mixing(n: int, size: int, mixup: float, cutmix: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """What chance decides for a batch of n: the image's own share, whom each is mixed with (n,), and CutMix's box (4,).

    mixup, cutmix: alpha of the beta distributions; 0 is off, and where both are on, half of the batches are of each. The box
    is upper, left, lower, right in pixels of the image; all 0 for mixup (Zhang et al. 2018, arXiv:1710.09412). CutMix
    (Yun et al. 2019, arXiv:1905.04899) puts the box at random, cut by the frame; the share is what is left outside of it.
    """
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    cut = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    share, box = rng.beta(*[cutmix if cut else mixup] * 2), np.zeros(4, int)
    if cut:
        centre, half = rng.uniform(0, size, 2), size * np.sqrt(1 - share) / 2
        box = np.concatenate([centre - half, centre + half]).round().clip(0, size).astype(int)
        share = 1 - (box[2] - box[0]) * (box[3] - box[1]) / size**2
    return torch.tensor(share), torch.randperm(n, generator=generator), torch.from_numpy(box)


def mix(x: Tensor, y: Tensor, share: Tensor, other: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Images (n, 3, s, s) and class probabilities (n, 7), mixed as drawn."""
    y = torch.lerp(y[other], y, float(share))
    upper, left, lower, right = box.tolist()
    if not any(box.tolist()):
        return torch.lerp(x[other], x, float(share)), y
    mixed = x.clone()
    mixed[:, :, upper:lower, left:right] = x[other, :, upper:lower, left:right]
    return mixed, y
