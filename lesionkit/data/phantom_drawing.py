"""Draws synthetic dermoscopy: a lesion from its parameters, and pictures of it as an archive would take them.

Parameters are drawn first and then applied: `draw_lesion` says what a lesion is, `paint` puts it on a canvas
larger than the frame, and `photograph` takes one picture of that canvas. Coordinates are in half frames: the
frame of an unzoomed picture reaches from -1 to 1. Colours are RGB, 0 to 255, in float32 until the last step.
"""

from dataclasses import dataclass
from math import cos, sin
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lesionkit.data.phantom_structures import STRUCTURES, Canvas, blend, noise

MARGIN = 1.6  # canvas over frame: room for the largest rotation, shift and zoom of a view
BORROWED = 0.13  # chance that a lesion takes its colour, its border or its structures from another class


@dataclass(frozen=True)
class Look:
    """What a class looks like; a pair is the range that a lesion's value is drawn from."""

    tints: tuple[tuple[int, int, int], ...]  # colours mixed over the lesion
    opacity: tuple[float, float]  # 0 skin shows through, 1 covers it
    radius: tuple[float, float]  # half frames
    rough: tuple[float, float]  # irregularity of the border, relative to the radius
    edge: tuple[float, float]  # width of the border's fade, half frames
    uneven: tuple[float, float]  # 0 symmetric colours, 1 they change from side to side
    structures: dict[str, float]  # how often each is present


LOOKS = {
    "akiec": Look(
        ((205, 122, 108), (186, 104, 92), (196, 138, 112)),
        opacity=(0.45, 0.8),
        radius=(0.38, 0.68),
        rough=(0.06, 0.16),
        edge=(0.12, 0.3),
        uneven=(0.2, 0.7),
        structures={"strawberry": 0.65, "scale": 0.6, "dots": 0.3, "vessels": 0.1},
    ),
    "bcc": Look(
        ((212, 142, 128), (196, 120, 116), (176, 118, 104)),
        opacity=(0.4, 0.8),
        radius=(0.34, 0.62),
        rough=(0.05, 0.14),
        edge=(0.06, 0.2),
        uneven=(0.2, 0.7),
        structures={"nests": 0.7, "vessels": 0.65, "scale": 0.2, "blotch": 0.1},
    ),
    "bkl": Look(
        ((176, 126, 78), (142, 96, 60), (190, 146, 98)),
        opacity=(0.65, 0.95),
        radius=(0.36, 0.7),
        rough=(0.05, 0.15),
        edge=(0.02, 0.07),
        uneven=(0.2, 0.7),
        structures={"cysts": 0.65, "pores": 0.5, "ridges": 0.35, "network": 0.15},
    ),
    "df": Look(
        ((176, 122, 92), (158, 104, 82), (196, 140, 116)),
        opacity=(0.5, 0.85),
        radius=(0.28, 0.5),
        rough=(0.03, 0.09),
        edge=(0.1, 0.26),
        uneven=(0.0, 0.3),
        structures={"ring": 0.7, "scar": 0.7, "network": 0.3, "dots": 0.1},
    ),
    "mel": Look(
        ((74, 48, 40), (128, 84, 60), (48, 36, 38), (110, 84, 88)),
        opacity=(0.7, 0.98),
        radius=(0.4, 0.74),
        rough=(0.09, 0.22),
        edge=(0.03, 0.14),
        uneven=(0.5, 1.0),
        structures={"veil": 0.55, "blotch": 0.5, "regression": 0.4, "network": 0.4, "dots": 0.3},
    ),
    "nv": Look(
        ((138, 92, 64), (112, 72, 50), (164, 112, 78)),
        opacity=(0.55, 0.95),
        radius=(0.3, 0.66),
        rough=(0.02, 0.1),
        edge=(0.05, 0.2),
        uneven=(0.0, 0.5),
        structures={"network": 0.65, "dots": 0.3, "blotch": 0.15, "ring": 0.08},
    ),
    "vasc": Look(
        ((172, 58, 66), (138, 44, 70), (190, 92, 88)),
        opacity=(0.55, 0.9),
        radius=(0.26, 0.56),
        rough=(0.03, 0.12),
        edge=(0.03, 0.12),
        uneven=(0.0, 0.5),
        structures={"lacunae": 0.8, "veil": 0.1, "vessels": 0.1},
    ),
}


@dataclass(frozen=True)
class Lesion:
    """One lesion's parameters, in the units of `Look`."""

    tints: tuple[tuple[int, int, int], ...]
    opacity: float
    radius: float
    rough: float
    edge: float
    uneven: float
    structures: tuple[str, ...]
    skin: tuple[float, float, float]


def draw_lesion(dx: str, rng: np.random.Generator) -> Lesion:
    """Parameters of one lesion of class `dx`; classes overlap: a part of its look may be another class's."""

    def look() -> Look:
        return LOOKS[rng.choice(list(LOOKS)) if rng.random() < BORROWED else dx]

    colour, border, inside = look(), look(), look()
    tints = rng.permutation(np.array(colour.tints))[: rng.integers(2, len(colour.tints) + 1)]
    tints = tints + rng.normal(0, 6, 3)
    present = tuple(name for name, often in inside.structures.items() if rng.random() < often)
    skin = np.array([222, 176, 150]) * rng.uniform(0.86, 1.06) + rng.normal(0, 5, 3)
    return Lesion(
        tuple(map(tuple, tints)),
        rng.uniform(*colour.opacity),
        rng.uniform(*border.radius),
        rng.uniform(*border.rough),
        rng.uniform(*border.edge),
        rng.uniform(*border.uneven),
        present,
        tuple(skin),
    )


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
    quality: int  # JPEG


ARCHIVES = {
    "HAM": Archive((0.92, 1.1), (1.03, 0.97, 0.93), 1.0, 0.04, (0.2, 0.6), 0.02, 0.15, 0.03, 92),
    "BCN": Archive((0.7, 1.15), (0.98, 0.92, 1.01), 0.94, 0.1, (0.2, 1.0), 0.6, 0.25, 0.05, 88),
    "MSK": Archive((0.8, 1.35), (0.97, 1.0, 0.96), 1.08, 0.1, (0.2, 0.8), 0.15, 0.35, 0.35, 85),
}


def paint(lesion: Lesion, archive: Archive, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The lesion on skin: colours float32 (n, n, 3), its exact mask bool (n, n); n = `MARGIN` × `size`."""
    n = int(np.ceil(MARGIN * size))
    reach = np.float32(MARGIN / rng.uniform(*archive.scale))
    y, x = np.meshgrid(*[np.linspace(-reach, reach, n, dtype=np.float32)] * 2, indexing="ij")
    theta, r = np.arctan2(y, x), np.hypot(x, y)
    border = _border(lesion, theta, rng)
    depth = border - r  # positive inside
    ragged = depth + 0.25 * lesion.edge * noise(rng, n, 24)
    fade = 1 / (1 + np.exp(-np.clip(4 * ragged / lesion.edge, -30, 30)))
    canvas = Canvas(x, y, r / border, depth, fade, lesion.radius, n / (2 * reach))

    texture = noise(rng, n, 5) + 0.6 * noise(rng, n, 30) + 0.6 * noise(rng, n, 70)
    skin = np.array(lesion.skin, np.float32) + np.array([3, 5, 5], np.float32) * texture[..., None]
    rgb = blend(skin, _mixed_tints(lesion, canvas, n, rng), lesion.opacity * fade)
    for name in lesion.structures:
        rgb = STRUCTURES[name](rgb, canvas, rng)
    return rgb, depth > 0


def _border(lesion: Lesion, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distance of the border from the centre at the angles `theta` (n, n), half frames: a Fourier series."""
    order = np.arange(2, 10)
    swing = lesion.rough * rng.normal(0, 1, order.size) / order**0.9
    turn = rng.uniform(0, 2 * np.pi, order.size)
    angles = np.linspace(-np.pi, np.pi, 361)
    wave = np.clip(1 + swing @ np.cos(order[:, None] * angles + turn[:, None]), 0.45, 1.6)
    return (lesion.radius * np.interp(theta, angles, wave)).astype(np.float32)


def _mixed_tints(lesion: Lesion, canvas: Canvas, n: int, rng: np.random.Generator) -> np.ndarray:
    """Colours (n, n, 3); each further tint takes a part of the lesion: a side where uneven, else the rim."""
    tints = np.array(lesion.tints, np.float32)
    rgb = np.broadcast_to(tints[0], (n, n, 3))
    for tint in tints[1:]:
        turn = rng.uniform(0, 2 * np.pi)
        side = (canvas.x * cos(turn) + canvas.y * sin(turn)) / lesion.radius
        rim = 1.6 * canvas.rho - 1.0
        where = lesion.uneven * 1.5 * side + (1 - lesion.uneven) * rim
        patchy = (0.3 + 0.5 * lesion.uneven) * noise(rng, n, 9)
        rgb = blend(rgb, tint, np.clip(0.5 + where + patchy, 0, 1))
    return rgb + 5 * noise(rng, n, 40)[..., None]


def photograph(
    rgb: np.ndarray, mask: np.ndarray, archive: Archive, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One view of a painted canvas: a picture uint8 (size, size, 3) and its mask bool (size, size)."""
    picture, seen = _turned(rgb, mask, archive, size, rng)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*archive.blur) * size / 96))
    if rng.random() < archive.hairs:
        picture = _hairs(picture, rng)
    if rng.random() < archive.ruler:
        picture = _ruler(picture, rng)
    light, bright = _light(archive, size, rng)
    values = ((np.asarray(picture, np.float32) - 140) * archive.contrast + 140) * light
    if bright is not None:
        values, seen = values * bright[..., None], seen & (bright > 0.5)
    values = values + rng.normal(0, 2.5, (size, size, 1)).astype(np.float32)
    return np.clip(values, 0, 255).astype(np.uint8), seen


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


def _overlay(picture: Image.Image, strokes: list[tuple[Any, int]], colour: tuple[int, int, int]) -> Image.Image:
    """The picture with lines (points, width) drawn at twice its resolution, so that thin ones stay thin."""
    stencil = Image.new("L", (2 * picture.width, 2 * picture.height))
    pen = ImageDraw.Draw(stencil)
    for points, width in strokes:
        pen.line([tuple(2 * float(v) for v in point) for point in points], fill=235, width=width)
    picture = picture.copy()
    picture.paste(colour, mask=stencil.resize(picture.size, Image.Resampling.BOX))
    return picture


def _hairs(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Two to nine dark curved hairs, most of them in one direction."""
    t, way = np.linspace(-1, 1, 12), rng.uniform(0, np.pi)
    strokes = []
    for _ in range(rng.integers(2, 10)):
        turn, bend = way + rng.normal(0, 0.4), rng.normal(0, 0.25)
        along, across = t * rng.uniform(0.4, 1.3), bend * t**2 + rng.uniform(-0.9, 0.9)
        x, y = along * cos(turn) - across * sin(turn), along * sin(turn) + across * cos(turn)
        strokes.append(((np.stack([x, y], 1) + 1) * picture.width / 2, int(rng.integers(1, 4))))
    return _overlay(picture, strokes, (48, 34, 30))


def _ruler(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A millimetre scale along the lower or the right edge."""
    size, step = picture.width, picture.width * rng.uniform(0.05, 0.08)
    ticks = np.arange(step / 2, size, step)
    base = size * rng.uniform(0.9, 0.97)
    long = [0.09 if k % 5 == 0 else 0.045 for k in range(len(ticks))]
    strokes = [([(at, base), (at, base - size * part)], 2) for at, part in zip(ticks, long)]
    strokes.append(([(0, base), (size, base)], 2))
    if rng.random() < 0.5:
        strokes = [([(b, a) for a, b in points], width) for points, width in strokes]
    return _overlay(picture, strokes, (36, 34, 36))
