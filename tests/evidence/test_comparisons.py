"""Comparisons of models: published examples, counting by brute force, and what is undefined."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk

from lesionkit.evidence import comparisons, predictions, resampling
from lesionkit.evidence.resampling import Replicates

from .tables import rows, table

# Albumin, total protein, K-G score and outcome of 43 patients (DeLong, DeLong and Clarke-Pearson, Biometrics 44:837,
# 1988), as in SAS/STAT 14.1 User's Guide, PROC LOGISTIC, Example 72.8, "Comparing Receiver Operating
# Characteristic Curves", whose results these are; the score counts as 10 − K-G there.
OVARIAN = """
3.0 5.8 10 0   3.2 6.3 5 1   3.9 6.8 3 1   2.8 4.8 6 0   3.2 5.8 3 1   0.9 4.0 5 0   2.5 5.7 8 0   1.6 5.6 5 1
3.8 5.7 5 1   3.7 6.7 6 1   3.2 5.4 4 1   3.8 6.6 6 1   4.1 6.6 5 1   3.6 5.7 5 1   4.3 7.0 4 1   3.6 6.7 4 0
2.3 4.4 6 1   4.2 7.6 4 0   4.0 6.6 6 0   3.5 5.8 6 1   3.8 6.8 7 1   3.0 4.7 8 0   4.5 7.4 5 1   3.7 7.4 5 1
3.1 6.6 6 1   4.1 8.2 6 1   4.3 7.0 5 1   4.3 6.5 4 1   3.2 5.1 5 1   2.6 4.7 6 1   3.3 6.8 6 0   1.7 4.0 7 0
3.7 6.1 5 1   3.3 6.3 7 1   4.2 7.7 6 1   3.5 6.2 5 1   2.9 5.7 9 0   2.1 4.8 7 1   2.8 6.2 8 0   4.0 7.0 7 1
3.3 5.7 6 1   3.7 6.9 5 1   3.6 6.6 5 1
"""
# NDKA of the 113 patients of aSAH (Turck et al., Intensive Care Med 36:107, 2010; in R's pROC) from the lowest to the
# highest: P a poor outcome, g a good one, in brackets where values are equal.
NDKA = "gPggPPPgggggggggPggggggPPggPg(gg)gP(Pg)ggggPggPggggggPPPgPggPgggggPg(Pg)ggPggPPgPPgg(Pg)PPgggPggggPPPPggPgggPPPPggPgPgPgP"


def ovarian() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    albumin, protein, score, outcome = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    return outcome == 1, {"albumin": albumin, "protein": protein, "score": 10 - score}


def random(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positives and two scores that share noise, with ties."""
    draw = np.random.default_rng(seed)
    positive, shared = np.arange(n) % 3 == 0, draw.normal(size=n)
    scores = [np.round(positive + shared + draw.normal(size=n), 1) for _ in range(2)]
    return positive, *scores


def variance_by_counting(positive: np.ndarray, a: np.ndarray, b: np.ndarray, clusters: np.ndarray) -> float:
    """Obuchowski 1997 as printed: loops over pairs and clusters, covariances of each pair of scores."""
    kernel = [[[(x > z) + 0.5 * (x == z) for z in s[~positive]] for x in s[positive]] for s in (a, b)]
    ups, downs = [np.mean(k, axis=1) for k in kernel], [np.mean(k, axis=0) for k in kernel]
    areas, m, n = [np.mean(k) for k in kernel], positive.sum(), (~positive).sum()
    names = np.unique(clusters)

    def covariance(i: int, j: int) -> float:
        x = [[(ups[s][clusters[positive] == c] - areas[s]).sum() for c in names] for s in (i, j)]
        y = [[(downs[s][clusters[~positive] == c] - areas[s]).sum() for c in names] for s in (i, j)]
        i10, i01, i11 = len(np.unique(clusters[positive])), len(np.unique(clusters[~positive])), len(names)
        s10 = i10 / ((i10 - 1) * m) * np.dot(x[0], x[1])
        s01 = i01 / ((i01 - 1) * n) * np.dot(y[0], y[1])
        s11 = i11 / (i11 - 1) * (np.dot(x[0], y[1]) + np.dot(x[1], y[0]))
        return s10 / m + s01 / n + s11 / (m * n)

    return covariance(0, 0) + covariance(1, 1) - 2 * covariance(0, 1)


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


@pytest.mark.parametrize(
    ("a", "b", "difference", "error", "low", "high", "chi_square", "p"),
    [
        ("albumin", "score", 0.0108, 0.0953, -0.1761, 0.1976, 0.0127, 0.9102),
        ("protein", "score", -0.0780, 0.1046, -0.2830, 0.1271, 0.5554, 0.4561),
    ],
)
def test_delong_equals_sas_on_the_data_of_delong(a, b, difference, error, low, high, chi_square, p):
    positive, scores = ovarian()
    result = comparisons.delong(positive, scores[a], scores[b])
    found = (result.difference, result.standard_error, result.low, result.high, result.z**2, result.p)
    assert found == pytest.approx((difference, error, low, high, chi_square, p), abs=6e-5)
    assert result.auc_b == pytest.approx(0.7258, abs=6e-5) and result.note == ""


def test_delong_equals_proc():
    """ci.auc of NDKA in pROC's own tests (tests/testthat/test-ci.auc.R); a constant score has AUC 0.5, no variance."""
    groups = NDKA.replace("(", " ( ").replace(")", " ) ").split()
    ties = [
        group if before == "(" else list(group) for before, group in zip(["", *groups], groups) if group not in "()"
    ]
    values = [equal for group in ties for equal in ([group] if isinstance(group, str) else group)]
    positive = np.array([letter == "P" for equal in values for letter in equal])
    score = np.array([at for at, equal in enumerate(values) for _ in equal])
    assert (positive.sum(), (~positive).sum()) == (41, 72)
    result = comparisons.delong(positive, score, np.zeros(113))
    expected = [0.501244999271703, 0.611957994579946, 0.722670989888189]
    np.testing.assert_allclose([result.low + 0.5, result.auc_a, result.high + 0.5], expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_delong_equals_counting_pair_by_pair(seed):
    positive, a, b = random(seed=seed)
    result = comparisons.delong(positive, a, b)
    assert result.auc_a == pytest.approx(sk.roc_auc_score(positive, a))
    assert result.auc_b == pytest.approx(sk.roc_auc_score(positive, b))
    assert result.standard_error**2 == pytest.approx(variance_by_counting(positive, a, b, np.arange(60)))
    assert result.p == pytest.approx(2 * stats.norm.sf(abs(result.difference) / result.standard_error))


@pytest.mark.parametrize("seed", range(4))
def test_clustered_delong_equals_counting_pair_by_pair(seed):
    positive, a, b = random(seed=seed)
    clusters = np.random.default_rng(seed).integers(25, size=60)  # some hold positives and negatives
    result = comparisons.delong(positive, a, b, clusters)
    assert result.standard_error**2 == pytest.approx(variance_by_counting(positive, a, b, clusters))
    named = comparisons.delong(positive, a, b, [f"HAM_{c}" for c in clusters])
    assert named == result


def test_each_image_its_own_cluster_is_delong_and_repeats_widen_it():
    positive, a, b = random()
    plain = comparisons.delong(positive, a, b)
    assert comparisons.delong(positive, a, b, np.arange(60)) == plain
    twice = [np.tile(x, 2) for x in (positive, a, b, np.arange(60))]
    assert comparisons.delong(*twice).standard_error == pytest.approx(plain.standard_error, rel=1e-9)
    assert comparisons.delong(*twice[:3]).standard_error < 0.75 * plain.standard_error


def test_swapping_the_scores_turns_the_sign():
    positive, a, b = random()
    one, other = comparisons.delong(positive, a, b), comparisons.delong(positive, b, a)
    assert (one.difference, one.z, one.low) == pytest.approx((-other.difference, -other.z, -other.high))
    assert one.p == pytest.approx(other.p)


@pytest.mark.parametrize(
    ("positive", "a", "b", "clusters", "note"),
    [
        ([0, 0], [1, 2], [2, 1], None, "no positive image"),
        ([1, 1], [1, 2], [2, 1], None, "no negative image"),
        ([1, 0, 0], [1, 2, 3], [2, 1, 3], None, "fewer than two clusters of a class"),
        ([1, 1, 0, 0], [1, 2, 3, 4], [2, 1, 4, 3], list("aaaa"), "fewer than two clusters of a class"),
        ([1, 1, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8], None, "the difference cannot vary"),
        ([1, 1, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], None, "the difference cannot vary"),
    ],
)
def test_delong_undefined(positive, a, b, clusters, note):
    result = comparisons.delong(np.array(positive, bool), np.array(a), np.array(b), clusters)
    assert result.note == note and np.isnan([result.p, result.z, result.low, result.high]).all()


def test_delong_refuses_what_it_cannot_rank():
    positive, a, b = random()
    with pytest.raises(ValueError, match="must be"):
        comparisons.delong(positive, a[1:], b)
    with pytest.raises(ValueError, match="NaN or infinite"):
        comparisons.delong(positive, np.where(a > 0, np.nan, a), b)


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


def test_inputs_stay_as_they_are():
    positive, a, b = random()
    before = positive.copy(), a.copy(), b.copy()
    comparisons.delong(positive, a, b, np.arange(60) // 2)
    for one, other in zip(before, (positive, a, b), strict=True):
        np.testing.assert_array_equal(one, other)
    p = pd.Series([0.1, np.nan])
    comparisons.holm(p)
    assert p[0] == 0.1
