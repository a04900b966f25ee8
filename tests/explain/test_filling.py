"""Holes are filled from around them and from nothing else, and all else stays."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from lesionkit.explain.filling import covered, inpainted, widened


def squares(side=40):
    """Grey noise with a black square of 10 px at (15, 15), and the square's mask."""
    images = np.random.default_rng(0).integers(150, 160, (2, side, side, 3), np.uint8)
    holes = np.zeros((2, side, side), bool)
    holes[0, 15:25, 15:25] = True
    images[holes] = 0
    return images, holes


def test_a_hole_is_filled_from_around_it_and_all_else_stays():
    images, holes = squares()
    before = images.copy()
    filled = inpainted(images, holes)
    near = binary_dilation(holes, np.ones((1, 3, 3), bool))
    assert filled[holes].min() >= 148 and (filled[~near] == images[~near]).all()
    assert (filled[1] == images[1]).all() and (images == before).all() and filled.dtype == np.uint8


def test_the_margin_widens_the_hole():
    images, holes = squares()
    changed = [(inpainted(images, holes, margin) != images).any(axis=3)[0] for margin in (0, 3)]
    assert (changed[0] <= holes[0]).all() and changed[0].sum() > 95
    assert changed[1].sum() > 180 and not changed[1][:12].any()  # a disc of 3 px around 10 x 10


def test_a_hole_at_the_edge_is_filled():
    images, holes = squares()
    images[0], holes[0] = 155, False
    holes[0, :, :8] = True
    images[0, :, :8] = 0
    assert inpainted(images, holes)[0].min() >= 150


def test_nothing_is_filled_from_what_is_apart_nor_from_its_rim_and_it_stays():
    images, holes = squares()
    images[0], holes[0] = 155, False
    holes[0, 15:25, 6:20] = True
    images[0, :, :8], images[0, :, 8] = 0, 70  # a frame, and its blurred edge
    images[holes] = 30
    apart = np.zeros_like(holes)
    apart[0, :, :8] = True
    filled = inpainted(images, holes, 0, apart)
    hole = holes & ~apart
    assert np.abs(filled[hole].astype(int) - 155).max() <= 3 and (filled[~hole] == images[~hole]).all()
    assert inpainted(images, holes, 0)[hole].min() < 100  # black has run into it
    holes[0], images[0, 0] = True, 95
    assert (inpainted(images, holes, 0, apart)[0, :, 8:] == images[0, :, 8:].mean((0, 1)).round()).all()


def test_what_is_covered_is_the_widened_hole_and_what_is_apart_with_its_rim():
    holes, apart = np.zeros((2, 2, 40, 40), bool)
    holes[0, :10], apart[0, :, :4] = True, True
    assert widened(holes, 2)[0].sum() == 12 * 40 and widened(holes)[0].sum() == 11 * 40
    assert covered(holes, 2).tolist() == [12 / 40, 0]
    assert covered(holes, 2, apart).tolist() == [(12 * 40 + 28 * 5) / 1600, 0]  # a rim of 1 px


def test_nothing_to_fill_from_gives_the_mean_colour():
    images = np.zeros((1, 8, 8, 3), np.uint8)
    images[0, :2] = (200, 100, 40)  # a quarter
    full = np.ones((1, 8, 8), bool)
    assert (inpainted(images, full) == (50, 25, 10)).all()


def test_wrong_shapes_are_named():
    images, holes = squares()
    with pytest.raises(ValueError, match=r"holes are bool \(1, 40, 40\): give bool \(2, 40, 40\)"):
        inpainted(images, holes[:1])
    with pytest.raises(ValueError, match="apart are uint8"):
        inpainted(images, holes, apart=holes.astype(np.uint8))
