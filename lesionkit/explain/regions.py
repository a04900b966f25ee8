"""Regions of a photograph that are not lesion: exact where they are drawn or outlined, guessed where they are not.

Phantoms come with the masks of all artefacts on them. On photographs that nobody has outlined, simple detectors look
for the black corners of a dermatoscope's frame, for hair and for ink. They would rather miss something than see it
where it is not, and look at copies of 128 px at most, whatever the size. Rulers are not looked for: at the sizes that
backbones see, their ticks run into one another, and a bare scale bar is a straight dark line, as a hair is.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from lesionkit.data import decoding, frames
from lesionkit.data.field import Shares, part
from lesionkit.data.phantom_photographs import ARTEFACTS

LEAST = 64  # px: below, a hair is no line and detectors see nothing
LARGEST = 128  # px: larger images are made smaller for the detectors, by a whole factor
TOUCHED = 51  # of 255: the least cover of a pixel of an artefact
RING = 0.1  # of the side: the border
RIM = 0.03  # of the side: the blurred edge of a frame or a lesion
EDGE = 0.3  # of the centre's brightness: what is darker and connected to a frame's corner is the frame
WIDE, LONG, REACH = 0.05, 0.25, 0.3  # of the side: a hair is narrower, nearly straight over LONG, and longer in all
HAIR, THIN = 25, 12  # grey levels: how much darker a hair is than its sides, anywhere along LONG, and a pixel of it
GREY = 0.7  # the least darkening of red, relative to that of green: a vessel's is a third to a half
ON_SKIN = 0.2  # the least part of a hair that lies outside the lesion; a network's lines lie inside
WAYS = 12  # directions of lines
INK, CORE = 25, 75  # grey levels by which green or blue is above red: of ink, and somewhere within it
CENTRE = 0.4  # half frames: nothing that reaches so near to the centre is ink, since lesions may be blue


def read_artefacts(
    root: Path, image_ids: Sequence[str], size: int, fit: str, boxes: Sequence[Shares | None] | None = None
) -> dict[str, np.ndarray] | None:  # fmt: skip
    """Exact masks of artefacts: each kind of ARTEFACTS -> bool (n, size, size), in the order of `image_ids`.

    root: the folder of the images; masks lie in `artefacts/<kind>/ISIC_#######_segmentation.png`. An image without such a
    file has no such artefact; None where there is no folder artefacts. Frames become squares as in `decoding.decode`;
    `boxes` as in `masks.read`. A pixel is of an artefact that covers a fifth of it: a hair seldom covers more. Raises
    UnreadableImage for a file that is no image.
    """
    folder = Path(root) / "artefacts"
    if not folder.is_dir():
        return None
    found = {kind: np.zeros((len(image_ids), size, size), bool) for kind in ARTEFACTS}
    for kind, parts in found.items():
        for mask, image_id, box in zip(parts, image_ids, boxes or [None] * len(image_ids), strict=True):
            file = folder / kind / f"{image_id.removesuffix('_downsampled')}_segmentation.png"
            if file.is_file():
                with decoding.opened(file) as image:
                    mask[:] = decoding.to_square(part(decoding.to_rgb(image), box), size, fit)[..., 0] >= TOUCHED
    return found


def detected(images: np.ndarray) -> dict[str, np.ndarray]:
    """Guesses of "corners", "hair" and "ink", each bool (n, s, s), of uint8 RGB images (n, s, s, 3), s at least 64 px.

    corners: where `frames.framed` sees a frame, what is near black and connected to the corners.
    hair: thin dark grey lines that are long, nearly straight and not all within the lesion; after DullRazor (Lee et al.
    1997, doi:10.1016/S0010-4825(97)00020-6), a black-hat transform with line kernels. Light, faint and cropped hair is
    missed; a scale bar counts as hair, and so may the gaps between scales.
    ink: what is far more green or blue than red, away from the centre: also stickers of such colours; faint violet is
    missed, and a blue lesion at the edge may be taken for it. Raises ValueError for smaller images.
    """
    check(images, LEAST)
    small = _reduced(images)
    found = {kind: np.zeros(small.shape[:3], bool) for kind in ("corners", "hair", "ink")}
    for i, (image, framed) in enumerate(zip(small, frames.framed(small), strict=True)):
        corners = _corners(image, framed)
        lit = ~grown(corners)
        parts = corners, _hair(image, _lesion(image, lit)) & lit, _ink(image, lit)
        for kind, mask in zip(found, parts, strict=True):
            found[kind][i] = mask
    return {kind: _enlarged(part, images.shape[1]) for kind, part in found.items()}


def corners(images: np.ndarray) -> np.ndarray:
    """A guess of the black frame, bool (n, s, s), as in `detected`, of uint8 RGB images (n, s, s, 3) of any size."""
    check(images)
    small = _reduced(images)
    found = [_corners(one, framed) for one, framed in zip(small, frames.framed(small), strict=True)]
    return _enlarged(np.stack(found), images.shape[1]) if found else np.zeros(images.shape[:3], bool)


def lesion(images: np.ndarray) -> np.ndarray:
    """A guess of the lesion, bool (n, s, s), of uint8 RGB images (n, s, s, 3), s at least 64 px.

    The skin's brightness is fitted to the outer part of what the frame leaves, as a quadratic of the position; Otsu's
    threshold, a little lowered, tells what is darker in any channel, of which the large and central part is taken and
    its holes are filled. It gives something for any image that is not the same all over, and the wrong thing where a
    lesion fills the frame: look at what it gives before it is relied on. Raises ValueError for smaller images.
    """
    check(images, LEAST)
    small = _reduced(images)
    found = [_lesion(one, ~grown(_corners(one, framed))) for one, framed in zip(small, frames.framed(small))]
    return _enlarged(np.stack(found), images.shape[1]) if found else np.zeros(images.shape[:3], bool)


def border(n: int, s: int) -> np.ndarray:
    """The outer ring of a frame, a tenth of the side wide: the same mask n times, bool (n, s, s)."""
    width = max(1, round(RING * s))
    ring = np.ones((n, s, s), bool)
    ring[:, width:-width, width:-width] = False
    return ring


def _corners(image: np.ndarray, framed: bool) -> np.ndarray:
    light = image.astype(np.float32).mean(axis=2)
    quarter = len(light) // 4
    dark = light < EDGE * np.percentile(light[quarter:-quarter, quarter:-quarter], 75)
    seeds = np.zeros_like(dark)
    seeds[[0, 0, -1, -1], [0, -1, 0, -1]] = framed
    return ndimage.binary_propagation(seeds & dark, mask=dark)


def _hair(image: np.ndarray, on_lesion: np.ndarray) -> np.ndarray:
    side = len(image)
    broad = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, [2 * round(WIDE * side) + 1] * 2)
    on_lesion = grown(cv2.morphologyEx(on_lesion.astype(np.uint8), cv2.MORPH_OPEN, broad) > 0)  # without its hairs
    red, green = (_black_hat(image[..., channel], round(WIDE * side)) for channel in (0, 1))
    grey = np.where(red >= GREY * green, red, 0).astype(np.uint8)
    thick = cv2.dilate(grey, np.ones((3, 3), np.uint8))  # a line need not lie on pixels in a row
    long = np.max([cv2.morphologyEx(thick, cv2.MORPH_OPEN, line) for line in _lines(round(LONG * side))], axis=0)
    marks = ((long > HAIR) & (grey > THIN)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=8)
    reach = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    inner = ~on_lesion & ~border(1, side)[0]  # a dark strip at the edge is no hair
    outside = np.bincount(labels[inner], minlength=len(stats)) / stats[:, cv2.CC_STAT_AREA]
    return ((reach >= REACH * side) & (outside >= ON_SKIN))[labels] & (labels > 0)


def _black_hat(values: np.ndarray, width: int) -> np.ndarray:
    """How much darker a pixel is than what fills up all that is narrower than `width` px in some direction."""
    padded = cv2.copyMakeBorder(np.ascontiguousarray(values), *[width] * 4, cv2.BORDER_REPLICATE)
    closed = np.max([cv2.morphologyEx(padded, cv2.MORPH_CLOSE, line) for line in _lines(width)], axis=0)
    return cv2.subtract(closed, padded)[width:-width, width:-width]


@lru_cache
def _lines(length: int) -> tuple[np.ndarray, ...]:
    """Lines of about `length` px through the middle of a square, uint8, in WAYS directions; point-symmetric."""
    half = max(length // 2, 1)
    steps = np.linspace(-half, half, 4 * half + 1)
    lines = []
    for angle in np.arange(WAYS) * np.pi / WAYS:
        line = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        line[tuple(half + np.round(steps * part).astype(int) for part in (np.sin(angle), np.cos(angle)))] = 1
        lines.append(line)
    return tuple(lines)


def _ink(image: np.ndarray, lit: np.ndarray) -> np.ndarray:
    values = image.astype(np.int16)
    excess = np.where(lit, values[..., 1:].max(axis=2) - values[..., 0], -255)
    if np.median(excess[lit]) > 0:  # all of the picture is blue: its light is
        return np.zeros_like(lit)
    labels, count = ndimage.label(ndimage.binary_propagation(excess > CORE, mask=excess > INK))
    central = np.bincount(labels[np.hypot(*_grid(len(image))) < CENTRE], minlength=count + 1) > 0
    return (labels > 0) & ~central[labels]


def _lesion(image: np.ndarray, lit: np.ndarray) -> np.ndarray:
    side = len(image)
    plain = cv2.morphologyEx(image, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))  # thin hair
    light = np.log(cv2.GaussianBlur(plain, (0, 0), side / 40).astype(np.float32) + 8)
    darker = (_skin(light, lit) - light).max(axis=2).clip(0)
    top = np.percentile(darker[lit], 99.5)
    if top < 0.02:  # in log units, less than noise
        return np.zeros_like(lit)
    levels = (darker * 255 / top).clip(0, 255).astype(np.uint8)
    level, _ = cv2.threshold(levels[lit].reshape(-1, 1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    labels, count = ndimage.label((levels > 0.8 * level) & lit)  # a fading border is still lesion
    y, x = _grid(side)
    weight = np.bincount(labels.ravel(), np.exp(-4 * (x * x + y * y)).ravel() * (labels.ravel() > 0), count + 1)
    return ndimage.binary_fill_holes((labels == weight.argmax()) & (labels > 0))


def _skin(light: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """The logarithm of the skin's brightness (s, s, 3), fitted to the lit part's outer band, and again without the
    darkest quarter of it, which may be lesion or hair."""
    y, x = _grid(len(light))
    terms = np.stack([np.ones_like(x), x, y, x * x + y * y], axis=-1).astype(np.float32)
    depth = cv2.distanceTransform(np.pad(lit, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    outer = lit & (depth <= RING * len(light))
    for _ in range(2):
        fitted = terms @ np.linalg.lstsq(terms[outer], light[outer], rcond=None)[0]
        short = (fitted - light).sum(axis=2)
        outer &= short <= np.percentile(short[outer], 75)
    return fitted


def _grid(side: int) -> np.ndarray:
    """Coordinates y and x (2, side, side) in half frames, -1 to 1."""
    return np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]


def grown(masks: np.ndarray) -> np.ndarray:
    """Masks (..., s, s), with the blurred rims of what they cover."""
    sides = ndimage.generate_binary_structure(2, 1)[(None,) * (masks.ndim - 2)]  # no image grows into the next
    return ndimage.binary_dilation(masks, sides, iterations=max(1, round(RIM * masks.shape[-1])))


def _reduced(images: np.ndarray) -> np.ndarray:
    """The images at no more than LARGEST px, areas averaged."""
    side = images.shape[1] // -(-images.shape[1] // LARGEST)
    sized = [cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in images]
    return np.stack(sized) if sized else np.zeros((0, side, side, 3), np.uint8)


def _enlarged(found: np.ndarray, side: int) -> np.ndarray:
    """Masks (n, s, s) brought to `side`."""
    if found.shape[1] == side:
        return found
    sized = [cv2.resize(mask.astype(np.uint8) * 255, (side, side), interpolation=cv2.INTER_LINEAR) for mask in found]
    return np.stack(sized) > 127 if sized else np.zeros((0, side, side), bool)


def check(images: np.ndarray, least: int = 0) -> None:
    """Raises ValueError unless `images` are uint8 (n, s, s, 3) with s of `least` px or more."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images are {images.dtype} {images.shape}: give uint8 (n, s, s, 3)")
    if images.shape[1] < least:
        raise ValueError(f"images of {images.shape[1]} px are too small for detectors: give {least} px or more, at a "
                         "larger `size`, or use exact masks")  # fmt: skip
