"""Image files explained by the members of a run: no store, no labels, each member at its own size."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lesionkit.data.pixels import decode
from lesionkit.explain.ensembles import disagreement
from lesionkit.explain.members import Member, member_maps
from lesionkit.learning import inference

CHUNK = 32  # files decoded and explained at a time


class Explanation(NamedTuple):
    """One image with its maps, all of the largest member's size s."""

    image: np.ndarray  # uint8 RGB (s, s, 3)
    maps: dict[str, np.ndarray]  # of each member, and of `ensemble`, the last: float32 (s, s) in [0, 1]
    disagreement: np.ndarray  # of the members' maps: float32 (s, s) in [0, 1]


def explained(folders: Mapping[str, Path], files: Sequence[Path], targets: Sequence[int], method: str = "gradcam",
              device: str | None = None) -> Iterator[Explanation]:  # fmt: skip
    """The explanation of each file in turn by the models in `folders` (`models/<backbone>/`), for its class of `targets`.

    Models are loaded once, files are decoded once for all members of a size, CHUNK at a time. Maps are of the image as
    it is, in one view. Raises UnreadableImage for a file that is no image, and what `inference.load` and `cam_maps`
    raise.
    """
    loaded = {name: inference.load(folder, device) for name, folder in folders.items()}
    largest = max(config["study"]["size"] for _, config in loaded.values())
    for start in range(0, len(files), CHUNK):
        part = slice(start, start + CHUNK)
        seen: dict[tuple[int, str], np.ndarray] = {}
        members = {}
        for name, (model, config) in loaded.items():
            key = config["study"]["size"], config["study"]["fit"]
            if key not in seen:
                seen[key] = _decoded(files[part], *key)
            members[name] = Member(name, model, config, seen[key])
        maps = member_maps(members, targets[part], largest, method)
        apart = disagreement(np.stack([maps[name] for name in members]))
        shown = next(images for (size, _), images in seen.items() if size == largest)
        for i, image in enumerate(shown):
            yield Explanation(image, {name: values[i] for name, values in maps.items()}, apart[i])


def _decoded(files: Sequence[Path], size: int, fit: str) -> np.ndarray:
    """The files as uint8 (n, size, size, 3), decoded by a thread a core: Pillow works without the GIL."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(lambda file: decode(file, size, fit), files)))
