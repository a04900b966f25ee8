"""The figure of the leak: a row a class, marks at the differences, small classes grey."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lesionkit.evidence import balancing
from lesionkit.evidence.controls import COLUMNS
from lesionkit.plots.controls import SMALL, plot_balancing, plot_leak
from lesionkit.plots.style import CLASS_COLOURS

from .checks import drawn, legend

ROWS = [
    ("all", 60, "accuracy", 0.7, 0.6, 0.10, 0.02, 0.18, ""),
    ("all", 60, "balanced_accuracy", 0.7, 0.6, 0.90, np.nan, np.nan, "undefined in 90 of 2,000 resamples"),
    ("all", 60, "probability_of_truth", 0.5, 0.45, 0.05, 0.01, 0.09, ""),
    ("mel", 52, "melanoma_sensitivity", 0.6, 0.5, 0.10, -0.02, 0.2, ""),
    ("mel", 52, "probability_of_truth", 0.5, 0.45, 0.06, 0.02, 0.1, ""),
    ("df", 8, "recall", 0.5, 0.5, 0.0, np.nan, np.nan, "undefined in 30 of 2,000 resamples"),
    ("df", 8, "probability_of_truth", 0.5, 0.4, 0.1, np.nan, np.nan, "undefined in 30 of 2,000 resamples"),
    ("vasc", 0, "recall", np.nan, np.nan, np.nan, np.nan, np.nan, "no probe of vasc"),
]
LEAK = pd.DataFrame(ROWS, columns=COLUMNS)


def marks(ax, symbol):
    return [line for line in ax.get_lines() if line.get_marker() == symbol and len(line.get_xdata())]


def test_rows_are_all_probes_and_the_classes_that_have_some():
    ax = drawn(lambda ax: plot_leak(LEAK, ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all", "df", "mel"]
    assert [text.get_text() for text in ax.texts] == ["n = 60", "n = 8", "n = 52"]


def test_marks_are_at_the_differences_in_points_and_few_probes_are_grey():
    ax = drawn(lambda ax: plot_leak(LEAK, ax=ax))
    dots, diamonds = marks(ax, "o"), marks(ax, "D")
    assert [float(line.get_xdata()[0]) for line in dots] == pytest.approx([10, 0, 10])
    assert [float(line.get_xdata()[0]) for line in diamonds] == pytest.approx([5, 10, 6])
    assert to_hex(dots[1].get_color()).upper() == SMALL and dots[2].get_color() == CLASS_COLOURS["mel"]


def test_intervals_are_lines():
    ax = drawn(lambda ax: plot_leak(LEAK, ax=ax))
    ends = {tuple(np.round(path.vertices[:, 0], 6)) for lines in ax.collections for path in lines.get_paths()}
    assert {(2, 18), (-2, 20), (1, 9), (2, 10)} <= ends


def test_without_a_probe_the_reason_stands_there():
    ax = drawn(lambda ax: plot_leak(LEAK.iloc[-1:], ax=ax))
    assert "no probe was scored" in ax.texts[0].get_text()


def test_balancing_has_a_row_a_metric_and_marks_at_the_differences():
    rows = [
        ("balanced_accuracy", "argmax", 0.6, 0.5, 0.10, 0.02, 0.18, ""),
        ("melanoma_sensitivity", "argmax", 0.6, 0.4, 0.20, 0.1, 0.3, ""),
        ("melanoma_specificity", "argmax", 0.8, 0.9, -0.1, -0.2, 0.0, ""),
        ("melanoma_sensitivity", balancing.MATCHED, 0.6, 0.59, 0.01, -0.1, 0.1, ""),
        ("recall:df", "argmax", np.nan, np.nan, np.nan, np.nan, np.nan, "no image of df"),
    ]
    table = pd.DataFrame(rows, columns=balancing.COLUMNS)
    ax = drawn(lambda ax: plot_balancing(table, ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Balanced accuracy", "Melanoma sensitivity"]
    assert [float(line.get_xdata()[0]) for line in marks(ax, "o")] == pytest.approx([10, 20])
    assert [float(line.get_xdata()[0]) for line in marks(ax, "D")] == pytest.approx([1])
    assert set(legend(ax)) == {"at the model's own call", "at a specificity matched on validation"}
    empty = drawn(lambda ax: plot_balancing(table.iloc[:0], ax=ax))
    assert "not trained both ways" in empty.texts[0].get_text()
