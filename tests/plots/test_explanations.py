"""Panels of explanations show the very images, maps and probabilities, and say what their colours mean."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.offsetbox import AnchoredOffsetbox, OffsetImage, TextArea

from lesionkit.data.records import CLASSES
from lesionkit.plots import style
from lesionkit.plots.explanations import APART, EVIDENCE, OPACITY, RIGHT, VEIL, WRONG, plot_cam_panel
from lesionkit.plots.images import GAP

from .checks import drawn

IMAGES = [np.full((8, 8, 3), shade, np.uint8) for shade in (1, 2)]
MAPS = {"resnet50": [np.zeros((4, 4)), np.eye(4)], "ensemble": [np.ones((4, 4)), np.zeros((4, 4))]}
CALLS = {"resnet50": ["mel", "nv"], "ensemble": ["nv", "nv"]}
P = np.array([[0.1, 0, 0, 0, 0.7, 0.2, 0], [0, 0.05, 0, 0, 0.5, 0.25, 0.2]])


def key(ax):
    """The words of the key below the axes, and how many colour ramps there are."""
    [box] = [one for one in ax.artists if isinstance(one, AnchoredOffsetbox)]
    parts = [part for line in box.get_child().get_children() for part in line.get_children()]
    words = " ".join(one.get_text() for one in parts if isinstance(one, TextArea))
    return words, sum(isinstance(one, OffsetImage) for one in parts)


def shades(value, colours):
    return 255 * np.array(matplotlib.colormaps[colours](value)[:3])


def test_maps_lie_over_their_images_and_calls_are_coloured():
    before = {name: np.array(values) for name, values in MAPS.items()}
    ax = drawn(lambda ax: plot_cam_panel(IMAGES, MAPS, rows=["x", "y"], truth=["mel", "nv"], calls=CALLS, ax=ax))
    shown = [np.asarray(one.get_array()) for one in ax.get_images()]
    assert len(shown) == 6
    for at, image in ((0, IMAGES[0]), (1, IMAGES[0]), (3, IMAGES[1]), (5, IMAGES[1])):
        np.testing.assert_array_equal(shown[at], image)  # bare, or under a map that is 0 all over
    np.testing.assert_allclose(shown[2], (1 - OPACITY) * IMAGES[0] + OPACITY * shades(1.0, EVIDENCE), atol=1)
    corner = (1 - OPACITY) * IMAGES[1][0, 0] + OPACITY * shades(1.0, EVIDENCE)  # of a map of 4 px on 8
    np.testing.assert_allclose([shown[4][0, 0], shown[4][-1, -1]], [corner, corner], atol=1)
    np.testing.assert_array_equal([shown[4][0, -1], shown[4][-1, 0]], [IMAGES[1][0, 0]] * 2)
    assert [(text.get_text(), to_hex(text.get_color())) for text in ax.texts[:3]] == [
        ("mel", "#000000"), ("mel", RIGHT), ("nv", WRONG.lower())]  # fmt: skip
    assert [label.get_text() for label in ax.get_xticklabels()] == ["image", "ResNet-50", "Ensemble"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]
    words, ramps = key(ax)
    assert "own call,  right or wrong" in words and "disagreement" not in words and "bold" not in words and ramps == 1
    for name, values in MAPS.items():
        np.testing.assert_array_equal(values, before[name])


def test_disagreement_has_a_column_and_colours_of_its_own_on_a_grey_image():
    apart, pictures = [np.zeros((8, 8)), np.ones((8, 8))], [np.full((8, 8, 3), (10, 20, 90), np.uint8)] * 2
    ax = drawn(lambda ax: plot_cam_panel(pictures, MAPS, disagreement=apart, ax=ax))
    shown = [np.asarray(one.get_array()) for one in ax.get_images()]
    for at, value in ((3, 0.0), (7, 1.0)):
        np.testing.assert_allclose(shown[at][0, 0], (1 - VEIL) * 40 + VEIL * shades(value, APART), atol=1)
    assert ax.get_xticklabels()[-1].get_text() == "disagreement"
    words, ramps = key(ax)
    assert "disagreement: none full" in words and "right" not in words and ramps == 2


def test_the_key_explains_an_image_without_colour_only_where_there_is_one():
    for maps, said in ((MAPS, True), ({"resnet50": [np.eye(2), np.eye(2)]}, False)):
        assert ("no colour: nothing speaks for that call" in key(plot_cam_panel(IMAGES, maps))[0]) == said


@pytest.mark.parametrize("values", [[[1.5]], [[-0.1, 0]], [[np.nan]], [0.0, 1.0]])
@pytest.mark.parametrize("layer", ["maps", "disagreement"])
def test_a_map_out_of_range_or_of_wrong_shape_is_refused(layer, values):
    given = {"maps": {"resnet50": [np.eye(2)]}} | {layer: {"resnet50": [values]} if layer == "maps" else [values]}
    with pytest.raises(ValueError, match=r"expected \(h, w\) within 0..1; scale it"):
        plot_cam_panel(IMAGES[:1], **given)


def test_probabilities_are_bars_on_one_length_in_the_classes_colours_with_the_truth_in_bold():
    ax = drawn(lambda ax: plot_cam_panel(IMAGES, MAPS, truth=["mel", "vasc"], probabilities=P, ax=ax))
    tracks, bars = ax.containers
    full = {round(bar.get_width(), 6) for bar in tracks}
    assert len(full) == 1 and np.allclose([bar.get_width() / full.copy().pop() for bar in bars], P.ravel(), atol=1e-5)
    assert [to_hex(bar.get_facecolor()) for bar in bars[:7]] == [style.CLASS_COLOURS[dx].lower() for dx in CLASSES]
    bold = [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"]
    assert bold == ["mel", "0.70", "vasc", "0.20"]
    assert "bold: the true class" in key(ax)[0] and "probability" in ax.get_xticklabels()[-1].get_text()
    last = ax.get_images()[-1].get_extent()
    assert min(bar.get_x() for bar in bars) > last[1]
    assert max(bar.get_x() + bar.get_width() for bar in tracks) < ax.get_xlim()[1]
    rows = np.array([bar.get_y() + bar.get_height() / 2 for bar in bars]).reshape(2, 7)
    first, second = (ax.get_images()[i].get_extent() for i in (0, 3))
    assert first[3] < rows[0].min() and rows[0].max() < second[3] < rows[1].min()  # beside their own image


def test_without_a_truth_calls_are_black_and_nothing_is_bold():
    ax = drawn(lambda ax: plot_cam_panel(IMAGES[:1], MAPS, calls=CALLS, probabilities=P[:1], ax=ax))
    captions = [text for text in ax.texts if text.get_fontsize() == 8]
    assert [text.get_text() for text in captions] == ["", "mel", "nv"]
    assert {text.get_color() for text in captions} == {"black"}
    assert not [text for text in ax.texts if text.get_fontweight() == "bold"]
    assert "own call" in key(ax)[0] and "right" not in key(ax)[0] and "bold" not in key(ax)[0]


def test_without_calls_there_is_no_text_and_long_names_are_wrapped():
    ax = drawn(lambda ax: plot_cam_panel(IMAGES[:1], {"tf_efficientnet_lite0": [np.eye(4)]}, ax=ax))
    assert not ax.texts
    assert ax.get_xticklabels()[1].get_text() == "tf_\nefficientnet_\nlite0"


@pytest.mark.parametrize("models, least, most", [(1, 7, 7), (3, 8, 10), (7, 11, 11), (12, 11, 11)])
def test_a_panel_is_no_wider_than_eleven_inches_and_narrower_for_few_models(models, least, most):
    maps = {f"m{i}": [np.eye(2)] for i in range(models)}
    ax = plot_cam_panel(IMAGES[:1], maps, disagreement=[np.eye(2)], probabilities=P[:1])
    assert least <= ax.figure.get_figwidth() <= most
    left = [one.get_extent()[0] for one in ax.get_images()]
    assert len(left) == 2 + models and max(left) == pytest.approx((1 + models) * (1 + GAP))


def test_no_case_says_so():
    ax = drawn(lambda ax: plot_cam_panel([], {"resnet50": []}, probabilities=np.zeros((0, 7)), ax=ax))
    assert [text.get_text() for text in ax.texts] == ["No such case."] and not ax.axison
