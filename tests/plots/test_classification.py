"""The figures of the evidence draw scikit-learn's curves, the tables' values, and NA where there is none."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, predictions
from lesionkit.plots import classification, style

from .checks import drawn, legend, line

MODELS = ("resnet50", "ensemble", "tf_efficientnet_lite0")


def scores(n: int = 210, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(n) % 7
    p = np.exp(np.random.default_rng(seed).normal(size=(n, 7)) + 1.5 * np.eye(7)[y])
    return y, p / p.sum(axis=1, keepdims=True)


def table() -> pd.DataFrame:
    ids = [f"ISIC_{i}" for i in range(210)]
    rows = pd.DataFrame(
        {"image_id": ids, "lesion_id": ids, "dataset": "ham10000", "split": "test", "y_true": CLASSES * 30}
    )
    return pd.concat([predictions.build(rows, scores(seed=i)[1], name) for i, name in enumerate(MODELS)])


def test_confusion_shows_counts_shares_and_empty_rows():
    matrix = np.zeros((7, 7), int)
    matrix[4, 4], matrix[4, 5], matrix[5, 5] = 3, 1, 1200
    ax = drawn(lambda ax: classification.plot_confusion(matrix, ax=ax))
    texts = np.reshape([text.get_text() for text in ax.texts], (7, 7))
    assert texts[4].tolist() == ["0", "0", "0", "0", "3\n75%", "1\n25%", "0"]
    assert texts[5, 5] == "1,200\n100%" and set(texts[0]) == {""}
    assert [label.get_text() for label in ax.get_xticklabels()] == list(CLASSES)
    assert ax.get_yticklabels()[5].get_text() == "nv (1,200)"
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(7, 7)[4], [0, 0, 0, 0, 75, 25, 0])


def test_roc_draws_scikit_learns_curve_in_the_class_colour():
    y, p = scores()
    ax = drawn(lambda ax: classification.plot_roc(y, p, ax=ax))
    curve = line(ax, "mel")
    across, up, _ = sk.roc_curve(y == 4, p[:, 4])
    np.testing.assert_array_equal(curve.get_xydata(), np.c_[across, up])
    assert legend(ax)["mel (n=30)"] == f"{sk.roc_auc_score(y == 4, p[:, 4]):.3f}"
    assert curve.get_color() == style.CLASS_COLOURS["mel"]


def test_a_class_has_one_colour_in_both_curves():
    y, p = scores()
    roc = drawn(lambda ax: classification.plot_roc(y, p, ax=ax))
    curves = drawn(lambda ax: classification.plot_precision_recall(y, p, ax=ax))
    for name in CLASSES:
        assert line(roc, name).get_color() == line(curves, name).get_color() == style.CLASS_COLOURS[name]
        assert line(roc, name).get_linestyle() == line(curves, name).get_linestyle()
    assert legend(curves)["df (n=30)"] == f"{sk.average_precision_score(y == 3, p[:, 3]):.3f}"


@pytest.mark.parametrize("plot", [classification.plot_roc, classification.plot_precision_recall])
def test_an_absent_class_is_na(plot):
    y, p = scores()
    present = y != 3
    ax = drawn(lambda ax: plot(y[present], p[present], ax=ax))
    assert legend(ax)["df (n=0)"] == "NA"
    assert len(line(ax, "df").get_xdata()) == 0


def test_melanoma_roc_has_a_line_and_a_dot_a_model():
    ax = drawn(lambda ax: classification.plot_melanoma_roc(table(), ax=ax))
    assert list(legend(ax)) == ["ResNet-50", "Ensemble", "tf_efficientnet_lite0"]
    assert line(ax, "Ensemble").get_color() == "#000000"
    own = metrics.overall(scores()[0], scores(seed=1)[1])
    call = [1 - own["melanoma_specificity"], own["melanoma_sensitivity"]]
    dots = [one.get_xydata()[0] for one in ax.get_lines() if one.get_marker() == "o"]
    np.testing.assert_allclose(dots[1], call, atol=1e-6)


def test_melanoma_precision_recall_shows_prevalence():
    ax = drawn(lambda ax: classification.plot_melanoma_precision_recall(table(), ax=ax))
    y, p = scores()
    assert legend(ax)["ResNet-50"] == f"{sk.average_precision_score(y == 4, p[:, 4]):.3f}"
    assert ax.get_lines()[-1].get_ydata()[0] == pytest.approx(1 / 7)
