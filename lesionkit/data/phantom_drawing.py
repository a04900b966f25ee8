"""Draws synthetic dermoscopy: a lesion from its parameters, on a canvas larger than the frame of a photograph.

Parameters are drawn first and then applied: `draw_lesion` says what a lesion is, `paint` puts it on the canvas, and
`phantom_photographs` takes pictures of it. Coordinates are in half frames: the frame of an unzoomed picture reaches
from -1 to 1. Colours are RGB, 0 to 255, in float32.
"""

from dataclasses import dataclass
from math import cos, sin

import numpy as np

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


def paint(
    lesion: Lesion, scale: tuple[float, float], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The lesion on skin: colours float32 (n, n, 3), its exact mask bool (n, n); n = `MARGIN` × `size`."""
    n = int(np.ceil(MARGIN * size))
    reach = np.float32(MARGIN / rng.uniform(*scale))
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
