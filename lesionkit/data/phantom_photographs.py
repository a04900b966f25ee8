"""Photographs of a painted phantom as an archive would take them: lamp, camera and frame, and what lies on the skin."""

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from PIL import Image, ImageFilter

from lesionkit.data.phantom_artefacts import hairs, ink, ruler


@dataclass(frozen=True)
class Archive:
    """How an archive takes its pictures; probabilities are per picture."""

    scale: tuple[float, float]  # size of lesions in the frame, 1 as in the internal archive
    cast: tuple[float, float, float]  # gain of red, green and blue
    contrast: float
    off_centre: float  # half frames, standard deviation
    blur: tuple[float, float]  # pixels at 96 px
    disc: float
    hairs: float
    ruler: float
    ink: float
    quality: int  # JPEG


ARCHIVES = {
    "HAM": Archive((0.92, 1.1), (1.03, 0.97, 0.93), 1.0, 0.04, (0.2, 0.6), 0.02, 0.15, 0.03, 0.02, 92),
    "ROS": Archive((0.85, 1.05), (0.98, 0.99, 1.0), 1.06, 0.06, (0.2, 0.8), 0.0, 0.2, 0.06, 0.02, 90),
    "BCN": Archive((0.7, 1.15), (0.98, 0.92, 1.01), 0.94, 0.1, (0.2, 1.0), 0.6, 0.25, 0.05, 0.05, 88),
    "MSK": Archive((0.8, 1.35), (0.97, 1.0, 0.96), 1.08, 0.1, (0.2, 0.8), 0.15, 0.35, 0.35, 0.25, 85),
}


ARTEFACTS = ("corners", "hair", "ink", "ruler")  # what a picture may have that is no skin


def photograph(
    rgb: np.ndarray, mask: np.ndarray, archive: Archive, size: int, rng: np.random.Generator, pen: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """One view of a painted canvas: a picture uint8 (size, size, 3), the lesion's mask bool (size, size), and the masks
    of the artefacts that are seen: of "ink", "hair" and "ruler" what they touch, of "corners" what the disc keeps dark.

    `pen` draws the ink alone and `rng` all else, so that a picture without ink does not depend on it.
    """
    picture, seen = _turned(rgb, mask, archive, size, rng)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*archive.blur) * size / 96))
    found = {}
    if pen.random() < archive.ink:
        picture, found["ink"] = ink(picture, seen, pen)
    if rng.random() < archive.hairs:
        picture, found["hair"] = hairs(picture, rng)
    if rng.random() < archive.ruler:
        picture, found["ruler"] = ruler(picture, rng)
    light, bright = _light(archive, size, rng)
    values = ((np.asarray(picture, np.float32) - 140) * archive.contrast + 140) * light
    if bright is not None:
        values, lit = values * bright[..., None], bright > 0.5
        seen, found = seen & lit, {name: region & lit for name, region in found.items()} | {"corners": ~lit}
    values = values + rng.normal(0, 2.5, (size, size, 1)).astype(np.float32)
    return np.clip(values, 0, 255).astype(np.uint8), seen, {name: part for name, part in found.items() if part.any()}


def _turned(
    rgb: np.ndarray, mask: np.ndarray, archive: Archive, size: int, rng: np.random.Generator
) -> tuple[Image.Image, np.ndarray]:
    """The frame of one view, after a small rotation, zoom and shift, and its mask bool (size, size)."""
    angle, zoom = np.deg2rad(rng.uniform(-20, 20)), rng.uniform(0.92, 1.12)
    c, s = cos(angle) / zoom, sin(angle) / zoom
    centre = size / 2 + np.clip(rng.normal(0, archive.off_centre, 2), -0.2, 0.2) * size / 2
    start = np.array(mask.shape) / 2 - [c * centre[0] - s * centre[1], s * centre[0] + c * centre[1]]
    how = ((size, size), Image.Transform.AFFINE, (c, -s, start[0], s, c, start[1]))
    colours = Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))
    picture = colours.transform(*how, Image.Resampling.BILINEAR)
    return picture, np.asarray(Image.fromarray(mask.view(np.uint8)).transform(*how)) > 0


def nudged(image: np.ndarray, pixels: int) -> np.ndarray:
    """The image (n, n) or (n, n, 3) moved down and right by `pixels`, of either sign, its edge repeated."""
    rows = np.clip(np.arange(len(image)) - pixels, 0, len(image) - 1)
    return image[rows][:, rows]


def _light(archive: Archive, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Gains of lamp and camera (size, size, 3); what the disc lets through (size, size), None without."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    slope, dark_rim = 0.05 * (x * cos(turn) + y * sin(turn)), rng.uniform(0, 0.12) * (x * x + y * y)
    lamp = rng.uniform(0.93, 1.07) * (1 + slope - dark_rim)
    cast = np.array(archive.cast, np.float32) * rng.normal(1, 0.02, 3).astype(np.float32)
    gains = lamp[..., None] * cast
    if rng.random() >= archive.disc:
        return gains, None
    return gains, np.clip((rng.uniform(0.92, 1.2) - np.hypot(x, y)) * size / 4, 0.02, 1)
