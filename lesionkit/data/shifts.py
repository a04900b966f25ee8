"""Shifts that are known to set dermoscopy archives apart, drawn on images whose truth is known: a colour cast, exposure, the
black frame of a dermatoscope, zoom, framing, blur, JPEG, hair, a ruler.

They stand in for an archive that nobody may look at: how a model bears them on validation can choose among models.
Their severities go beyond what training draws. Some training draws itself (hair by the same drawing): such a change is judged
by the other shifts (`evidence.robustness.decide`).
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from lesionkit.data import phantom_artefacts

SEVERITIES = (1, 2, 3)
TOGETHER = 3  # shifts of an image in `several`
Shift = Callable[[Image.Image, int, np.random.Generator], Image.Image]


def shifted(image: Image.Image, name: str, severity: int, rng: np.random.Generator) -> Image.Image:
    """A square RGB image under the shift `name` of SHIFTS at a severity of SEVERITIES; same size. The image is left as it is."""
    return SHIFTS[name](image, severity, rng)


def several(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A square RGB image under TOGETHER shifts that chance has chosen, each of any severity: an archive differs in several ways at once."""
    chosen = rng.choice(len(SHIFTS), TOGETHER, replace=False)
    for at in sorted(chosen):
        image = shifted(image, list(SHIFTS)[at], int(rng.choice(SEVERITIES)), rng)
    return image


def colour_cast(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Another white balance: red and blue multiplied by up to 1.15, 1.3, 1.5 or divided by it, along a random direction."""
    angle, strength = rng.uniform(0, 2 * np.pi), np.log((1.15, 1.3, 1.5)[severity - 1])
    gains = np.exp(strength * np.array([np.cos(angle), 0.3 * np.sin(2 * angle), np.sin(angle)]))
    return _as_image(np.asarray(image) * gains)


def exposure(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Darker or brighter by a gamma of up to 1.3, 1.7, 2.2 or its inverse."""
    gamma = (1.3, 1.7, 2.2)[severity - 1] ** rng.choice([-1, 1])
    return _as_image(255 * (np.asarray(image) / 255) ** gamma)


def frame(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """A bright disc in black: its radius is 1.15, 1.0 or 0.85 of half the side, its centre up to 5 % off."""
    width, height = image.size
    y, x = np.mgrid[:height, :width] + 0.5
    centre = np.array([width, height]) / 2 + rng.uniform(-0.05, 0.05, 2) * width
    radius = (1.15, 1.0, 0.85)[severity - 1] * width / 2
    inside = np.clip(radius - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)[..., None]  # a pixel's edge
    return _as_image(np.asarray(image) * inside + rng.uniform(0, 8) * (1 - inside))


def zoom_in(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """The central 0.8, 0.65 or 0.5 of each side."""
    share = (0.8, 0.65, 0.5)[severity - 1]
    left, upper = (side * (1 - share) / 2 for side in image.size)
    return image.resize(image.size, Image.Resampling.BICUBIC, (left, upper, image.width - left, image.height - upper))


def zoom_out(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Seen from further away, 0.85, 0.7 or 0.55 of the side; what is around is the mirrored edge."""
    share = (0.85, 0.7, 0.55)[severity - 1]
    small = image.resize([max(1, round(side * share)) for side in image.size], Image.Resampling.BOX)
    missing = [(whole - part) for whole, part in zip(image.size, small.size)]
    (left, upper), (right, lower) = [m // 2 for m in missing], [m - m // 2 for m in missing]
    return Image.fromarray(np.pad(np.asarray(small), ((upper, lower), (left, right), (0, 0)), "symmetric"))


def off_centre(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """The lesion moved by 0.1, 0.2 or 0.3 of the side in a random direction; what comes in is the mirrored edge."""
    angle, far = rng.uniform(0, 2 * np.pi), (0.1, 0.2, 0.3)[severity - 1]
    moves = [round(far * side * part) for side, part in zip(image.size[::-1], (np.sin(angle), np.cos(angle)))]
    pads = [(max(m, 0), max(-m, 0)) for m in moves]
    padded = np.pad(np.asarray(image), (*pads, (0, 0)), "symmetric")
    (down, up), (right, left) = pads
    return Image.fromarray(np.ascontiguousarray(padded[up : up + image.height, left : left + image.width]))


def blur(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Out of focus: a Gaussian of 0.6, 1.2 or 2 % of the side."""
    return image.filter(ImageFilter.GaussianBlur((0.006, 0.012, 0.02)[severity - 1] * image.width))


def jpeg(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Saved as JPEG of quality 40, 20 or 8."""
    file = io.BytesIO()
    image.save(file, "jpeg", quality=(40, 20, 8)[severity - 1])
    return Image.open(file).convert("RGB")


def hair(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Dark hairs, as many as one, two or four phantoms have."""
    for _ in range((1, 2, 4)[severity - 1]):
        image, _ = phantom_artefacts.hairs(image, rng)
    return image


def ruler(image: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """A millimetre scale at one, two or three edges."""
    for turn in range(severity):
        image = phantom_artefacts.ruler(image.rotate(90 * turn), rng)[0].rotate(-90 * turn)
    return image


SHIFTS: dict[str, Shift] = {  # from the skin to the file
    "hair": hair, "ruler": ruler, "zoom in": zoom_in, "zoom out": zoom_out, "off centre": off_centre,
    "colour cast": colour_cast, "exposure": exposure, "frame": frame, "blur": blur, "jpeg": jpeg,
}  # fmt: skip


def _as_image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
