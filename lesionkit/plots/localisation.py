"""Whether explanations lie on the lesion: each model beside its randomised twin, and the background of each class."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from lesionkit.explain.localisation import PUBLISHED
from lesionkit.plots.style import (
    CLASS_COLOURS,
    axes,
    legend_above,
    metric_label,
    model_colour,
    model_label,
    unavailable,
    use_style,
)

CHANCE = {  # metric -> its label, and the value of a map that prefers no place
    "energy - lesion_area": ("share of the map on the lesion − the lesion's share of the frame", 0),
    "pointing - lesion_area": ("share of the map's maxima on the lesion − the lesion's share of the frame", 0),
    "iou - lesion_area": ("best intersection over union − the frame's", 0),
    "lift": ("share of the map on the lesion / the lesion's share of the frame", 1),
    "background / lesion": ("activation of the background / of the lesion, pooled", 1),
    "background_to_lesion": ("activation of the background / of the lesion, mean over images", 1),
}
TWINS = {"trained": -0.18, "randomised": 0.18}  # rows' offsets
OTHER = "#222222"


@use_style()
def plot_localisation(table: pd.DataFrame, *, metric: str = "energy - lesion_area", ax: Axes | None = None) -> Axes:
    """`metric` of each model, trained (full marks) and as its randomised twin (open marks): values and intervals.

    table: of `evidence.means`, with the columns model, twin ("trained" or "randomised"), metric, value, low, high. The
    dashed line is a map that prefers no place. A model without a twin has one mark.
    """
    rows = table[(table["metric"] == metric) & table["twin"].isin(TWINS) & table["value"].notna()]
    models = list(dict.fromkeys(rows["model"]))
    if not models:
        return unavailable(ax, "no outline of a lesion was found")
    label, chance = CHANCE.get(metric, (metric_label(metric), None))
    ax, form = axes(ax, 0.95 + 0.4 * len(models)), "{:.2f}" if chance else "{:+.2f}"
    for row in rows.to_dict("records"):
        at = models.index(row["model"]) + TWINS[row["twin"]]
        _mark(ax, row, at, model_colour(row["model"]), row["twin"] == "trained")
        _end(ax, at, form.format(round(row["value"], 2) + 0.0).replace("-", "−"))  # + 0: no −0.00
    for twin in TWINS:
        face = "#555555" if twin == "trained" else "white"
        ax.plot([], [], "o", color="#555555", markerfacecolor=face, markersize=6, label=twin)
    return _finished(ax, [model_label(name) for name in models], f"{label} (95 % interval)", chance)


@use_style()
def plot_background(table: pd.DataFrame, *, metric: str = "background / lesion",
                    published: Mapping[str, float] = PUBLISHED, ax: Axes | None = None) -> Axes:  # fmt: skip
    """The background-to-lesion quotient of each class with its interval, and the published value beside it as a bar.

    table: of `evidence.means`, with the columns class, n, metric, value, low, high; a row each in its order, by the
    class called, as in the publication. metric: "background / lesion", of `means.ratio`, or "background_to_lesion", the
    mean of the images' quotients, which is what was published but may hang on a few images. published: values by class,
    for rows of that name alone. The dashed line is a map that prefers no place.
    """
    rows = table[(table["metric"] == metric) & table["value"].notna()].reset_index(drop=True)
    if rows.empty:
        return unavailable(ax, "no outline of a lesion was found")
    label, chance = CHANCE[metric]
    ax = axes(ax, 0.95 + 0.32 * len(rows))
    for at, row in rows.iterrows():
        _mark(ax, row, at, CLASS_COLOURS.get(row["class"], OTHER), True)
        _end(ax, at, f"n = {row['n']:,}")
    if set(published) & set(rows["class"]):
        values = [published.get(name, np.nan) for name in rows["class"]]
        low, high = np.arange(len(rows)) - 0.32, np.arange(len(rows)) + 0.32
        ax.vlines(values, low, high, color="#999999", linewidth=3, zorder=1, label="published, HAM10000")
    ax.plot([], [], "o", color="#555555", markersize=6, label="here")
    ax.set_xscale("log")  # twice as much is as far from 1 as half
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    return _finished(ax, list(rows["class"]), f"{label} (95 % interval)", chance)


def _mark(ax: Axes, row: Mapping, at: float, colour: str, full: bool) -> None:
    ax.hlines(at, row["low"], row["high"], color=colour, linewidth=1.6, zorder=2)
    face = colour if full else "white"
    ax.plot(row["value"], at, "o", color=colour, markerfacecolor=face, markeredgewidth=1.4, markersize=6, zorder=3)


def _end(ax: Axes, at: float, text: str) -> None:
    ax.annotate(text, (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize=8)


def _finished(ax: Axes, labels: list[str], xlabel: str, chance: float | None) -> Axes:
    if chance is not None:
        ax.axvline(chance, color="#222222", linestyle="--", linewidth=1, zorder=1, label="no preferred place")
    ax.set_yticks(range(len(labels)), labels)
    ax.set(ylim=(len(labels) - 0.5, -0.5), xlabel=xlabel)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    legend_above(ax, 3, handlelength=1.6)
    return ax
