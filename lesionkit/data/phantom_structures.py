"""Dermoscopic structures of the phantoms: each function takes a painted canvas (n, n, 3) and adds to a copy.

`STRUCTURES` names them all; a new one is a function and a name there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


@dataclass(frozen=True)
class Canvas:
    """Where the lesion lies; arrays are float32 (n, n), lengths in half frames."""

    x: np.ndarray
    y: np.ndarray
    rho: np.ndarray  # 0 at the centre, 1 on the border
    depth: np.ndarray  # distance to the border along the radius, positive inside
    fade: np.ndarray  # 0 on skin, 1 inside
    radius: float  # mean radius
    per_unit: float  # pixels in a half frame


def noise(rng: np.random.Generator, n: int, cells: int) -> np.ndarray:
    """Smooth noise, float32 (n, n), about standard normal, with about `cells` bumps from side to side."""
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((n, n), Image.Resampling.BICUBIC))


def blend(rgb: np.ndarray, colour: np.ndarray | tuple[int, int, int], amount: np.ndarray) -> np.ndarray:
    """`rgb` (n, n, 3) moved towards `colour` ((3,) or (n, n, 3)) by `amount` (n, n), 0 to 1."""
    out = np.asarray(colour, np.float32) - rgb  # in steps: a third fewer passes over memory
    out *= amount[..., None]
    out += rgb
    return out


def _around(colour: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    return np.array(colour, np.float32) + rng.normal(0, 8, 3).astype(np.float32)


def _ramp(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 1)


def _honeycomb(canvas: Canvas, cell: float, rng: np.random.Generator) -> np.ndarray:
    """A warped hexagonal lattice (n, n), cells `cell` half frames wide: 3 in a middle, -1.5 between."""
    n, turn = canvas.x.shape[0], rng.uniform(0, np.pi)
    x, y = canvas.x + 0.2 * cell * noise(rng, n, 14), canvas.y + 0.2 * cell * noise(rng, n, 14)
    k = 4 * np.pi / (3**0.5 * cell)
    ways = turn + np.arange(3) * 2 * np.pi / 3
    return sum(np.cos(k * (x * cos(a) + y * sin(a))) for a in ways)


def _spots(
    canvas: Canvas,
    count: int,
    size: tuple[float, float],
    rng: np.random.Generator,
    spread: float = 0.85,
    stretch: float = 1.0,
    soft: float = 0.7,
) -> np.ndarray:
    """Ellipses (n, n), 0 to 1, scattered over the lesion: `size` is the range of radii, half frames."""
    n = canvas.x.shape[0]
    stencil = Image.new("L", (n, n))
    pen = ImageDraw.Draw(stencil)
    r, a = spread * canvas.radius * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    centres = n / 2 + canvas.per_unit * np.stack([r * np.cos(a), r * np.sin(a)], 1)
    radii = canvas.per_unit * rng.uniform(*size, (count, 1)) * rng.uniform(1, stretch, (count, 2))
    for low, high in zip(centres - radii, centres + radii):
        pen.ellipse([*low, *high], fill=255)
    return np.asarray(stencil.filter(ImageFilter.GaussianBlur(soft)), np.float32) / 255


def _network(rgb, canvas, rng):
    """Pigment network: dark lines around light holes, fading towards the border."""
    lines = _ramp((0.9 - _honeycomb(canvas, rng.uniform(0.13, 0.2), rng)) / 1.6)
    fade = _ramp(canvas.fade * (1.35 - canvas.rho**2)) * _ramp(0.75 + 0.4 * noise(rng, rgb.shape[0], 5))
    return blend(rgb, _around((70, 44, 32), rng), rng.uniform(0.3, 0.65) * lines * fade)


def _dots(rgb, canvas, rng):
    """Brown dots and globules."""
    spots = _spots(canvas, rng.integers(8, 30), (0.02, 0.05), rng)
    return blend(rgb, _around((72, 46, 36), rng), rng.uniform(0.5, 0.85) * spots)


def _blotch(rgb, canvas, rng):
    """One to three black-brown structureless areas, off the centre."""
    spots = _spots(canvas, rng.integers(1, 4), (0.1, 0.24), rng, 0.7, 1.4, 2.5)
    return blend(rgb, _around((38, 28, 28), rng), rng.uniform(0.55, 0.9) * spots * canvas.fade)


def _veil(rgb, canvas, rng):
    """A blue-whitish veil over a part of the lesion."""
    spots = _spots(canvas, rng.integers(1, 3), (0.16, 0.34), rng, 0.6, 1.4, 4.0)
    return blend(rgb, _around((104, 112, 138), rng), rng.uniform(0.45, 0.8) * spots * canvas.fade)


def _regression(rgb, canvas, rng):
    """White, scar-like areas with blue-grey peppering."""
    spots = _spots(canvas, rng.integers(1, 4), (0.1, 0.22), rng, 0.7, 1.5, 3.0) * canvas.fade
    rgb = blend(rgb, _around((214, 196, 190), rng), rng.uniform(0.5, 0.8) * spots)
    return blend(rgb, (96, 98, 112), 0.5 * spots * _ramp(noise(rng, rgb.shape[0], 60) - 0.6))


def _nests(rgb, canvas, rng):
    """Blue-grey ovoid nests."""
    spots = _spots(canvas, rng.integers(3, 10), (0.045, 0.11), rng, 0.8, 1.6, 1.2)
    return blend(rgb, _around((92, 88, 108), rng), rng.uniform(0.55, 0.85) * spots)


def _vessels(rgb, canvas, rng):
    """Arborising vessels: red trunks that branch and thin out across the lesion."""
    n = rgb.shape[0]
    stencil = Image.new("L", (2 * n, 2 * n))
    pen = ImageDraw.Draw(stencil)
    reach, unit = canvas.radius, 2 * canvas.per_unit
    trunks = rng.integers(2, 5)
    limbs = [(rng.uniform(-0.8, 0.8, 2) * reach, rng.uniform(0, 2 * np.pi), 5) for _ in range(trunks)]
    for at, way, width in limbs:  # grows while it is walked: a branch is appended by its trunk
        for _ in range(9):
            new, way = at + 0.16 * reach * np.array([cos(way), sin(way)]), way + rng.normal(0, 0.35)
            pen.line([*(n + unit * at), *(n + unit * new)], fill=255, width=width)
            at = new
            if width > 2 and rng.random() < 0.4:
                limbs.append((at, way + rng.choice([-0.8, 0.8]), width - 1 - (width > 4)))
    lines = np.asarray(stencil.resize((n, n), Image.Resampling.BOX), np.float32) / 255
    return blend(rgb, _around((168, 44, 52), rng), rng.uniform(0.5, 0.85) * lines * _ramp(1.4 * canvas.fade))


def _cysts(rgb, canvas, rng):
    """Milia-like cysts: small bright white-yellow dots."""
    spots = _spots(canvas, rng.integers(5, 18), (0.02, 0.055), rng)
    return blend(rgb, _around((240, 224, 186), rng), rng.uniform(0.55, 0.9) * spots)


def _pores(rgb, canvas, rng):
    """Comedo-like openings: dark brown plugs with a sharp edge."""
    spots = _spots(canvas, rng.integers(4, 14), (0.025, 0.065), rng, 0.85, 1.5, 0.5)
    return blend(rgb, _around((66, 44, 30), rng), rng.uniform(0.6, 0.9) * spots)


def _ridges(rgb, canvas, rng):
    """Fissures and ridges: winding parallel lines, as on a brain."""
    n, turn = rgb.shape[0], rng.uniform(0, np.pi)
    along = canvas.x * cos(turn) + canvas.y * sin(turn)
    phase = 2 * np.pi / rng.uniform(0.15, 0.24) * along + 1.3 * noise(rng, n, 10)
    lines = _ramp(1.6 * np.sin(phase) - 0.3)
    return blend(rgb, _around((92, 62, 40), rng), rng.uniform(0.3, 0.6) * lines * canvas.fade)


def _strawberry(rgb, canvas, rng):
    """Strawberry pattern: a red pseudo-network around white-yellow follicles."""
    cells = _honeycomb(canvas, rng.uniform(0.19, 0.28), rng)
    net = _ramp((0.8 - cells) / 1.6)
    rgb = blend(rgb, _around((186, 70, 66), rng), rng.uniform(0.3, 0.6) * net * canvas.fade)
    follicles = _ramp(cells - 1.2)
    return blend(rgb, _around((240, 216, 190), rng), rng.uniform(0.4, 0.75) * follicles * canvas.fade)


def _scale(rgb, canvas, rng):
    """White-yellow surface scale in flakes."""
    n = rgb.shape[0]
    flakes = _ramp(1.6 * (noise(rng, n, 22) + 0.6 * noise(rng, n, 9) - 0.75)) * canvas.fade
    return blend(rgb, _around((238, 222, 202), rng), rng.uniform(0.5, 0.85) * flakes)


def _scar(rgb, canvas, rng):
    """A central white, scar-like patch."""
    n, width = rgb.shape[0], rng.uniform(0.3, 0.6)
    patch = _ramp(2.2 * (width - canvas.rho) / width + 0.3 * noise(rng, n, 16)) * canvas.fade
    return blend(rgb, _around((230, 208, 196), rng), rng.uniform(0.5, 0.85) * patch)


def _ring(rgb, canvas, rng):
    """A peripheral brown ring of delicate network."""
    band = np.exp(-(((canvas.rho - rng.uniform(0.7, 0.85)) / rng.uniform(0.14, 0.22)) ** 2))
    lines = 0.5 + 0.5 * _ramp((0.9 - _honeycomb(canvas, rng.uniform(0.11, 0.16), rng)) / 1.6)
    return blend(rgb, _around((116, 74, 54), rng), rng.uniform(0.4, 0.75) * band * lines)


def _lacunae(rgb, canvas, rng):
    """Round red to purple, at times black, lagoons set close together."""
    for colour in ((150, 24, 40), (104, 22, 58), (64, 16, 34))[: rng.integers(2, 4)]:
        spots = _spots(canvas, rng.integers(4, 12), (0.05, 0.12), rng, 0.85, 1.3, 1.0)
        rgb = blend(rgb, _around(colour, rng), rng.uniform(0.5, 0.85) * spots * _ramp(1.3 * canvas.fade))
    return rgb


Structure = Callable[[np.ndarray, Canvas, np.random.Generator], np.ndarray]
STRUCTURES: dict[str, Structure] = {
    "network": _network,
    "dots": _dots,
    "blotch": _blotch,
    "veil": _veil,
    "regression": _regression,
    "nests": _nests,
    "vessels": _vessels,
    "cysts": _cysts,
    "pores": _pores,
    "ridges": _ridges,
    "strawberry": _strawberry,
    "scale": _scale,
    "scar": _scar,
    "ring": _ring,
    "lacunae": _lacunae,
}
