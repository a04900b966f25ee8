"""Shades of grey by hand, and what it is for: the colour of the light goes, what the light falls on stays."""

import numpy as np
import pytest
from PIL import Image

from lesionkit.data.constancy import shades_of_grey
from lesionkit.data.decoding import decode


def skin(seed=0):
    return np.random.default_rng(seed).integers(40, 160, (24, 24, 3), dtype=np.uint8)


def test_of_one_colour_is_grey_of_the_mean_of_its_channels():
    assert (shades_of_grey(np.full((4, 4, 3), (60, 90, 120), np.uint8)) == 90).all()


def test_the_norms_of_the_channels_are_equal_afterwards():
    found = shades_of_grey(skin() // np.array([1, 2, 1], np.uint8)).astype(float)
    norms = (found**6).mean(axis=(0, 1)) ** (1 / 6)
    assert norms == pytest.approx(norms.mean(), rel=0.01)


@pytest.mark.parametrize("light", [(1.4, 1.0, 0.7), (0.6, 0.9, 1.2)])
def test_another_light_makes_no_difference(light):
    lit = (skin() * light).round().astype(np.uint8)
    assert np.abs(shades_of_grey(lit).astype(float) / shades_of_grey(skin()) - np.mean(light)).mean() < 0.12
    ratio = shades_of_grey(lit).astype(float).mean((0, 1)) / shades_of_grey(skin()).mean((0, 1))
    assert ratio == pytest.approx(ratio.mean(), rel=0.01)  # no channel more than another


def test_sums_are_exact_whatever_their_order():
    image = skin()
    shuffled = np.random.default_rng(1).permutation(image.reshape(-1, 3)).reshape(image.shape)
    table = {tuple(before): tuple(after) for before, after in zip(image.reshape(-1, 3), shades_of_grey(image).reshape(-1, 3))}
    assert all(table[tuple(a)] == tuple(b) for a, b in zip(shuffled.reshape(-1, 3), shades_of_grey(shuffled).reshape(-1, 3)))


def test_a_black_frame_has_no_say_and_black_stays_black():
    framed = np.zeros((48, 48, 3), np.uint8)
    framed[:24, :24] = skin()
    assert (shades_of_grey(framed)[:24, :24] == shades_of_grey(skin())).all() and not shades_of_grey(framed)[24:].any()
    assert not shades_of_grey(np.zeros((4, 4, 3), np.uint8)).any()


def test_decode_does_it_last(tmp_path):
    Image.fromarray(np.kron(skin(), np.ones((2, 2, 1), np.uint8))).save(tmp_path / "a.png")
    plain = decode(tmp_path / "a.png", 24)
    assert (decode(tmp_path / "a.png", 24, colours="shades_of_grey") == shades_of_grey(plain)).all()
    with pytest.raises(ValueError, match="colours must be one of keep, shades_of_grey, not 'grey'"):
        decode(tmp_path / "a.png", 24, colours="grey")
