"""DeLong's test, clustered and not: published examples, counting by brute force, and what is undefined."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk

from lesionkit.evidence import comparisons

from .published import NDKA, ovarian


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


def test_inputs_stay_as_they_are():
    positive, a, b = random()
    before = positive.copy(), a.copy(), b.copy()
    comparisons.delong(positive, a, b, np.arange(60) // 2)
    for one, other in zip(before, (positive, a, b), strict=True):
        np.testing.assert_array_equal(one, other)
    p = pd.Series([0.1, np.nan])
    comparisons.holm(p)
    assert p[0] == 0.1
