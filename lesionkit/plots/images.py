"""Figures that show images: a grid on one axes, and the sheets, previews and Grad-CAM panels made of it.

An image is (h, w, 3) uint8 RGB. A map is (h', w') floats in [0, 1] and is laid over its image, whatever its
size: clear at 0, so that the image shows where the model does not look, and the more opaque the higher.
Rows are labelled at the left and columns at the top; under each image there is room for one line of text.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from lesionkit.data.records import CLASSES
from lesionkit.plots.style import CLASS_COLOURS, WIDTH, axes, model_label, use_style

MAP_COLOURS, MAP_OPACITY = "turbo", 0.65
RIGHT, WRONG = "#117733", "#BB2222"
GAP = 0.04  # between images, in image widths

Cells = Sequence[Sequence[np.ndarray | None]]
Lines = Sequence[Sequence[str]]


@use_style()
def plot_image_grid(cells: Cells, *, rows: Sequence[str] = (), columns: Sequence[str] = (), titles: Lines = (),
                    title_colours: Lines = (), maps: Cells = (), ax: Axes | None = None) -> Axes:  # fmt: skip
    """Images in rows and columns; None leaves a cell empty.

    rows, columns: labels at the left and at the top. titles: a line under each image; title_colours: its
    colour. maps: heat maps over the images, None for a bare one. These three are shaped as `cells`, or empty.
    """
    across, down = max(len(row) for row in cells), len(cells)
    cell = (WIDTH - 0.08 * max((len(line) for name in rows for line in name.split("\n")), default=0)) / across
    height = 1 + GAP + (0.17 / cell if len(titles) else 0)  # of a row, in image widths; 0.17 in a line
    ax = axes(ax, cell * height * down + 0.2 + 0.15 * max((name.count("\n") for name in columns), default=0))
    for r, row in enumerate(cells):
        for c, image in enumerate(row):
            if image is None:
                continue
            left, top = c * (1 + GAP), r * height
            _show(ax, image, left, top)
            if len(maps) and maps[r][c] is not None:
                heat = _checked_map(maps[r][c])
                _show(ax, heat, left, top, cmap=MAP_COLOURS, vmin=0, vmax=1, alpha=MAP_OPACITY * heat)
            if len(titles):
                ax.text(
                    left + 0.5,
                    top + 1.03,
                    titles[r][c],
                    ha="center",
                    va="top",
                    fontsize=8,
                    color=title_colours[r][c] if len(title_colours) else "black",
                )
    ax.set(xlim=(0, across * (1 + GAP) - GAP), ylim=(down * height - GAP, 0), aspect="equal")
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


def plot_cam_panel(
    images: Sequence[np.ndarray],
    maps: Mapping[str, Sequence[np.ndarray]],
    *,
    rows: Sequence[str] = (),
    truth: Sequence[str] = (),
    calls: Mapping[str, Sequence[str]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Grad-CAM maps: a row an image, a column a model, the bare image first.

    maps: for each model (n, h, w) in [0, 1]. truth: the class of each image, written under the bare one.
    calls: for each model what it called each image, written under its map: green if that is the truth, else
    red; truth is needed with it.
    """
    names = list(maps)
    if not len(images):
        ax = axes(ax, 0.6)
        ax.set_axis_off()
        ax.text(0, 0.5, "No such case.", va="center")
        return ax
    cells = [[image] * (1 + len(names)) for image in images]
    overlays = [[None, *(maps[name][i] for name in names)] for i in range(len(images))]
    titles, colours = (), ()
    if calls is not None:
        titles = [[truth[i], *(calls[name][i] for name in names)] for i in range(len(images))]
        colours = [["black", *(RIGHT if call == row[0] else WRONG for call in row[1:])] for row in titles]
    columns = ["image", *(_wrapped(model_label(name)) for name in names)]
    return plot_image_grid(
        cells, rows=rows, columns=columns, titles=titles, title_colours=colours, maps=overlays, ax=ax
    )


def _show(ax: Axes, picture: np.ndarray, left: float, top: float, **look) -> AxesImage:
    return ax.imshow(picture, extent=(left, left + 1, top + 1, top), interpolation="bilinear", **look)


def _wrapped(label: str) -> str:
    """The label on lines of about ten characters, broken at spaces, hyphens and underscores."""
    apart = label.replace("_", "_ ").replace("-", "- ")
    return fill(apart, 10, break_long_words=False).replace("_ ", "_").replace("- ", "-")


def _checked_map(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or not (values.min() >= 0 and values.max() <= 1):  # NaN fails as well
        raise ValueError(
            f"a map has shape {values.shape} and values from {values.min():.3g} to "
            f"{values.max():.3g}, expected (h, w) within 0..1; scale it before it is drawn"
        )
    return values
