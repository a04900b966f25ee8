"""Learning curves. All read a history: epoch, train_loss, valid_loss, balanced_accuracy (validation), lr."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lesionkit.plots.style import SPLIT_COLOURS, WIDTH, axes, use_style

TRAIN, VALIDATION = SPLIT_COLOURS["train"], SPLIT_COLOURS["val"]


@use_style()
def plot_loss(history: pd.DataFrame, *, best: int | None = None, ax: Axes | None = None) -> Axes:
    """Training and validation loss by epoch.

    best: the epoch that was kept, marked by a line; None takes the first of the best balanced accuracy.
    """
    ax = axes(ax, 2.8)
    ax.plot(history["epoch"], history["train_loss"], color=TRAIN, marker=".", label="training")
    ax.plot(history["epoch"], history["valid_loss"], color=VALIDATION, marker=".", label="validation")
    ax.set(ylabel="loss")
    ax.legend()
    kept = _mark_kept(ax, history, best)
    ax.set_title(f"kept: epoch {kept}", fontsize=8.5)
    return ax


@use_style()
def plot_balanced_accuracy(history: pd.DataFrame, *, best: int | None = None, ax: Axes | None = None) -> Axes:
    """Balanced accuracy on validation by epoch, and its value at the kept epoch. best: as in `plot_loss`."""
    ax = axes(ax, 2.8)
    ax.plot(history["epoch"], history["balanced_accuracy"], color=VALIDATION, marker=".")
    ax.set(ylabel="balanced accuracy", ylim=(0, 1))
    kept = _mark_kept(ax, history, best)
    score = history.set_index("epoch")["balanced_accuracy"][kept]
    ax.set_title(f"kept: epoch {kept} ({score:.3f})", fontsize=8.5)
    return ax


@use_style()
def plot_learning_rate(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Learning rate at the end of each epoch, on a logarithmic axis."""
    ax = axes(ax, 2.8)
    ax.plot(history["epoch"], history["lr"], color="#444444", marker=".")
    ax.set(ylabel="learning rate", yscale="log", xlabel="epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    return ax


@use_style()
def learning_curves(history: pd.DataFrame, *, best: int | None = None) -> Figure:
    """A new figure of the three: loss, balanced accuracy and learning rate."""
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 2.6), width_ratios=(1.2, 1.2, 1))
    plot_loss(history, best=best, ax=panels[0])
    plot_balanced_accuracy(history, best=best, ax=panels[1])
    plot_learning_rate(history, ax=panels[2])
    return figure


def _mark_kept(ax: Axes, history: pd.DataFrame, best: int | None) -> int:
    kept = history.set_index("epoch")["balanced_accuracy"].idxmax() if best is None else best
    ax.axvline(kept, color="#444444", linestyle=":", linewidth=1)
    ax.set(xlabel="epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    return kept
