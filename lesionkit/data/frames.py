"""The black frame of a dermatoscope: which images have it.

Some instruments show the lesion in a bright disc, and the camera sees the black around it. Nearly half of BCN_20000
has this frame, little of HAM10000, so a model may read the archive from it.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lesionkit.data import decoding
from lesionkit.data.field import GRID, LUMA, Shares, brightness, frame_box

CORNER = 12  # a corner is the triangle with legs of a twelfth of the side
BLACK = 0.2  # of the centre's brightness. Of BCN_20000's images 41 % have their brightest corner below 0.05, 4 % from
# there to 0.2, 1 % a step of 0.05 beyond: a gap. With three corners instead of four, thick hair passes too.


def framed(images: np.ndarray) -> np.ndarray:
    """Which of the images, uint8 (n, s, s, 3), show a bright disc in black: booleans (n,).

    True where all four corners are darker than BLACK times the centre, whose brightness is the upper quartile of the
    central quarter, so that a dark lesion there hides no frame. Black bars at two sides count as a frame; a disc
    that reaches into a corner does not. Images that were padded with black all count: give them squashed.
    """
    corners = _corners(images.shape[1])
    found = np.zeros(len(images), bool)
    for i, image in enumerate(images):
        light = image @ LUMA  # (s, s)
        found[i] = max(light[corner].mean() for corner in corners) < BLACK * brightness(light)
    return found


def framed_files(paths: Sequence[Path], workers: int | None = None) -> np.ndarray:
    """`framed` of image files, booleans (n,). The answer does not depend on the size that a backbone sees.

    Raises UnreadableImage for the first file that is none. `workers` threads decode (default: one a core).
    """

    def decide(path: Path) -> bool:
        return bool(framed(decoding.decode(path, GRID, "squash")[None])[0])

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return np.fromiter(pool.map(decide, paths), bool, len(paths))


def boxes(paths: Sequence[Path], workers: int | None = None) -> list[Shares]:
    """`field.frame_box` of image files. Raises UnreadableImage for the first file that is none."""

    def box(path: Path) -> Shares:
        with decoding.opened(path) as image:
            return frame_box(decoding.to_rgb(image))

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return list(pool.map(box, paths))


def _corners(side: int) -> list[np.ndarray]:
    """Masks (side, side) of the four corner triangles."""
    steps = np.minimum(np.arange(side), np.arange(side)[::-1])
    corner, early = np.add.outer(steps, steps) < max(side // CORNER, 1), np.arange(side) < side / 2
    halves = (early, ~early)
    return [corner & rows[:, None] & columns for rows in halves for columns in halves]
