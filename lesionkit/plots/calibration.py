"""Calibration: reliability diagrams, calibration errors before and after, conformal sets, risk–coverage curves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesionkit.evidence.conformal import ALPHA
from lesionkit.plots.style import (
    SPLIT_COLOURS,
    axes,
    legend_above,
    metric_label,
    model_colour,
    model_label,
    unavailable,
    use_style,
)

SPLIT_LABELS = {"test": "internal test", "external": "external"}
LABELS = {
    "ece": "Expected calibration error",
    "classwise_ece": "Class-wise calibration error",
    "overconfidence": "Confidence − accuracy",
}
STATES = (("#888888", "white", "s", "--"), ("#004488", "#004488", "o", "-"), ("#BB5566", "#BB5566", "D", ":"))
FEW = 30  # images; a class with fewer is grey
GUIDE = "#AAAAAA"


@use_style()
def plot_reliability(tables: Mapping[str, pd.DataFrame], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Accuracy against confidence in bins of equal mass, with intervals; on the dashed line a model is calibrated.

    tables: up to three of `evidence.calibration.reliability` under the names of the legend: open squares, full dots,
    diamonds. Below the line is overconfidence.
    """
    if not tables or all(table.empty for table in tables.values()):
        return unavailable(ax, "there is no reliability diagram")
    ax = axes(ax, 4.0, width=4.0)
    ax.plot([0, 100], [0, 100], color=GUIDE, linewidth=1, linestyle="--", zorder=1)
    for (name, table), (colour, face, mark, dash) in zip(tables.items(), STATES, strict=False):
        x, y = 100 * table["confidence"], 100 * table["accuracy"]
        ax.vlines(x, 100 * table["low"], 100 * table["high"], color=colour, linewidth=1.2, zorder=2)
        ax.plot(x, y, color=colour, linestyle=dash, linewidth=0.9, zorder=2)
        ax.plot([], [], mark, color=colour, linestyle=dash, markerfacecolor=face, markersize=5, label=name)
        ax.plot(x, y, mark, color=colour, markerfacecolor=face, markersize=5, zorder=3, clip_on=False)
    ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xlabel="mean confidence (%)", ylabel="accuracy (%)")
    ax.set_title(title)
    ax.grid(True)
    ax.legend(loc="upper left")
    return ax


@use_style()
def plot_calibration(summary: pd.DataFrame, *, metric: str = "ece", ax: Axes | None = None) -> Axes:
    """A row a model: `metric` before (open) and after (full) temperature scaling, inside and outside, with intervals.

    summary: of `evidence.calibration.summary`. What is NaN is not drawn.
    """
    rows = summary[(summary["metric"] == metric) & summary["split"].isin(SPLIT_LABELS)]
    if rows["value"].isna().all():
        return unavailable(ax, f"no {_label(metric).lower()} was computed")
    models = list(dict.fromkeys(rows["model"]))
    splits = [name for name in SPLIT_LABELS if name in set(rows["split"])]
    ax = axes(ax, 1.1 + 0.4 * len(models))
    for at, split in enumerate(splits):
        for step, scaling in enumerate(("none", "temperature")):
            chosen = rows[(rows["split"] == split) & (rows["scaling"] == scaling)]
            offset = 0.4 * (at - (len(splits) - 1) / 2) + 0.15 * (step - 0.5)
            y = [models.index(name) + offset for name in chosen["model"]]
            _forest(ax, chosen, y, SPLIT_COLOURS[split], full=scaling == "temperature")
        ax.plot([], [], color=SPLIT_COLOURS[split], linewidth=4, label=SPLIT_LABELS[split])
    for label, face in {"uncalibrated": "white", "temperature-scaled": "#555555"}.items():
        ax.plot([], [], "o", color="#555555", markerfacecolor=face, markersize=5, label=label)
    _rows_of(ax, [model_label(name) for name in models])
    if metric == "overconfidence":
        ax.axvline(0, color="#222222", linewidth=1, zorder=1)
    else:
        ax.set_xlim(left=0)
    ax.set_xlabel(_label(metric))
    legend_above(ax, 4, handlelength=1.2)
    return ax


@use_style()
def plot_conformal(summary: pd.DataFrame, *, alpha: float = ALPHA, ax: Axes | None = None) -> Axes:
    """Coverage of all images and of each class, with intervals, against the dashed 1 − α; the set size at the row's end.

    summary: of `evidence.conformal.summary`. Open: one threshold; full: one a class. Colour: inside or outside,
    grey with fewer than 30 images.
    """
    rows = summary[summary["split"].isin(SPLIT_LABELS)]
    if rows["coverage"].isna().all():
        return unavailable(ax, "no conformal set was computed")
    splits = [name for name in SPLIT_LABELS if name in set(rows["split"])]
    names = list(dict.fromkeys(rows["class"]))
    ax = axes(ax, 1.1 + 0.24 * len(names) * len(splits))
    for at, split in enumerate(splits):
        offset = 0.44 * (at - (len(splits) - 1) / 2)
        for name, group in rows[rows["split"] == split].groupby("class", sort=False):
            _coverage(ax, group.set_index("kind"), names.index(name) + offset, SPLIT_COLOURS[split])
        ax.plot([], [], color=SPLIT_COLOURS[split], linewidth=4, label=SPLIT_LABELS[split])
    for label, face in {"one threshold": "white", "one a class": "#555555"}.items():
        ax.plot([], [], "o", color="#555555", markerfacecolor=face, markersize=5, label=label)
    ax.axvline(100 * (1 - alpha), color="#222222", linestyle="--", linewidth=1, zorder=1)
    _rows_of(ax, names)
    ax.set(xlim=(0, 100), xlabel=f"coverage (% of images; dashed: promised, {1 - alpha:.0%})")
    ax.annotate("n: mean set size,\nopen → full", (1.02, 1.01), xycoords="axes fraction", fontsize=7.5)
    legend_above(ax, 4, handlelength=1.2)
    return ax


@use_style()
def plot_risk_coverage(curves: Mapping[str, pd.DataFrame], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Error rate of the images that are answered, against their share, the most confident first; a line a model.

    curves: of `evidence.selective.risk_coverage`, by model. Shares below 2 %, where few images make the rate
    jump, are not drawn.
    """
    if not curves:
        return unavailable(ax, "there is no risk–coverage curve")
    ax = axes(ax, 3.8, width=6.4)
    for name, curve in curves.items():
        drawn = curve[curve["coverage"] >= 0.02]
        width = 2.2 if name == "ensemble" else 1.3
        ax.plot(
            100 * drawn["coverage"],
            100 * drawn["risk"],
            color=model_colour(name),
            linewidth=width,
            label=model_label(name),
        )
    ax.set(xlim=(0, 100), xlabel="coverage (% of images answered)", ylabel="error rate among them (%)")
    ax.set_ylim(bottom=0)
    ax.set_title(title)
    ax.grid(True)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def _coverage(ax: Axes, group: pd.DataFrame, y: float, colour: str) -> None:
    n = int(group["n"].iloc[0])
    colour = GUIDE if n < FEW else colour
    kinds = ["marginal", "class-conditional"]
    for step, kind in enumerate(kinds):
        row = group.loc[[kind]].rename(columns={"coverage": "value"})
        _forest(ax, 100 * row[["value", "low", "high"]], [y + 0.16 * (step - 0.5)], colour, full=bool(step))
    sizes = ["NA" if np.isnan(size) else f"{size:.1f}" for size in group.loc[kinds, "size"]]
    style = {"va": "center", "fontsize": 7.5, "color": "#777777" if n < FEW else "#222222"}
    ax.annotate(f"{n:,}: {' → '.join(sizes)}", (1.02, y), xycoords=("axes fraction", "data"), **style)


def _forest(ax: Axes, rows: pd.DataFrame, y: list[float], colour: str, full: bool) -> None:
    ax.hlines(y, rows["low"], rows["high"], color=colour, linewidth=1.2, zorder=2)
    face = colour if full else "white"
    ax.plot(rows["value"], y, "o", color=colour, markerfacecolor=face, markersize=4.5, zorder=3, clip_on=False)


def _rows_of(ax: Axes, names: list[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    for edge in np.arange(1, len(names)) - 0.5:
        ax.axhline(edge, color="#EEEEEE", linewidth=0.8, zorder=0)
    ax.grid(axis="x")


def _label(metric: str) -> str:
    return LABELS.get(metric) or metric_label(metric)
