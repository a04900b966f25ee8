"""Augmentation: crops, turns, flips and colours of training images, drawn first, then applied to a whole batch at once.

A view is one interpolation and one product with a colour matrix; nothing is done image by image.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from lesionkit.learning.disturbing import Disturbances, disturb, draw


@dataclass(frozen=True)
class Augmentation:
    """How strongly, or to which share, training images are changed. Fields as in `Study`."""

    flips: bool = True
    rotation: float = 15.0
    crop: float = 0.6
    colour: float = 0.2
    policy: str = ""
    disturbances: Disturbances = Disturbances()

    @classmethod
    def of(cls, settings: Any) -> "Augmentation":
        """As a Study has it."""
        own = {field.name: getattr(settings, field.name) for field in fields(cls) if field.name != "disturbances"}
        return cls(**own, disturbances=Disturbances(**{f.name: getattr(settings, f.name) for f in fields(Disturbances)}))


def draw_views(n: int, how: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters of `n` random views: an affine map (n, 2, 3) from output to input, a colour matrix (n, 3, 3), an offset (n, 3).

    The affine map composes random-resized crop, rotation and a dihedral flip, so that pixels are interpolated once.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    area, log_ratio = uniform(how.crop, 1.0), uniform(-0.29, 0.29) * (how.crop < 1)  # sides 3:4 to 4:3
    sides = torch.stack([(area * log_ratio.exp()).sqrt(), (area / log_ratio.exp()).sqrt()], 1).clamp(max=1)  # (n, 2)
    centre = torch.stack([uniform(-1, 1), uniform(-1, 1)], 1) * (1 - sides)  # the crop stays inside the frame
    angle = uniform(-how.rotation, how.rotation).deg2rad()
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], 1).view(n, 2, 2)
    if how.flips:
        turn = turn @ dihedral(torch.randint(8, (n,), generator=generator))
    affine = torch.cat([sides[:, :, None] * turn, centre[:, :, None]], 2)  # (n, 2, 3)
    return affine, *_draw_colour(how.colour, uniform)


def dihedral(k: Tensor) -> Tensor:
    """The 2×2 matrices of the dihedral views `k` (n,), 0 to 7: four quarter turns, without and with a flip."""
    angle = (k % 4) * (torch.pi / 2)
    cos, sin = angle.cos().round(), angle.sin().round()
    mirror = torch.where(k >= 4, -1.0, 1.0)
    return torch.stack([cos * mirror, -sin, sin * mirror, cos], 1).view(-1, 2, 2)


def _draw_colour(strength: float, uniform) -> tuple[Tensor, Tensor]:
    """Brightness, contrast, saturation and a colour cast as one matrix on RGB (n, 3, 3) and an offset (n, 3)."""
    grey = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)  # luma, ITU-R BT.601
    eye = torch.eye(3)
    saturation, contrast = (uniform(1 - strength, 1 + strength)[:, None, None] for _ in range(2))
    channels = torch.stack([uniform(1 - strength / 2, 1 + strength / 2) for _ in range(3)], 1)  # a colour cast
    brightness = uniform(-strength, strength)[:, None] / 2
    matrix = contrast * channels[:, :, None] * (saturation * eye + (1 - saturation) * grey)
    offset = brightness + 0.5 * (1 - contrast[:, :, 0])  # contrast turns about mid-grey
    return matrix, offset.expand(-1, 3)


def apply_views(x: Tensor, affine: Tensor, matrix: Tensor, offset: Tensor, size: int, mean=(0.0,) * 3, std=(1.0,) * 3) -> Tensor:
    """Images (n, 3, H, W) in [0, 1] seen through drawn views: (n, 3, size, size), channels-last in memory.

    The colours are kept in [0, 1]; where `normalised_colours` has put mean and std into the map, in what [0, 1] is then.
    """
    x = F.grid_sample(x, sampling_grid(affine, size), mode="bilinear", padding_mode="reflection", align_corners=False)
    x = torch.baddbmm(offset[:, :, None], matrix, x.flatten(2)).view(len(x), 3, size, size)
    for channel, (m, s) in enumerate(zip(mean, std)):
        x[:, channel].clamp_(-m / s, (1 - m) / s)
    return x.contiguous(memory_format=torch.channels_last)


def normalised_colours(matrix: Tensor, offset: Tensor, mean, std) -> tuple[Tensor, Tensor]:
    """A colour map (n, 3, 3), (n, 3) and then `normalise`, as one map: no pass over the pixels is spent on the latter."""
    mean, std = matrix.new_tensor(mean), matrix.new_tensor(std)  # (3,)
    return matrix / std[:, None], (offset - mean) / std


def sampling_grid(affine: Tensor, size: int) -> Tensor:
    """As F.affine_grid(affine, (n, 3, size, size), align_corners=False), (n, size, size, 2), in a third of its time.

    The map is affine, so that what a column adds and what a row adds are worked out once each.
    """
    line = (torch.arange(size, device=affine.device) + 0.5) * (2 / size) - 1  # the centres of pixels, (size,)
    columns = line[None, :, None] * affine[:, None, :, 0]  # (n, size, 2)
    rows = line[None, :, None] * affine[:, None, :, 1] + affine[:, None, :, 2]
    return rows[:, :, None] + columns[:, None]


def to_float(images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (n, H, W, 3) as float (n, 3, H, W) in [0, 1], channels-last in memory."""
    return torch.as_tensor(images).to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)


def normalise(x: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(n, 3, H, W) in [0, 1] as the backbone expects it, (x - mean) / std, in a new tensor and in one pass."""
    mean, std = (x.new_tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    return torch.addcmul(-mean / std, x, 1 / std)


POLICIES = {"trivial": v2.TrivialAugmentWide, "rand": v2.RandAugment}


def by_policy(images: Tensor, policy: str, u: Tensor) -> Tensor:
    """uint8 images (n, H, W, 3) changed by TrivialAugment (Müller and Hutter 2021) or RandAugment (Cubuk et al. 2020), torchvision's.

    One by one, on the CPU; chance is drawn from the first of the random numbers u (n, k) alone. No policy changes nothing.
    """
    if not policy:
        return images
    change = POLICIES[policy]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(u[0, 0].double() * 2**31))
        return torch.stack([change(image) for image in images.cpu().permute(0, 3, 1, 2)]).permute(0, 2, 3, 1)


def preview(images: np.ndarray, how: Augmentation, versions: int, size: int, seed: int) -> np.ndarray:
    """uint8 (n, versions, size, size, 3): each image (n, H, W, 3) as training would see it, several times."""
    generator = torch.Generator().manual_seed(seed)
    repeated = torch.from_numpy(np.repeat(images, versions, axis=0))
    views, u = draw_views(len(repeated), how, generator), draw(len(repeated), generator)
    partner = torch.randperm(len(repeated), generator=generator)
    seen = disturb(apply_views(to_float(by_policy(repeated, how.policy, u)), *views, size), u, how.disturbances, partner)
    return (seen * 255).round().byte().permute(0, 2, 3, 1).numpy().reshape(len(images), versions, size, size, 3)
