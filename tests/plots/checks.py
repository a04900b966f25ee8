"""What every plot must keep: the axes it is given, no further figure, matplotlib's settings as they were."""

from collections.abc import Callable

import matplotlib.pyplot as plt
from matplotlib.axes import Axes


def drawn(plot: Callable[..., Axes]) -> Axes:
    """Call `plot(ax=…)` with axes and with None, check that no state is left, return the given axes."""
    plt.switch_backend("agg")
    plt.close("all")
    before = dict(plt.rcParams)
    figure, ax = plt.subplots()
    assert plot(ax=ax) is ax
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()
    own = plot(ax=None)
    assert own.figure is not figure
    assert plt.get_fignums() == [figure.number, own.figure.number]
    own.figure.canvas.draw()
    assert dict(plt.rcParams) == before
    plt.close("all")
    return ax


def legend(ax: Axes) -> dict[str, str]:
    """The texts of the legend, "name: value" as name -> value."""
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    return dict(text.rsplit(": ", 1) if ": " in text else (text, "") for text in texts)


def line(ax: Axes, start: str):
    """The line whose label starts so."""
    return next(one for one in ax.get_lines() if one.get_label().startswith(start))
