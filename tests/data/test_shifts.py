"""Each shift against what it says it does, and all of them the same again from the same chance."""

import numpy as np
import pytest
from PIL import Image

from lesionkit.data import shifts
from lesionkit.data.shifts import SEVERITIES, SHIFTS, several, shifted

SIDE = 96


def picture(seed=0):
    """Skin with a dark lesion in the middle, as an image and an array."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    skin = np.random.default_rng(seed).integers(150, 200, (SIDE, SIDE, 3))
    skin[np.hypot(x, y) < SIDE / 5] //= 2
    return Image.fromarray(skin.astype(np.uint8)), skin.astype(float)


def under(name, severity, image=None, seed=1):
    return np.asarray(shifted(image or picture()[0], name, severity, np.random.default_rng(seed))).astype(float)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_keeps_size_and_input_comes_again_and_grows_with_its_severity(name):
    image, before = picture()
    changes = []
    for severity in SEVERITIES:
        found = [under(name, severity, image, seed) for seed in range(8)]
        assert all(one.shape == before.shape for one in found) and (np.asarray(image) == before).all()
        assert (under(name, severity, image, 3) == found[3]).all()
        changes.append(np.mean([np.abs(one - before).mean() for one in found]))
    assert 0 < changes[0] < changes[1] < changes[2]


def test_a_colour_cast_multiplies_each_channel_by_one_number():
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    found = under("colour cast", 3, grey)
    assert (found == found[0, 0]).all() and np.abs(np.log(found[0, 0] / 100)).max() <= np.log(1.5) + 0.01


def test_exposure_is_a_gamma():
    found = {under("exposure", 2, Image.new("RGB", (4, 4), (128,) * 3), seed)[0, 0, 0] for seed in range(8)}
    assert found == {round(255 * (128 / 255) ** 1.7), round(255 * (128 / 255) ** (1 / 1.7))}


def test_a_frame_is_black_outside_its_disc_and_leaves_the_inside():
    found, (_, before) = under("frame", 3), picture()
    assert found[[0, 0, -1, -1], [0, -1, 0, -1]].max() <= 8
    middle = slice(SIDE // 3, 2 * SIDE // 3)
    assert (found[middle, middle] == before[middle, middle]).all()


def test_zooming_changes_the_lesions_area_by_the_square_of_the_share():
    def area(image):
        return (image.mean(2)[20:-20, 20:-20] < 120).sum()

    before = area(picture()[1])
    assert area(under("zoom in", 1)) == pytest.approx(before / 0.8**2, rel=0.08)
    assert area(under("zoom out", 2)) == pytest.approx(before * 0.7**2, rel=0.12)


def test_off_centre_moves_the_lesion_by_its_share():
    dark = np.argwhere(under("off centre", 3).mean(2) < 120)
    assert np.hypot(*(dark.mean(0) - (SIDE - 1) / 2)) == pytest.approx(0.3 * SIDE, rel=0.35)  # the mirrored edge may show it twice


@pytest.mark.parametrize("name", ["hair", "ruler"])
def test_what_is_drawn_is_thin_and_dark(name):
    found, (_, before) = under(name, 2), picture()
    changed = np.abs(found - before).max(2) > 30
    assert 0.005 < changed.mean() < 0.35 and (found - before)[changed].mean() < -30


def test_several_are_three_different_ones_from_the_skin_to_the_file(monkeypatch):
    seen = []
    monkeypatch.setattr(shifts, "shifted", lambda image, name, severity, rng: seen.append((name, severity)) or image)
    for seed in range(60):
        several(picture()[0], np.random.default_rng(seed))
    order = list(SHIFTS)
    for three in zip(*[iter(seen)] * 3):
        places = [order.index(name) for name, _ in three]
        assert places == sorted(set(places))
    assert {name for name, _ in seen} == set(SHIFTS) and {level for _, level in seen} == set(SEVERITIES)
