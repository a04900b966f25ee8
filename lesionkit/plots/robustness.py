"""What changes of a training are worth: under each shift, inside and outside; and whether the proxy told."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots
from matplotlib.text import Text

from lesionkit.evidence.robustness import CLAIMED, SCORE
from lesionkit.plots.style import axes, metric_label, use_style

INSIDE, OUTSIDE, GREY = "#0072B2", "#D55E00", "#AAAAAA"  # Okabe and Ito
SPLITS = {"test": ("internal test", INSIDE, "o"), "external": ("external", OUTSIDE, "D")}


@use_style()
def plot_shifts(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """A row a candidate, a column a shift: difference in macro AUC on validation to what the candidate was made on.

    table: of `robustness.by_shift`. Bold: the interval excludes zero. Below a shift, the value of the baseline.
    """
    table = table.assign(model=_labels(table))
    differences = table.pivot(index="model", columns="shift", values="difference").reindex(
        index=table["model"].unique(), columns=table["shift"].unique()
    )
    clear = (table["low"] > 0) | (table["high"] < 0)
    bold = table.assign(clear=clear).pivot(index="model", columns="shift", values="clear").reindex_like(differences)
    baseline = differences.index[0]
    values = table[table["model"] == baseline].set_index("shift")["value"].reindex(differences.columns)
    shown = differences.drop(index=baseline)
    ax = axes(ax, max(2.8, 1.6 + 0.34 * len(shown)), width=2.6 + 0.62 * shown.shape[1])
    limit = max(0.05, float(np.nanmax(np.abs(shown.to_numpy()), initial=0)))
    sns.heatmap(shown, annot=True, fmt="+.3f", cmap="PuOr", vmin=-limit, vmax=limit, linewidths=0.8, annot_kws={"fontsize": 7.5}, ax=ax,
                cbar_kws={"label": "difference in macro AUC", "shrink": 0.8})  # fmt: skip
    for text, clear in zip(ax.texts, bold.drop(index=baseline).to_numpy().ravel()):
        text.set_fontweight("bold" if clear else "normal")
    ax.set_xticks(np.arange(shown.shape[1]) + 0.5, [f"{name}\n{value:.3f}" for name, value in values.items()], rotation=45, ha="right")
    ax.set(xlabel=f"shift of the validation images, and the macro AUC of {baseline} under it", ylabel="")
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(length=0)
    return ax


@use_style()
def plot_gains(table: pd.DataFrame) -> Figure:
    """A panel a metric, a row a candidate: its difference to what it was made on with 95 % interval, inside (dot) and outside (diamond)."""
    table = table.assign(model=_labels(table))[table["after"] != ""]
    names = list(table["model"].unique())
    figure, panels = subplots(1, len(CLAIMED), figsize=(10, 1.4 + 0.4 * len(names)), sharey=True, layout="constrained")
    for ax, metric in zip(panels, CLAIMED):
        ax.axvline(0, color=GREY, linewidth=0.8)
        shown = {split: how for split, how in SPLITS.items() if (table["split"] == split).any()}
        for shift, (split, (label, colour, marker)) in zip((-0.15, 0.15), shown.items()):
            rows = table[(table["metric"] == metric) & (table["split"] == split)].set_index("model").reindex(names)
            at = np.arange(len(names)) + shift
            ax.hlines(at, rows["low"], rows["high"], color=colour, linewidth=1.4)
            ax.scatter(rows["difference"], at, color=colour, marker=marker, s=26, zorder=3, label=label)
        ax.set(xlabel=f"difference in {metric_label(metric)}", yticks=np.arange(len(names)), ylim=(len(names) - 0.5, -0.5))
        ax.set_yticklabels(names)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _labels(table: pd.DataFrame) -> pd.Series:
    """What each row's candidate is called: with the candidate that it was made on, where that is not the baseline."""
    return table["model"].where(table["after"].isin(["", "baseline"]), table["after"] + " + " + table["model"])


@use_style()
def plot_proxy(decided: pd.DataFrame, gained: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """A dot a candidate: robustness on shifted validation across, macro AUC outside up; filled where it was kept.

    One whose robustness is undefined has no dot.
    """
    decided = decided[decided["robustness"].notna()]
    outside = gained[(gained["split"] == "external") & (gained["metric"] == SCORE)].set_index("model")["value"]
    ax = axes(ax, 4.2, width=6.4)
    at = np.stack([decided["robustness"], outside.reindex(decided["model"])], 1).astype(float)
    for kept, (x, y) in zip(decided["kept"], at):
        ax.scatter(x, y, s=46, facecolor=OUTSIDE if kept else "white", edgecolor=OUTSIDE, linewidths=1.4, zorder=3)
    ax.set(
        xlabel="robustness: macro AUC on validation images under several shifts at once",
        ylabel=f"{metric_label(SCORE)}, external",
    )
    ax.margins(x=0.15, y=0.1)
    ax.grid(True)
    _name_dots(ax, at, decided["model"])
    return ax


RADIUS = 8  # px on the paper that a dot takes
# of a name by its dot: points across and up, and how it is set there; the further ones are for crowds, with a line to the dot
NEAR = [(6, 4, "left"), (-6, 4, "right"), (6, -10, "left"), (-6, -10, "right"), (0, 9, "center"), (0, -15, "center")]
FAR = [(x * far, y * far, "left" if x > 0 else "right") for far in (22, 36, 50) for x in (1, -1) for y in (-0.3, 0.3, -1, 0.8)]


def _name_dots(ax: Axes, at: np.ndarray, names: Sequence[str]) -> None:
    """Each name by its dot, at the first place where no other name or dot is under it or its line, else at the last; at (n, 2)."""
    ax.figure.draw_without_rendering()  # so that places on the paper are known
    dots, taken = ax.transData.transform(at), []
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4}
    for i, (name, place) in enumerate(zip(names, at)):
        text, others = ax.annotate(name, place, (0, 0), textcoords="offset points", fontsize=8, arrowprops=line), np.delete(dots, i, 0)
        for x, y, side in (*NEAR, *FAR):
            text.set(position=(x, y), ha=side)
            text.arrow_patch.set_visible((x, y, side) in FAR)
            text.get_window_extent()  # of the line too; what it lays out, the next gives of the name alone
            box = Text.get_window_extent(text)
            way = np.linspace(dots[i], [np.clip(dots[i][0], box.x0, box.x1), np.clip(dots[i][1], box.y0, box.y1)], 20)
            passes = (np.linalg.norm(way[:, None] - others, axis=2) < RADIUS).any()
            if not (passes or any(box.overlaps(other) for other in taken) or box.padded(RADIUS).count_contains(dots)):
                break
        taken.append(box)
