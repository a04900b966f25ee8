"""Image files explained by the members of a run: no store, no labels, each member at its own size."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lesionkit.data.decoding import Input, decode
from lesionkit.explain.ensembles import disagreement
from lesionkit.explain.members import Member, member_maps
from lesionkit.learning import inference

CHUNK = 32  # files decoded and explained at a time


class Explanation(NamedTuple):
    """One image with its maps, all of the largest member's size s."""

    image: np.ndarray  # uint8 RGB (s, s, 3)
    maps: dict[str, np.ndarray]  # of each member, and of `ensemble`, the last: float32 (s, s) in [0, 1]
    disagreement: np.ndarray  # of the members' maps: float32 (s, s) in [0, 1]


def explained(loaded: Mapping[str, inference.Member], files: Sequence[Path], targets: Sequence[int],
              method: str = "gradcam", shares: Mapping[str, float] | None = None) -> Iterator[Explanation]:  # fmt: skip
    """The explanation of each file in turn by models as of `inference.load_members`, for its class of `targets`.

    Files are decoded once for all members of a size, CHUNK at a time. Maps are of the image as it is, in one view,
    whatever the study's `tta`. shares: of the members in the ensemble's map, None: all the same. Raises
    UnreadableImage for a file that is no image, and what `cam_maps` raises.
    """
    largest = max(config["study"]["size"] for _, config, _ in loaded.values())
    for start in range(0, len(files), CHUNK):
        part = slice(start, start + CHUNK)
        seen: dict[Input, np.ndarray] = {}
        members = {}
        for name, (model, config, _) in loaded.items():
            key = Input.of(config["study"])
            if key not in seen:
                seen[key] = _decoded(files[part], key)
            members[name] = Member(name, model, config, seen[key])
        maps = member_maps(members, targets[part], largest, method, shares)
        apart = disagreement(np.stack([maps[name] for name in members]))
        shown = next(images for how, images in seen.items() if how.size == largest)
        for i, image in enumerate(shown):
            yield Explanation(image, {name: values[i] for name, values in maps.items()}, apart[i])


def _decoded(files: Sequence[Path], seen: Input) -> np.ndarray:
    """The files as uint8 (n, size, size, 3), decoded by a thread a core: Pillow works without the GIL."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(lambda file: decode(file, *seen), files)))
