"""The figures of calibration draw the values of their tables, and say why where there are none."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lesionkit.data.records import CLASSES
from lesionkit.evidence import calibration as evidence
from lesionkit.evidence import conformal, selective
from lesionkit.plots import calibration, style

from .checks import drawn, legend


def diagram(shift: float = 0.0) -> pd.DataFrame:
    accuracy = np.array([0.4, 0.6, 0.9])
    return pd.DataFrame(
        {"bin": range(3), "n": 10, "confidence": accuracy + shift, "accuracy": accuracy}
        | {"low": accuracy - 0.05, "high": accuracy + 0.05}
    )


def summary(value: float = 0.1) -> pd.DataFrame:
    keys = [
        (model, split, scaling, metric)
        for model in ("resnet50", "ensemble")
        for split in ("test", "external")
        for scaling in ("none", "temperature")
        for metric in evidence.METRICS
    ]
    table = pd.DataFrame(keys, columns=["model", "split", "scaling", "metric"])
    table["value"] = value + 0.01 * np.arange(len(table))
    return table.assign(low=table["value"] - 0.02, high=table["value"] + 0.02, note="")


def sets(coverage: float = 0.8) -> pd.DataFrame:
    keys = [
        (split, kind, name) for split in ("test", "external") for kind in conformal.KINDS for name in ("all", *CLASSES)
    ]
    table = pd.DataFrame(keys, columns=["split", "kind", "class"])
    n = np.where(table["class"] == "df", 17, 200)
    return table.assign(n=n, coverage=coverage, low=coverage - 0.1, high=coverage + 0.1, size=1.25)


def dots(ax, mark: str) -> list:
    return [line for line in ax.get_lines() if line.get_marker() == mark and len(line.get_xdata())]


def test_reliability_draws_each_table_against_the_diagonal():
    tables = {"uncalibrated": diagram(0.05), "temperature-scaled": diagram()}
    ax = drawn(lambda ax: calibration.plot_reliability(tables, title="inside", ax=ax))
    assert list(legend(ax)) == list(tables) and ax.get_title() == "inside"
    np.testing.assert_allclose(dots(ax, "s")[0].get_xydata(), [[45, 40], [65, 60], [95, 90]])
    np.testing.assert_allclose(dots(ax, "o")[0].get_xdata(), [40, 60, 90])
    assert dots(ax, "s")[0].get_markerfacecolor() == "white" != dots(ax, "o")[0].get_markerfacecolor()
    assert ax.get_xlabel() == "mean confidence (%)" and len(ax.collections) == 2


def test_calibration_is_open_before_and_full_after():
    table = summary()
    ax = drawn(lambda ax: calibration.plot_calibration(table, metric="ece", ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ResNet-50", "Ensemble"]
    chosen = table[(table["metric"] == "ece") & (table["split"] == "external")].groupby("scaling")["value"]
    before, after = [line for line in dots(ax, "o") if line.get_color() == style.SPLIT_COLOURS["external"]]
    np.testing.assert_allclose(before.get_xdata(), chosen.get_group("none"))
    np.testing.assert_allclose(after.get_xdata(), chosen.get_group("temperature"))
    assert before.get_markerfacecolor() == "white" and to_hex(after.get_markerfacecolor()) == "#444444"
    assert list(legend(ax)) == ["internal test", "external", "uncalibrated", "temperature-scaled"]
    assert ax.get_xlabel() == "Expected calibration error" and ax.get_xlim()[0] == 0


def test_a_signed_error_has_a_line_at_zero():
    ax = drawn(lambda ax: calibration.plot_calibration(summary(-0.2), metric="overconfidence", ax=ax))
    assert any(list(line.get_xdata()) == [0, 0] for line in ax.get_lines()) and ax.get_xlim()[0] < 0


def test_conformal_shows_coverage_size_and_small_classes_in_grey():
    ax = drawn(lambda ax: calibration.plot_conformal(sets(), ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all", *CLASSES]
    marks = dots(ax, "o")
    assert len(marks) == 2 * 2 * 8 and {float(mark.get_xdata()[0]) for mark in marks} == {80.0}
    assert sum(mark.get_color() == calibration.GUIDE for mark in marks) == 4  # df
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("200: 1.2 → 1.2") == 14 and texts.count("17: 1.2 → 1.2") == 2
    assert any(list(line.get_xdata()) == [90, 90] for line in ax.get_lines())


def test_a_class_without_images_is_na():
    table = sets()
    table.loc[table["class"] == "vasc", ["coverage", "low", "high", "size"]] = np.nan
    ax = drawn(lambda ax: calibration.plot_conformal(table.assign(n=np.where(table["class"] == "vasc", 0, 50)), ax=ax))
    assert [text.get_text() for text in ax.texts].count("0: NA → NA") == 2


def test_risk_coverage_draws_the_curve():
    y = np.array([0, 1, 0, 0])
    p = np.eye(7)[[0] * 4] * np.array([[0.5, 0.4, 0.3, 0.2]]).T + 0.05
    curve = selective.risk_coverage(y, p)
    ax = drawn(lambda ax: calibration.plot_risk_coverage({"ensemble": curve}, title="inside", ax=ax))
    line = ax.get_lines()[0]
    np.testing.assert_allclose(line.get_xdata(), [25, 50, 75, 100])
    np.testing.assert_allclose(line.get_ydata(), [0, 50, 100 / 3, 25])
    assert list(legend(ax)) == ["Ensemble"] and line.get_color() == "#000000"


@pytest.mark.parametrize(
    ("plot", "data"),
    [
        (calibration.plot_reliability, {}),
        (calibration.plot_calibration, summary(np.nan)),
        (calibration.plot_conformal, sets(np.nan)),
        (calibration.plot_risk_coverage, {}),
    ],
)
def test_nothing_to_draw_is_said(plot, data):
    ax = drawn(lambda ax: plot(data, ax=ax))
    assert ax.texts[0].get_text().startswith("Not available: ")
