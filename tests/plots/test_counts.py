"""The figures of the data draw the counts of the table, missing values among them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lesionkit.data.records import CLASSES
from lesionkit.plots import counts, style

from .checks import drawn, legend


@pytest.fixture
def index() -> pd.DataFrame:
    """Ten images: 4 nv, 3 mel, 2 bcc of one lesion, 1 vasc; gaps in age, sex, site and confirmation."""
    return pd.DataFrame(
        {
            "dx": ["nv"] * 4 + ["mel"] * 3 + ["bcc"] * 2 + ["vasc"],
            "lesion_id": [*"abcdefg", "h", "h", "i"],
            "split": ["train", "train", "val", "test", "train", "train", "test", "val", "val", "external"],
            "age": [30, 40, 50, np.nan, 60, 70, 80, 55, 55, np.nan],
            "sex": ["male", "female", None, "male", "female", "female", "male", "male", "male", None],
            "site": ["back", "back", "face", None, "back", "face", "back", "face", "face", "hand"],
            "dx_type": ["follow_up", "histo", "histo", None, *["histo"] * 5, "consensus"],
        }
    )


def widths(ax, colour: str) -> list[float]:
    return [bar.get_width() for bar in ax.patches if to_hex(bar.get_facecolor()) == colour.lower()]


def test_class_counts_are_stacked_by_split(index):
    ax = drawn(lambda ax: counts.plot_class_counts(index, ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == list(CLASSES)
    assert list(legend(ax)) == ["train", "val", "test", "external"]
    assert widths(ax, style.SPLIT_COLOURS["train"]) == [0, 0, 0, 0, 2, 2, 0]
    assert widths(ax, style.SPLIT_COLOURS["external"]) == [0, 0, 0, 0, 0, 0, 1]
    assert [text.get_text() for text in ax.texts][5] == "4  (2 / 1 / 1 / 0)"


def test_class_counts_by_another_column(index):
    ax = drawn(lambda ax: counts.plot_class_counts(index, by="dx_type", ax=ax))
    assert set(legend(ax)) == {"histo", "follow_up", "consensus", "missing"}
    assert sum(bar.get_width() for bar in ax.patches) == len(index)


def test_images_per_lesion(index):
    ax = drawn(lambda ax: counts.plot_images_per_lesion(index, ax=ax))
    assert [bar.get_height() for bar in ax.patches] == [8, 1]
    assert [text.get_text() for text in ax.texts] == ["8\n80.0% of images", "1\n20.0% of images"]


def test_age_names_what_is_missing_and_keeps_class_colours(index):
    ax = drawn(lambda ax: counts.plot_age(index, ax=ax))
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[CLASSES.index("nv")] == "nv  (n=3; 1 missing)"
    assert labels[CLASSES.index("vasc")] == "vasc  (n=0; 1 missing)"
    colours = {to_hex(box.get_facecolor()) for box in ax.patches}
    assert {style.CLASS_COLOURS[name].lower() for name in ("nv", "mel", "bcc")} <= colours


def test_sex_sums_to_a_hundred_with_missing(index):
    ax = drawn(lambda ax: counts.plot_sex(index, ax=ax))
    shares = [widths(ax, colour) for colour in counts.SEX_COLOURS.values()]
    assert [share[CLASSES.index("nv")] for share in shares] == [25, 50, 25]
    np.testing.assert_allclose(np.sum(shares, axis=0), [0, 100, 0, 0, 100, 100, 100])


@pytest.mark.parametrize(
    ("plot", "rows", "cells"),
    [
        (counts.plot_site, ["back", "face", "hand", "missing"], {("back", "nv"): "2", ("missing", "nv"): "1"}),
        (counts.plot_confirmation, ["histo", "consensus", "follow_up", "missing"], {("histo", "mel"): "3"}),
    ],
)
def test_heat_tables_hold_counts(index, plot, rows, cells):
    ax = drawn(lambda ax: plot(index, ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == rows
    texts = np.reshape([text.get_text() for text in ax.texts], (len(rows), len(CLASSES)))
    for (row, name), count in cells.items():
        assert texts[rows.index(row), CLASSES.index(name)] == count
    assert texts.astype(int).sum() == len(index)


def test_the_index_is_not_changed(index):
    before = index.copy()
    for plot in (counts.plot_class_counts, counts.plot_age, counts.plot_sex, counts.plot_site):
        drawn(lambda ax, plot=plot: plot(index, ax=ax))
    pd.testing.assert_frame_equal(index, before)
