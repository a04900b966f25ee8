"""The forest of subgroups: a row a group, small ones grey, numbers at the end, all images as a line."""

import numpy as np
import pandas as pd

from lesionkit.plots import subgroups

from .checks import drawn

LEVELS = [
    ("all", "all", 500, 60, False),
    ("age_band", "0–29", 40, 2, True),
    ("age_band", "75+", 460, 58, False),
    ("sex", "female", 250, 30, False),
    ("sex", "not known", 250, 30, False),
    ("source", "HAM10000", 500, 60, False),
]


def summary(metric: str = "melanoma_sensitivity") -> pd.DataFrame:
    table = pd.DataFrame(LEVELS, columns=["attribute", "level", "n", "melanomas", "small"])
    value = np.array([0.6, 0.3, 0.65, 0.5, np.nan, 0.6])
    return table.assign(lesions=table["n"], metric=metric, value=value, low=value - 0.1, high=value + 0.1, note="")


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def dots(ax) -> dict[float, str]:
    return {one.get_xdata()[0]: one.get_color() for one in ax.get_lines() if one.get_marker() == "o"}


def test_rows_are_grouped_and_attributes_of_one_level_left_out():
    ax = drawn(lambda ax: subgroups.plot_subgroups(summary(), metric="melanoma_sensitivity", ax=ax))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0–29", "75+", "female", "not known"]
    assert ax.get_yticks().tolist() == [1, 2, 4, 5]
    assert {"Age (years)", "Sex"} <= set(texts(ax)) and "Source" not in texts(ax)
    assert ax.get_xlabel() == "Melanoma sensitivity"


def test_small_groups_are_grey_and_numbers_stand_at_the_end():
    ax = drawn(lambda ax: subgroups.plot_subgroups(summary(), metric="melanoma_sensitivity", ax=ax))
    colours = dots(ax)
    assert colours[0.3] == subgroups.SMALL and colours[0.65] == subgroups.COLOUR
    assert {"40 (2 mel)", "460 (58 mel)", "NA   250 (30 mel)", "all: 0.600"} <= set(texts(ax))
    assert [one.get_xdata()[0] for one in ax.get_lines() if one.get_marker() == "None"] == [0.6]
    bars = [bar for group in ax.collections for bar in group.get_segments() if np.size(bar) and np.isfinite(bar).all()]
    np.testing.assert_allclose([bar[:, 0] for bar in bars], [(0.2, 0.4), (0.55, 0.75), (0.4, 0.6)])


def test_melanomas_are_counted_only_where_the_metric_is_of_them():
    ax = drawn(lambda ax: subgroups.plot_subgroups(summary("accuracy"), metric="accuracy", ax=ax))
    assert {"40", "460", "NA   250"} <= set(texts(ax))


def test_nothing_to_group_is_said():
    for table in (summary()[:1], summary()[:0], summary("accuracy")):
        ax = drawn(lambda ax, table=table: subgroups.plot_subgroups(table, metric="melanoma_sensitivity", ax=ax))
        assert texts(ax) == ["Not available: no attribute has two levels with melanoma sensitivity"]
