"""The figures of faithfulness draw the values of their tables, and say why where there are none."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from lesionkit.plots import faithfulness, style

from .checks import drawn, legend

SHARES = np.linspace(0, 1, 5)
FALLING, STEADY = np.array([1, 0.4, 0.2, 0.1, 0]), np.array([1, 0.8, 0.5, 0.3, 0])


def curves(models=("resnet50",)) -> pd.DataFrame:
    lines = {
        ("map", "deletion"): FALLING,
        ("map", "insertion"): 1 - FALLING,
        ("other", "deletion"): FALLING**0.5,
        ("other", "insertion"): 1 - FALLING**0.5,
        ("random", "deletion"): STEADY,
        ("random", "insertion"): STEADY[::-1],
        ("centre", "deletion"): STEADY**2,
        ("centre", "insertion"): 1 - STEADY**2,
    }
    points = [(*key, share, p) for key, line in lines.items() for share, p in zip(SHARES, line)]
    rows = [(model, *point) for model in models for point in points]
    return pd.DataFrame(rows, columns=["model", "order", "kind", "share", "p"])


def gains(models=("resnet50", "ensemble"), baseline="other") -> pd.DataFrame:
    metrics = {f"insertion - insertion_{baseline}": 0.1, f"deletion_{baseline} - deletion": -0.05}
    rows = [(model, metric, value, value - 0.02, value + 0.02) for metric, value in metrics.items() for model in models]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high"])


def test_both_curves_stand_over_the_pixels_shown():
    ax = drawn(lambda ax: faithfulness.plot_curves(curves(), ax=ax))
    insertion, deletion, *other, random, right, left = ax.get_lines()
    assert all(np.allclose(line.get_xdata(), 100 * SHARES) for line in ax.get_lines())
    np.testing.assert_allclose(insertion.get_ydata(), 1 - FALLING)
    np.testing.assert_allclose(deletion.get_ydata(), FALLING[::-1])
    np.testing.assert_allclose(random.get_ydata(), STEADY[::-1])
    np.testing.assert_allclose([line.get_ydata() for line in other], [1 - FALLING**0.5, FALLING[::-1] ** 0.5])
    np.testing.assert_allclose([line.get_ydata() for line in (right, left)], [1 - STEADY**2, STEADY[::-1] ** 2])
    assert insertion.get_color() == style.model_colour("resnet50") == insertion.get_markerfacecolor()
    assert deletion.get_markerfacecolor() == "white" and random.get_linestyle() == "--"
    assert len({(line.get_linestyle(), line.get_marker()) for line in (insertion, other[0], random, right)}) == 4
    assert ax.get_title() == "ResNet-50" and ax.get_ylim()[1] > 1
    assert list(legend(ax).values()) == ["0.70", "0.30", "0.53 and 0.47", "0.53", "0.63 and 0.37"]


@pytest.mark.parametrize("count, shape", [(1, (1, 1)), (4, (1, 4)), (8, (2, 4)), (5, (2, 4))])
def test_a_panel_a_model_four_beside_each_other(count, shape):
    plt.switch_backend("agg")
    models = [*style.MODEL_COLOURS][:count]
    table = curves(models)
    table.loc[table["model"] == models[-1], "p"] *= 0.5
    figure = faithfulness.plot_curve_panels(table)
    figure.canvas.draw()
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title().split("\n")[0] for ax in shown] == [style.model_label(name) for name in models]
    assert shown[-1].get_title().endswith("\n0.35 / 0.26 / 0.24 / 0.15")
    assert figure.axes[0].get_gridspec().get_geometry() == shape
    assert {ax.get_ylim() for ax in shown} == {(0, 1.06 * table["p"].max())}
    assert [bool(ax.get_ylabel()) for ax in shown] == [at % 4 == 0 for at in range(count)]
    below = [ax for at, ax in enumerate(shown) if at + 4 >= count]
    assert all(ax.xaxis.get_major_ticks()[0].label1.get_visible() == (ax in below) for ax in shown)
    assert len(figure.legends[0].get_texts()) == 5 and not any(ax.get_legend() for ax in shown)
    plt.close(figure)


@pytest.mark.parametrize("baseline, words", [*faithfulness.BASELINES.items()])
def test_gains_have_a_row_a_model_and_the_line_of_no_gain(baseline, words):
    table = pd.concat([gains(baseline=other) for other in faithfulness.BASELINES])
    ax = drawn(lambda ax: faithfulness.plot_gains(table, baseline=baseline, ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ResNet-50", "Ensemble"]
    assert list(ax.get_lines()[0].get_xdata()) == [0, 0]
    dots = [line for line in ax.get_lines() if line.get_marker() == "o" and len(line.get_xdata())]
    assert [(float(dot.get_xdata()[0]), round(float(dot.get_ydata()[0]))) for dot in dots] == [
        (0.1, 0), (0.1, 1), (-0.05, 0), (-0.05, 1)]  # fmt: skip
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, False, True, True]
    assert [text.get_text() for text in ax.texts] == ["+0.100"] * 2 + ["−0.050"] * 2
    spans = [line.get_segments()[0][:, 0] for line in ax.collections]
    np.testing.assert_allclose(spans, [[0.08, 0.12]] * 2 + [[-0.07, -0.03]] * 2)
    assert list(legend(ax)) == ["insertion", "deletion"] and words in ax.get_xlabel()


def test_a_panel_a_baseline_with_names_and_scales_in_common():
    plt.switch_backend("agg")
    table = pd.concat([gains(baseline=baseline) for baseline in faithfulness.BASELINES])
    table.loc[table["metric"].str.contains("centre"), ["value", "low", "high"]] += 0.3
    figure = faithfulness.plot_gain_panels(table)
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes] == [f"over {words}" for words in faithfulness.BASELINES.values()]
    assert len({ax.get_xlim() for ax in figure.axes}) == 1 and figure.axes[0].get_xlim()[1] > 0.42
    named = [[label.get_text() for label in ax.get_yticklabels() if label.get_visible()] for ax in figure.axes]
    assert named == [["ResNet-50", "Ensemble"], [], []]
    assert [text.get_text() for text in figure.axes[2].texts] == ["+0.400"] * 2 + ["+0.250"] * 2
    assert len(figure.legends[0].get_texts()) == 2 and not any(ax.get_legend() for ax in figure.axes)
    table.loc[table["metric"].str.contains("other"), "value"] = np.nan
    axes = faithfulness.plot_gain_panels(table).axes
    assert [ax.get_title() for ax in axes] == ["over a random order", "over the centre"]
    plt.close("all")


def test_nothing_to_draw_is_said():
    for plot in (faithfulness.plot_curves, faithfulness.plot_gains):
        table = curves().head(0) if plot is faithfulness.plot_curves else gains().assign(value=np.nan)
        ax = drawn(lambda ax, plot=plot, table=table: plot(table, ax=ax))
        assert ax.texts[0].get_text().startswith("Not available: no map was")
    figure = faithfulness.plot_curve_panels(curves().head(0))
    assert figure.axes[0].texts[0].get_text() == "Not available: no map was scored"
    figure = faithfulness.plot_gain_panels(gains().assign(value=np.nan))
    assert figure.axes[0].texts[0].get_text() == "Not available: no map was compared with a baseline"
    plt.close("all")
