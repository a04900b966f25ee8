"""The same images explained by every member of an ensemble, at one size, so that the maps can be compared and averaged."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from lesionkit.data.pixels import Pixels
from lesionkit.explain.cams import ensemble_map, grad_cam
from lesionkit.learning import inference


def member_maps(folders: Mapping[str, Path], store_for: Callable[[dict[str, Any]], Pixels], image_ids: Sequence[str],
                targets: Sequence[int], size: int) -> dict[str, np.ndarray]:  # fmt: skip
    """Grad-CAM maps (n, size, size) in [0, 1] of each member for the same images and classes, and their mean, `ensemble`.

    folders: models/<backbone>/ of each member. store_for: from a model's config to the pixel store of its size.
    targets: a class number an image, the same for all members, so that their maps answer the same question.
    """
    maps = {}
    for name, folder in folders.items():
        model, config = inference.load(folder)
        store = store_for(config)
        images = np.asarray(store.images[store.rows(image_ids)])
        maps[name] = resized(grad_cam(model, config, images, targets), size)
    return maps | {"ensemble": ensemble_map(np.stack(list(maps.values())))}


def resized(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (n, h, w) as (n, size, size), bilinear and antialiased; those of this size unchanged."""
    if maps.shape[1:] == (size, size):
        return maps
    sized = F.interpolate(
        torch.from_numpy(maps)[:, None], (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return sized[:, 0].clamp(0, 1).numpy()
