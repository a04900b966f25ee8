"""The black frame of a dermatoscope: which images have it, and what is left without it.

Some instruments show the lesion in a bright disc, and the camera sees the black around it. Nearly half of BCN_20000
has this frame, little of HAM10000, so a model may read the archive from it.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from lesionkit.data import pixels

GRID = 96  # px, side of the small copy on which frames are looked for, whatever the file's size
CORNER = 12  # a corner is the triangle with legs of a twelfth of the side
BLACK = 0.2  # of the centre's brightness. Of BCN_20000's images 41 % have their brightest corner below 0.05, 4 % from
# there to 0.2, 1 % a step of 0.05 beyond: a gap. With three corners instead of four, thick hair passes too.
EDGE = 0.3  # of the centre's brightness: where the disc begins. Brighter than a frame, darker than most lesions
MARGIN = 0.03  # of the half-diagonal: the edge is blurred
OFF_CENTRE = 0.65  # of the farthest corner's reach, the least of another: a shorter one is a dark lesion at the edge
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's mode L

Box = tuple[int, int, int, int]


def framed(images: np.ndarray) -> np.ndarray:
    """Which of the images, uint8 (n, s, s, 3), show a bright disc in black: booleans (n,).

    True where all four corners are darker than BLACK times the centre, whose brightness is the upper quartile of the
    central quarter, so that a dark lesion there hides no frame. Black bars at two sides count as a frame; a disc
    that reaches into a corner does not. Images that were padded with black all count: give them squashed.
    """
    corners = _corners(images.shape[1])
    found = np.zeros(len(images), bool)
    for i, image in enumerate(images):
        light = image @ _LUMA  # (s, s)
        found[i] = max(light[corner].mean() for corner in corners) < BLACK * _centre(light)
    return found


def framed_files(paths: Sequence[Path], workers: int | None = None) -> np.ndarray:
    """`framed` of image files, booleans (n,). The answer does not depend on the size that a backbone sees.

    Raises UnreadableImage for the first file that is none. `workers` threads decode (default: one a core).
    """

    def decide(path: Path) -> bool:
        return bool(framed(pixels.decode(path, GRID, "squash")[None])[0])

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return np.fromiter(pool.map(decide, paths), bool, len(paths))


def frame_box(image: Image.Image) -> Box:
    """The central rectangle inside the disc: (left, upper, right, lower) in pixels of `image`.

    Along each half-diagonal, from the corner inwards, the disc begins where the brightness first reaches EDGE times
    the centre's. Of the two points at a side, the one nearer to the centre bounds the rectangle, so that all of it lies
    in the disc, on or off the centre. An image without a frame is left whole, unless its corners are as dark.
    """
    light = np.asarray(image.convert("L").resize((GRID, GRID), Image.Resampling.BOX), np.float32)
    bright = light >= EDGE * _centre(light)
    reach = np.array([[_reach(bright[::down, ::right]) for right in (1, -1)] for down in (1, -1)])  # (2, 2) corners
    reach = np.maximum(reach, OFF_CENTRE * (reach.max() or 1))
    (upper, lower), (left, right) = reach.min(axis=1), reach.min(axis=0)
    shares = 1 - left, 1 - upper, 1 + right, 1 + lower
    return tuple(round(share * side / 2) for share, side in zip(shares, 2 * image.size, strict=True))


def decode_cropped(path: Path, size: int, fit: str) -> np.ndarray:
    """An image file as `pixels.decode` gives it, but cropped to `frame_box` first, at full resolution.

    The crop also shows the lesion larger. Raises what `decode` raises.
    """
    pixels.check_fit(fit)
    with pixels.opened(path) as image:
        rgb = pixels.to_rgb(image)
        return pixels.to_square(rgb.crop(frame_box(rgb)), size, fit)


def _corners(side: int) -> list[np.ndarray]:
    """Masks (side, side) of the four corner triangles."""
    steps = np.minimum(np.arange(side), np.arange(side)[::-1])
    corner, early = np.add.outer(steps, steps) < max(side // CORNER, 1), np.arange(side) < side / 2
    halves = (early, ~early)
    return [corner & rows[:, None] & columns for rows in halves for columns in halves]


def _centre(light: np.ndarray) -> float:
    """Brightness of the central quarter of grey values (s, s)."""
    quarter = len(light) // 4
    return float(np.percentile(light[quarter:-quarter, quarter:-quarter], 75))


def _reach(bright: np.ndarray) -> float:
    """How far the disc reaches from the centre to the upper left corner, as a share of the half-diagonal."""
    ray = np.diagonal(bright)[: len(bright) // 2]
    if not ray.any():  # dark to the centre: no edge is seen here
        return 0.0
    first = int(ray.argmax())
    return 1 - first / len(ray) - MARGIN if first else 1.0
