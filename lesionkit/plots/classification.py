"""How well models classify: confusion, ROC and precision-recall curves.

y is (n,) integer classes and p (n, 7) probabilities, as in `lesionkit.evidence.metrics`; predictions is the
table of `lesionkit.evidence.predictions`. Lines that stand for classes differ in dash as well as in colour.
"""


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
    model_colour,
    model_label,
    unit_axes,
    use_style,
)

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


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
    ax = unit_axes(ax, "recall", "precision")
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
    ax = unit_axes(ax, "recall", "precision")
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


def _arrays(predictions: pd.DataFrame, split: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    tables = table_of.by_model(predictions, split=split)
    return [(name, table_of.targets(rows), table_of.probabilities(rows)) for name, rows in tables.items()]


def _roc_axes(ax: Axes | None) -> Axes:
    ax = unit_axes(ax, "1 − specificity", "sensitivity")
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
