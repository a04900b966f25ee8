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

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lesionkit.data.records import CLASSES
from lesionkit.learning.augmentation import (
    Augmentation,
    apply_views,
    by_policy,
    draw_views,
    normalise,
    normalised_colours,
    to_float,
)  # fmt: skip
from lesionkit.learning.disturbing import disturb, draw
from lesionkit.learning.mixing import draw_mixing, mix


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
                 augmentation: Augmentation, balance: float, seed: int, device: str, mixup: float = 0.0, cutmix: float = 0.0,
                 share: tuple[int, int] = (0, 1)):  # fmt: skip
        self.images, self.rows, self.y = _as_tensor(images), np.asarray(rows), np.asarray(y)
        self.size, self.batch_size, self.mean, self.std = size, batch_size, mean, std
        self.augmentation, self.balance, self.mixup, self.cutmix = augmentation, balance, mixup, cutmix
        self.slow = bool(augmentation.policy) or augmentation.disturbances.any  # passes over the pixels beside the one
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
        if not self.slow:
            colours = normalised_colours(*colours, self.mean, self.std)
        drawn = affine, *colours, draw(len(order), generator) if self.slow else torch.zeros(len(order), 0)
        for i in range(len(self)):
            batch = slice(i * self.batch_size, (i + 1) * self.batch_size)
            chosen, views = order[batch], [one[batch] for one in drawn]
            mixing = draw_mixing(len(chosen), self.size, self.mixup, self.cutmix, generator) if self.mixup or self.cutmix else ()
            mine = slice(None) if mixing or self.slow else self.mine  # a partner may be in another's share
            images = self.images.index_select(0, torch.from_numpy(self.rows[chosen][mine]))  # (B, H, W, 3)
            yield images, torch.from_numpy(self.y[chosen][mine]), *(view[mine] for view in views), *mixing

    def _applied(self, images: Tensor, y: Tensor, affine: Tensor, matrix: Tensor, offset: Tensor, u: Tensor,
                 *mixing: Tensor) -> tuple[Tensor, Tensor]:  # fmt: skip
        images = by_policy(images, self.augmentation.policy, u)
        images, y, *views, u = (t.to(self.device, non_blocking=True) for t in (images, y, affine, matrix, offset, u))
        x, y = to_float(images, self.device), F.one_hot(y, len(CLASSES)).float()
        if self.slow:
            partner = u[:, 0].argsort()  # a random order
            x = disturb(apply_views(x, *views, self.size), u, self.augmentation.disturbances, partner)
            x = normalise(x, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        else:
            x = apply_views(x, *views, self.size, self.mean, self.std)
        if mixing:
            x, y = mix(x, y, *(t.to(self.device) for t in mixing))
        return (x[self.mine], y[self.mine]) if mixing or self.slow else (x, y)


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
