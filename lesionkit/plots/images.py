"""Figures that show images: a grid on one axes, and the sheets and previews made of it.

An image is (h, w, 3) uint8 RGB. Rows are labelled at the left and columns at the top; under each image there is room
for one line of text.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from lesionkit.data.records import CLASSES
from lesionkit.plots.style import CLASS_COLOURS, WIDTH, axes, use_style

GAP = 0.04  # between images, in image widths

Cells = Sequence[Sequence[np.ndarray | None]]
Lines = Sequence[Sequence[str]]


class Layout(NamedTuple):
    """How large a grid is drawn."""

    cell: float  # an image's width and height, in inches
    row: float  # from one row to the next, in image widths


def layout(across: int, rows: Sequence[str], titled: bool, width: float = WIDTH) -> Layout:
    """The layout of `across` images and their rows' labels on `width` inches; `titled`: a line under each image."""
    labels = 0.08 * max((len(line) for name in rows for line in name.split("\n")), default=0)
    cell = (width - labels) / (across * (1 + GAP) - GAP)
    return Layout(cell, 1 + GAP + (0.17 / cell if titled else 0))  # 0.17 in a line


@use_style()
def plot_image_grid(cells: Cells, *, rows: Sequence[str] = (), columns: Sequence[str] = (), titles: Lines = (),
                    title_colours: Lines = (), width: float = WIDTH, beside: float = 0, below: float = 0,
                    ax: Axes | None = None) -> Axes:  # fmt: skip
    """Images in rows and columns; None leaves a cell empty.

    rows, columns: labels at the left and at the top. titles: a line under each image; title_colours: its colour; both
    are shaped as `cells`, or empty. `beside` of the figure's `width` inches stay free at the right, and `below` inches
    below.
    """
    across, down = max(len(row) for row in cells), len(cells)
    cell, height = layout(across, rows, bool(len(titles)), width - beside)
    lines = max((name.count("\n") for name in columns), default=0)
    ax = axes(ax, cell * height * down + 0.2 + 0.15 * lines + below, width)
    for r, row in enumerate(cells):
        for c, image in enumerate(row):
            if image is None:
                continue
            left, top = c * (1 + GAP), r * height
            ax.imshow(image, extent=(left, left + 1, top + 1, top), interpolation="bilinear")
            if len(titles):
                colour = title_colours[r][c] if len(title_colours) else "black"
                ax.text(left + 0.5, top + 1.03, titles[r][c], ha="center", va="top", fontsize=8, color=colour)
    right = across * (1 + GAP) - GAP + beside / cell
    ax.set(xlim=(0, right), ylim=(down * height - GAP, 0), aspect="equal")
    ax.set_xticks([c * (1 + GAP) + 0.5 for c in range(len(columns))], columns, fontsize=7.5 if across > 6 else 8.5)
    ax.set_yticks([r * height + 0.5 for r in range(len(rows))], rows)
    ax.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    return ax


def plot_sample_sheet(
    samples: Mapping[str, Sequence[np.ndarray]],
    *,
    titles: Mapping[str, Sequence[str]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Images by class, a row a class in the order of CLASSES, its label in the class's colour.

    samples: the images of each class; some may hold fewer than others; a class that holds none has no row.
    titles: for each class the lines under its images.
    """
    names = [name for name in CLASSES if len(samples.get(name, ()))]
    width = max(len(samples[name]) for name in names)
    cells = [[*samples[name], *[None] * (width - len(samples[name]))] for name in names]
    lines = [[*titles[name], *[""] * (width - len(titles[name]))] for name in names] if titles else ()
    ax = plot_image_grid(cells, rows=names, titles=lines, ax=ax)
    for label in ax.get_yticklabels():
        label.set(color=CLASS_COLOURS[label.get_text()], fontweight="bold")
    return ax


def plot_augmentations(
    originals: Sequence[np.ndarray],
    augmented: Sequence[Sequence[np.ndarray]],
    *,
    rows: Sequence[str] = (),
    ax: Axes | None = None,
) -> Axes:
    """A row an image: the original, then its augmented versions as training sees them.

    augmented: for each original its versions, (k, h, w, 3).
    """
    cells = [[original, *versions] for original, versions in zip(originals, augmented, strict=True)]
    return plot_image_grid(cells, rows=rows, columns=["original", *[""] * (len(cells[0]) - 1)], ax=ax)
