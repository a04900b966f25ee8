"""Other archives: the shares of the classes as validated, estimated and true; detection of unknown images."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionkit.plots.style import axes, legend_above, model_colour, model_label, unavailable, use_style

SHARES = {  # column -> label, mark, colour, whether it is full
    "validation": ("validation", "s", "#888888", False),
    "estimated": ("estimated from unlabelled external images", "o", "#004488", True),
    "true": ("external (true)", "D", "#BB5566", False),
}
SCORE_LABELS = {
    "maximum_softmax": "Maximum softmax",
    "energy": "Energy",
    "disagreement": "Disagreement",
}
METRIC_LABELS = {"auroc": ("AUROC", 0.5), "fpr_at_95": ("FPR at 95 % TPR (lower is better)", 0.95)}
FLOOR = 1e-3  # of a share; below it the axis ends


@use_style()
def plot_priors(priors: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """A row a class: its share in validation, its share as estimated, its true share outside, on a logarithmic axis.

    priors: the second table of `evidence.shift.corrected`. A share below 0.1 % is an arrow at the edge.
    """
    if priors.empty:
        return unavailable(ax, "no prior was estimated")
    ax = axes(ax, 1.0 + 0.34 * len(priors))
    at = np.arange(len(priors))
    for column, (label, mark, colour, full) in SHARES.items():
        share, face = priors[column].to_numpy(), colour if full else "white"
        inside = share >= FLOOR
        dots = {"color": colour, "markerfacecolor": face, "markeredgewidth": 1.4, "linestyle": "none"}
        ax.plot(100 * share[inside], at[inside], mark, markersize=6.5, label=label, zorder=3, **dots)
        edge = np.full((~inside).sum(), 100 * FLOOR)
        ax.plot(edge, at[~inside], marker="<", markersize=7, clip_on=False, zorder=3, **dots)
    low, high = (np.maximum(priors[list(SHARES)].to_numpy(), FLOOR).T * 100 for _ in range(2))
    ax.hlines(at, low.min(axis=0), high.max(axis=0), color="#DDDDDD", linewidth=2, zorder=1)
    ax.set_xscale("log")
    ax.set_xticks([0.1, 1, 10, 100], ["≤ 0.1", "1", "10", "100"])
    ax.set_yticks(at, priors["class"])
    ax.set(xlim=(100 * FLOOR, 100), ylim=(len(priors) - 0.5, -0.5), xlabel="share of the images (%)")
    ax.grid(axis="x")
    legend_above(ax, 3, handlelength=1.2)
    return ax


@use_style()
def plot_openset(summary: pd.DataFrame, *, metric: str = "auroc", ax: Axes | None = None) -> Axes:
    """A row a score and model: how well it tells unknown images, with intervals; the dashed line is chance.

    summary: of `evidence.openset.summary`; metric: auroc or fpr_at_95.
    """
    rows = summary[summary["metric"] == metric].reset_index(drop=True)
    if rows["value"].isna().all():
        return unavailable(ax, "; ".join(sorted(set(rows["note"]) - {""})) or "no unknown image was scored")
    label, chance = METRIC_LABELS[metric]
    ax = axes(ax, 0.9 + 0.24 * len(rows))
    for at, row in rows.iterrows():
        colour = model_colour(row["model"])
        ax.hlines(at, row["low"], row["high"], color=colour, linewidth=1.6, zorder=2)
        ax.plot(row["value"], at, "o", color=colour, markersize=5, zorder=3, clip_on=False)
        text = "NA" if pd.isna(row["value"]) else f"{row['value']:.3f}"
        ax.annotate(text, (1.02, at), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    ax.axvline(chance, color="#222222", linestyle="--", linewidth=1, zorder=1)
    names = [
        f"{SCORE_LABELS.get(score, score)}: {model_label(model)}" for score, model in zip(rows["score"], rows["model"])
    ]
    ax.set_yticks(range(len(rows)), names)
    n = rows.iloc[0]
    counts = f"{n['n_unknown']:,} unknown and {n['n_known']:,} known images"
    ax.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel=f"{label}; dashed: chance; {counts}")
    ax.grid(axis="x")
    return ax
