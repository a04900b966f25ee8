"""Image figures place the very images and maps, label them, and refuse a map that is not scaled."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

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


def test_cam_panel_lays_maps_over_images_and_colours_calls():
    maps = {"resnet50": [np.zeros((4, 4)), np.eye(4)], "ensemble": [np.ones((4, 4)), np.zeros((4, 4))]}
    before = {name: np.array(values) for name, values in maps.items()}
    calls = {"resnet50": ["mel", "nv"], "ensemble": ["nv", "nv"]}
    ax = drawn(
        lambda ax: images.plot_cam_panel(
            [image(1), image(2)], maps, rows=["x", "y"], truth=["mel", "nv"], calls=calls, ax=ax
        )
    )
    overlays = [one for one in ax.get_images() if one.get_array().ndim == 2]
    assert len(ax.get_images()) == 6 + 4
    np.testing.assert_array_equal(overlays[2].get_array(), np.eye(4))
    np.testing.assert_allclose(overlays[2].get_alpha(), images.MAP_OPACITY * np.eye(4))
    assert overlays[2].get_clim() == (0, 1)  # one scale for all, so that maps compare
    assert [(text.get_text(), to_hex(text.get_color())) for text in ax.texts[:3]] == [
        ("mel", "#000000"),
        ("mel", images.RIGHT),
        ("nv", images.WRONG.lower()),
    ]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["image", "ResNet-50", "Ensemble"]
    for name, values in maps.items():
        np.testing.assert_array_equal(values, before[name])


def test_cam_panel_without_calls_has_no_text():
    ax = drawn(lambda ax: images.plot_cam_panel([image(1)], {"tf_efficientnet_lite0": [np.eye(4)]}, ax=ax))
    assert not ax.texts
    assert ax.get_xticklabels()[1].get_text() == "tf_\nefficientnet_\nlite0"


@pytest.mark.parametrize("values", [[[1.5]], [[-0.1, 0]], [[np.nan]], [0.0, 1.0]])
def test_a_map_out_of_range_or_of_wrong_shape_is_refused(values):
    with pytest.raises(ValueError, match=r"expected \(h, w\) within 0..1; scale it"):
        images.plot_cam_panel([image(1)], {"resnet50": [values]})
