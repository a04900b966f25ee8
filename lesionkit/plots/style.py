"""One look for every figure: a colour that is fixed for each class, model and split, and legible type.

Class and model colours are from Paul Tol's "bright" and "muted" schemes (personal.sron.nl/~pault), which
readers with a colour-vision deficiency can tell apart; the grey of "bright" is darkened to show on white.
Figures are 7 in wide, as a notebook cell or a page is.
"""

import colorsys
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 7.0  # inches

CLASS_COLOURS = MappingProxyType(
    {
        "akiec": "#AA3377",
        "bcc": "#CCBB44",
        "bkl": "#228833",
        "df": "#444444",
        "mel": "#EE6677",
        "nv": "#4477AA",
        "vasc": "#66CCEE",
    }
)
MODEL_COLOURS = MappingProxyType(
    {
        "baseline_cnn": "#999933",
        "resnet50": "#332288",
        "densenet121": "#117733",
        "efficientnet_b3": "#CC6677",
        "convnext_tiny": "#44AA99",
        "mobilenetv3_large_100": "#DDAA33",
        "vit_base_patch16_224": "#882255",
        "ensemble": "#000000",
        "ensemble_mean": "#8A8A8A",
        "ensemble_geometric": "#555555",
        "ensemble_weighted": "#7A5C00",
        "ensemble_stacked": "#004D66",
        "ensemble_greedy": "#5C3D7A",
    }
)
MODEL_LABELS = MappingProxyType(
    {
        "baseline_cnn": "Baseline CNN",
        "resnet50": "ResNet-50",
        "densenet121": "DenseNet-121",
        "efficientnet_b3": "EfficientNet-B3",
        "convnext_tiny": "ConvNeXt-T",
        "mobilenetv3_large_100": "MobileNetV3-L",
        "vit_base_patch16_224": "ViT-B/16",
        "ensemble": "Ensemble",
        "ensemble_mean": "Ensemble (mean)",
        "ensemble_geometric": "Ensemble (geometric)",
        "ensemble_weighted": "Ensemble (weighted)",
        "ensemble_stacked": "Ensemble (stacked)",
        "ensemble_greedy": "Ensemble (greedy)",
    }
)
SPLIT_COLOURS = MappingProxyType(
    {
        "train": "#4477AA",
        "val": "#CCBB44",
        "test": "#EE6677",
        "external": "#444444",
    }
)
SPLIT_LABELS = MappingProxyType({"val": "validation", "test": "internal test", "external": "external"})
METRIC_LABELS = MappingProxyType(
    {
        "accuracy": "Accuracy",
        "balanced_accuracy": "Balanced accuracy",
        "macro_f1": "Macro F1",
        "weighted_f1": "Weighted F1",
        "macro_auc": "Macro AUC",
        "micro_auc": "Micro AUC",
        "melanoma_auc": "Melanoma AUC",
        "melanoma_sensitivity": "Melanoma sensitivity",
        "melanoma_specificity": "Melanoma specificity",
        "melanoma_average_precision": "Melanoma average precision",
        "brier": "Brier score",
        "log_loss": "Log-loss",
    }
)
MISSING = "#DDDDDD"

_STYLE = MappingProxyType(
    {
        "font.size": 9,
        "axes.labelsize": 9,
        "axes.titlesize": 10,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#444444",
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.grid": False,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.5,
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
    }
)


@contextmanager
def use_style() -> Iterator[None]:
    """The look of these figures within a `with`, or within a function decorated by `@use_style()`.

    Every plot of this package is decorated, so a notebook needs it only for figures of its own. Matplotlib's
    settings are as before afterwards.
    """
    with plt.rc_context(dict(_STYLE)):
        yield


def legend_above(ax: Axes, columns: int, **options) -> None:
    """The legend over the axes, where it hides no data."""
    ax.legend(ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1), columnspacing=1.2, **options)


def axes(ax: Axes | None, height: float, width: float = WIDTH) -> Axes:
    """`ax` itself, or the axes of a new figure of `width` × `height` inches."""
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


@use_style()
def panels(plot: Callable[..., Axes], by_split: Mapping[str, Any], height: float = 3.6) -> Figure:
    """A new figure with one panel a split beside each other: plot(data, title=…, ax=…); the last has the legend."""
    figure, row = plt.subplots(1, max(len(by_split), 1), figsize=(WIDTH, height), squeeze=False)
    for at, (split, data) in enumerate(by_split.items()):
        ax = plot(data, title=SPLIT_LABELS.get(split, split), ax=row[0, at])
        if at < len(by_split) - 1 and ax.get_legend():
            ax.get_legend().remove()
    return figure


def unit_axes(ax: Axes | None, xlabel: str, ylabel: str) -> Axes:
    """Square axes from 0 to 1 both ways, with a grid."""
    ax = axes(ax, 4.2, width=6.4)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, aspect="equal")
    ax.grid(True)
    return ax


def unavailable(ax: Axes | None, reason: str) -> Axes:
    """Axes that say why there is nothing to draw."""
    ax = axes(ax, 1.2)
    ax.set_axis_off()
    ax.text(0.5, 0.5, f"Not available: {reason}", ha="center", va="center", transform=ax.transAxes, color="#555555")
    return ax


def model_colour(name: str) -> str:
    """The colour of a model, #RRGGBB; of one that the study does not name, always the same from its name."""
    if name in MODEL_COLOURS:
        return MODEL_COLOURS[name]
    digest = hashlib.sha256(name.encode()).digest()  # not hash(): that differs from one process to the next
    channels = colorsys.hls_to_rgb(digest[0] / 256, 0.35 + 0.2 * digest[1] / 256, 0.65)
    return "#" + "".join(f"{round(255 * channel):02X}" for channel in channels)


def model_label(name: str) -> str:
    """A model's name as readers know it; the timm name itself where the study does not name the model."""
    return MODEL_LABELS.get(name, name)


def metric_label(name: str) -> str:
    """A metric's name in words."""
    return METRIC_LABELS.get(name, name.replace("_", " ").capitalize())
