"""Learning curves draw the history and mark the epoch that was kept."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lesionkit.plots import learning

from .checks import drawn, line

HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2, 3],
        "train_loss": [2.0, 1.5, 1.2, 1.0],
        "valid_loss": [1.9, 1.6, 1.5, 1.6],
        "balanced_accuracy": [0.2, 0.5, 0.4, 0.5],
        "lr": [1e-4, 1e-3, 5e-4, 1e-5],
    }
)


def test_loss_draws_both_curves_and_the_kept_epoch():
    ax = drawn(lambda ax: learning.plot_loss(HISTORY, ax=ax))
    assert list(line(ax, "training").get_ydata()) == [2.0, 1.5, 1.2, 1.0]
    assert list(line(ax, "validation").get_ydata()) == [1.9, 1.6, 1.5, 1.6]
    assert ax.get_title() == "kept: epoch 1"  # the first of the two best
    assert list(ax.get_lines()[-1].get_xdata()) == [1, 1]


@pytest.mark.parametrize(("best", "title"), [(None, "kept: epoch 1 (0.500)"), (2, "kept: epoch 2 (0.400)")])
def test_balanced_accuracy_names_the_kept_value(best, title):
    ax = drawn(lambda ax: learning.plot_balanced_accuracy(HISTORY, best=best, ax=ax))
    assert ax.get_title() == title
    assert list(ax.get_lines()[0].get_ydata()) == HISTORY["balanced_accuracy"].tolist()


def test_learning_rate_is_logarithmic():
    ax = drawn(lambda ax: learning.plot_learning_rate(HISTORY, ax=ax))
    assert ax.get_yscale() == "log"
    assert list(ax.get_lines()[0].get_ydata()) == HISTORY["lr"].tolist()


def test_the_figure_has_three_panels_even_of_one_epoch():
    figure = learning.learning_curves(HISTORY.iloc[:1])
    figure.canvas.draw()
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "balanced accuracy", "learning rate"]
    plt.close(figure)
