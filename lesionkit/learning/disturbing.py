"""What other archives do to an image, drawn in training: colours of other cameras and lamps, the black frame of a dermatoscope,
hair, blur, the amplitudes of another image's spectrum.

Each function takes images (n, 3, s, s) in [0, 1], uniform random numbers (n, k), and how strongly or how often; it returns new
images in [0, 1]. A row of random numbers is one image's, so that an epoch can be made again.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lesionkit.data import phantom_artefacts

BAND = 0.06  # of the spectrum's side, either way: the lowest frequencies, which hold colour and light
HAIRS = 64  # drawings of hair, each seen in eight ways
# Björn Ottosson, A perceptual color space for image processing (2020): linear RGB to cone responses, these to Oklab
_CONES = torch.tensor([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                       [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
_OKLAB = torch.tensor([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                       [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip


@dataclass(frozen=True)
class Disturbances:
    """How strongly (oklab) and to which share of the training images (the others) each is done. Fields as in `Study`."""

    fourier: float = 0.0
    oklab: float = 0.0
    hair: float = 0.0
    blur: float = 0.0
    discs: float = 0.0

    @property
    def any(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def draw(n: int, generator: torch.Generator) -> Tensor:
    """The random numbers (n, K) of `disturb` for n images."""
    return torch.rand(n, sum(COUNTS.values()), generator=generator)


def disturb(x: Tensor, u: Tensor, how: Disturbances, partner: Tensor | None = None) -> Tensor:
    """Images (n, 3, s, s) in [0, 1] with all that `how` asks for. partner (n,): whose spectrum each is mixed with."""
    drawn = dict(zip(COUNTS, u.split(list(COUNTS.values()), 1)))
    if how.fourier:
        x = fourier(x, drawn["fourier"], how.fourier, partner)
    for name, change in (("oklab", oklab), ("hair", hair), ("blur", blur), ("discs", discs)):
        if strength := getattr(how, name):
            x = change(x, drawn[name], strength)
    return x


COUNTS = {"fourier": 2, "oklab": 6, "hair": 3, "blur": 2, "discs": 6}  # of random numbers an image


def oklab(x: Tensor, u: Tensor, strength: float) -> Tensor:
    """Lightness, its contrast and gamma, chroma, and a colour cast, each changed in Oklab, where equal steps look equally large.

    strength 1: lightness to the power of 2^±1 and times 1 ± 0.3, chroma times 2^±1, a cast of ± 0.08 in a and b, hue turned
    by ± 30°. (The cast of a lamp of 2,900 K in place of daylight is about 0.08.)
    """
    s = strength * (2 * u - 1)[:, :, None, None]  # (n, 6, 1, 1), each in ± strength
    light, a, b = to_oklab(x).unbind(1)
    light = light.clamp(min=1e-4) ** (2 ** s[:, 0]) * (1 + 0.3 * s[:, 1])
    chroma, turn = 2 ** s[:, 2], s[:, 3] * (torch.pi / 6)
    a, b = chroma * (a * turn.cos() - b * turn.sin()), chroma * (a * turn.sin() + b * turn.cos())
    return from_oklab(torch.stack([light, a + 0.08 * s[:, 4], b + 0.08 * s[:, 5]], 1)).clamp(0, 1)


def to_oklab(x: Tensor) -> Tensor:
    """sRGB (n, 3, h, w) in [0, 1] as Oklab: lightness in [0, 1], a and b within ± 0.4 (Ottosson 2020)."""
    linear = torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    cones = torch.einsum("ij,njhw->nihw", _CONES.to(x.device), linear)
    return torch.einsum("ij,njhw->nihw", _OKLAB.to(x.device), cones.clamp(min=0) ** (1 / 3))


def from_oklab(lab: Tensor) -> Tensor:
    """Oklab (n, 3, h, w) as sRGB; what sRGB cannot show lies outside [0, 1]."""
    cones = torch.einsum("ij,njhw->nihw", _OKLAB.inverse().to(lab.device), lab) ** 3
    linear = torch.einsum("ij,njhw->nihw", _CONES.inverse().to(lab.device), cones)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def fourier(x: Tensor, u: Tensor, share: float, partner: Tensor) -> Tensor:
    """Of a share of the images, the amplitudes of the lowest frequencies are mixed with those of image `partner` (n,), as much as
    chance says; phases, which hold the shapes, stay (Xu et al., A Fourier-based Framework for Domain Generalization, CVPR 2021).
    """
    side, low = x.shape[-1], max(1, round(BAND * x.shape[-1]))
    spectrum = torch.fft.rfft2(x)
    amplitude = spectrum.abs()
    band = torch.zeros(side, side // 2 + 1, device=x.device)
    band[: low + 1, : low + 1] = band[-low:, : low + 1] = 1
    mixed = u[:, 1] * (u[:, 0] < share)  # (n,)
    weight = mixed[:, None, None, None] * band
    return torch.fft.irfft2(torch.polar(torch.lerp(amplitude, amplitude[partner], weight), spectrum.angle()), s=(side, side)).clamp(0, 1)


def hair(x: Tensor, u: Tensor, share: float) -> Tensor:
    """Dark hairs on a share of the images."""
    bank = _hairs(x.shape[-1]).to(x.device)
    cover = bank[(u[:, 1] * len(bank)).long()][:, None] * (u[:, 0] < share)[:, None, None, None]  # (n, 1, s, s)
    return x * (1 - cover * (0.6 + 0.4 * u[:, 2, None, None, None]))


def _hairs(size: int) -> Tensor:
    """How much hair covers each pixel, (8 HAIRS, size, size) in [0, 1]: drawings, turned and mirrored."""
    if size not in _DRAWN:
        rng, white = np.random.default_rng(0), Image.new("RGB", (size, size), "white")
        drawn = [np.asarray(phantom_artefacts.hairs(white, rng)[0].convert("L"), np.float32) for _ in range(HAIRS)]
        cover = 1 - torch.from_numpy(np.stack(drawn)) / 255
        turned = [cover.rot90(k, (1, 2)) for k in range(4)]
        _DRAWN[size] = torch.cat([*turned, *(one.flip(2) for one in turned)])
    return _DRAWN[size]


_DRAWN: dict[int, Tensor] = {}


def blur(x: Tensor, u: Tensor, share: float) -> Tensor:
    """A Gaussian blur of a share of the images; its standard deviation is 0.5 to 2 % of the side."""
    sigma = (0.005 + 0.015 * u[:, 1]) * x.shape[-1]
    radius = max(1, round(0.05 * x.shape[-1]))
    steps = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.exp(-0.5 * (steps / sigma[:, None]) ** 2)
    kernel = torch.where(u[:, :1] < share, kernel / kernel.sum(1, keepdim=True), (steps == 0).float())  # (n, k)
    kernel = kernel.repeat_interleave(3, 0)[:, None]  # a channel each
    flat = F.pad(x.reshape(1, -1, *x.shape[2:]), [radius] * 4, "reflect")
    flat = F.conv2d(F.conv2d(flat, kernel[..., None, :], groups=len(kernel)), kernel[..., None], groups=len(kernel))
    return flat.view_as(x)


def discs(x: Tensor, u: Tensor, share: float) -> Tensor:
    """A share of the images in the round field of a dermatoscope: radius 0.8 to 1.3 of half the side, off the centre by up to a
    tenth, its edge sharp or soft, and nearly black around.
    """
    line = torch.linspace(-1, 1, x.shape[-1], device=x.device)
    part = lambda k, low, high: (low + (high - low) * u[:, k])[:, None, None]  # noqa: E731
    stretch = part(4, -0.2, 0.2).exp()  # a 4:3 frame that was squashed shows an ellipse
    away = ((line - part(2, -0.1, 0.1)) ** 2 * stretch + (line[:, None] - part(3, -0.1, 0.1)) ** 2 / stretch).sqrt()
    inside = torch.sigmoid((part(1, 0.8, 1.3) - away) * part(5, 10, 80))
    inside = torch.where((u[:, 0] < share)[:, None, None], inside, torch.ones_like(inside))[:, None]
    return x * inside
