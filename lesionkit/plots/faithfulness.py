"""Faithfulness of heat maps: deletion and insertion curves, and what the maps gain over their baselines.

Both curves stand over the share of the pixels that is shown: insertion shows the map's brightest first, deletion its
darkest. So the insertion of a faithful map lies high, its deletion low, and a random order, which is both, between.
Another image's map says how much of that distance any map of the model would make.
"""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lesionkit.plots.style import WIDTH, axes, legend_above, model_colour, model_label, unavailable, use_style

KINDS = {"insertion": "insertion (brightest shown first)", "deletion": "deletion (brightest hidden first)"}
BASELINES = {"other": "another image's map", "random": "a random order", "centre": "the centre"}
DASHES = {"other": "-", "random": "--", "centre": ":"}  # told apart without colour; the map's own line has dots
UNDER = [("insertion", "map"), ("insertion", "other"), ("deletion", "other"), ("deletion", "map")]  # areas, as a title
GREY = "#777777"
ACROSS = 4  # panels beside each other


@use_style()
def plot_curves(curves: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """One model's curves: its map in its colour, insertion with full dots, deletion with open ones; baselines grey.

    curves: the rows of one model (or method) of `explain.faithfulness.scores`. Shaded: insertion above deletion. In the
    legend the areas; the random order has one line and area, since it is insertion and deletion alike.
    """
    if curves.empty:
        return unavailable(ax, "no map was scored")
    ax, name, lines = axes(ax, 3.0), curves.iloc[0, 0], _lines(curves)
    high, low = lines["insertion", "map"], lines["deletion", "map"]
    look = {"color": model_colour(name), "marker": "o", "markersize": 3.2, "zorder": 3}
    ax.plot(high, label=f"{KINDS['insertion']}: {_area(high):.2f}", **look)
    ax.plot(low, label=f"{KINDS['deletion']}: {_area(low):.2f}", markerfacecolor="white", **look)
    ax.fill_between(high.index, low, high, where=high > low, interpolate=True, color=look["color"], alpha=0.15, lw=0)
    for baseline, dash in DASHES.items():
        drawn = [lines[kind, baseline] for kind in (["insertion"] if baseline == "random" else KINDS)]
        label = f"{BASELINES[baseline]}: {' and '.join(f'{_area(line):.2f}' for line in drawn)}"
        for line in drawn:
            ax.plot(line, dash, color=GREY, linewidth=1.2, zorder=2, label=label if line is drawn[0] else None)
    ax.set(xlim=(0, 100), ylim=(0, 1.06 * curves["p"].max()), xlabel="pixels shown (%)", ylabel="probability")
    ax.set_title(model_label(name))
    ax.grid(True)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), title="area under the curve", alignment="left")
    return ax


@use_style()
def plot_curve_panels(curves: pd.DataFrame) -> Figure:
    """A new figure of `plot_curves`: a panel a model (or method), four beside each other, on the same scales.

    Under each name the areas: insertion, that of another image's map, and its deletion, the map's own deletion.
    """
    if curves.empty:
        return unavailable(None, "no map was scored").figure
    groups = list(curves.groupby(curves.columns[0], sort=False))
    down, across = -(-len(groups) // ACROSS), min(ACROSS, len(groups))
    size = WIDTH, 1.0 + 1.7 * down
    figure, grid = plt.subplots(down, across, figsize=size, sharex=True, sharey=True, squeeze=False)
    for ax, (name, rows) in zip(grid.flat, groups):
        plot_curves(rows, ax=ax).get_legend().remove()
        lines = _lines(rows)
        areas = [_area(lines[key]) for key in UNDER]
        ax.set_title(f"{model_label(name)}\n" + " / ".join(f"{area:.2f}" for area in areas), fontsize=8.5)
        ax.set(xlabel="", ylabel="probability" if ax in grid[:, 0] else "", ylim=(0, 1.06 * curves["p"].max()))
    for at, ax in enumerate(grid.flat[len(groups) :], len(groups)):
        ax.set_axis_off()
        grid.flat[at - across].tick_params(labelbottom=True)
    said = "under each name the areas: insertion / that of another image's map / its deletion / deletion"
    figure.supxlabel(f"pixels shown (%)\n{said}", fontsize=9)
    figure.legend(handles=_handles(), loc="outside upper center", ncols=3)
    return figure


@use_style()
def plot_gain_panels(table: pd.DataFrame) -> Figure:
    """A new figure of `plot_gains`: a panel a baseline, the models (or methods) down the side, on the same scales.

    A baseline that no map was compared with has no panel, as another image's map where all show one lesion.
    """
    held = {of: table["metric"].isin(_metrics(of)) & table["value"].notna() for of in BASELINES}
    rows = {of: table[at] for of, at in held.items() if at.any()}
    if not rows:
        return unavailable(None, "no map was compared with a baseline").figure
    size = WIDTH, 1.1 + 0.4 * max(part.iloc[:, 0].nunique() for part in rows.values())
    figure, row = plt.subplots(1, len(rows), figsize=size, sharex=True, sharey=True, squeeze=False)
    for ax, (baseline, part) in zip(row[0], rows.items(), strict=True):
        plot_gains(part, baseline=baseline, ax=ax).get_legend().remove()
        ax.set_title(f"over {BASELINES[baseline]}", fontsize=8.5)
        ax.set_xlabel("")
    figure.supxlabel("area gained (95 % interval)", fontsize=9)
    faces = {"insertion: map − baseline": "#555555", "deletion: baseline − map": "white"}
    dots = [Line2D([], [], linestyle="", marker="o", markersize=5, color="#555555", markerfacecolor=face, label=label)
            for label, face in faces.items()]  # fmt: skip
    figure.legend(handles=dots, loc="outside upper center", ncols=2)
    return figure


@use_style()
def plot_gains(table: pd.DataFrame, *, baseline: str = "other", ax: Axes | None = None) -> Axes:
    """A row a model: the area by which its map beats a baseline, in insertion and deletion, with intervals.

    Right of 0 the map is better.
    table: model (or method), metric, value, low, high; of `evidence.means.paired` with the metrics "insertion -
    insertion_other" (full dots) and "deletion_other - deletion" (open). baseline: other, random or centre.
    """
    against, metrics = BASELINES[baseline], _metrics(baseline)
    rows = table[table["metric"].isin(metrics) & table["value"].notna()]
    if rows.empty:
        return unavailable(ax, f"no map was compared with {against}")
    names = list(dict.fromkeys(rows.iloc[:, 0]))
    ax = axes(ax, 1.0 + 0.4 * len(names))
    ax.axvline(0, color="#222222", linewidth=1, zorder=1)
    labels = f"insertion: map − {against}", f"deletion: {against} − map"
    for metric, label, full in zip(metrics, labels, (True, False), strict=True):
        chosen = rows[rows["metric"] == metric]
        for name, row in zip(chosen.iloc[:, 0], chosen.to_dict("records"), strict=True):
            at, colour = names.index(name) + (-0.15 if full else 0.15), model_colour(name)
            ax.hlines(at, row["low"], row["high"], color=colour, linewidth=1.6, zorder=2)
            face = colour if full else "white"
            ax.plot(row["value"], at, "o", color=colour, markerfacecolor=face, markersize=5, zorder=3)
            text = f"{row['value']:+.3f}".replace("-", "−")
            ax.annotate(text, (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize=7.5)
        face = "#555555" if full else "white"
        ax.plot([], [], "o", color="#555555", markerfacecolor=face, markersize=5, label=label)
    ax.set_yticks(range(len(names)), map(model_label, names))
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=f"area gained over {against} (95 % interval)")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    legend_above(ax, 2)
    return ax


def _metrics(baseline: str) -> tuple[str, str]:
    """What the gains over a baseline are called: in insertion, in deletion."""
    return f"insertion - insertion_{baseline}", f"deletion_{baseline} - deletion"


def _lines(curves: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    """For each kind and order the probability over the pixels shown, in per cent, ascending."""
    shown = 100 * curves["share"].where(curves["kind"] == "insertion", 1 - curves["share"])
    shown = shown.round(6)  # 1 - 1/6 is not 5/6
    rows = curves.assign(shown=shown).sort_values("shown")
    return {key: group.set_index("shown")["p"] for key, group in rows.groupby(["kind", "order"])}


def _area(line: pd.Series) -> float:
    return float((line.to_numpy()[1:] + line.to_numpy()[:-1]).mean() / 2)


def _handles() -> list[Line2D]:
    faces = {"insertion": "#222222", "deletion": "white"}
    dots = [Line2D([], [], color="#222222", marker="o", markersize=4, markerfacecolor=face, label=KINDS[kind])
            for kind, face in faces.items()]  # fmt: skip
    return dots + [Line2D([], [], color=GREY, linestyle=dash, label=BASELINES[of]) for of, dash in DASHES.items()]
