"""A toy model whose probability is the brightness of one corner, and maps that light that corner or another place."""

from types import SimpleNamespace

import numpy as np

N, SIZE, STEPS = 3, 16, 4
CORNER = np.s_[:, :8, :8]  # a quarter of the pixels, so that it goes with the first of four steps
MEAN, STD = (0.2, 0.4, 0.6), (0.5, 0.25, 0.125)
TARGETS = [2] * N


def corner_p(images):
    """The target's (class 2) probability is the corner's mean brightness, class 0 has the rest."""
    p = np.zeros((len(images), 7))
    p[:, 2] = images[CORNER].mean((1, 2, 3)) / 255
    p[:, 0] = 1 - p[:, 2]
    return p


def toy(name="a", size=SIZE, n=N, predict=corner_p, images=None):
    images = np.full((n, size, size, 3), 255, np.uint8) if images is None else images
    return SimpleNamespace(name=name, config={"normalisation": (MEAN, STD)}, images=images, predict=predict)


def corner_map(n=N, size=SIZE):
    heat = np.zeros((n, size, size), np.float32)
    heat[:, : size // 2, : size // 2] = 1
    return heat


def noise(n=N, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def random_maps(n=N, size=SIZE, seed=0):
    return np.random.default_rng(seed).random((n, size, size), dtype=np.float32)


def grey_p(images):
    """Each class has the mean of its own rows, so that order and place count."""
    rows = images.astype(float).mean((2, 3))[:, :14].reshape(len(images), 7, 2).mean(2) + 1
    return rows / rows.sum(1, keepdims=True)
