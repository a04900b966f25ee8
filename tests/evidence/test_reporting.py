"""Tables for print: the text of each cell, and the published table against independent implementations."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from statsmodels.stats.contingency_tables import mcnemar

from lesionkit.evidence import predictions, reporting, resampling

from .tables import rows, table

NAMES = ("resnet50", "densenet121", "ensemble")


def scored(names=NAMES, n: int = 280) -> dict[str, pd.DataFrame]:
    described = rows(n)
    return {name: table(name, described, seed=i, strength=2 + i) for i, name in enumerate(names)}


def long(*values) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["model", "metric", "value", "low", "high"])


def test_cells_by_hand():
    intervals = long(
        ("b", "accuracy", 0.6519, 0.6008, 0.6994),
        ("a", "accuracy", 0.5, np.nan, np.nan),
        ("a", "macro_f1", np.nan, np.nan, np.nan),
        ("a", "brier", 0.1, 0.1, 0.1),
    )
    wide = reporting.bracketed(intervals, ["macro_f1", "accuracy"])
    assert list(wide) == ["model", "macro_f1", "accuracy"]
    assert wide.to_numpy().tolist() == [["b", "NA", "0.652 [0.601, 0.699]"], ["a", "NA", "0.500 [NA]"]]
    assert reporting.bracketed(intervals, ["accuracy"], digits=1)["accuracy"].tolist() == ["0.7 [0.6, 0.7]", "0.5 [NA]"]


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="hold no auc; they hold accuracy"):
        reporting.bracketed(long(("a", "accuracy", 0.5, 0.4, 0.6)), ["auc"])


def test_published_numbers_are_independent_implementations():
    tables = scored()
    replicates = resampling.replicate(tables, count=200)
    numbers, text = reporting.published(tables, replicates)
    value = numbers.set_index(["model", "metric"])["value"]
    y = predictions.targets(tables["ensemble"])
    calls = {name: predictions.probabilities(each).argmax(axis=1) for name, each in tables.items()}
    for name, each in tables.items():
        assert value[name, "accuracy"] == pytest.approx(sk.accuracy_score(y, calls[name]))
        assert value[name, "weighted_f1"] == pytest.approx(sk.f1_score(y, calls[name], average="weighted"))
        p = predictions.probabilities(each)
        assert value[name, "macro_auc"] == pytest.approx(sk.roc_auc_score(np.eye(7)[y], p, average="macro"))
        assert value[name, "micro_auc"] == pytest.approx(sk.roc_auc_score(np.eye(7)[y], p, average="micro"))
    raw = []
    for name in NAMES[:2]:
        right = [calls[each] == y for each in (name, "ensemble")]
        raw.append(mcnemar(pd.crosstab(*right).to_numpy(), exact=True).pvalue)
        assert value[name, "mcnemar_p"] == pytest.approx(raw[-1])
        assert value[name, "delta_accuracy"] == pytest.approx(right[1].mean() - right[0].mean())
    holm = np.minimum(np.maximum.accumulate(np.sort(raw) * [2, 1]), 1)[np.argsort(np.argsort(raw))]
    np.testing.assert_allclose([value[name, "mcnemar_p_holm"] for name in NAMES[:2]], holm)
    assert text["model"].tolist() == list(NAMES)
    assert len(numbers) == 3 * 4 + 2 * 3


def test_published_intervals_are_those_of_the_replicates():
    tables = scored()
    replicates = resampling.replicate(tables, count=200)
    numbers, text = reporting.published(tables, replicates)
    k = replicates.metrics.index("accuracy")
    drawn = replicates.values[:, 2, k] - replicates.values[:, 0, k]
    row = numbers[(numbers["model"] == "resnet50") & (numbers["metric"] == "delta_accuracy")].iloc[0]
    np.testing.assert_allclose([row["low"], row["high"]], np.percentile(drawn, [2.5, 97.5]))
    cells = text.set_index("model")
    assert cells.loc["resnet50", "delta_accuracy"] == f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    assert cells.loc["ensemble", ["mcnemar_p", "mcnemar_p_holm", "delta_accuracy"]].tolist() == ["–"] * 3
    p = numbers[(numbers["model"] == "resnet50") & (numbers["metric"] == "mcnemar_p")]["value"].iloc[0]
    assert cells.loc["resnet50", "mcnemar_p"] == ("<0.001" if p < 0.001 else f"{p:.3f}")


def test_one_model_alone_is_compared_with_nobody():
    tables = scored(("ensemble",))
    numbers, text = reporting.published(tables, resampling.replicate(tables, count=20))
    assert set(numbers["metric"]) == set(reporting.PUBLISHED)
    assert text["mcnemar_p"].tolist() == ["–"]


def test_an_absent_class_is_na_with_its_reason():
    tables = {name: each[each["y_true"] != "df"] for name, each in scored().items()}
    numbers, text = reporting.published(tables, resampling.replicate(tables, count=20))
    assert text["macro_auc"].tolist() == ["NA"] * 3
    assert set(numbers.loc[numbers["metric"] == "macro_auc", "note"]) == {"no image of df"}


def test_one_lesion_has_no_interval():
    tables = {name: each.assign(lesion_id="one") for name, each in scored().items()}
    numbers, text = reporting.published(tables, resampling.replicate(tables, count=20))
    assert numbers["value"].notna().all() and numbers["low"].isna().all()
    assert set(numbers.loc[numbers["metric"] == "delta_accuracy", "note"]) == {resampling.ALONE}
    assert text.loc[0, "delta_accuracy"].endswith("[NA]")


def test_the_same_calls_have_a_p_of_one():
    tables = scored(("ensemble",))
    tables = {"copy": tables["ensemble"].assign(model="copy"), **tables}
    numbers, text = reporting.published(tables, resampling.replicate(tables, count=20))
    assert text.loc[0, ["mcnemar_p", "delta_accuracy"]].tolist() == ["1.000", "0.000 [0.000, 0.000]"]


def test_a_missing_reference_is_refused():
    tables = scored(("resnet50",))
    with pytest.raises(ValueError, match="no model 'ensemble' among resnet50"):
        reporting.published(tables, resampling.replicate(tables, count=5))


def test_a_number_in_a_sentence():
    table = pd.DataFrame({"model": ["a", "a", "b"], "metric": ["f1", "auc", "f1"], "value": [0.5, np.nan, -0.25],
                          "low": [0.4, np.nan, np.nan], "high": [0.6, np.nan, np.nan]})  # fmt: skip
    assert reporting.spoken(table, model="a", metric="f1") == "0.500 [0.400, 0.600]"
    assert reporting.spoken(table, sign=True, model="a", metric="f1") == "+0.500 [+0.400, +0.600]"
    assert reporting.spoken(table, sign=True, model="b") == "-0.250 (no interval)"
    assert reporting.spoken(table, metric="auc") == "not available" == reporting.spoken(table, model="c")
    assert reporting.spoken(table) == "0.500 [0.400, 0.600]"
