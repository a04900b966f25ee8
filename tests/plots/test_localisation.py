"""The figures of localisation: full and open marks at the values, references where a map prefers no place."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lesionkit.plots.localisation import OTHER, plot_background, plot_localisation
from lesionkit.plots.style import CLASS_COLOURS, model_colour

from .checks import drawn, legend

MODELS = ["resnet50", "baseline_cnn", "ensemble"]


def twins(metric: str = "energy - lesion_area") -> pd.DataFrame:
    rows = [(name, twin, metric, 0.1 * i + 0.2 * (twin == "trained")) for i, name in enumerate(MODELS)
            for twin in ("trained", "randomised")]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "twin", "metric", "value"]).iloc[:5]  # the ensemble has no twin
    return table.assign(low=table["value"] - 0.05, high=table["value"] + 0.05, n=20, note="")


def classes() -> pd.DataFrame:
    names = ["akiec", "nv", "other classes"]
    table = pd.DataFrame({"class": names, "n": [24, 1200, 1300], "value": [0.5, 0.3, 0.35]})
    return table.assign(metric="background / lesion", low=table["value"] - 0.1, high=[0.6, np.nan, 0.5], note="")


def marks(ax) -> list:
    return [line for line in ax.get_lines() if line.get_marker() == "o" and len(line.get_xdata())]


def test_a_model_has_a_full_mark_and_its_twin_an_open_one():
    ax = drawn(lambda ax: plot_localisation(twins(), ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ResNet-50", "Baseline CNN", "Ensemble"]
    found = marks(ax)
    assert [float(line.get_xdata()[0]) for line in found] == pytest.approx([0.2, 0, 0.3, 0.1, 0.4])
    assert [line.get_markerfacecolor() == "white" for line in found] == [False, True, False, True, False]
    assert found[0].get_color() == found[1].get_color() == model_colour("resnet50")
    rows = [float(line.get_ydata()[0]) for line in found]
    assert rows[0] < 0 < rows[1] < rows[2] < 1 < rows[3] < rows[4] < 2
    assert [text.get_text() for text in ax.texts] == ["+0.20", "+0.00", "+0.30", "+0.10", "+0.40"]
    assert set(legend(ax)) == {"trained", "randomised", "no preferred place"}


def test_intervals_are_lines_and_the_dashed_line_is_chance():
    ax = drawn(lambda ax: plot_localisation(twins(), ax=ax))
    ends = {tuple(np.round(path.vertices[:, 0], 6)) for lines in ax.collections for path in lines.get_paths()}
    assert {(0.15, 0.25), (-0.05, 0.05), (0.35, 0.45)} <= ends
    (dashed,) = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    assert list(dashed.get_xdata()) == [0, 0]
    lift = drawn(lambda ax: plot_localisation(twins("lift"), metric="lift", ax=ax))
    assert any(list(line.get_xdata()) == [1, 1] for line in lift.get_lines()) and lift.texts[0].get_text() == "0.20"


def test_only_the_metric_asked_for_is_drawn_and_without_values_that_is_said():
    both = pd.concat([twins(), twins("lift")])
    assert len(marks(drawn(lambda ax: plot_localisation(both, metric="lift", ax=ax)))) == 5
    ax = drawn(lambda ax: plot_localisation(twins().assign(value=np.nan), ax=ax))
    assert ax.texts[0].get_text().startswith("Not available: no outline")


def test_classes_have_their_colour_and_count_and_rows_of_a_published_name_its_value():
    ax = drawn(lambda ax: plot_background(classes(), ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["akiec", "nv", "other classes"]
    assert [line.get_color() for line in marks(ax)] == [CLASS_COLOURS["akiec"], CLASS_COLOURS["nv"], OTHER]
    assert [text.get_text() for text in ax.texts] == ["n = 24", "n = 1,200", "n = 1,300"]
    assert ax.get_xscale() == "log"
    (bars,) = [lines for lines in ax.collections if lines.get_label() == "published, HAM10000"]
    assert [float(path.vertices[0, 0]) for path in bars.get_paths()] == pytest.approx([0.48, np.nan, 0.32], nan_ok=True)
    assert to_hex(bars.get_color()[0]).upper() == "#999999" and "published, HAM10000" in legend(ax)


def test_without_published_values_or_quotients_the_rest_stands():
    ax = drawn(lambda ax: plot_background(classes(), published={}, ax=ax))
    assert len(marks(ax)) == 3 and "published, HAM10000" not in legend(ax)
    mean = classes().assign(metric="background_to_lesion", value=2.0)
    ax = drawn(lambda ax: plot_background(pd.concat([classes(), mean]), metric="background_to_lesion", ax=ax))
    assert [float(line.get_xdata()[0]) for line in marks(ax)] == [2, 2, 2]
    ax = drawn(lambda ax: plot_background(classes().head(0), ax=ax))
    assert ax.texts[0].get_text().startswith("Not available: no outline")
