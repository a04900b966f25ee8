"""An image file as a backbone sees it: training, inference, heat maps and masks all come through here, so that an image looks the
same to a model wherever it meets it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lesionkit.data import constancy
from lesionkit.data.field import frame_box, part

FITS = ("squash", "pad", "crop")
FRAMES = ("keep", "crop")
COLOURS = ("keep", "shades_of_grey")
REMEDY = "fetch the file again, or remove it together with its row"


class Input(NamedTuple):
    """How an image file becomes what a backbone sees: the arguments of `decode`, and a part of a store's name."""

    size: int  # px
    fit: str = "squash"
    frame: str = "keep"
    colours: str = "keep"

    @classmethod
    def of(cls, settings: Any) -> "Input":
        """Of a Study, or of the settings that a model's config.json holds; one made before a setting was there keeps its meaning."""
        known = settings if isinstance(settings, Mapping) else vars(settings)
        return cls(**{key: known[key] for key in cls._fields if key in known})


class UnreadableImage(OSError):
    """An image file that is missing, truncated or no image; the message names the file."""


def decode(path: Path, size: int, fit: str = "squash", frame: str = "keep", colours: str = "keep") -> np.ndarray:
    """An image file as uint8 RGB of shape (size, size, 3).

    `frame` "crop" takes the inside of a dermatoscope's black frame first (`field.frame_box`), at full resolution; the crop
    also shows the lesion larger. `fit` brings a frame that is not square to a square: "squash" changes the aspect, "pad"
    adds black bars (black as a dermatoscope's own frame), "crop" keeps the central square. `colours` "shades_of_grey"
    takes the colour of the light away (`constancy.shades_of_grey`). Resampling is always bilinear
    with antialiasing. EXIF orientation is ignored, as torchvision and fastai do: a lesion has no upright
    position, and lesion masks lie on the stored raster. Transparent pixels become black. A JPEG file is
    decoded at once at the smallest of 1/1, 1/2, 1/4 and 1/8 that the resampling need not enlarge: on average
    less than one grey level from the full decoding. Raises UnreadableImage, also for a truncated file.
    """
    check(fit, frame, colours)
    with opened(path) as image:
        if frame == "crop":
            rgb, extent = inside(to_rgb(image)), None
        else:
            drafted = image.draft(None, _inside(*image.size, size) if fit == "pad" else (size, size))
            extent = drafted[1][2:] if drafted else None  # 450 rows at 1/4 lie in 113, but are 112.5
            rgb = to_rgb(image)
        square = to_square(rgb, size, fit, extent)
    return constancy.shades_of_grey(square) if colours == "shades_of_grey" else square


def inside(image: Image.Image) -> Image.Image:
    """An RGB image without the black frame of a dermatoscope."""
    return part(image, frame_box(image))


def check(fit: str, frame: str = "keep", colours: str = "keep") -> None:
    """Raises ValueError for a setting of `decode` that is none."""
    for name, value, known in (("fit", fit, FITS), ("frame", frame, FRAMES), ("colours", colours, COLOURS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image file, open; what fails within the `with` is raised as UnreadableImage."""
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: unreadable image ({error}); {REMEDY}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB; transparent pixels become black."""
    if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("RGB")


def to_square(image: Image.Image, size: int, fit: str, extent: tuple[float, float] | None = None) -> np.ndarray:
    """An RGB image as uint8 (size, size, 3); `fit` as in `decode`.

    `extent` is the width and height of the picture in it, from the upper left, in pixels (default: all of it).
    """
    width, height = extent or image.size
    side, left, top = min(width, height), 0.0, 0.0
    if fit == "crop":
        left, top = (width - side) / 2, (height - side) / 2
        width = height = side
    target = _inside(width, height, size) if fit == "pad" else (size, size)
    box = (left, top, left + width, top + height)
    resized = image.resize(target, Image.Resampling.BILINEAR, box=box, reducing_gap=3)
    if target == (size, size):
        return np.asarray(resized)
    square = Image.new("RGB", (size, size), "black")
    square.paste(resized, (round((size - target[0]) / 2), round((size - target[1]) / 2)))
    return np.asarray(square)


def _inside(width: float, height: float, size: int) -> tuple[int, int]:
    """Width and height of a frame of this aspect that just fits into a square of side `size`."""
    longer = max(width, height)
    return max(round(width / longer * size), 1), max(round(height / longer * size), 1)
