"""Batches from the pixel store: class-balanced sampling, augmentation on the whole batch.

Random numbers are drawn first, from a generator that depends on the seed and the epoch alone, then applied. So an
epoch can be made again after a crash, and no state has to be saved; and several processes that share out each batch
see what one would.

A batch is one gather of rows from the store, one copy to the device, one interpolation and one product with a colour
matrix; nothing is done image by image.
"""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lesionkit.data.records import CLASSES


@dataclass(frozen=True)
class Augmentation:
    """How strongly training images are changed. Fields as in `Study`."""

    flips: bool = True
    rotation: float = 15.0
    crop: float = 0.6
    colour: float = 0.2


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


def sampling_weights(y: np.ndarray, balance: float) -> np.ndarray:
    """The chance (n,) of each image to be drawn: its class's count to the power of -balance, summing to 1."""
    counts = np.bincount(y, minlength=len(CLASSES)).astype(float)
    weights = counts[y] ** -balance
    return weights / weights.sum()


class TrainingBatches:
    """One epoch of (x, y): x (B, 3, size, size) normalised, y (B, 7) class probabilities. Set `epoch` before each pass.

    As many images an epoch as the training set has, drawn with replacement by `sampling_weights`; with balance 0, each
    image once, in random order. `share` (rank, count): of each batch of batch_size images, only those at rank,
    rank + count, … are made; the shares of all ranks together are the batch of one process.
    """

    def __init__(self, images: np.ndarray, rows: np.ndarray, y: np.ndarray, *, size: int, batch_size: int, mean, std,
                 augmentation: Augmentation, balance: float, mixup: float, seed: int, device: str,
                 share: tuple[int, int] = (0, 1)):  # fmt: skip
        self.images, self.rows, self.y = _as_tensor(images), np.asarray(rows), np.asarray(y)
        self.size, self.batch_size, self.mean, self.std = size, batch_size, mean, std
        self.augmentation, self.balance, self.mixup = augmentation, balance, mixup
        self.seed, self.device, self.mine, self.epoch = seed, device, slice(share[0], None, share[1]), 0

    def __len__(self) -> int:
        return max(1, len(self.rows) // self.batch_size)  # a last small batch would upset batch normalisation

    def order(self) -> np.ndarray:
        """Which training images this epoch shows, and in which order: (n,) positions in `rows`."""
        rng = np.random.default_rng([self.seed, self.epoch])
        n = len(self.rows)
        if self.balance == 0:
            return rng.permutation(n)
        return rng.choice(n, size=n, p=sampling_weights(self.y, self.balance))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for drawn in ahead(self._drawn(), self.device):
            yield self._applied(*drawn)

    def _drawn(self) -> Iterator[tuple[Tensor, ...]]:
        """Each batch as it leaves the store, with all that chance decides about it."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = self.order()
        affine, *colours = draw_views(len(order), self.augmentation, generator)
        drawn = affine, *normalised_colours(*colours, self.mean, self.std)
        for i in range(len(self)):
            batch = slice(i * self.batch_size, (i + 1) * self.batch_size)
            chosen, views = order[batch], [one[batch] for one in drawn]
            mixing = self._draw_mixing(len(chosen), generator) if self.mixup else ()
            mine = slice(None) if mixing else self.mine  # a partner may be in another's share
            images = self.images.index_select(0, torch.from_numpy(self.rows[chosen][mine]))  # (B, H, W, 3)
            yield images, torch.from_numpy(self.y[chosen][mine]), *(view[mine] for view in views), *mixing

    def _applied(self, images: Tensor, y: Tensor, affine: Tensor, matrix: Tensor, offset: Tensor, *mixing: Tensor) -> tuple[Tensor, Tensor]:
        images, y, affine, matrix, offset = (t.to(self.device, non_blocking=True) for t in (images, y, affine, matrix, offset))
        x = apply_views(to_float(images, self.device), affine, matrix, offset, self.size, self.mean, self.std)
        y = F.one_hot(y, len(CLASSES)).float()
        if not mixing:
            return x, y
        share, other = float(mixing[0]), mixing[1].to(self.device)
        return torch.lerp(x[other], x, share)[self.mine], torch.lerp(y[other], y, share)[self.mine]

    def _draw_mixing(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Each image mixed with another of the batch, one share a batch (Zhang et al. 2018, arXiv:1710.09412)."""
        state = int(torch.randint(2**31, (1,), generator=generator))
        share = np.random.default_rng(state).beta(self.mixup, self.mixup)
        return torch.tensor(share), torch.randperm(n, generator=generator)


class PlainBatches:
    """Every row once, in order, not augmented: (x, y), y (B,) class numbers. For validation.

    `share` (rank, count): only the rows at rank, rank + count, …
    """

    def __init__(self, images: np.ndarray, rows: np.ndarray, y: np.ndarray, *, batch_size: int, mean, std, device: str,
                 share: tuple[int, int] = (0, 1)):  # fmt: skip
        mine = slice(share[0], None, share[1])
        self.images, self.rows, self.y = _as_tensor(images), np.asarray(rows)[mine], np.asarray(y)[mine]
        self.batch_size, self.mean, self.std, self.device = batch_size, mean, std, device

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, y in ahead(self._read(), self.device):
            x = normalise(to_float(images, self.device), self.mean, self.std)
            yield x, y.to(self.device, non_blocking=True)

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        for i in range(0, len(self.rows), self.batch_size):
            rows, y = (torch.from_numpy(one[i : i + self.batch_size]) for one in (self.rows, self.y))
            yield self.images.index_select(0, rows), y


def ahead(batches: Iterable[tuple[Tensor, ...]], device: str, count: int = 2) -> Iterator[tuple[Tensor, ...]]:
    """The batches; for a GPU, `count` of them are made by another thread while it computes, in memory that it can copy from
    without waiting.

    A CPU gains nothing: the model has all its cores already.
    """
    if torch.device(device).type != "cuda":
        yield from batches
        return
    source = iter(batches)
    gpu = torch.cuda.device(torch.cuda.current_device()) if torch.cuda.is_available() else nullcontext()

    def following() -> tuple[Tensor, ...] | None:
        with gpu:  # that of this process: a thread would start on the first
            return tuple(t.pin_memory() for t in batch) if (batch := next(source, None)) else None

    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(following) for _ in range(count))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(following))
            yield batch


def _as_tensor(images: np.ndarray) -> Tensor:
    """The store as a tensor of the same memory: it gathers rows with all cores, and without Python's lock."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)  # nothing writes there
        return torch.from_numpy(images)


def preview(images: np.ndarray, how: Augmentation, versions: int, size: int, seed: int) -> np.ndarray:
    """uint8 (n, versions, size, size, 3): each image (n, H, W, 3) as training would see it, several times."""
    generator = torch.Generator().manual_seed(seed)
    repeated = to_float(np.repeat(images, versions, axis=0))
    seen = apply_views(repeated, *draw_views(len(repeated), how, generator), size)
    return (seen * 255).round().byte().permute(0, 2, 3, 1).numpy().reshape(len(images), versions, size, size, 3)
