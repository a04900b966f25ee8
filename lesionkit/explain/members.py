"""The members of an ensemble and what each sees of the same images: explained one by one and together, at one size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lesionkit.data.pixels import Pixels
from lesionkit.evidence.scaling import scaled
from lesionkit.explain.cams import cam_maps
from lesionkit.explain.ensembles import ensemble_map
from lesionkit.learning import inference

ENSEMBLE = "ensemble"  # what the members' common map is called, as their mean's predictions are


@dataclass(frozen=True)
class Member:
    """A trained model, its config.json, and the images to explain as it sees them: uint8 (n, s, s, 3), its size.

    temperature: what its probabilities are scaled by, as the ensemble's mixture does.
    """

    name: str
    model: nn.Module
    config: Mapping[str, Any]
    images: np.ndarray
    temperature: float = 1.0

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (n, 7), float32, of uint8 images (n, s, s, 3) in one view, whatever the study's `tta`."""
        p = inference.predict(self.model, self.config, images)
        return p if self.temperature == 1 else scaled(p, self.temperature).astype(np.float32)


def open_members(
    folders: Mapping[str, Path], store_for: Callable[[dict[str, Any]], Pixels], image_ids: Sequence[str],
    temperatures: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Member]:
    """Each member with these images, in the order of `folders` and of `image_ids`.

    folders: `models/<backbone>/` of each member. store_for: from a model's config to the pixel store of its size.
    temperatures: of the members that have one. Raises what `inference.load` raises, and KeyError for an image that is not in the store.
    """
    members = {}
    for name, folder in folders.items():
        model, config = inference.load(folder)
        images = np.asarray(store_for(config).of(image_ids)[:])
        members[name] = Member(name, model, config, images, temperatures.get(name, 1.0))
    return members


def member_maps(members: Mapping[str, Member], targets: Sequence[int], size: int, method: str = "gradcam",
                weights: Mapping[str, float] | None = None) -> dict[str, np.ndarray]:  # fmt: skip
    """Maps (n, size, size), float32 in [0, 1], of each member for the same images and classes; last, the ENSEMBLE's.

    targets: a class number an image, the same for all members, so that their maps answer the same question. weights: as
    in `with_ensemble`. Costs what `cam_maps` says of `method`, once a member, and raises what it raises.
    """
    maps = {
        name: resized(cam_maps(one.model, one.config, one.images, targets, (method,))[method], size)
        for name, one in members.items()
    }
    return with_ensemble(maps, size, weights)


def with_ensemble(
    maps: Mapping[str, np.ndarray], size: int, weights: Mapping[str, float] | None = None
) -> dict[str, np.ndarray]:
    """The members' maps (n, h, w) as they are, each of its own size, and last the ENSEMBLE's (n, size, size).

    weights: each member's share of the ensemble's map, by name; None: all the same, as in the mean ensemble. Raises
    ValueError where a member has none, and what `ensemble_map` raises.
    """
    if weights is not None and (missing := [name for name in maps if name not in weights]):
        raise ValueError(f"no weight of {', '.join(missing)}: give each member one, 0 to leave it out")
    shares = None if weights is None else [weights[name] for name in maps]
    return {**maps, ENSEMBLE: ensemble_map(np.stack([resized(one, size) for one in maps.values()]), shares)}


def resized(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (n, h, w) as (n, size, size), bilinear and antialiased; those of this size unchanged."""
    if maps.shape[1:] == (size, size):
        return maps
    sized = F.interpolate(
        torch.from_numpy(maps)[:, None], (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return sized[:, 0].clamp(0, 1).numpy()
