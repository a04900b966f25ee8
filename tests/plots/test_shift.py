"""The figures of other archives draw the values of their tables, and say why where there are none."""

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.plots import shift, style

from .checks import drawn, legend


def priors() -> pd.DataFrame:
    shares = {"validation": [0.05, 0.05, 0.1, 0.02, 0.1, 0.66, 0.02], "true": [0.1, 0.2, 0.1, 0.02, 0.2, 0.37, 0.01]}
    return pd.DataFrame({"class": CLASSES, **shares, "estimated": [0.1, 0.2, 0.1, 0, 0.2, 0.4, 0]})


def summary(value: float = 0.6) -> pd.DataFrame:
    keys = [("maximum_softmax", "resnet50"), ("maximum_softmax", "ensemble"), ("disagreement", "ensemble")]
    table = pd.DataFrame([(*key, metric) for key in keys for metric in shift.METRIC_LABELS])
    table.columns = ["score", "model", "metric"]
    return table.assign(n_unknown=233, n_known=7540, value=value, low=value - 0.05, high=value + 0.05, note="")


def test_priors_are_in_per_cent_and_those_near_0_at_the_edge():
    ax = drawn(lambda ax: shift.plot_priors(priors(), ax=ax))
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_yticklabels()] == list(CLASSES)
    lines = {line.get_label(): line for line in ax.get_lines()}
    estimated = lines["estimated from unlabelled external images"]
    np.testing.assert_allclose(estimated.get_xdata(), [10, 20, 10, 20, 40])
    np.testing.assert_allclose(lines["validation"].get_xdata(), 100 * priors()["validation"])
    arrows = [line for line in ax.get_lines() if line.get_marker() == "<" and len(line.get_xdata())]
    assert [list(line.get_ydata()) for line in arrows] == [[3, 6]]
    assert len(legend(ax)) == 3


def test_openset_has_a_row_a_score_and_model():
    ax = drawn(lambda ax: shift.plot_openset(summary(), ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "Maximum softmax: ResNet-50",
        "Maximum softmax: Ensemble",
        "Disagreement: Ensemble",
    ]
    dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [0.6] * 3
    assert dots[0].get_color() == style.model_colour("resnet50")
    assert [text.get_text() for text in ax.texts] == ["0.600"] * 3
    assert "233 unknown and 7,540 known" in ax.get_xlabel()
    assert any(list(line.get_xdata()) == [0.5, 0.5] for line in ax.get_lines())


def test_the_other_metric_has_its_own_chance():
    ax = drawn(lambda ax: shift.plot_openset(summary(), metric="fpr_at_95", ax=ax))
    assert "FPR" in ax.get_xlabel() and any(list(line.get_xdata()) == [0.95, 0.95] for line in ax.get_lines())


def test_one_undefined_row_is_na():
    table = summary()
    table.loc[table["score"] == "disagreement", ["value", "low", "high"]] = np.nan
    ax = drawn(lambda ax: shift.plot_openset(table, ax=ax))
    assert ax.texts[-1].get_text() == "NA"


def test_nothing_to_draw_is_said():
    ax = drawn(lambda ax: shift.plot_openset(summary(np.nan).assign(note="no unknown image"), ax=ax))
    assert ax.texts[0].get_text() == "Not available: no unknown image"
    ax = drawn(lambda ax: shift.plot_priors(priors().head(0), ax=ax))
    assert ax.texts[0].get_text() == "Not available: no prior was estimated"
