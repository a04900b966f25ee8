"""Forests and the win matrix draw the numbers of their tables, and say why where there are none."""

import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from lesionkit.plots import intervals, style

from .checks import drawn

NAN = float("nan")


def table(value: str = "value", **columns) -> pd.DataFrame:
    """Three models: one with an interval, one without, one without a value."""
    rows = [
        ["resnet50", 0.7, 0.6, 0.8, ""],
        ["densenet121", 0.65, NAN, NAN, "undefined in 37 of 2,000 resamples"],
        ["ensemble", NAN, NAN, NAN, "no image of df"],
    ]
    return pd.DataFrame(rows, columns=["model", value, "low", "high", "note"]).assign(**columns)


def pairs(*rows: tuple) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["a", "b", "difference", "p_holm"])
    return table.assign(metric="macro_f1")


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def dots(ax) -> list:
    return [one for one in ax.collections if isinstance(one, PathCollection) and len(one.get_offsets())]


def test_a_forest_has_a_dot_a_line_and_numbers_a_row():
    other = table(metric="accuracy").assign(value=0.1)
    board = pd.concat([table(metric="macro_f1"), other])
    ax = drawn(lambda ax: intervals.plot_intervals(board, metric="macro_f1", ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ResNet-50", "DenseNet-121", "Ensemble"]
    assert ax.get_ylim() == (2.5, -0.5)  # the first model on top
    assert list(ax.get_lines()[0].get_xdata()) == [0.6, 0.8]
    assert to_hex(ax.get_lines()[0].get_color()) == style.model_colour("resnet50").lower()
    assert np.ma.getdata(dots(ax)[0].get_offsets()).tolist() == [[0.7, 0]]
    assert texts(ax) == [
        "0.700 [0.600, 0.800]",
        "0.650 no interval",
        "NA",
        "undefined in 37 of 2,000 resamples",
        "no image of df",
    ]
    assert [text.get_ha() for text in ax.texts[3:]] == ["right", "left"]  # the dot of 0.65 stands left
    assert ax.get_xlabel() == "Macro F1 (95 % interval)"


def test_the_reference_is_a_line_through_all_rows():
    ax = intervals.plot_intervals(table(metric="macro_f1"), metric="macro_f1", reference="resnet50")
    assert list(ax.get_lines()[-1].get_xdata()) == [0.7, 0.7]


def test_differences_are_full_where_significant():
    against = table("estimate", reference="ensemble", test="delong_melanoma_auc", p_holm=[0.01, 0.2, NAN])
    against["estimate"] = [0.05, -0.02, NAN]
    ax = drawn(lambda ax: intervals.plot_differences(against, test="delong_melanoma_auc", ax=ax))
    faces = [to_hex(dot.get_facecolor()[0]) for dot in dots(ax)[:2]]
    assert faces == [style.model_colour("resnet50").lower(), "#ffffff"]
    assert texts(ax)[:2] == ["+0.050 [+0.600, +0.800]", "−0.020 no interval"]
    assert ax.get_xlabel() == "Melanoma AUC (DeLong): Ensemble − model (95 % interval)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["p < 0.05 (Holm)", "p ≥ 0.05"]
    assert list(ax.get_lines()[-1].get_xdata()) == [0, 0]


def test_drops_are_a_forest_from_zero():
    drops = table("drop", metric="balanced_accuracy")
    ax = drawn(lambda ax: intervals.plot_drop_intervals(drops, ax=ax))
    assert texts(ax)[0] == "+0.700 [+0.600, +0.800]"
    assert ax.get_xlabel() == "Balanced accuracy: internal − external (95 % interval)"
    assert ax.get_xlim()[0] < 0 < ax.get_xlim()[1]


def test_the_win_matrix_is_row_less_column_and_marks_what_is_sure():
    board = pairs(("resnet50", "ensemble", -0.2, 0.01), ("resnet50", "vit", 0.001, 1.0), ("ensemble", "vit", NAN, NAN))
    ax = drawn(lambda ax: intervals.plot_win_matrix(board, ax=ax))
    cells = {tuple(np.floor(text.get_position()).astype(int)[::-1]): text for text in ax.texts}
    assert {at: text.get_text() for at, text in cells.items()} == {
        (0, 1): "−0.20 •",
        (1, 0): "+0.20 •",
        (0, 2): "0.00",
        (2, 0): "0.00",
        (1, 2): "NA",
        (2, 1): "NA",
    }
    assert cells[0, 1].get_weight() == "bold" and cells[0, 2].get_weight() == "normal"
    values = ax.collections[0].get_array().reshape(3, 3)
    assert values[1, 0] == 0.2 and values[0, 0] == 0
    assert ax.collections[0].get_clim() == (-0.2, 0.2)
    assert ax.get_title() == "Macro F1; bold with a dot: p < 0.05 (Holm, 3 pairs)"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ResNet-50", "Ensemble", "vit"]


def test_a_matrix_of_nothing_known_is_drawn():
    ax = drawn(lambda ax: intervals.plot_win_matrix(pairs(("resnet50", "ensemble", NAN, NAN)), ax=ax))
    assert texts(ax) == ["NA", "NA"]


def test_an_empty_table_says_so_in_the_axes():
    empty = table(metric="macro_f1", test="accuracy")
    for plot, message in (
        (lambda ax: intervals.plot_intervals(empty, metric="brier", ax=ax), "no model has Brier score"),
        (lambda ax: intervals.plot_differences(empty, test="macro_auc", ax=ax), "no model to compare in Macro AUC"),
        (lambda ax: intervals.plot_drop_intervals(empty, ax=ax), "no model has a drop of Balanced accuracy"),
        (lambda ax: intervals.plot_win_matrix(pairs(), ax=ax), "one model alone has no pair"),
    ):
        assert texts(drawn(plot)) == [f"Not available: {message}"]
