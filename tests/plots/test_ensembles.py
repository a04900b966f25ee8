"""The figures of ensembles and stability draw their tables' values, and say why where there is nothing to draw."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from lesionkit.data.records import CLASSES
from lesionkit.plots import ensembles, style

from .checks import drawn, legend

MODELS = ("resnet50", "tf_efficientnet_lite0", "baseline_cnn")
LABELS = ["ResNet-50", "tf_efficientnet_lite0", "Baseline CNN"]


def segments(ax) -> list:
    lines = [one for one in ax.collections if isinstance(one, LineCollection)]
    return [part[:, 0].tolist() for one in lines for part in one.get_segments() if len(part)]


def dots(ax) -> list[list[float]]:
    points = [one for one in ax.collections if isinstance(one, PathCollection)]
    return [list(map(float, at)) for one in points for at in np.ma.getdata(one.get_offsets())]


def texts(ax) -> list[str]:
    return [one.get_text() for one in ax.texts]


def ticks(ax) -> list[str]:
    return [one.get_text() for one in ax.get_yticklabels()]


def test_weights_have_a_bar_a_member_and_ensemble():
    columns = {"model": MODELS * 2, "weight": [0.7, 0.3, 0, 0.5, 0.25, 0.25]}
    weights = pd.DataFrame({"ensemble": ["ensemble_weighted"] * 3 + ["ensemble_greedy"] * 3, **columns})
    ax = drawn(lambda ax: ensembles.plot_weights(weights, ax=ax))
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.3, 0, 0.5, 0.25, 0.25]
    assert texts(ax) == ["0.70", "0.30", "0.00", "0.50", "0.25", "0.25"]
    assert ticks(ax) == LABELS and ax.get_ylim()[0] > ax.get_ylim()[1]
    assert set(legend(ax)) == {"Ensemble (weighted)", "Ensemble (greedy)", "equal weights"}
    assert ax.get_lines()[0].get_xdata()[0] == pytest.approx(1 / 3)


def contributions() -> pd.DataFrame:
    values = {"contribution": [-0.01, 0.02, np.nan], "low": [-0.03, 0.01, np.nan], "high": [0.01, 0.04, np.nan]}
    return pd.DataFrame({"model": MODELS, "metric": "macro_f1", **values, "note": ["", "", "no image of df"]})


def test_contributions_are_sorted_points_with_intervals():
    ax = drawn(lambda ax: ensembles.plot_contribution(contributions(), metric="macro_f1", ax=ax))
    assert ticks(ax) == [LABELS[1], LABELS[0], LABELS[2]]
    np.testing.assert_allclose(dots(ax)[:2], [[2, 0], [-1, 1]])
    np.testing.assert_allclose(segments(ax)[:2], [[1, 4], [-3, 1]])
    assert texts(ax) == ["+2.0", "−1.0", "NA"] and ax.get_xlabel().startswith("Macro F1")
    nothing = contributions().tail(1)
    assert texts(ensembles.plot_contribution(nothing, metric="macro_f1")) == ["Not available: no image of df"]
    assert "macro_auc" in texts(ensembles.plot_contribution(nothing, metric="macro_auc"))[0]


def test_diversity_shows_calls_below_and_errors_above_the_diagonal():
    pairs = pd.DataFrame(
        [["a", "b", 0.2, 0.5], ["a", "c", 0.9, np.nan], ["b", "c", 0.0, -0.25]],
        columns=["a", "b", "disagreement", "error_correlation"],
    )
    ax = drawn(lambda ax: ensembles.plot_diversity(pairs, ax=ax))
    cells = {one.get_position(): one.get_text() for one in ax.texts}
    below = {(0, 1): "20%", (0, 2): "90%", (1, 2): "0%"}
    assert cells == {**below, (1, 0): "0.50", (2, 0): "NA", (2, 1): "−0.25"}
    assert ticks(ax) == ["a", "b", "c"] and len(ax.patches) == 6
    assert "two models" in texts(ensembles.plot_diversity(pairs.iloc[:0]))[0]


def costs(n: int = 3) -> pd.DataFrame:
    values = {"macro_f1": np.linspace(0.7, 0.5, n), "macs_m": np.logspace(3, 1, n), "ms_image": np.nan}
    return pd.DataFrame({"model": [*MODELS, *(f"other{i}" for i in range(n))][:n], **values})


def test_quality_stands_over_cost_on_a_logarithmic_axis():
    ax = drawn(lambda ax: ensembles.plot_quality_cost(costs(), metric="macro_f1", ax=ax))
    np.testing.assert_allclose(dots(ax), [[1000, 0.7], [100, 0.6], [10, 0.5]])
    assert ax.get_xscale() == "log" and texts(ax) == LABELS and ax.get_legend() is None
    assert to_hex(ax.collections[0].get_facecolor()[0]).upper() == style.model_colour("resnet50")
    assert ax.get_xlabel() == "multiply-accumulates an image (millions)" and ax.get_ylabel() == "Macro F1"


def test_names_that_find_no_room_go_to_a_legend_and_missing_costs_are_named():
    crowded = costs(30).assign(macs_m=100.0)
    ax = drawn(lambda ax: ensembles.plot_quality_cost(crowded.assign(macro_f1=0.5), metric="macro_f1", ax=ax))
    assert texts(ax) == [] and len(legend(ax)) == 30
    table = costs()
    table.loc[1, "macs_m"] = np.nan
    ax = ensembles.plot_quality_cost(table, metric="macro_f1")
    assert ax.get_xlabel().endswith("not available: tf_efficientnet_lite0") and len(texts(ax)) == 2
    assert "no model has both" in texts(ensembles.plot_quality_cost(table, x="ms_image", metric="macro_f1"))[0]


def stabilities() -> pd.DataFrame:
    values = {"value": [0.9, 0.8, 0.7, 0.6, np.nan, 0.5, 0.95, 0.85], "n": [500, 60, 60, 60, 0, 49, 300, 50]}
    table = pd.DataFrame({"class": ["all", *CLASSES], "metric": "agreement", **values, "note": ""})
    return table.assign(low=table["value"] - 0.1, high=table["value"] + 0.04)


def test_stability_has_melanoma_first_all_last_and_small_classes_grey():
    ax = drawn(lambda ax: ensembles.plot_stability(stabilities(), ax=ax))
    assert ticks(ax) == [
        "mel (49)",
        "akiec (60)",
        "bcc (60)",
        "bkl (60)",
        "df (0)",
        "nv (300)",
        "vasc (50)",
        "all (500)",
    ]
    assert [one.get_xdata()[0] for one in ax.get_lines()[:2]] == [0.5, 0.8]
    assert to_hex(ax.get_lines()[0].get_color()).upper() == ensembles.SMALL
    assert to_hex(ax.get_lines()[5].get_color()).upper() == style.CLASS_COLOURS["nv"]
    np.testing.assert_allclose(segments(ax)[0], [0.4, 0.54])
    assert texts(ax)[4] == "NA" and texts(ax)[0] == "0.500" and ax.get_xlim() == (0, 1)
    assert "several versions" in texts(ensembles.plot_stability(stabilities(), metric="flip"))[0]


def test_nothing_fitted_is_said():
    empty = pd.DataFrame(columns=["ensemble", "model", "weight"])
    assert "no ensemble could be fitted" in texts(drawn(lambda ax: ensembles.plot_weights(empty, ax=ax)))[0]
