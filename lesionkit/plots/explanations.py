"""Panels of explained images: where models find their evidence, how far they disagree, and what they call the image.

A map is (h', w') floats in [0, 1] and is laid over its image, whatever its size. A map of evidence is clear at 0, so
that the image shows where nothing is, and the more opaque the higher; one of disagreement veils the image in grey.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, OffsetImage, TextArea, VPacker
from PIL import Image

from lesionkit.data.records import CLASSES
from lesionkit.plots.images import GAP, Layout, layout, plot_image_grid
from lesionkit.plots.style import CLASS_COLOURS, WIDTH, axes, model_label, use_style

EVIDENCE, OPACITY = "turbo", 0.65  # colours of a map of evidence, and how opaque they are at its highest
APART, VEIL = "BuPu", 0.75  # of disagreement, everywhere
RIGHT, WRONG = "#117733", "#BB2222"
WIDEST, LARGEST = 11.0, 1.2  # inches: of the panel, and of an image in it
NAMES, BARS, VALUES = 0.38, 0.8, 0.26  # inches: the parts of the column of probabilities


@use_style()
def plot_cam_panel(
    images: Sequence[np.ndarray],
    maps: Mapping[str, Sequence[np.ndarray]],
    *,
    rows: Sequence[str] = (),
    truth: Sequence[str] = (),
    calls: Mapping[str, Sequence[str]] | None = None,
    disagreement: Sequence[np.ndarray] | None = None,
    probabilities: np.ndarray | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A row an image: the image, a map of evidence a model, and what is given of disagreement and probabilities.

    maps: for each model (n, h, w) in [0, 1]. truth: the class of each image, written under the bare one and in bold
    among the probabilities. calls: for each model what it called each image, written under its map: green if that is
    the truth, red if not, black where no truth is given. disagreement: (n, h, w) in [0, 1], as of `explain.ensembles`.
    probabilities: (n, 7), the ensemble's. At most WIDEST inches wide, and narrower for few models.
    """
    if not len(images):
        ax = axes(ax, 0.6)
        ax.set_axis_off()
        ax.text(0, 0.5, "No such case.", va="center")
        return ax
    cells = [[image, *(_lit(image, of[i]) for of in maps.values())] for i, image in enumerate(images)]
    if disagreement is not None:
        cells = [[*row, _veiled(image, apart)] for row, image, apart in zip(cells, images, disagreement, strict=True)]
    columns = ["image", *(_wrapped(model_label(name)) for name in maps), "disagreement"][: len(cells[0])]
    titles, colours = _captions(len(images), list(maps), len(columns), truth, calls)
    beside = 0 if probabilities is None else NAMES + BARS + VALUES
    width = min(max(beside + 0.9 + LARGEST * len(columns), WIDTH), WIDEST)
    truths, empty = len(truth) > 0, not all(np.any(one) for of in maps.values() for one in of)
    key = _key(disagreement is not None, calls is not None, truths, truths and beside > 0, empty)
    ax = plot_image_grid(cells, rows=rows, columns=columns, titles=titles, title_colours=colours, width=width,
                         beside=beside, below=0.1 + 0.2 * len(key.get_children()), ax=ax)  # fmt: skip
    if probabilities is not None:
        grid = layout(len(columns), rows, len(titles) > 0, width - beside)
        _bars(ax, np.asarray(probabilities), truth, grid, columns)
    look = {"frameon": False, "pad": 0, "borderpad": 0.4, "bbox_to_anchor": (0, 0), "bbox_transform": ax.transAxes}
    ax.add_artist(AnchoredOffsetbox("upper left", child=key, **look))
    return ax


def _lit(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image (h, w, 3) under the colours of its evidence."""
    heat = _sized(heat, image)
    return _blended(image, heat, EVIDENCE, OPACITY * heat)


def _veiled(image: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """The image (h, w, 3) in grey under the colours of disagreement."""
    grey = np.repeat(image.mean(2, keepdims=True), 3, axis=2)
    return _blended(grey, _sized(apart, image), APART, np.full(image.shape[:2], VEIL))


def _blended(image: np.ndarray, values: np.ndarray, colours: str, opacity: np.ndarray) -> np.ndarray:
    shades = 255 * matplotlib.colormaps[colours](values)[..., :3]
    return np.rint(image + opacity[..., None] * (shades - image)).astype(np.uint8)


def _sized(values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A map at the size of its image, bilinear."""
    values = np.asarray(values, np.float32)
    if values.ndim != 2 or not (values.min() >= 0 and values.max() <= 1):  # NaN fails as well
        raise ValueError(
            f"a map has shape {values.shape} and values from {values.min():.3g} to "
            f"{values.max():.3g}, expected (h, w) within 0..1; scale it before it is drawn"
        )
    return np.asarray(Image.fromarray(values).resize(image.shape[1::-1], Image.Resampling.BILINEAR)).clip(0, 1)


def _captions(count: int, names: Sequence[str], across: int, truth: Sequence[str],
              calls: Mapping[str, Sequence[str]] | None) -> tuple[list[list[str]], list[list[str]]]:  # fmt: skip
    """The line under each image and map, and its colour; nothing where there are neither truths nor calls."""
    if calls is None and not len(truth):
        return [], []
    truths = truth if len(truth) else [""] * count
    words = [[truths[i], *(calls[name][i] for name in names if calls is not None)] for i in range(count)]
    titles = [row + [""] * (across - len(row)) for row in words]
    colours = [["black", *("black" if not row[0] else RIGHT if call == row[0] else WRONG for call in row[1:])]
               for row in titles]  # fmt: skip
    return titles, colours


def _bars(ax: Axes, p: np.ndarray, truth: Sequence[str], grid: Layout, columns: Sequence[str]) -> None:
    """The probabilities (n, 7) as bars in the room at the right of the grid, 0 to 1 on the same length in each row."""
    left, length = len(columns) * (1 + GAP) - GAP + NAMES / grid.cell, BARS / grid.cell
    step = (grid.row - 3 * GAP) / len(CLASSES)
    at = np.arange(len(p))[:, None] * grid.row + (np.arange(len(CLASSES)) + 0.5) * step  # (n, 7)
    ax.barh(at.ravel(), length, 0.8 * step, left, color="#EEEEEE")
    ax.barh(at.ravel(), p.ravel() * length, 0.8 * step, left, color=[CLASS_COLOURS[dx] for dx in CLASSES] * len(p))
    for r, k in np.ndindex(*p.shape):
        own = len(truth) > 0 and truth[r] == CLASSES[k]
        weight, colour = ("bold", "black") if own else ("normal", "0.25")
        look = {"va": "center", "fontsize": 6.5, "fontweight": weight, "color": colour}
        ax.text(left - 0.04 / grid.cell, at[r, k], CLASSES[k], ha="right", **look)
        ax.text(left + length + 0.04 / grid.cell, at[r, k], f"{p[r, k]:.2f}", ha="left", **look)
    ticks, size = [*ax.get_xticks(), left + length / 2], ax.get_xticklabels()[0].get_fontsize()
    ax.set_xticks(ticks, [*columns, "ensemble's\nprobability"], fontsize=size)


def _key(apart: bool, called: bool, truths: bool, marked: bool, empty: bool) -> VPacker:
    """What the colours say, on a line or two, and only of what is there."""
    ramps = [_text("evidence for the ensemble's call: low"), _ramp(EVIDENCE, OPACITY)]
    ramps += [_text("high (each map's own scale)")]
    if apart:
        ramps += [_text("   disagreement: none"), _ramp(APART, 0), _text("full")]
    words = []
    if called:
        words += [_text("under a map: the model's own call" + (", " if truths else "   "))]
    if called and truths:
        words += [_text("right", RIGHT), _text("or"), _text("wrong   ", WRONG)]
    if marked:
        words += [_text("bold: the true class   ")]
    if empty:
        words += [_text("no colour: nothing speaks for that call")]
    lines = [HPacker(children=line, align="center", pad=0, sep=3) for line in (ramps, words) if line]
    return VPacker(children=lines, align="left", pad=0, sep=4)


def _text(words: str, colour: str = "black") -> TextArea:
    return TextArea(words, textprops={"fontsize": 8, "color": colour})


def _ramp(colours: str, clear: float) -> OffsetImage:
    """The colours of a map from 0 to 1, as they lie over something white."""
    values = np.tile(np.linspace(0, 1, 50), (8, 1))
    opacity = clear * values if clear else np.full(values.shape, VEIL)
    return OffsetImage(_blended(np.full((8, 50, 3), 255), values, colours, opacity))


def _wrapped(label: str) -> str:
    """The label on lines of about ten characters, broken at spaces, hyphens and underscores."""
    apart = label.replace("_", "_ ").replace("-", "- ")
    return fill(apart, 10, break_long_words=False).replace("_ ", "_").replace("- ", "-")
