"""Image figures place the very images and maps, label them, and refuse a map that is not scaled."""

import numpy as np
import pytest

from lesionkit.plots import images, style

from .checks import drawn


def image(shade: int, size: int = 8) -> np.ndarray:
    return np.full((size, size, 3), shade, dtype=np.uint8)


def test_grid_places_images_and_leaves_a_gap_for_none():
    cells = [[image(1), None], [image(2), image(3, size=5)]]
    ax = drawn(lambda ax: images.plot_image_grid(cells, rows=["one", "two"], columns=["a", "b"], ax=ax))
    shown = ax.get_images()
    assert [int(picture.get_array()[0, 0, 0]) for picture in shown] == [1, 2, 3]
    lefts, tops = zip(*[(one.get_extent()[0], one.get_extent()[3]) for one in shown], strict=True)
    assert lefts[0] == lefts[1] < lefts[2] and tops[0] < tops[1] == tops[2]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]


def test_sample_sheet_has_a_row_a_class_in_its_colour():
    samples = {"nv": [image(1), image(2)], "mel": [image(3)]}
    titles = {"nv": ["ISIC_1", "ISIC_2"], "mel": ["ISIC_3"]}
    ax = drawn(lambda ax: images.plot_sample_sheet(samples, titles=titles, ax=ax))
    assert {label.get_text(): label.get_color() for label in ax.get_yticklabels()} == {
        "mel": style.CLASS_COLOURS["mel"],
        "nv": style.CLASS_COLOURS["nv"],
    }
    assert [label.get_text() for label in ax.get_yticklabels()] == ["mel", "nv"]
    assert [int(picture.get_array()[0, 0, 0]) for picture in ax.get_images()] == [3, 1, 2]
    assert [text.get_text() for text in ax.texts] == ["ISIC_3", "ISIC_1", "ISIC_2"]


def test_augmentations_follow_their_original():
    originals, versions = [image(1), image(4)], [[image(2), image(3)], [image(5), image(6)]]
    ax = drawn(lambda ax: images.plot_augmentations(originals, versions, rows=["mel", "nv"], ax=ax))
    assert [int(picture.get_array()[0, 0, 0]) for picture in ax.get_images()] == [1, 2, 3, 4, 5, 6]
    assert ax.get_xticklabels()[0].get_text() == "original"


def test_room_beside_and_below_the_images_is_as_asked():
    cells = [[image(1)] * 4]
    for beside, below in ((0, 0), (2, 1)):
        ax = images.plot_image_grid(cells, width=10, beside=beside, below=below)
        cell, row = images.layout(4, (), False, 10 - beside)
        across = 4 + 3 * images.GAP
        assert cell == pytest.approx((10 - beside) / across) and row == 1 + images.GAP
        assert ax.get_xlim()[1] == pytest.approx(across + beside / cell) == pytest.approx(10 / cell)
        assert ax.figure.get_size_inches() == pytest.approx([10, cell * row + 0.2 + below])
