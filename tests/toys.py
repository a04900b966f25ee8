"""A tiny data set for the tests of training and of what comes after it."""

import numpy as np
import pandas as pd

from lesionkit.data.pixels import Pixels
from lesionkit.data.records import CLASSES
from lesionkit.study import Study


def toy(n=84, size=32, seed=0):
    """Images whose class is their colour, half of them for training."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 7
    colours = rng.integers(40, 216, (7, 3))
    images = (colours[y][:, None, None] + rng.normal(0, 20, (n, size, size, 3))).clip(0, 255).astype(np.uint8)
    ids = [f"img{i}" for i in range(n)]
    table = pd.DataFrame({"image_id": ids, "dx": np.take(CLASSES, y), "split": np.repeat(["train", "val"], n // 2)})
    return Pixels(images, ids, pd.DataFrame(), f"toy{seed}"), table


def study(**settings):
    return Study(**{"name": "toy", "size": 32, "epochs": 3, "batch_size": 14, "weights": "none", "precision": "fp32"} | settings)
