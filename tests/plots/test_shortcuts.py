"""Regions by model: values and intervals where they belong, arrows at the edges, few images grey."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lesionkit.plots.shortcuts import SMALL, plot_counterfactual, plot_region, region_panels
from lesionkit.plots.style import model_colour

from .checks import drawn

LIFT = "energy / area"
ROWS = [
    ("resnet50", "hair", LIFT, 2.0, 1.5, 3.0, 12),
    ("baseline_cnn", "hair", LIFT, 0.01, 0.0, 0.3, 12),
    ("ensemble", "hair", LIFT, 20.0, 4.0, 30.0, 4),
    ("resnet50", "hair", "change", -0.2, -0.3, -0.1, 12),
    ("baseline_cnn", "hair", "change", np.nan, np.nan, np.nan, 0),
    ("ensemble", "hair", "change", 0.1, np.nan, np.nan, 4),
    ("resnet50", "ink", LIFT, np.nan, np.nan, np.nan, 0),
]
TABLE = pd.DataFrame(ROWS, columns=["model", "region", "metric", "value", "low", "high", "n"])


def marks(ax):
    return {round(float(line.get_ydata()[0])): line for line in ax.get_lines() if line.get_marker() in ("o", "<", ">")}


def ends(ax):
    return [tuple(np.round(path.vertices[:, 0], 6)) for lines in ax.collections for path in lines.get_paths()]


def test_lifts_are_on_a_logarithmic_axis_and_arrows_beyond_it():
    ax = drawn(lambda ax: plot_region(TABLE, region="hair", ax=ax))
    found = marks(ax)
    assert ax.get_xscale() == "log" and [found[at].get_marker() for at in range(3)] == ["o", "<", ">"]
    assert [float(found[at].get_xdata()[0]) for at in range(3)] == [2, 1 / 8, 8]
    assert ends(ax) == [(1.5, 3), (0.125, 0.3), (4, 8)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ResNet-50", "Baseline CNN", "Ensemble"]
    assert any(set(line.get_xdata()) == {1} for line in ax.get_lines())  # as its area


def test_changes_are_in_points_and_what_is_missing_says_so():
    ax = drawn(lambda ax: plot_region(TABLE, region="hair", metric="change", ax=ax))
    found = marks(ax)
    assert set(found) == {0, 2} and [float(found[at].get_xdata()[0]) for at in (0, 2)] == pytest.approx([-20, 10])
    assert [text.get_text() for text in ax.texts] == ["NA"]
    assert found[0].get_color() == model_colour("resnet50") and to_hex(found[2].get_color()).upper() == SMALL
    assert any(set(line.get_xdata()) == {0} for line in ax.get_lines())


def test_the_control_of_a_change_is_open_beneath_it():
    control = ("resnet50", "hair", "change_control", -0.01, -0.02, 0.0, 12)
    table = pd.DataFrame([*ROWS, control], columns=TABLE.columns)
    ax = drawn(lambda ax: plot_region(table, region="hair", metric="change", ax=ax))
    (line,) = [line for line in ax.get_lines() if line.get_markerfacecolor() == "white"]
    assert float(line.get_xdata()[0]) == pytest.approx(-1) and 0 < line.get_ydata()[0] < 0.5
    assert "open: when as much is filled elsewhere" in ax.get_xlabel()


def test_panels_are_the_regions_that_have_a_value():
    plt.switch_backend("agg")
    figure = region_panels(TABLE)
    assert len(figure.axes) == 2 and [ax.get_title() for ax in figure.axes] == ["hair\nn = 12", ""]
    figure.canvas.draw()
    assert "no region was found" in region_panels(TABLE.iloc[-1:]).axes[0].texts[0].get_text()
    plt.close("all")


def test_the_counterfactual_is_a_change_in_points():
    table = TABLE[TABLE["metric"] == "change"].drop(columns="region")
    ax = drawn(lambda ax: plot_counterfactual(table, ax=ax))
    assert float(marks(ax)[0].get_xdata()[0]) == pytest.approx(-20) and "lesion" in ax.get_xlabel()


def test_without_a_value_the_reason_stands_there():
    ax = drawn(lambda ax: plot_region(TABLE, region="ink", ax=ax))
    assert "for ink" in ax.texts[0].get_text()
