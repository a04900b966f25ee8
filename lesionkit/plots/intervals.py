"""Forests of intervals, and who beats whom: the tables of `lesionkit.evidence.resampling` and `comparisons`.

A row a model in the order of the table, a dot for the value, a line for its interval, and both as numbers at the
row's end. Where there is no interval or no value, the row says why.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from lesionkit.plots.style import axes, metric_label, model_colour, model_label, unavailable, use_style

SIGNIFICANT = 0.05


@use_style()
def plot_intervals(
    intervals: pd.DataFrame, *, metric: str, reference: str | None = None, ax: Axes | None = None
) -> Axes:
    """`metric` of every model with its interval.

    intervals: model, metric, value, low, high, note. reference: the model whose value the dashed line carries
    through all rows; None draws no line.
    """
    rows = _chosen(intervals, "metric", metric)
    if rows.empty:
        return unavailable(ax, f"no model has {metric_label(metric)}")
    ax = _forest(rows, "value", ax, "{:.3f}")
    if reference is not None:
        value = rows.loc[rows["model"] == reference, "value"]
        ax.axvline(value.iloc[0], color=model_colour(reference), linewidth=0.8, linestyle="--", zorder=1)
    ax.set_xlabel(f"{metric_label(metric)} (95 % interval)")
    return ax


@use_style()
def plot_differences(against: pd.DataFrame, *, test: str = "balanced_accuracy", ax: Axes | None = None) -> Axes:
    """What the reference is better by than each other model: a forest about zero.

    against: the table of `comparisons.against`. A full dot: p < 0.05 after Holm's correction; an open one: not.
    """
    rows = _chosen(against, "test", test)
    if rows.empty:
        return unavailable(ax, f"no model to compare in {metric_label(test)}")
    ax = _forest(rows, "estimate", ax, "{:+.3f}", full=(rows["p_holm"] < SIGNIFICANT).to_numpy())
    ax.axvline(0, color="#444444", linewidth=0.8, zorder=1)
    reference = model_label(rows["reference"].iloc[0])
    ax.set_xlabel(f"{_words(test)}: {reference} − model (95 % interval)")
    _legend(ax)
    return ax


@use_style()
def plot_drop_intervals(drops: pd.DataFrame, *, metric: str = "balanced_accuracy", ax: Axes | None = None) -> Axes:
    """What each model loses from the internal test set to external images, with its interval.

    drops: the table of `comparisons.drops`; right of zero is a loss.
    """
    rows = _chosen(drops, "metric", metric)
    if rows.empty:
        return unavailable(ax, f"no model has a drop of {metric_label(metric)}")
    ax = _forest(rows, "drop", ax, "{:+.3f}")
    ax.axvline(0, color="#444444", linewidth=0.8, zorder=1)
    ax.set_xlabel(f"{metric_label(metric)}: internal − external (95 % interval)")
    return ax


@use_style()
def plot_win_matrix(pairs: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Every model against every other: the row's metric less the column's; positive where the row is better.

    pairs: the table of `comparisons.every_pair`. Bold with a dot: p < 0.05 after Holm's correction over all pairs.
    """
    if pairs.empty:
        return unavailable(ax, "one model alone has no pair")
    names = list(dict.fromkeys([*pairs["a"], *pairs["b"]]))
    differences, sure = _square(pairs, names)
    most = float(np.nanmax(np.abs(differences))) if np.isfinite(differences).any() else 1.0
    ax = axes(ax, 1.8 + 0.36 * len(names))
    sns.heatmap(
        differences,
        cmap="PuOr",
        vmin=-most,
        vmax=most,
        linewidths=0.6,
        cbar_kws={"label": "row − column"},
        ax=ax,
    )
    size = min(7.5, 66 / len(names))  # points: a number and its dot fit in a cell
    for (row, column), value in np.ndenumerate(differences):
        if row != column:
            _cell(ax, row, column, value, bool(sure[row, column]), most, size)
    labels, centres = [model_label(name) for name in names], np.arange(len(names)) + 0.5
    ax.set_xticks(centres, labels, rotation=40, ha="right")
    ax.set_yticks(centres, labels, rotation=0)
    ax.tick_params(length=0)
    title = f"{metric_label(pairs['metric'].iloc[0])}; bold with a dot: p < {SIGNIFICANT} (Holm, {len(pairs)} pairs)"
    ax.set_title(title)
    return ax


def _forest(rows: pd.DataFrame, value: str, ax: Axes | None, form: str, full: np.ndarray | None = None) -> Axes:
    ax = axes(ax, 0.9 + 0.3 * len(rows))
    full = np.full(len(rows), True) if full is None else full
    for at, (row, filled) in enumerate(zip(rows.to_dict("records"), full, strict=True)):
        colour = model_colour(row["model"])
        ax.plot([row["low"], row["high"]], [at, at], color=colour, linewidth=1.8, zorder=2)
        face = colour if filled else "white"
        ax.scatter(row[value], at, s=42, facecolor=face, edgecolor=colour, linewidths=1.4, zorder=3)
        end = ("axes fraction", "data")
        ax.annotate(
            _numbers(row[value], row["low"], row["high"], form), (1.02, at), xycoords=end, va="center", fontsize=8
        )
    ax.set_yticks(range(len(rows)), [model_label(name) for name in rows["model"]])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.margins(x=0.06)
    ax.grid(axis="x")
    _explain(rows, value, ax)
    return ax


def _explain(rows: pd.DataFrame, value: str, ax: Axes) -> None:
    """Why a row has no interval, on the side where its dot is not."""
    middle = np.mean(ax.get_xlim())
    for at, row in enumerate(rows.to_dict("records")):
        if np.isnan(row["low"]) and row["note"]:
            x, side = (0.99, "right") if row[value] < middle else (0.01, "left")
            ax.annotate(row["note"], (x, at), xycoords=("axes fraction", "data"), ha=side, va="center", fontsize=7, color="#777777")


def _numbers(value: float, low: float, high: float, form: str) -> str:
    if np.isnan(value):
        return "NA"
    bounds = "no interval" if np.isnan(low) else f"[{form.format(low)}, {form.format(high)}]"
    return f"{form.format(value)} {bounds}".replace("-", "−")


def _square(pairs: pd.DataFrame, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(M, M) row − column, 0 on the diagonal, and whether it is significant."""
    at = {name: i for i, name in enumerate(names)}
    differences, sure = np.full((len(names), len(names)), np.nan), np.full((len(names), len(names)), False)
    np.fill_diagonal(differences, 0)
    for pair in pairs.to_dict("records"):
        i, j = at[pair["a"]], at[pair["b"]]
        differences[i, j], differences[j, i] = pair["difference"], -pair["difference"]
        sure[i, j] = sure[j, i] = pair["p_holm"] < SIGNIFICANT
    return differences, sure


def _cell(ax: Axes, row: int, column: int, value: float, sure: bool, most: float, size: float) -> None:
    number = f"{value:+.2f}" if abs(value) >= 0.005 else "0.00"
    text = "NA" if np.isnan(value) else number.replace("-", "−") + " •" * sure
    weight, colour = "bold" if sure else "normal", "white" if abs(value) > 0.6 * most else "#222222"
    ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=size, weight=weight, color=colour)


def _legend(ax: Axes) -> None:
    for face, label in {"#555555": f"p < {SIGNIFICANT} (Holm)", "white": f"p ≥ {SIGNIFICANT}"}.items():
        ax.scatter([], [], s=36, facecolor=face, edgecolor="#555555", linewidths=1.4, label=label)
    ax.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))


def _chosen(table: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    return table[table[column] == name].reset_index(drop=True)


def _words(test: str) -> str:
    return "Melanoma AUC (DeLong)" if test == "delong_melanoma_auc" else metric_label(test)
