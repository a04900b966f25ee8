"""JPEG files are decoded at a reduced scale where the target is small; what comes out is as from the full decoding."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from lesionkit.data import decoding
from lesionkit.data.decoding import FITS, decode


def photograph(path, width, height, noise):
    """A JPEG file of smooth waves, a hair of one to two pixels on them, and noise of this standard deviation."""
    y, x = np.mgrid[:height, :width]
    wave = 128 + 80 * np.stack([np.sin(x / 60), np.cos(y / 50), np.sin((x + y) / 70)], -1)
    wave[np.abs(y - height / 2 - 40 * np.sin(x / 90)) < min(noise, 1)] = 20
    wave += np.random.default_rng(0).normal(0, noise, wave.shape) if noise else 0
    Image.fromarray(wave.clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return path


def full_decoding(path, size, fit):
    """The definition of `decode`: the whole file decoded, then one antialiased bilinear resampling."""
    image = Image.open(path).convert("RGB")
    if fit == "pad":
        return np.asarray(ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, color="black"), int)
    side, (width, height) = min(image.size), image.size
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2) if fit == "crop" else None
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box), int)


@pytest.mark.parametrize("noise, bound", [(0, 0.45), (6, 1)])
@pytest.mark.parametrize("size", [64, 96, 224])
@pytest.mark.parametrize("fit", FITS)
def test_a_large_jpeg_looks_as_from_its_full_decoding(tmp_path, fit, size, noise, bound):
    for width, height in ((600, 450), (450, 600), (1022, 767)):
        path = photograph(tmp_path / "a.jpg", width, height, noise)
        assert np.abs(decode(path, size, fit) - full_decoding(path, size, fit)).mean() < bound


@pytest.mark.parametrize("side", [84, 96])
@pytest.mark.parametrize("fit", FITS)
def test_a_jpeg_under_twice_the_size_is_decoded_in_full(tmp_path, fit, side):
    path = photograph(tmp_path / "a.jpg", side, side, 12)
    assert (decode(path, 64, fit) == full_decoding(path, 64, fit)).all()


@pytest.mark.parametrize(
    "fit, size, expected",
    [
        ("squash", 64, (150, 113)),  # a quarter: at an eighth, 57 rows would have to be enlarged
        ("crop", 64, (150, 113)),
        ("pad", 64, (75, 57)),  # an eighth: only 48 rows are wanted
        ("squash", 224, (300, 225)),
        ("crop", 226, (600, 450)),
        ("pad", 300, (300, 225)),
        ("pad", 301, (600, 450)),
    ],
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_covers_the_target(tmp_path, monkeypatch, fit, size, expected):
    path, seen = photograph(tmp_path / "a.jpg", 600, 450, 0), []
    whole = decoding.to_rgb
    monkeypatch.setattr(decoding, "to_rgb", lambda image: seen.append(image.size) or whole(image))
    assert decode(path, size, fit).shape == (size, size, 3) and seen == [expected]
