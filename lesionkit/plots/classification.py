"""How well models classify: confusion, ROC and precision-recall curves, leaderboard, drop to external data.

y is (n,) integer classes and p (n, 7) probabilities, as in `lesionkit.evidence.metrics`; predictions is the
table of `lesionkit.evidence.predictions`. Lines that stand for classes differ in dash as well as in colour.
"""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from sklearn.metrics import precision_recall_curve, roc_curve

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics
from lesionkit.evidence import predictions as table_of
from lesionkit.plots.style import (
    CLASS_COLOURS,
    axes,
    legend_above,
    metric_label,
    model_colour,
    model_label,
    use_style,
)

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*", "h")
SHOWN = ("balanced_accuracy", "macro_f1", "macro_auc", "melanoma_sensitivity")


@use_style()
def plot_confusion(matrix: np.ndarray, *, title: str = "", ax: Axes | None = None) -> Axes:
    """A confusion matrix, (7, 7) counts, rows the truth: count and share of the row in each cell.

    The colour is the row's share, so that the diagonal is recall. A row without images is empty.
    """
    n = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(100 * matrix, n, out=np.zeros(matrix.shape), where=n > 0)
    cells = np.array(
        [
            f"{count:,}\n{share:.0f}%" if count else "0" * bool(total)
            for count, share, total in np.broadcast(matrix, shares, n)
        ]
    ).reshape(matrix.shape)
    ax = axes(ax, 4.8, width=6.4)
    sns.heatmap(
        shares,
        annot=cells,
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=100,
        square=True,
        linewidths=0.8,
        annot_kws={"fontsize": 8},
        ax=ax,
        cbar_kws={"label": "share of the true class (%)", "shrink": 0.85},
    )
    centres = np.arange(len(CLASSES)) + 0.5
    ax.set_xticks(centres, CLASSES)
    ax.set_yticks(centres, [f"{name} ({of:,})" for name, of in zip(CLASSES, n[:, 0], strict=True)])
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(length=0)
    ax.set(xlabel="model's call", ylabel="truth (images)")
    ax.set_title(title)
    return ax


@use_style()
def plot_roc(y: np.ndarray, p: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """One-vs-rest ROC curve of each class of one model, with its AUC; NA for a class without images."""
    ax = _roc_axes(ax)
    for k, row in metrics.per_class(y, p).iterrows():
        _roc(
            ax,
            y == k,
            p[:, k],
            row["auc"],
            f"{row['class']} (n={row['n']:,})",
            color=CLASS_COLOURS[row["class"]],
            linestyle=DASHES[k],
        )
    ax.legend(title="class: AUC", loc="upper left", bbox_to_anchor=(1, 1))
    return ax


@use_style()
def plot_precision_recall(y: np.ndarray, p: np.ndarray, *, ax: Axes | None = None) -> Axes:
    """One-vs-rest precision-recall curve of each class of one model, with its average precision (AP)."""
    ax = _unit_axes(ax, "recall", "precision")
    for k, row in metrics.per_class(y, p).iterrows():
        _precision_recall(
            ax,
            y == k,
            p[:, k],
            row["average_precision"],
            f"{row['class']} (n={row['n']:,})",
            color=CLASS_COLOURS[row["class"]],
            linestyle=DASHES[k],
        )
    ax.legend(title="class: AP", loc="upper left", bbox_to_anchor=(1, 1))
    return ax


@use_style()
def plot_melanoma_roc(predictions: pd.DataFrame, *, split: str = "test", ax: Axes | None = None) -> Axes:
    """Melanoma against the rest: ROC curve of every model in `split`; the dot is its call (argmax)."""
    ax = _roc_axes(ax)
    for name, y, p in _arrays(predictions, split):
        mel = metrics.per_class(y, p).loc[metrics.MELANOMA]
        _roc(ax, y == metrics.MELANOMA, p[:, metrics.MELANOMA], mel["auc"], model_label(name), **_line(name))
        ax.plot(1 - mel["specificity"], mel["recall"], "o", color=model_colour(name), markeredgecolor="white")
    ax.legend(title="model: melanoma AUC", loc="upper left", bbox_to_anchor=(1, 1))
    return ax


@use_style()
def plot_melanoma_precision_recall(predictions: pd.DataFrame, *, split: str = "test", ax: Axes | None = None) -> Axes:
    """Melanoma against the rest: precision-recall curve of every model; grey line: the share of melanomas."""
    ax = _unit_axes(ax, "recall", "precision")
    for name, y, p in _arrays(predictions, split):
        mel = metrics.per_class(y, p).loc[metrics.MELANOMA]
        _precision_recall(
            ax,
            y == metrics.MELANOMA,
            p[:, metrics.MELANOMA],
            mel["average_precision"],
            model_label(name),
            **_line(name),
        )
    ax.axhline((y == metrics.MELANOMA).mean(), color="#AAAAAA", linewidth=0.8)  # images are shared
    ax.legend(title="model: melanoma AP", loc="upper left", bbox_to_anchor=(1, 1))
    return ax


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
    ax = _unit_axes(ax, f"{metric_label(metric)}, internal test", f"{metric_label(metric)}, external")
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


def _arrays(predictions: pd.DataFrame, split: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    tables = table_of.by_model(predictions, split=split)
    return [(name, table_of.targets(rows), table_of.probabilities(rows)) for name, rows in tables.items()]


def _unit_axes(ax: Axes | None, xlabel: str, ylabel: str) -> Axes:
    ax = axes(ax, 4.2, width=6.4)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, aspect="equal")
    ax.grid(True)
    return ax


def _roc_axes(ax: Axes | None) -> Axes:
    ax = _unit_axes(ax, "1 − specificity", "sensitivity")
    ax.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=0.8)
    return ax


def _roc(ax: Axes, positive: np.ndarray, score: np.ndarray, auc: float, label: str, **line) -> None:
    across, up = ([], []) if np.isnan(auc) else roc_curve(positive, score)[:2]
    ax.plot(across, up, label=f"{label}: {_number(auc)}", **line)


def _precision_recall(ax: Axes, positive: np.ndarray, score: np.ndarray, ap: float, label: str, **line) -> None:
    up, across = ([], []) if np.isnan(ap) else precision_recall_curve(positive, score)[:2]
    ax.plot(across, up, drawstyle="steps-post", label=f"{label}: {_number(ap)}", **line)


def _line(name: str) -> dict:
    return {"color": model_colour(name), "linewidth": 2.2 if name == "ensemble" else 1.3}


def _number(value: float) -> str:
    return "NA" if np.isnan(value) else f"{value:.3f}"
