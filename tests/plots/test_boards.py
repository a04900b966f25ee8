"""Boards of models draw the tables' values, and NA where there is none."""

import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from lesionkit.plots import boards, style

from .checks import drawn, legend

MODELS = ("resnet50", "ensemble", "tf_efficientnet_lite0")


def test_leaderboard_dots_are_the_values_and_na_is_named():
    board = pd.DataFrame(
        [["ensemble", 0.8, 0.95], ["resnet50", 0.7, np.nan]], columns=["model", "macro_f1", "macro_auc"]
    )
    ax = drawn(lambda ax: boards.plot_leaderboard(board, names=["macro_f1", "macro_auc"], ax=ax))
    f1, auc = [
        np.ma.getdata(dots.get_offsets()).tolist()
        for dots in ax.collections
        if isinstance(dots, PathCollection) and len(dots.get_offsets())
    ]
    assert f1 == [[0.8, 0], [0.7, 1]]
    assert auc[0] == [0.95, 0]
    assert [text.get_text() for text in ax.texts] == ["NA: Macro AUC"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Ensemble", "ResNet-50"]
    assert list(legend(ax)) == ["Macro F1", "Macro AUC"]
    assert ax.get_xlim()[0] <= 0.7 and ax.get_ylim()[0] > ax.get_ylim()[1]  # the first model on top


def test_drop_joins_the_two_values_of_its_metric():
    drop = pd.DataFrame(
        [
            ["resnet50", "macro_f1", 0.7, 0.4, 0.3],
            ["resnet50", "accuracy", 0.9, 0.6, 0.3],
            ["ensemble", "macro_f1", 0.8, np.nan, np.nan],
        ],
        columns=["model", "metric", "internal", "external", "drop"],
    )
    ax = drawn(lambda ax: boards.plot_drop(drop, metric="macro_f1", ax=ax))
    assert [list(one.get_xdata()) for one in ax.get_lines()][0] == [0.7, 0.4]
    assert [text.get_text() for text in ax.texts] == ["−0.300", "NA", "change"]
    assert to_hex(ax.get_lines()[0].get_color()) == style.model_colour("resnet50").lower()
    assert ax.get_xlabel() == "Macro F1"


def test_inside_outside_has_a_dot_a_model_at_its_two_values():
    values = {"balanced_accuracy_in": [0.6, 0.7, 0.5], "balanced_accuracy_out": [0.3, 0.4, 0.45]}
    ax = boards.plot_inside_outside(pd.DataFrame({"model": MODELS, **values}))
    dots = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert [tuple(np.round(dot.get_offsets()[0], 3)) for dot in dots] == [(0.6, 0.3), (0.7, 0.4), (0.5, 0.45)]
    assert [to_hex(dot.get_facecolor()[0]).upper() for dot in dots] == [
        style.model_colour(name).upper() for name in MODELS
    ]
    assert "internal" in ax.get_xlabel() and "external" in ax.get_ylabel()
