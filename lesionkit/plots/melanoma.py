"""Melanoma at thresholds that validation set, and the net benefit of acting on a model's risk."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionkit.plots.style import (
    SPLIT_COLOURS,
    axes,
    legend_above,
    model_colour,
    model_label,
    unavailable,
    use_style,
)

SPLIT_LABELS = {"val": "validation (set here)", "test": "internal test", "external": "external"}
MARKS = {"sensitivity": "o", "specificity": "D"}
REFERENCES = {"treat_all": ("treat all", "--"), "treat_none": ("treat none", ":")}


@use_style()
def plot_operating_points(points: pd.DataFrame, *, target: float = 0.90, ax: Axes | None = None) -> Axes:
    """A row a model: sensitivity (dots) and specificity (diamonds) in each split at the threshold of validation.

    points: the table of `evidence.melanoma.operating_points`. The dashed line is the sensitivity that the
    threshold was set for; bars are intervals. What is NaN is not drawn.
    """
    rows = points[np.isclose(points["target"], target) & points["metric"].isin(MARKS)]
    if rows["value"].isna().all():
        return unavailable(ax, f"no threshold for a sensitivity of {target:.0%} was set")
    models, splits = list(dict.fromkeys(rows["model"])), [name for name in SPLIT_LABELS if name in set(rows["split"])]
    ax = axes(ax, 1.1 + 0.46 * len(models))
    for at, split in enumerate(splits):
        offset = 0.24 * (at - (len(splits) - 1) / 2)
        for metric, mark in MARKS.items():
            chosen = rows[(rows["split"] == split) & (rows["metric"] == metric)]
            y = [models.index(name) + offset for name in chosen["model"]]
            face = SPLIT_COLOURS[split] if metric == "sensitivity" else "white"
            _intervals(ax, chosen, y, mark, SPLIT_COLOURS[split], face)
        ax.plot([], [], color=SPLIT_COLOURS[split], linewidth=4, label=SPLIT_LABELS[split])
    for metric, mark in MARKS.items():
        face = "#555555" if metric == "sensitivity" else "white"
        ax.plot([], [], mark, color="#555555", markerfacecolor=face, markersize=5, label=metric)
    ax.axvline(100 * target, color="#222222", linestyle="--", linewidth=1, zorder=1)
    ax.hlines(np.arange(1, len(models)) - 0.5, 0, 100, color="#EEEEEE", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(models)), [model_label(name) for name in models])
    ax.set(xlim=(0, 100), ylim=(len(models) - 0.5, -0.5), xlabel=f"% (dashed: the sensitivity set, {target:.0%})")
    ax.grid(axis="x")
    legend_above(ax, 5, handlelength=1.2)
    return ax


@use_style()
def plot_decision_curves(curves: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Net benefit against the threshold probability of every model, with its interval; of treating all and none.

    curves: the table of `evidence.melanoma.decision_curve`. The axis of benefit is cut a little below 0.
    """
    if curves.empty:
        return unavailable(ax, "no decision curve was computed")
    ax = axes(ax, 4.0)
    for name, rows in curves.groupby("model", sort=False):
        x = 100 * rows["threshold"]
        if name in REFERENCES:
            label, dash = REFERENCES[name]
            ax.plot(x, rows["net_benefit"], color="#666666", linestyle=dash, linewidth=1.2, label=label)
            continue
        colour = model_colour(name)
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
        ax.plot(x, rows["net_benefit"], color=colour, label=model_label(name))
    # 0.01 where there is no melanoma; of one lesion curves have no interval
    top = np.nanmax([curves["high"].max(), curves["net_benefit"].max(), 0.01])
    ax.set(xlim=(0, 100 * curves["threshold"].max()), ylim=(-0.2 * top, 1.05 * top))
    ax.set(xlabel="threshold probability of melanoma (%)", ylabel="net benefit (per image)")
    ax.grid(True)
    ax.legend(loc="upper right")
    return ax


def _intervals(ax: Axes, rows: pd.DataFrame, y: list[float], mark: str, colour: str, face: str) -> None:
    ax.hlines(y, 100 * rows["low"], 100 * rows["high"], color=colour, linewidth=1.2, zorder=2)
    ax.plot(100 * rows["value"], y, mark, color=colour, markerfacecolor=face, markersize=4.5, zorder=3)
