"""The round field of a dermatoscope, and the rectangle within it: what is left of an image without its black frame."""

import numpy as np
from PIL import Image

GRID = 96  # px, side of the small copy on which frames are looked for, whatever the file's size
EDGE = 0.3  # of the centre's brightness: where the disc begins. Brighter than a frame, darker than most lesions
MARGIN = 0.03  # of the half-diagonal: the edge is blurred
OFF_CENTRE = 0.65  # of the farthest corner's reach, the least of another: a shorter one is a dark lesion at the edge
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's mode L

Shares = tuple[float, float, float, float]  # left, upper, right, lower, of the width and the height


def frame_box(image: Image.Image) -> Shares:
    """The central rectangle inside the disc, as shares of the image's width and height.

    Along each half-diagonal, from the corner inwards, the disc begins where the brightness first reaches EDGE times
    the centre's. Of the two points at a side, the one nearer to the centre bounds the rectangle, so that all of it lies
    in the disc, on or off the centre. An image without a frame is left whole, unless its corners are as dark.
    """
    light = np.asarray(image.convert("L").resize((GRID, GRID), Image.Resampling.BOX), np.float32)
    bright = light >= EDGE * brightness(light)
    reach = np.array([[_reach(bright[::down, ::right]) for right in (1, -1)] for down in (1, -1)])  # (2, 2) corners
    reach = np.maximum(reach, OFF_CENTRE * (reach.max() or 1))
    (upper, lower), (left, right) = reach.min(axis=1), reach.min(axis=0)
    return (1 - left) / 2, (1 - upper) / 2, (1 + right) / 2, (1 + lower) / 2


def part(image: Image.Image, box: Shares | None) -> Image.Image:
    """The image within a box, to whole pixels; all of it where there is none."""
    if box is None:
        return image
    return image.crop(tuple(round(share * side) for share, side in zip(box, 2 * image.size, strict=True)))


def brightness(light: np.ndarray) -> float:
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
