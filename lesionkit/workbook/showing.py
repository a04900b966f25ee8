"""Figures and tables in the notebook that runs: of a figure the file that was saved, rather than drawn a second time."""

from pathlib import Path

import pandas as pd
from IPython import get_ipython
from matplotlib.figure import Figure
from PIL import Image

from lesionkit.workbook import tables

PER_INCH = 96  # a screen's pixels


def show(figure: Figure, png: Path) -> None:
    """Show the file `png` of this figure, at the figure's own size, and close the figure; outside notebooks do nothing."""
    if get_ipython() is None:
        return
    from IPython import display
    from matplotlib import pyplot

    with Image.open(png) as saved:
        width = round(saved.width / saved.info["dpi"][0] * PER_INCH)
    display.display(display.Image(filename=str(png), width=width))
    pyplot.close(figure)  # or Jupyter would draw it at the end of the cell


def style_tables() -> None:
    """From now on the notebook that runs shows every table as `tables.as_html` writes it; outside notebooks do nothing."""
    if shell := get_ipython():
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, tables.as_html)
