"""The figures of melanoma draw the tables' values, the target, and say where there is nothing to draw."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.plots import melanoma, style

from .checks import drawn, legend, line

MODELS = ("resnet50", "ensemble")


def points(**values) -> pd.DataFrame:
    keys = [
        (model, target, split, metric)
        for model in MODELS
        for target in (0.9, 0.95)
        for split in ("val", "test", "external")
        for metric in ("sensitivity", "specificity", "ppv", "npv")
    ]
    table = pd.DataFrame(keys, columns=["model", "target", "split", "metric"])
    value = np.linspace(0.3, 0.9, len(table))
    return table.assign(threshold=0.2, value=value, low=value - 0.1, high=value + 0.05, note="").assign(**values)


def curves() -> pd.DataFrame:
    names, risks = ("resnet50", "ensemble", "treat_all", "treat_none"), np.array([0.1, 0.2, 0.3])
    parts = [pd.DataFrame({"model": name, "threshold": risks, "net_benefit": 0.1 - risks / 5}) for name in names]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(low=table["net_benefit"] - 0.02, high=table["net_benefit"] + 0.02, note="")


@pytest.mark.parametrize("target", [0.9, 0.95])
def test_operating_points_in_percent_with_the_target(target):
    table = points()
    ax = drawn(lambda ax: melanoma.plot_operating_points(table, target=target, ax=ax))
    dashed = [one for one in ax.get_lines() if one.get_linestyle() == "--"]
    assert [one.get_xdata()[0] for one in dashed] == [100 * target]
    chosen = table[(table["target"] == target) & table["metric"].isin(["sensitivity", "specificity"])]
    shown = [one for one in ax.get_lines() if one.get_linestyle() == "None" and len(one.get_xdata())]
    assert sorted(x for one in shown for x in one.get_xdata()) == pytest.approx(sorted(100 * chosen["value"]))
    bars = [bar for group in ax.collections for bar in group.get_segments() if bar[0, 0] != 0]
    ends = sorted((bar[0, 0], bar[1, 0]) for bar in bars)
    assert ends == [pytest.approx(pair) for pair in sorted(zip(100 * chosen["low"], 100 * chosen["high"]))]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["ResNet-50", "Ensemble"]
    assert set(legend(ax)) == {"validation (set here)", "internal test", "external", "sensitivity", "specificity"}


def test_splits_have_their_colours_and_models_their_row():
    ax = drawn(lambda ax: melanoma.plot_operating_points(points(), ax=ax))
    shown = [one for one in ax.get_lines() if one.get_linestyle() == "None" and len(one.get_xdata())]
    assert {one.get_color() for one in shown} == {style.SPLIT_COLOURS[name] for name in ("val", "test", "external")}
    assert all(np.round(one.get_ydata()).tolist() == [0, 1] for one in shown)


def test_a_split_that_is_not_there_is_not_in_the_legend():
    table = points()
    ax = drawn(lambda ax: melanoma.plot_operating_points(table[table["split"] != "external"], ax=ax))
    assert "external" not in legend(ax)


@pytest.mark.parametrize("table", [points(value=np.nan), points()[:0], points(target=0.8)])
def test_no_threshold_is_said(table):
    ax = drawn(lambda ax: melanoma.plot_operating_points(table, ax=ax))
    assert ax.texts[0].get_text() == "Not available: no threshold for a sensitivity of 90% was set"


def test_decision_curves_in_percent_with_both_references():
    table = curves()
    ax = drawn(lambda ax: melanoma.plot_decision_curves(table, ax=ax))
    assert set(legend(ax)) == {"ResNet-50", "Ensemble", "treat all", "treat none"}
    curve = line(ax, "Ensemble")
    rows = table[table["model"] == "ensemble"]
    np.testing.assert_allclose(curve.get_xydata(), np.c_[100 * rows["threshold"], rows["net_benefit"]])
    assert curve.get_color() == style.model_colour("ensemble")
    assert {line(ax, "treat all").get_linestyle(), line(ax, "treat none").get_linestyle()} == {"--", ":"}
    assert len(ax.collections) == 2  # a band a model
    assert ax.get_ylim()[0] < 0 < ax.get_ylim()[1] and "%" in ax.get_xlabel()


def test_no_melanoma_still_has_axes_and_no_curve_says_so():
    flat = curves().assign(net_benefit=-0.1, low=-0.2, high=0.0)
    low, high = drawn(lambda ax: melanoma.plot_decision_curves(flat, ax=ax)).get_ylim()
    assert low < 0 < high
    one_lesion = curves().assign(net_benefit=0.5, low=np.nan, high=np.nan)
    low, high = drawn(lambda ax: melanoma.plot_decision_curves(one_lesion, ax=ax)).get_ylim()
    assert low < 0 < 0.5 < high
    ax = drawn(lambda ax: melanoma.plot_decision_curves(curves()[:0], ax=ax))
    assert ax.texts[0].get_text() == "Not available: no decision curve was computed"
