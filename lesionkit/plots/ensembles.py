"""What ensembles weigh, what members add, how unlike they are and what they cost; how stable one model's calls are."""

import textwrap
from collections.abc import Iterable
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter

from lesionkit.data.records import CLASSES
from lesionkit.plots.boards import MARKERS
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

COST_LABELS = {
    "parameters_m": "parameters (millions)",
    "macs_m": "multiply-accumulates an image (millions)",
    "ms_image": "time an image (ms)",
}
STABILITY_LABELS = {
    "agreement": "share of versions with the modal call",
    "flip": "share of images with more than one call",
    "sd_mel": "standard deviation of the melanoma probability",
}
SMALL, FEW_IMAGES = "#AAAAAA", 50
PLACES = tuple(  # of a name beside its marker: offset in points, horizontal and vertical alignment
    ((7 * x, 6 * y), {1: "left", 0: "center", -1: "right"}[x], {1: "bottom", 0: "center", -1: "top"}[y])
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
)


@use_style()
def plot_weights(weights: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """A row a member, a bar for its weight in each fitted ensemble; dashed: equal weights, as of the plain mean.

    weights: ensemble, model, weight, as of `evidence.ensembles.weights_of`.
    """
    if weights.empty:
        return unavailable(ax, "no ensemble could be fitted")
    ensembles, models = list(dict.fromkeys(weights["ensemble"])), list(dict.fromkeys(weights["model"]))
    ax = axes(ax, 1.0 + 0.42 * len(models))
    height = 0.8 / len(ensembles)
    for at, ensemble in enumerate(ensembles):
        values = weights[weights["ensemble"] == ensemble].set_index("model")["weight"].reindex(models)
        y = np.arange(len(models)) + (at - (len(ensembles) - 1) / 2) * height
        bars = ax.barh(y, values, 0.9 * height, color=model_colour(ensemble), label=model_label(ensemble))
        ax.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
    ax.axvline(1 / len(models), color="#777777", linestyle="--", linewidth=1, label="equal weights")
    ax.set_yticks(range(len(models)), map(model_label, models))
    ax.set(xlim=(0, max(1.12 * weights["weight"].max(), 0.1)), ylim=(len(models) - 0.5, -0.5))
    ax.set(xlabel="weight (sum over members: 1)")
    ax.tick_params(axis="y", length=0)
    legend_above(ax, len(ensembles) + 1)
    return ax


@use_style()
def plot_contribution(table: pd.DataFrame, *, metric: str = "balanced_accuracy", ax: Axes | None = None) -> Axes:
    """A row a member, the largest contribution on top: the mean ensemble with it − without it, and its interval.

    table: of `evidence.diversity.leave_one_out`. Right of 0 the member helps. An undefined value is NA.
    """
    rows = table[table["metric"] == metric].sort_values("contribution", ascending=False, kind="stable")
    if rows["contribution"].isna().all():
        return unavailable(ax, "; ".join(dict.fromkeys(rows["note"])) or f"no contribution to {metric} was computed")
    ax = axes(ax, 0.9 + 0.3 * len(rows))
    colours = list(map(model_colour, rows["model"]))
    at = np.arange(len(rows))
    ax.axvline(0, color="#222222", linewidth=1, zorder=1)
    ax.hlines(at, 100 * rows["low"], 100 * rows["high"], color=colours, linewidth=1.6, zorder=2)
    ax.scatter(100 * rows["contribution"], at, s=36, color=colours, edgecolors="white", linewidths=0.6, zorder=3)
    for y, value in zip(at, rows["contribution"], strict=True):
        text = "NA" if pd.isna(value) else f"{100 * value:+.1f}".replace("-", "−")
        ax.annotate(text, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
    ax.set_yticks(at, map(model_label, rows["model"]))
    ax.set(
        ylim=(len(rows) - 0.5, -0.5), xlabel=f"{metric_label(metric)}: ensemble with it − without it (points of 100)"
    )
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return ax


@use_style()
def plot_diversity(pairs: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Each two models: below the diagonal the share of other calls (blue, %), above it their errors' correlation (red).

    pairs: of `evidence.diversity.pairwise`. An undefined correlation is NA.
    """
    if pairs.empty:
        return unavailable(ax, "diversity needs two models")
    models = list(dict.fromkeys([*pairs["a"], *pairs["b"]]))
    ax = axes(ax, 1.6 + 0.42 * len(models))
    for _, row in pairs.iterrows():
        i, j = sorted((models.index(row["a"]), models.index(row["b"])))
        _cell(ax, i, j, row["disagreement"], colormaps["Blues"], f"{100 * row['disagreement']:.0f}%")
        correlation = row["error_correlation"]
        _cell(
            ax,
            j,
            i,
            correlation,
            colormaps["Reds"],
            "NA" if pd.isna(correlation) else f"{correlation:.2f}".replace("-", "−"),
        )
    labels = [model_label(name) for name in models]
    ax.set_xticks(range(len(models)), labels, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(models)), labels)
    ax.set(xlim=(-0.5, len(models) - 0.5), ylim=(len(models) - 0.5, -0.5))
    ax.set_title("above: correlation of errors (red) · below: images called differently (blue)", fontsize=9)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


@use_style()
def plot_quality_cost(
    table: pd.DataFrame, *, x: str = "macs_m", metric: str = "balanced_accuracy", ax: Axes | None = None
) -> Axes:
    """A marker a model: `metric` against its cost `x`, on a logarithmic axis.

    Names stand beside the markers where all find room, else in a legend. Models without a cost are named below.

    table: of `evidence.diversity.quality_and_cost`. x: parameters_m, macs_m or ms_image.
    """
    shown = table[table[metric].notna() & (table[x] > 0)].sort_values(metric, ascending=False, kind="stable")
    if shown.empty:
        return unavailable(ax, f"no model has both {COST_LABELS.get(x, x)} and {metric_label(metric).lower()}")
    ax = axes(ax, 3.8)
    for marker, (_, row) in zip(cycle(MARKERS), shown.iterrows()):
        style = {"marker": marker, "color": model_colour(row["model"]), "label": model_label(row["model"])}
        ax.scatter(row[x], row[metric], s=56, edgecolors="white", linewidths=0.6, zorder=3, **style)
    left_out = [model_label(name) for name in table["model"] if name not in set(shown["model"])]
    without = textwrap.wrap(f"not available: {', '.join(left_out)}", 90) if left_out else []
    ax.set(xscale="log", ylabel=metric_label(metric), xlabel="\n".join([COST_LABELS.get(x, x), *without]))
    ax.xaxis.set_major_formatter(LogFormatter(labelOnlyBase=False))
    ax.xaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))
    ax.margins(0.12, 0.1)
    ax.grid(True)
    if not _all_named(ax, shown["model"], shown[[x, metric]].to_numpy()):
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return ax


@use_style()
def plot_stability(summary: pd.DataFrame, *, metric: str = "agreement", ax: Axes | None = None) -> Axes:
    """A row a true class, melanoma first and all images last: the mean of `metric` and its interval.

    summary: of `evidence.stability.over_versions`; metric: agreement, flip or sd_mel. Classes of fewer than
    FEW_IMAGES images are grey; one without images is NA.
    """
    rows = summary[summary["metric"] == metric].set_index("class")
    order = ["mel", *(name for name in CLASSES if name != "mel"), "all"]
    rows = rows.loc[[name for name in order if name in rows.index]]
    if rows["value"].isna().all():
        return unavailable(ax, f"no image was scored in several versions ({metric})")
    ax = axes(ax, 0.9 + 0.28 * len(rows))
    for at, (name, row) in enumerate(rows.iterrows()):
        colour = SMALL if row["n"] < FEW_IMAGES else CLASS_COLOURS.get(name, "#000000")
        ax.hlines(at, row["low"], row["high"], color=colour, linewidth=1.8, zorder=2)
        ax.plot(row["value"], at, "o", color=colour, markeredgecolor="white", zorder=3, clip_on=False)
        text = "NA" if pd.isna(row["value"]) else f"{row['value']:.3f}"
        ax.annotate(text, (1.02, at), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
    ax.set_yticks(range(len(rows)), [f"{name} ({n:,})" for name, n in zip(rows.index, rows["n"], strict=True)])
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=STABILITY_LABELS.get(metric, metric))
    if metric != "sd_mel":
        ax.set_xlim(0, 1)
    else:
        ax.set_xlim(left=0)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return ax


def _cell(ax: Axes, column: int, row: int, value: float, colours, text: str) -> None:
    shade = 0 if pd.isna(value) else 0.85 * np.clip(value, 0, 1)
    ax.add_patch(_square(column, row, colours(shade)))
    ax.text(column, row, text, ha="center", va="center", fontsize=8.5, color="white" if shade > 0.55 else "#222222")


def _square(column: int, row: int, colour) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, edgecolor="white")


def _all_named(ax: Axes, models: Iterable[str], points: np.ndarray) -> bool:
    """Write each model's name beside its marker; False, and no name, where one finds no free place."""
    ax.get_figure(root=True).draw_without_rendering()  # a name is placed by its extent, which the layout decides
    placed: list[Text] = []
    for name, point in zip(models, points, strict=True):
        text = _named(ax, model_label(name), tuple(point), points, placed)
        if text is None:
            for other in placed:
                other.remove()
            return False
        placed.append(text)
    return True


def _named(ax: Axes, name: str, at: tuple[float, float], points: np.ndarray, placed: list[Text]) -> Text | None:
    taken, dots = [text.get_window_extent() for text in placed], ax.transData.transform(points)
    for offset, ha, va in PLACES:
        text = ax.annotate(name, at, offset, textcoords="offset points", ha=ha, va=va, fontsize=8)
        box = text.get_window_extent()
        inside = ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1
        if inside and not any(map(box.overlaps, taken)) and not any(box.padded(3).contains(*dot) for dot in dots):
            return text
        text.remove()
    return None
