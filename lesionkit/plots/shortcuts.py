"""Shortcuts: how much of the maps lies on what is not skin, and what the models say once it is taken away.

Tables hold a row a model, region and metric: model, region, metric, value, low, high, n; as of `evidence.means`, by
model and region, from the scores of `explain.shortcuts`.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionkit.plots.style import WIDTH, axes, metric_label, model_colour, model_label, unavailable, use_style

LIFTS = ("energy / area", "lift")  # drawn on a logarithmic axis; all other metrics are differences of probabilities
CONTROLS = {"change": "change_control"}  # drawn beneath, open
LABELS = {
    "energy / area": "share of the map / share of the frame",
    "lift": "share of the map / share of the frame",
    "change": "change of p when it is filled (points); open: when as much is filled elsewhere",
}
FEWEST, MOST = 1 / 8, 8  # of a lift: beyond, it is an arrow at the edge
TICKS = {1 / 8: "⅛", 1 / 4: "¼", 1 / 2: "½", 1: "1", 2: "2", 4: "4", 8: "8"}
FEW, SMALL = 5, "#AAAAAA"  # images: below, a row is grey


@use_style()
def plot_region(table: pd.DataFrame, *, region: str, metric: str = "energy / area", ax: Axes | None = None) -> Axes:
    """One region and metric, a row a model with its interval; the line is "as its area" (1), or no change (0).

    metric: "energy / area" or "lift", on a logarithmic axis from 1/8 to 8, or a difference of probabilities, in
    percentage points; with "change" its control is drawn, if the table has it. A model with fewer than FEW images is
    grey, one without a value is NA.
    """
    here = table[table["region"] == region]
    if here.loc[here["metric"] == metric, "value"].isna().all():
        return unavailable(ax, f"no {metric_label(metric).lower()} for {region}")
    models = here.loc[here["metric"] == metric, "model"].unique()
    ax = axes(ax, 0.9 + 0.26 * len(models))
    _rows(ax, here, metric, models)
    ax.set_xlabel(LABELS.get(metric, metric_label(metric)))
    return ax


@use_style()
def region_panels(table: pd.DataFrame, metrics: Sequence[str] = ("energy / area", "change")) -> Figure:
    """A new figure: a column a region with the most images of a model, a row a metric, all models in each panel.

    As `plot_region`; a region that has no value of any metric has no column.
    """
    known = table[table["metric"].isin(metrics) & table["value"].notna()]
    if known.empty:
        return unavailable(None, "no region was found").figure
    regions, models = known["region"].unique(), table["model"].unique()
    figure, grid = plt.subplots(len(metrics), len(regions), squeeze=False, sharex="row", sharey=True,
                                figsize=(WIDTH, 0.5 + len(metrics) * (0.6 + 0.19 * len(models))))  # fmt: skip
    for metric, row in zip(metrics, grid, strict=True):
        for region, ax in zip(regions, row, strict=True):
            _rows(ax, table[table["region"] == region], metric, models)
        row[len(row) // 2].set_xlabel(LABELS.get(metric, metric_label(metric)), x=0.5 * (len(row) % 2))
    for region, ax in zip(regions, grid[0], strict=True):
        ax.set_title(f"{region}\nn = {known.loc[known['region'] == region, 'n'].max():,.0f}", fontsize=9)
    return figure


@use_style()
def plot_counterfactual(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The change of the probability once the lesion is filled, a row a model with its interval: left of 0 it sinks.

    table: model, metric ("change"), value, low, high, n. Near 0 a model says the same of what the filling leaves.
    """
    ax = plot_region(table.assign(region="lesion"), region="lesion", metric="change", ax=ax)
    ax.set_xlabel("change of p when the lesion is filled (points)")
    return ax


def _rows(ax: Axes, table: pd.DataFrame, metric: str, models: Sequence[str]) -> None:
    """The rows of one region: `metric` of each of the models, NA where the table has none."""
    lift, parts = metric in LIFTS, table.set_index("model")
    ends = (FEWEST, MOST) if lift else (-np.inf, np.inf)
    for at, row in enumerate(parts[parts["metric"] == metric].reindex(models).itertuples()):
        _row(ax, at, row, 1 if lift else 100, ends)
    for at, row in enumerate(parts[parts["metric"] == CONTROLS.get(metric)].reindex(models).itertuples()):
        if not np.isnan(row.value):
            _row(ax, at + 0.28, row, 100, ends, face="white", size=3.5)
    ax.axvline(1 if lift else 0, color="#444444", linewidth=0.8, zorder=1)
    if lift:
        ax.set_xscale("log")
        ax.set_xlim(0.9 * FEWEST, MOST / 0.9)
        ax.set_xticks(list(TICKS), list(TICKS.values()))
        ax.set_xticks([], minor=True)
    ax.set_yticks(range(len(models)), [model_label(name) for name in models])
    ax.set_ylim(len(models) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


def _row(ax: Axes, at: float, row: tuple, scale: float, ends: tuple[float, float], face: str | None = None,
         size: float = 5) -> None:  # fmt: skip
    value, low, high = scale * row.value, scale * row.low, scale * row.high
    colour = model_colour(row.Index) if row.n >= FEW else SMALL
    if np.isnan(value):
        ax.annotate("NA", (0.03, at), xycoords=("axes fraction", "data"), va="center", fontsize=7.5, color="#777777")
        return
    width = 1.6 if face is None else 0.8
    ax.hlines(at, np.clip(low, *ends), np.clip(high, *ends), color=colour, linewidth=width, zorder=2)
    mark = "<" if value < ends[0] else ">" if value > ends[1] else "o"
    ax.plot(np.clip(value, *ends), at, mark, color=colour, markerfacecolor=face or colour, markersize=size, zorder=3,
            clip_on=False)  # fmt: skip
