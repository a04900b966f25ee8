"""What the data hold: images, lesions, age, sex, site and confirmation, by class. All read the index table.

Columns read: dx (rows without one are not drawn), lesion_id, age (years), sex, site, dx_type. Missing values
are a category that is drawn or counted, never left out in silence.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from lesionkit.data.records import CLASSES
from lesionkit.plots.style import CLASS_COLOURS, MISSING, SPLIT_COLOURS, axes, legend_above, use_style

SEX_COLOURS = {"female": "#CC6677", "male": "#332288", "missing": MISSING}


@use_style()
def plot_class_counts(table: pd.DataFrame, *, by: str = "split", ax: Axes | None = None) -> Axes:
    """Images of each class, stacked by `by`; the numbers at each bar's end are in the order of the legend.

    by: a column, "split" (train, val, test, external) or another with few values, e.g. "source".
    """
    counts = pd.crosstab(table["dx"], table[by].fillna("missing")).reindex(CLASSES, fill_value=0)
    order = [name for name in SPLIT_COLOURS if name in counts] + [n for n in counts if n not in SPLIT_COLOURS]
    others = iter(sns.color_palette("muted", len(order)))
    ax, left = axes(ax, 3.2), np.zeros(len(CLASSES))
    for name in order:
        colour = SPLIT_COLOURS.get(name) or next(others)
        ax.barh(list(CLASSES), counts[name], left=left, color=colour, label=name, height=0.72)
        left += counts[name].to_numpy()
    for y, (total, parts) in enumerate(zip(left, counts[order].to_numpy(), strict=True)):
        detail = f"  ({' / '.join(f'{part:,}' for part in parts)})" if len(order) > 1 else ""
        ax.annotate(f"{total:,.0f}{detail}", (total, y), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set(xlabel="images", ylabel="", xlim=(0, max(left.max(), 1) * 1.45))
    ax.invert_yaxis()
    legend_above(ax, len(order))
    return ax


@use_style()
def plot_images_per_lesion(index: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How many lesions have one image, two, three and so on: why a split must be by lesion."""
    multiplicity = index.groupby("lesion_id").size().value_counts().sort_index()
    share = multiplicity * multiplicity.index / multiplicity.mul(multiplicity.index).sum()
    ax = axes(ax, 2.8)
    bars = ax.bar(multiplicity.index.astype(str), multiplicity, color="#4477AA", width=0.72)
    ax.bar_label(
        bars,
        [f"{n:,}\n{part:.1%} of images" for n, part in zip(multiplicity, share, strict=True)],
        padding=2,
        fontsize=8,
    )
    ax.set(xlabel="images of the same lesion", ylabel="lesions", ylim=(0, multiplicity.max() * 1.2))
    return ax


@use_style()
def plot_age(index: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Age by class: median, quartiles, 5th and 95th percentile; how many ages there are and how many lack."""
    ax, ages = axes(ax, 3.2), [index.loc[index["dx"] == name, "age"].dropna() for name in CLASSES]
    artists = ax.boxplot(
        ages,
        positions=range(len(CLASSES)),
        orientation="horizontal",
        patch_artist=True,
        widths=0.65,
        whis=(5, 95),
        showfliers=False,
    )
    for box, median, colour in zip(artists["boxes"], artists["medians"], CLASS_COLOURS.values(), strict=True):
        box.set_facecolor(colour)
        median.set_color("white" if sum(to_rgb(colour)) < 1 else "black")
    known = index.groupby("dx")["age"].agg(["count", "size"]).reindex(CLASSES, fill_value=0)
    labels = [f"{name}  (n={n:,}; {size - n:,} missing)" for name, n, size in known.itertuples()]
    ax.set_yticks(range(len(CLASSES)), labels)
    ax.set(xlabel="age (years)", ylabel="")
    ax.invert_yaxis()
    ax.grid(axis="x")
    return ax


@use_style()
def plot_sex(index: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Share of female, male and missing by class; each class sums to 100 %."""
    counts = _crosstab(index, "sex").reindex(columns=list(SEX_COLOURS), fill_value=0)
    shares = 100 * counts.div(counts.sum(axis=1).replace(0, 1), axis=0)
    ax, left = axes(ax, 3.0), np.zeros(len(CLASSES))
    for name, colour in SEX_COLOURS.items():
        bars = ax.barh(list(CLASSES), shares[name], left=left, color=colour, label=name, height=0.72)
        texts = [f"{share:.0f}" if share >= 4 else "" for share in shares[name]]
        ink = "black" if name == "missing" else "white"
        ax.bar_label(bars, texts, label_type="center", fontsize=8, color=ink)
        left += shares[name].to_numpy()
    ax.set(xlabel="share of images (%)", ylabel="", xlim=(0, 100))
    ax.invert_yaxis()
    legend_above(ax, len(SEX_COLOURS))
    return ax


@use_style()
def plot_site(index: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Body site by class: images in the cell, share of the class as its colour."""
    return _heat_table(_crosstab(index, "site"), ax, height=4.2)


@use_style()
def plot_confirmation(index: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How the diagnosis was confirmed (dx_type) by class: how labels were made, so no input for a model."""
    return _heat_table(_crosstab(index, "dx_type"), ax, height=2.4)


def _crosstab(index: pd.DataFrame, column: str) -> pd.DataFrame:
    """Images by class (rows, all seven) and value; the commonest value first, "missing" last."""
    counts = pd.crosstab(index["dx"], index[column].astype(object).fillna("missing"))
    order = counts.sum().sort_values(ascending=False, kind="stable").index
    order = [name for name in order if name != "missing"] + ["missing"] * ("missing" in order)
    return counts.reindex(index=list(CLASSES), fill_value=0)[order]


def _heat_table(counts: pd.DataFrame, ax: Axes | None, height: float) -> Axes:
    ax = axes(ax, height)
    shares = 100 * counts.div(counts.sum(axis=1).replace(0, 1), axis=0)
    sns.heatmap(
        shares.T,
        annot=counts.T.map("{:,}".format),
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=100,
        linewidths=0.8,
        annot_kws={"fontsize": 8},
        cbar_kws={"label": "share of the class (%)", "pad": 0.02},
        ax=ax,
    )
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)
    return ax
