"""The figures of notebook 07 draw the tables' values."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.text import Text

from lesionkit.evidence.robustness import CLAIMED
from lesionkit.plots import robustness as plots

from .checks import drawn

NAMES = ["baseline", "zoom", "discs"]


def after(table):
    return table["model"].map({"baseline": "", "zoom": "baseline", "discs": "zoom"})


@pytest.fixture
def by_shift():
    rows = [(shift, name, 0.8 + 0.01 * i, 0.01 * i, 0.005 * i - 0.002 * (shift == "blur"), 0.02 * i)
            for shift in ("none", "blur") for i, name in enumerate(NAMES)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["shift", "model", "value", "difference", "low", "high"]).assign(after=after)
    return table.mask(table["model"] == "baseline", table.assign(low=np.nan, high=np.nan))


@pytest.fixture
def gained():
    rows = [(split, metric, name, 0.7 + 0.1 * i, 0.1 * i, 0.05 * i, 0.15 * i)
            for split in ("test", "external") for metric in CLAIMED for i, name in enumerate(NAMES)]  # fmt: skip
    return pd.DataFrame(rows, columns=["split", "metric", "model", "value", "difference", "low", "high"]).assign(after=after)


def test_shifts_show_differences_bold_where_zero_is_out_and_the_baselines_values(by_shift):
    ax = drawn(lambda ax: plots.plot_shifts(by_shift, ax=ax))
    assert [text.get_text() for text in ax.texts] == ["+0.010", "+0.010", "+0.020", "+0.020"]
    assert [text.get_fontweight() for text in ax.texts] == ["bold"] * 4
    assert [label.get_text() for label in ax.get_xticklabels()] == ["none\n0.800", "blur\n0.800"]
    unclear = by_shift.assign(low=-1.0, high=1.0)
    assert {text.get_fontweight() for text in drawn(lambda ax: plots.plot_shifts(unclear, ax=ax)).texts} == {"normal"}


def test_gains_have_a_dot_a_candidate_inside_and_outside_and_none_for_the_baseline(gained):
    figure = plots.plot_gains(gained)
    assert len(figure.axes) == len(CLAIMED)
    for ax in figure.axes:
        dots = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
        assert [np.round(np.asarray(d)[:, 0], 3).tolist() for d in dots] == [[0.1, 0.2]] * 2
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["zoom", "zoom + discs"]


def test_the_proxy_is_across_and_what_is_outside_up(gained):
    decided = pd.DataFrame({"model": NAMES, "robustness": [0.6, 0.7, 0.65], "kept": [False, True, False]})
    ax = drawn(lambda ax: plots.plot_proxy(decided, gained, ax=ax))
    dots = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert [tuple(np.round(d.get_offsets()[0], 2)) for d in dots] == [(0.6, 0.7), (0.7, 0.8), (0.65, 0.9)]
    assert [d.get_facecolor()[0][:3].tolist() == [1, 1, 1] for d in dots] == [True, False, True]
    assert [text.get_text() for text in ax.texts] == NAMES
    unknown = decided.assign(robustness=[0.6, np.nan, 0.65])
    assert [text.get_text() for text in drawn(lambda ax: plots.plot_proxy(unknown, gained, ax=ax)).texts] == ["baseline", "discs"]


def test_names_keep_clear_of_dots_and_of_each_other():
    """Of a crowd not all have room beside their dots; the others get a line."""
    at = np.array([[0.787, 0.714], [0.871, 0.803], *([0.842 + x, 0.795 + y] for x in (0, 0.003) for y in (0, 0.003, -0.003))])
    names = ["baseline", "hair_blur", *(f"candidate_{i}" for i in range(6))]
    decided = pd.DataFrame({"model": names, "robustness": at[:, 0], "kept": False})
    values = pd.DataFrame({"split": "external", "metric": "macro_auc", "model": decided["model"], "value": at[:, 1]})
    ax = drawn(lambda ax: plots.plot_proxy(decided, values, ax=ax))
    ax.figure.draw_without_rendering()
    dots, boxes = ax.transData.transform(at), [Text.get_window_extent(text) for text in ax.texts]
    assert not any(box.padded(4).count_contains(dots) for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert sum(text.arrow_patch.get_visible() for text in ax.texts) >= 1
