"""Models beside each other: leaderboard, inside against outside, drop to external data."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionkit.plots.style import axes, legend_above, metric_label, model_colour, model_label, unit_axes, use_style

MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*", "h")
SHOWN = ("balanced_accuracy", "macro_f1", "macro_auc", "melanoma_sensitivity")


@use_style()
def plot_leaderboard(board: pd.DataFrame, *, names: Sequence[str] = SHOWN, ax: Axes | None = None) -> Axes:
    """A row a model in the order of the leaderboard, a dot for each metric of `names`, told by its shape.

    A metric that is NaN for a model has no dot; it is named as NA at the row's end.
    """
    ax = axes(ax, 0.9 + 0.34 * len(board))
    rows = np.arange(len(board))
    for marker, name in zip(MARKERS, names, strict=False):
        ax.scatter(
            board[name],
            rows,
            marker=marker,
            s=52,
            c=list(map(model_colour, board["model"])),
            edgecolors="white",
            linewidths=0.6,
            zorder=3,
            clip_on=False,
        )
        ax.scatter([], [], marker=marker, s=40, color="#555555", label=metric_label(name))
    for at, (_, row) in enumerate(board.iterrows()):
        missing = [metric_label(name) for name in names if pd.isna(row[name])]
        if missing:
            ax.annotate(
                f"NA: {', '.join(missing)}",
                (1.02, at),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
                color="#555555",
            )
    # dots, not bars: the axis need not start at 0
    floor = np.nan_to_num(np.floor(10 * board[list(names)].min(axis=None)) / 10)
    ax.hlines(rows, 0, 1, color="#DDDDDD", linewidth=0.8, zorder=1)
    ax.set_yticks(rows, [model_label(name) for name in board["model"]])
    ax.set(xlim=(min(floor, 0.9), 1), ylim=(len(board) - 0.5, -0.5))
    legend_above(ax, min(len(names), 4))
    return ax


@use_style()
def plot_inside_outside(board: pd.DataFrame, *, metric: str = "balanced_accuracy", ax: Axes | None = None) -> Axes:
    """A dot a model: `metric` on the internal test set across, on the external images up; on the dashed line both are equal.

    board: model, `<metric>_in`, `<metric>_out`, and their intervals `<metric>_in_low`, …, drawn as lines where it has them.
    """
    ax = unit_axes(ax, f"{metric_label(metric)}, internal test", f"{metric_label(metric)}, external")
    ax.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=0.8, linestyle="--")
    for marker, (_, row) in zip(cycle(MARKERS), board.iterrows()):
        x, y = row[f"{metric}_in"], row[f"{metric}_out"]
        line = {"color": model_colour(row["model"]), "linewidth": 1, "alpha": 0.6}
        if f"{metric}_in_low" in row:
            ax.hlines(y, row[f"{metric}_in_low"], row[f"{metric}_in_high"], **line)
            ax.vlines(x, row[f"{metric}_out_low"], row[f"{metric}_out_high"], **line)
        ax.scatter(
            x,
            y,
            s=56,
            marker=marker,
            color=model_colour(row["model"]),
            edgecolors="white",
            linewidths=0.6,
            label=model_label(row["model"]),
            zorder=3,
        )
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return ax


@use_style()
def plot_drop(drop: pd.DataFrame, *, metric: str = "balanced_accuracy", ax: Axes | None = None) -> Axes:
    """A row a model: the full dot is `metric` on the internal test set, the open one on external data.

    drop: the table of `comparisons.drops`. The number at the row's end is external − internal.
    """
    rows = drop[drop["metric"] == metric].reset_index(drop=True)
    ax = axes(ax, 0.9 + 0.34 * len(rows))
    for at, row in rows.iterrows():
        colour = model_colour(row["model"])
        ax.plot([row["internal"], row["external"]], [at, at], color=colour, linewidth=1.8, zorder=2)
        ax.scatter(row["internal"], at, s=52, color=colour, zorder=3)
        ax.scatter(row["external"], at, s=52, facecolor="white", edgecolor=colour, linewidths=1.6, zorder=3)
        text = "NA" if pd.isna(row["drop"]) else f"{-row['drop']:+.3f}".replace("-", "−")
        ax.annotate(text, (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
    ax.annotate("change", (1.01, 1.01), xycoords="axes fraction", fontsize=8.5)
    for label, face in {"internal test": "#555555", "external": "white"}.items():
        ax.scatter([], [], s=40, facecolor=face, edgecolor="#555555", linewidths=1.6, label=label)
    ax.set_yticks(range(len(rows)), [model_label(name) for name in rows["model"]])
    ax.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel=metric_label(metric))
    ax.grid(axis="x")
    legend_above(ax, 2)
    return ax
