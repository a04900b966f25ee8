"""Whether maps depend on what a network learnt, and whether networks look at the same places."""

import textwrap
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from lesionkit.plots.style import WIDTH, axes, model_label, unavailable, use_style

METHOD_COLOURS = MappingProxyType(  # Okabe and Ito's scheme, its yellow darkened to show on white
    {
        "gradcam": "#000000",
        "gradcam++": "#0072B2",
        "layercam": "#009E73",
        "hirescam": "#56B4E9",
        "eigencam": "#D55E00",
        "scorecam": "#CC79A7",
    }
)
METHOD_LABELS = MappingProxyType(
    {
        "gradcam": "Grad-CAM",
        "gradcam++": "Grad-CAM++",
        "layercam": "LayerCAM",
        "hirescam": "HiResCAM",
        "eigencam": "EigenCAM",
        "scorecam": "Score-CAM",
    }
)
LIKENESS_LABELS = {"rank_correlation": "rank correlation", "ssim": "structural similarity"}
YARDSTICKS = {  # a column of the verdicts, and its name
    "rank_correlation": ("yardstick", "yardstick"),
    "ssim": ("null_ssim", "other images"),
}
PANEL_HEIGHT = 1.45  # inches
NOTHING = "no map was taken from a random network"


@use_style()
def plot_sanity(
    cascaded: pd.DataFrame, verdicts: pd.DataFrame, *, metric: str = "rank_correlation", ax: Axes | None = None
) -> Axes:
    """A line a method: how like the trained network's maps those of ever more random networks are.

    cascaded, verdicts: of `explain.sanity`, of one model, or of several, whose means are averaged. From the end of
    each line a dotted one leads to the method's yardstick (of structural similarity: other images' maps): where it
    falls, the random networks' maps are the more alike. Methods that fail are dashed, and the legend says so.
    """
    if cascaded.empty:
        return unavailable(ax, NOTHING)
    ax = axes(ax, 3.4)
    _lines(ax, cascaded, verdicts, metric)
    ax.legend(handles=_handles(verdicts), loc="upper left", bbox_to_anchor=(1.01, 1))
    names = cascaded.drop_duplicates(["stage", "randomised"]).sort_values("stage")["randomised"].tolist()
    if cascaded["stage"].nunique() == len(names):  # one model, or several of one kind
        ax.set_xticks(range(len(names) + 1), ["trained", *names[1:], YARDSTICKS[metric][1]], ha="right")
    ax.set(xlabel="random from the classifier down to", ylabel=f"{LIKENESS_LABELS[metric]} with the trained map")
    return ax


@use_style()
def sanity_panels(cascaded: pd.DataFrame, verdicts: pd.DataFrame, *, metric: str = "rank_correlation") -> Figure:
    """A new figure of `plot_sanity`, a panel a model, and one of their mean if there are several."""
    if cascaded.empty:
        return unavailable(None, NOTHING).get_figure()
    models = list(dict.fromkeys(cascaded["model"]))
    shown = [*models, *(["mean"] if len(models) > 1 else [])]
    columns = min(len(shown), min((4, 3), key=lambda n: (-len(shown) % n, -n)))  # the fewest panels left empty
    rows = -(-len(shown) // columns)
    size = (WIDTH, 1.1 + PANEL_HEIGHT * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for at, (ax, name) in enumerate(zip(grid.flat, shown)):
        of = [table if name == "mean" else table[table["model"] == name] for table in (cascaded, verdicts)]
        _lines(ax, *of, metric)
        title = "Mean of the models" if name == "mean" else model_label(name)
        ax.set_title("\n".join(textwrap.wrap(title, 24)), fontsize=8.5)
        ax.tick_params(labelsize=7, labelbottom=at + columns >= len(shown))
    for ax in grid.flat[len(shown) :]:
        ax.set_axis_off()
    figure.supylabel(f"{LIKENESS_LABELS[metric]} with the trained map", fontsize=8.5)
    figure.supxlabel("random from the classifier down to", fontsize=8.5)
    figure.legend(handles=_handles(verdicts), loc="outside upper center", ncols=3)
    return figure


@use_style()
def plot_agreement(pairs: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Each two models: below the diagonal the mean rank correlation of their maps of the same image (blue), above it
    that of their maps of different images (grey): what they agree on whatever the image. An undefined one is NA.

    pairs: of `explain.agreement.pairwise`.
    """
    if pairs.empty:
        return unavailable(ax, "agreement needs the maps of two models")
    models = list(dict.fromkeys([*pairs["model_a"], *pairs["model_b"]]))
    ax = axes(ax, 1.6 + 0.42 * len(models))
    means = pairs.groupby(["model_a", "model_b"])[["rank_correlation", "other_rank_correlation"]].mean()
    for (a, b), row in means.iterrows():
        i, j = sorted((models.index(a), models.index(b)))
        _cell(ax, i, j, row["rank_correlation"], "Blues")
        _cell(ax, j, i, row["other_rank_correlation"], "Greys")
    labels = [model_label(name) for name in models]
    ax.set_xticks(range(len(models)), labels, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(models)), labels)
    ax.set(xlim=(-0.5, len(models) - 0.5), ylim=(len(models) - 0.5, -0.5))
    title = "rank correlation of maps · below: of the same image (blue) · above: of different images (grey)"
    ax.set_title(title, fontsize=9)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _lines(ax: Axes, cascaded: pd.DataFrame, verdicts: pd.DataFrame, metric: str) -> None:
    by = [name for name in ("model", "method", "stage") if name in cascaded]
    means = cascaded.groupby(by, sort=False, observed=True)[metric].mean().reset_index()
    last, (column, name) = int(means["stage"].max()), YARDSTICKS[metric]
    for method, rows in means.groupby("method", sort=False):
        line = rows.groupby("stage")[metric].mean()
        judged = verdicts[verdicts["method"] == method]
        style = {"color": _colour(method), "zorder": 3}
        ax.plot(line.index, line, "--" if judged["fails"].mean() > 0.5 else "-", linewidth=1.4, **style)
        yardstick = judged[column].mean()
        ax.plot([last, last + 1], [line.iloc[-1], yardstick], ":", linewidth=1, **style)
        ax.plot(last + 1, yardstick, "D", markersize=3.5, markerfacecolor="white", clip_on=False, **style)
    ax.axhline(0, color="#444444", linewidth=0.7, zorder=1)
    ax.axvspan(last + 0.5, last + 1.5, color="#EEEEEE", zorder=0, linewidth=0)
    ax.set_xticks([0, 1, last, last + 1], ["trained", "classifier", "all", name])
    ax.tick_params(axis="x", rotation=45)
    plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set_xticks(range(2, last), minor=True)
    ax.set(xlim=(-0.2, last + 1.5), ylim=(min(-0.2, 1.1 * means[metric].min()), 1.03))
    ax.grid(axis="y")


def _handles(verdicts: pd.DataFrame) -> list[Line2D]:
    """The methods, and on how many models each fails."""
    handles = []
    for method, rows in verdicts.groupby("method", sort=False):
        fails, of = int(rows["fails"].sum()), len(rows)
        said = "" if not fails else " (fails)" if of == 1 else f" (fails on {fails} of {of})"
        style = {"color": _colour(method), "linestyle": "--" if 2 * fails > of else "-"}
        handles.append(Line2D([], [], label=METHOD_LABELS.get(method, method) + said, **style))
    return handles


def _colour(method: str) -> str:
    return METHOD_COLOURS.get(method, "#777777")


def _cell(ax: Axes, column: int, row: int, value: float, colours: str) -> None:
    shade = 0 if pd.isna(value) else 0.85 * float(np.clip(value, 0, 1))
    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colormaps[colours](shade), edgecolor="white"))
    text = "NA" if pd.isna(value) else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # no −0.00
    ax.text(column, row, text, ha="center", va="center", fontsize=8.5, color="white" if shade > 0.55 else "#222222")
