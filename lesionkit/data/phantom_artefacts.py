"""What lies on a phantom's skin and is none: hairs, a ruler, ink of a skin marker.

Each function draws on a copy of the picture and gives with it the exact mask, bool (size, size): every pixel that the
drawing touches.
"""

from math import cos, sin
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Drawn = tuple[Image.Image, np.ndarray]
INKS = ((70, 54, 196), (24, 140, 100))  # violet-blue, and green
SECTORS = 24  # directions in which the lesion's reach is measured


def hairs(picture: Image.Image, rng: np.random.Generator) -> Drawn:
    """Two to nine dark curved hairs, most of them in one direction."""
    t, way = np.linspace(-1, 1, 12), rng.uniform(0, np.pi)
    strokes = []
    for _ in range(rng.integers(2, 10)):
        turn, bend = way + rng.normal(0, 0.4), rng.normal(0, 0.25)
        along, across = t * rng.uniform(0.4, 1.3), bend * t**2 + rng.uniform(-0.9, 0.9)
        x, y = along * cos(turn) - across * sin(turn), along * sin(turn) + across * cos(turn)
        strokes.append(((np.stack([x, y], 1) + 1) * picture.width / 2, int(rng.integers(1, 4))))
    return _lines(picture, strokes, (48, 34, 30))


def ruler(picture: Image.Image, rng: np.random.Generator) -> Drawn:
    """A millimetre scale along the lower or the right edge."""
    size, step = picture.width, picture.width * rng.uniform(0.05, 0.08)
    ticks = np.arange(step / 2, size, step)
    base = size * rng.uniform(0.9, 0.97)
    long = [0.09 if k % 5 == 0 else 0.045 for k in range(len(ticks))]
    strokes = [([(at, base), (at, base - size * part)], 2) for at, part in zip(ticks, long)]
    strokes.append(([(0, base), (size, base)], 2))
    if rng.random() < 0.5:
        strokes = [([(b, a) for a, b in points], width) for points, width in strokes]
    return _lines(picture, strokes, (36, 34, 36))


def ink(picture: Image.Image, lesion: np.ndarray, rng: np.random.Generator) -> Drawn:
    """Dots around the lesion, bool (size, size), or an arc beside it, violet-blue or green; the frame may cut it."""
    centre, reach = _reach(lesion)
    colour = np.array(INKS[int(rng.random() < 0.3)]) + rng.normal(0, 6, 3)
    opaque, width = int(255 * rng.uniform(0.8, 0.95)), picture.width * rng.uniform(0.05, 0.08)
    gap, start = picture.width * rng.uniform(0.05, 0.12), rng.uniform(0, 2 * np.pi)
    stencil = _stencil(picture)
    pen = ImageDraw.Draw(stencil)
    if rng.random() < 0.5:
        angles = start + np.linspace(0, 2 * np.pi, int(rng.integers(3, 9)), endpoint=False)
        for x, y in 2 * _around(centre, angles, reach[_sector(angles)] + gap):
            pen.ellipse([x - width, y - width, x + width, y + width], fill=opaque)
    else:
        angles = start + np.linspace(0, rng.uniform(0.5, 2.0), 24)
        points = 2 * _around(centre, angles, reach[_sector(angles)].max() + gap)
        pen.line([tuple(point) for point in points.tolist()], fill=opaque, width=round(1.4 * width), joint="curve")
    return _pasted(picture, stencil, tuple(np.clip(colour, 0, 255).astype(int).tolist()))


def _reach(lesion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lesion's centre (x, y), and how far it reaches from there in each direction (SECTORS,), in pixels."""
    points = np.argwhere(lesion)[:, ::-1] + 0.5
    centre = points.mean(axis=0)
    x, y = (points - centre).T
    reach = np.zeros(SECTORS)
    np.maximum.at(reach, _sector(np.arctan2(y, x)), np.hypot(x, y))
    return centre, np.maximum(reach, np.maximum(np.roll(reach, 1), np.roll(reach, -1)))


def _sector(angles: np.ndarray) -> np.ndarray:
    return np.floor(angles * SECTORS / (2 * np.pi)).astype(int) % SECTORS


def _around(centre: np.ndarray, angles: np.ndarray, away: np.ndarray | float) -> np.ndarray:
    """Points (k, 2) that lie `away` from the centre at the angles."""
    return centre + (away * np.stack([np.cos(angles), np.sin(angles)])).T


def _lines(picture: Image.Image, strokes: list[tuple[Any, int]], colour: tuple[int, int, int]) -> Drawn:
    """The picture with lines (points, width) on it."""
    stencil = _stencil(picture)
    pen = ImageDraw.Draw(stencil)
    for points, width in strokes:
        pen.line([tuple(2 * float(v) for v in point) for point in points], fill=235, width=width)
    return _pasted(picture, stencil, colour)


def _stencil(picture: Image.Image) -> Image.Image:
    """Room to draw at twice the picture's resolution, so that thin lines stay thin."""
    return Image.new("L", (2 * picture.width, 2 * picture.height))


def _pasted(picture: Image.Image, stencil: Image.Image, colour: tuple[int, int, int]) -> Drawn:
    cover = stencil.resize(picture.size, Image.Resampling.BOX)
    picture = picture.copy()
    picture.paste(colour, mask=cover)
    return picture, np.asarray(cover) > 0
