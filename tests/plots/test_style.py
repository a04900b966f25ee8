"""Colours are fixed, distinct, and apart for readers with a colour-vision deficiency."""

import subprocess
import sys
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lesionkit.data.records import CLASSES
from lesionkit.plots import style

# Machado, Oliveira and Fernandes (2009), severity 1.0; they act on linear RGB.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(colour: str, deficiency: str) -> np.ndarray:
    """CIELAB of a colour as that reader sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    t = TO_XYZ @ np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1) / WHITE
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("colours", [style.CLASS_COLOURS, style.SPLIT_COLOURS])
def test_colours_stay_apart(deficiency, colours):
    for one, other in combinations(colours.values(), 2):
        assert np.linalg.norm(lab(one, deficiency) - lab(other, deficiency)) > 10, (one, other)


def test_every_class_has_its_colour_in_the_fixed_order():
    assert tuple(style.CLASS_COLOURS) == CLASSES


def test_models_have_distinct_colours_and_labels():
    assert len(set(style.MODEL_COLOURS.values())) == len(style.MODEL_COLOURS) == 13
    assert style.MODEL_LABELS.keys() == style.MODEL_COLOURS.keys()
    assert style.model_colour("ensemble") == "#000000"
    assert style.model_label("vit_base_patch16_224") == "ViT-B/16"
    assert style.model_label("tf_efficientnet_lite0") == "tf_efficientnet_lite0"


def test_any_other_model_has_one_colour_in_every_process():
    name = "tf_efficientnet_lite0"
    code = f"from lesionkit.plots.style import model_colour; print(model_colour({name!r}))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    other = run.stdout.strip()
    assert style.model_colour(name) == other
    assert other not in style.MODEL_COLOURS.values()
    assert style.model_colour("swin_tiny") != other
    assert len(to_rgb(other)) == 3


def test_use_style_is_undone_afterwards_even_by_an_error():
    before = dict(plt.rcParams)
    with pytest.raises(RuntimeError), style.use_style():
        assert plt.rcParams["font.size"] == 9
        raise RuntimeError
    assert dict(plt.rcParams) == before


def test_metric_labels_fall_back_to_words():
    assert style.metric_label("macro_f1") == "Macro F1"
    assert style.metric_label("brier_score") == "Brier score"


def test_plots_load_no_torch():
    code = (
        "import sys; from lesionkit.plots import classification, counts, images, learning; "
        "assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_panels_are_one_a_split_and_share_a_legend():
    def plot(data, *, title, ax):
        ax.plot(data, label="model")
        ax.set_title(title)
        ax.legend()
        return ax

    figure = style.panels(plot, {"test": [0, 1], "external": [1, 0]})
    assert [ax.get_title() for ax in figure.axes] == ["internal test", "external"]
    assert [ax.get_legend() is not None for ax in figure.axes] == [False, True]
    plt.close(figure)
    reason = style.unavailable(None, "no melanoma")
    assert reason.texts[0].get_text() == "Not available: no melanoma"
    plt.close(reason.figure)
