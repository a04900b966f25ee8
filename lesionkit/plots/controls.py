"""Controls: what a sibling in training is worth, and what class-balanced sampling buys."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionkit.data.records import CLASSES
from lesionkit.evidence.balancing import MATCHED
from lesionkit.plots.style import CLASS_COLOURS, axes, legend_above, metric_label, unavailable, use_style

MARKS = {"share called rightly": "o", "mean probability of the true class": "D"}
RIGHT = ("accuracy", "recall", "melanoma_sensitivity")
FEW = 10  # probes: below, a class is drawn in grey
ALL, SMALL = "#222222", "#AAAAAA"


@use_style()
def plot_leak(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Leaked − clean, in percentage points, of all probes and of each class: a row each, with its interval.

    table: of `evidence.controls.leak`. Dots are shares called rightly (of a class its recall, of mel the melanoma
    sensitivity), diamonds mean probabilities of the true class. Right of 0, siblings in training help. At a row's
    end its probes; with fewer than 10 it is grey, and one without an interval is a mark alone.
    """
    rows = table[table["difference"].notna() & (table["metric"] != "balanced_accuracy")]
    classes = [name for name in ("all", *CLASSES) if name in set(rows["class"])]
    if not classes:
        return unavailable(ax, "no probe was scored")
    ax = axes(ax, 1.0 + 0.36 * len(classes))
    for label, mark in MARKS.items():
        right = mark == "o"
        chosen = rows[rows["metric"].isin(RIGHT) == right].set_index("class").reindex(classes)
        for at, (name, row) in enumerate(chosen.iterrows()):
            _row(ax, at + (-0.15 if right else 0.15), row, mark, _colour(name, row["n"]))
        ax.plot([], [], mark, color="#555555", markerfacecolor=_face(mark, "#555555"), markersize=5, label=label)
    for at, name in enumerate(classes):
        n = int(rows.loc[rows["class"] == name, "n"].iloc[0])
        ax.annotate(f"n = {n:,}", (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    ax.axvline(0, color="#222222", linewidth=1, zorder=1)
    ax.hlines(
        np.arange(1, len(classes)) - 0.5, 0, 1, transform=ax.get_yaxis_transform(), color="#EEEEEE", linewidth=0.8
    )
    ax.set_yticks(range(len(classes)), classes)
    ax.set(ylim=(len(classes) - 0.5, -0.5), xlabel="with its siblings in training − without (percentage points)")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    legend_above(ax, 2)
    return ax


@use_style()
def plot_balancing(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Balanced − natural sampling, in percentage points: a row a metric, with its interval.

    table: of `evidence.balancing.compare_balancing`. Dots are at the models' own calls, diamonds at a specificity
    matched on validation, where balanced accuracy is not defined. Right of 0, balancing helps.
    """
    rows = table[table["difference"].notna() & ~table["metric"].str.contains("specificity")]
    metrics = list(dict.fromkeys(rows["metric"]))
    if not metrics:
        return unavailable(ax, "the backbone was not trained both ways")
    ax = axes(ax, 1.0 + 0.4 * len(metrics))
    for where, (mark, shift) in {"argmax": ("o", -0.15), MATCHED: ("D", 0.15)}.items():
        for _, row in rows[rows["where"] == where].iterrows():
            name = "mel" if row["metric"].startswith("melanoma") else row["metric"].partition(":")[2]
            _row(ax, metrics.index(row["metric"]) + shift, row, mark, CLASS_COLOURS.get(name, ALL))
        label = "at the model's own call" if where == "argmax" else f"at a {where}"
        ax.plot([], [], mark, color="#555555", markerfacecolor=_face(mark, "#555555"), markersize=5, label=label)
    ax.axvline(0, color="#222222", linewidth=1, zorder=1)
    names = [metric_label(m.replace("recall:", "recall of ").replace("_", " ")) for m in metrics]
    ax.set_yticks(range(len(metrics)), names)
    ax.set(ylim=(len(metrics) - 0.5, -0.5), xlabel="with class-balanced sampling − without (percentage points)")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    legend_above(ax, 2)
    return ax


def _row(ax: Axes, at: float, row: pd.Series, mark: str, colour: str) -> None:
    ax.hlines(at, 100 * row["low"], 100 * row["high"], color=colour, linewidth=1.5, zorder=2)
    ax.plot(
        100 * row["difference"], at, mark, color=colour, markerfacecolor=_face(mark, colour), markersize=5, zorder=3
    )


def _face(mark: str, colour: str) -> str:
    return colour if mark == "o" else "white"


def _colour(name: str, n: int) -> str:
    return SMALL if n < FEW else CLASS_COLOURS.get(name, ALL)
