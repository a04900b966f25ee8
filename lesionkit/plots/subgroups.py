"""A metric in subgroups, as a forest: a row a group, its interval, its number of images."""

import pandas as pd
from matplotlib.axes import Axes

from lesionkit.evidence.subgroups import OF_MELANOMAS
from lesionkit.plots.style import axes, metric_label, unavailable, use_style

ATTRIBUTE_LABELS = {"age_band": "Age (years)", "sex": "Sex", "site": "Site", "confirmation": "Confirmation"}
COLOUR, SMALL = "#4477AA", "#AAAAAA"


@use_style()
def plot_subgroups(summary: pd.DataFrame, *, metric: str = "balanced_accuracy", ax: Axes | None = None) -> Axes:
    """`metric` in each group of each attribute; the vertical line is all images. Small groups are grey.

    summary: of `evidence.subgroups.summary`. At the row's end the images, and the melanomas where the metric is
    of melanomas. An undefined value is NA, one without an interval a dot alone. Attributes of one level are left out.
    """
    rows = summary[summary["metric"] == metric]
    groups = rows[(rows["attribute"] != "all") & (rows.groupby("attribute")["level"].transform("size") > 1)]
    if groups.empty:
        return unavailable(ax, f"no attribute has two levels with {metric_label(metric).lower()}")
    lines = _lines(groups)
    ax = axes(ax, 0.9 + 0.21 * len(lines))
    for at, line in enumerate(lines):
        if isinstance(line, str):
            ax.annotate(line, (-0.01, at), xycoords=("axes fraction", "data"), ha="right", va="center", weight="bold")
        else:
            _row(ax, at, line, metric in OF_MELANOMAS)
    overall = rows.loc[rows["attribute"] == "all", "value"]
    for value in overall.dropna():
        ax.axvline(value, color="#222222", linewidth=1, zorder=1)
        ax.annotate(f"all: {value:.3f}", (value, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom")
    named = [(at, line["level"]) for at, line in enumerate(lines) if not isinstance(line, str)]
    ax.set_yticks([at for at, _ in named], [name for _, name in named])
    ax.set(xlim=(0, 1), ylim=(len(lines) - 0.5, -0.7), xlabel=metric_label(metric))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return ax


def _lines(groups: pd.DataFrame) -> list:
    lines: list = []
    for attribute, rows in groups.groupby("attribute", sort=False):
        lines += [ATTRIBUTE_LABELS.get(attribute, attribute.replace("_", " ").capitalize())]
        lines += [row for _, row in rows.iterrows()]
    return lines


def _row(ax: Axes, at: int, row: pd.Series, of_melanomas: bool) -> None:
    colour = SMALL if row["small"] else COLOUR
    ax.hlines(at, row["low"], row["high"], color=colour, linewidth=1.6, zorder=2)
    ax.plot(row["value"], at, "o", color=colour, markersize=5, markeredgecolor="white", zorder=3, clip_on=False)
    count = f"{row['n']:,}" + (f" ({row['melanomas']:,} mel)" if of_melanomas else "")
    text = f"NA   {count}" if pd.isna(row["value"]) else count
    style = {"color": "#777777" if row["small"] else "#222222", "fontsize": 8, "va": "center"}
    ax.annotate(text, (1.02, at), xycoords=("axes fraction", "data"), **style)
