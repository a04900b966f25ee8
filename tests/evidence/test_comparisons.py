"""Comparisons of models: published examples, counting by brute force, and what is undefined."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from lesionkit.evidence import comparisons, predictions, resampling
from lesionkit.evidence.resampling import Replicates

from .tables import rows, table


def models(n: int = 140, names: tuple[str, ...] = ("ensemble", "resnet50", "densenet121"), **described) -> dict:
    images = rows(n).assign(**described)
    return {name: table(name, images, seed=at, strength=2.5 - at) for at, name in enumerate(names)}


def replicates(values: dict[str, list[float]], points: dict[str, float], **fields) -> Replicates:
    """One metric, accuracy, of the models of `values` in the resamples given."""
    names = tuple(values)
    array = np.array([values[name] for name in names]).T[:, :, None]
    point = np.array([[points[name]] for name in names])
    reasons = np.where(np.isnan(point), "no image of df", "")
    return Replicates(names, ("accuracy",), point, array, reasons, **fields)


def test_mcnemar_of_fagerland():
    """Airway hyper-responsiveness before and after transplantation, b = 1 and c = 7 (Fagerland et al. 2013, table 1).

    2 · P(X ≤ 1) of 8 trials is 18/256 and P(X = 1) is 8/256: the article's 0.0703 and 0.0391.
    """
    y = np.zeros(21, int)
    result = comparisons.mcnemar(y, np.repeat([0, 0, 1, 1], [1, 1, 7, 12]), np.repeat([0, 1, 0, 1], [1, 1, 7, 12]))
    assert (result.b, result.c) == (1, 7)
    assert (result.p, result.p_mid) == pytest.approx((18 / 256, 10 / 256))


@pytest.mark.parametrize(("b", "c"), [(0, 5), (3, 3), (10, 4), (200, 150)])
def test_mcnemar_equals_the_binomial_test(b, c):
    right_a = np.repeat([1, 0, 1, 0], [b, c, 30, 20])
    right_b = np.repeat([0, 1, 1, 0], [b, c, 30, 20])
    result = comparisons.mcnemar(np.ones(b + c + 50, int), right_a, right_b)
    assert (result.b, result.c) == (b, c)
    assert result.p == pytest.approx(stats.binomtest(b, b + c).pvalue)
    tail = stats.binom.cdf(min(b, c) - 1, b + c, 0.5) + stats.binom.pmf(b, b + c, 0.5) / 2
    assert result.p_mid == pytest.approx(2 * tail if b != c else 1 - stats.binom.pmf(b, b + c, 0.5) / 2)


def test_mcnemar_of_equal_calls_is_one():
    assert comparisons.mcnemar(np.arange(3), np.arange(3), np.arange(3)) == (0, 0, 1, 1)
    with pytest.raises(ValueError, match="expected"):
        comparisons.mcnemar(np.arange(3), np.arange(3), np.arange(2))


def test_holm_by_hand_and_past_nan():
    np.testing.assert_allclose(comparisons.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    corrected = comparisons.holm([0.01, np.nan, 0.04, 0.03])
    np.testing.assert_allclose(corrected, [0.03, np.nan, 0.06, 0.06])
    assert np.isnan(comparisons.holm([np.nan])).all() and len(comparisons.holm([])) == 0


def test_differences_by_hand():
    """19 resamples: the difference is 0.1, but −0.1 in two."""
    r = replicates({"a": [0.6] * 19, "b": [0.5] * 17 + [0.7] * 2}, {"a": 0.6, "b": 0.5})
    row = comparisons.differences(r, [("a", "b")], ["accuracy"]).iloc[0]
    assert (row["a"], row["b"], row["metric"], row["note"]) == ("a", "b", "accuracy", "")
    assert row["difference"] == pytest.approx(0.1)
    assert row["p"] == pytest.approx(2 * 3 / 20)
    assert (row["low"], row["high"]) == pytest.approx((-0.1, 0.1))


def test_p_is_never_zero_nor_above_one():
    r = replicates({"a": [1.0] * 99, "b": [0.0] * 99, "c": [1.0] * 99}, {"a": 1.0, "b": 0.0, "c": 1.0})
    table = comparisons.differences(r, [("a", "b"), ("a", "c")], ["accuracy"])
    assert table["p"].tolist() == [2 / 100, 1]


def test_differences_undefined_say_why():
    nan = float("nan")
    r = replicates({"a": [nan] * 50, "b": [0.5] * 50}, {"a": nan, "b": 0.5})
    row = comparisons.differences(r, [("b", "a")], ["accuracy"]).iloc[0]
    assert row["note"] == "a: no image of df" and np.isnan([row["difference"], row["low"], row["p"]]).all()
    r = replicates({"a": [nan] * 9 + [0.4] * 41, "b": [0.5] * 50}, {"a": 0.4, "b": 0.5})
    row = comparisons.differences(r, [("b", "a")], ["accuracy"]).iloc[0]
    assert row["note"] == "undefined in 9 of 50 resamples" and np.isnan(row["p"]) and not np.isnan(row["difference"])
    alone = replicates({"a": [0.4] * 50, "b": [0.5] * 50}, {"a": 0.4, "b": 0.5}, alone=resampling.ALONE)
    row = comparisons.differences(alone, [("b", "a")], ["accuracy"]).iloc[0]
    assert row["note"] == resampling.ALONE and np.isnan([row["low"], row["p"]]).all()


def test_paired_differences_are_narrower_than_unpaired_ones():
    tables = models(280)
    r = resampling.replicate(tables, count=300)
    paired = comparisons.differences(r, [("ensemble", "ensemble"), ("ensemble", "resnet50")], ["accuracy"])
    assert paired.loc[0, ["low", "high", "p"]].tolist() == [0, 0, 1]
    assert paired.loc[1, "low"] < paired.loc[1, "difference"] < paired.loc[1, "high"]


def test_against_holds_every_test_of_every_model():
    tables = models()
    r = resampling.replicate(tables, count=200)
    result = comparisons.against(tables, r)
    columns = ["model", "reference", "test", "estimate", "low", "high", "p", "p_holm", "note"]
    assert result.columns.tolist() == columns and len(result) == 2 * 7
    assert set(result["reference"]) == {"ensemble"}
    assert result["test"].drop_duplicates().tolist() == list(comparisons.TESTS)
    for _, family in result.groupby("test"):
        np.testing.assert_allclose(family["p_holm"], comparisons.holm(family["p"]))
    rows_ = result[result["model"] == "resnet50"].set_index("test")
    y = predictions.targets(tables["ensemble"])
    a, b = (predictions.probabilities(tables[name]) for name in ("ensemble", "resnet50"))
    accuracy = [(p.argmax(axis=1) == y).mean() for p in (a, b)]
    assert rows_.loc["mcnemar_exact", "estimate"] == pytest.approx(accuracy[0] - accuracy[1])
    assert "images of a lesion count as independent" in rows_.loc["mcnemar_exact", "note"]
    areas = comparisons.delong(y == 4, a[:, 4], b[:, 4], tables["ensemble"]["lesion_id"])
    found = rows_.loc["delong_melanoma_auc", ["estimate", "low", "high", "p"]]
    assert found.tolist() == pytest.approx([areas.difference, areas.low, areas.high, areas.p])
    assert rows_.loc["macro_f1", "estimate"] == pytest.approx(
        r.of("ensemble", "macro_f1")[0] - r.of("resnet50", "macro_f1")[0]
    )


def test_against_without_melanoma_or_without_others():
    images = rows(60).assign(y_true="nv")
    tables = {name: table(name, images, seed=at) for at, name in enumerate(("ensemble", "resnet50"))}
    result = comparisons.against(tables, resampling.replicate(tables, count=50)).set_index("test")
    assert result.loc["delong_melanoma_auc", "note"] == "no positive image"
    assert "no image of mel" in result.loc["melanoma_sensitivity", "note"]
    assert result.loc[["balanced_accuracy", "delong_melanoma_auc"], ["p", "p_holm"]].isna().all(axis=None)
    one = {"ensemble": tables["ensemble"]}
    empty = comparisons.against(one, resampling.replicate(one, count=50))
    assert empty.empty and "p_holm" in empty
    with pytest.raises(ValueError, match="reference 'vit'"):
        comparisons.against(tables, resampling.replicate(tables, count=50), reference="vit")


def test_every_pair_once_and_corrected_over_all():
    tables = models()
    r = resampling.replicate(tables, count=400)
    result = comparisons.every_pair(r)
    assert list(zip(result["a"], result["b"])) == list(combinations(tables, 2))
    np.testing.assert_allclose(result["p_holm"], comparisons.holm(result["p"]))
    assert set(result["metric"]) == {"balanced_accuracy"} and set(result["note"]) == {""}
    few = resampling.replicate(tables, count=50)
    assert comparisons.every_pair(few)["note"].tolist() == ["50 resamples are too few to reject among 3 pairs"] * 3
    alone = resampling.replicate({"ensemble": tables["ensemble"]}, count=10)
    assert comparisons.every_pair(alone).empty


def test_drops_are_of_independent_resamples():
    draw = np.random.default_rng(0)
    noise = draw.normal(0, 0.01, size=2000)
    inside = replicates({"a": list(0.8 + noise)}, {"a": 0.8})
    outside = replicates({"a": list(0.5 + noise)}, {"a": 0.5})
    row = comparisons.drops(inside, outside, ["accuracy"]).iloc[0]
    assert (row["internal"], row["external"], row["drop"]) == pytest.approx((0.8, 0.5, 0.3))
    half = 1.96 * 0.01 * np.sqrt(2)  # were the same resamples paired, it would be 0
    assert (row["low"], row["high"]) == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


def test_drops_name_the_side_that_is_undefined():
    nan = float("nan")
    inside = replicates({"a": [0.8] * 10, "b": [0.7] * 10}, {"a": 0.8, "b": 0.7})
    outside = replicates({"b": [0.3] * 10, "a": [nan] * 10}, {"b": 0.3, "a": nan})
    result = comparisons.drops(inside, outside, ["accuracy"])
    assert result.columns.tolist() == ["model", "metric", "internal", "external", "drop", "low", "high", "note"]
    assert result["note"].tolist() == ["external: no image of df", ""]
    assert np.isnan(result.loc[0, ["external", "drop", "low"]].astype(float)).all()
    assert result.loc[1, "drop"] == pytest.approx(0.4)
    with pytest.raises(ValueError, match="the same models and as many resamples"):
        comparisons.drops(inside, replicates({"a": [0.5] * 10}, {"a": 0.5}), ["accuracy"])
