"""How alike two maps are, by hand, by definition, and by SciPy one map at a time."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from lesionkit.explain import similarity
from lesionkit.explain.similarity import rank_correlation, ssim


def maps(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def test_rank_correlation_by_hand_with_ties():
    a = np.array([[[1, 2], [2, 9]]])  # ranks 1, 2.5, 2.5, 4
    b = np.array([[[4, 3], [2, 1]]])  # ranks 4, 3, 2, 1
    # less 2.5: (−1.5, 0, 0, 1.5) and (1.5, .5, −.5, −1.5); product −4.5, squares 4.5 and 5
    assert rank_correlation(a, b) == pytest.approx([-4.5 / np.sqrt(4.5 * 5)])


def test_rank_correlation_is_scipys_one_map_at_a_time():
    a, b = maps(4, 9, 12).round(1), maps(4, 9, 12, seed=1).round(1)
    b[0] = a[0] ** 3  # the same order
    b[1] = 1 - a[1]  # the opposite one
    by_scipy = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), by_scipy, atol=1e-6)
    np.testing.assert_allclose(rank_correlation(a, b)[:2], [1, -1], atol=1e-6)


def test_a_constant_map_is_in_no_order():
    a = maps(3, 8, 8)
    flat = np.stack([np.zeros((8, 8)), np.full((8, 8), 0.7), a[2]])
    np.testing.assert_allclose(rank_correlation(a, flat), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rank_correlation(flat, flat), [0, 0, 1], atol=1e-6)


def test_no_map_depends_on_the_others():
    a, b = maps(5, 16, 16), maps(5, 16, 16, seed=1)
    for compare in (rank_correlation, ssim):
        whole = compare(a, b)
        np.testing.assert_array_equal(whole[[3, 1]], compare(a[[3, 1]], b[[3, 1]]))
        assert compare(a[:0], b[:0]).shape == (0,)


def test_one_window_by_hand():
    a, b = maps(1, 11, 11), maps(1, 11, 11, seed=1)
    along = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    w = np.outer(along, along) / along.sum() ** 2
    x, y = a[0].astype(float), b[0].astype(float)
    mean_x, mean_y = (w * x).sum(), (w * y).sum()
    var_x, var_y = (w * (x - mean_x) ** 2).sum(), (w * (y - mean_y) ** 2).sum()
    covariance = (w * (x - mean_x) * (y - mean_y)).sum()
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    structure = (2 * covariance + 9e-4) / (var_x + var_y + 9e-4)
    assert ssim(a, b) == pytest.approx([luminance * structure], rel=1e-9)


def test_many_windows_are_the_mean_of_each():
    a, b = maps(2, 14, 12), maps(2, 14, 12, seed=1)
    each = [ssim(a[:, i : i + 11, j : j + 11], b[:, i : i + 11, j : j + 11]) for i in range(4) for j in range(2)]
    np.testing.assert_allclose(ssim(a, b), np.mean(each, axis=0), rtol=1e-9)


def test_equal_maps_are_alike_and_order_does_not_matter():
    a, b = maps(3, 20, 15), maps(3, 20, 15, seed=1)
    np.testing.assert_allclose(ssim(a, a), 1)
    np.testing.assert_allclose(ssim(a, b), ssim(b, a), rtol=1e-12)
    assert (ssim(a, b) < 0.5).all() and (ssim(a, 1 - a) < 0).all()
    assert (ssim(a, 0.9 * a + 0.05) > 0.9).all()


def test_constant_maps_differ_in_level_alone():
    values = np.array([[0, 0], [1, 1], [0, 1], [0.2, 0.6]])
    a, b = (np.broadcast_to(column[:, None, None], (4, 12, 12)) for column in values.T)
    expected = [1, 1, 1e-4 / (1 + 1e-4), (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)]
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-9)


def test_arguments_are_left_alone():
    a, b = maps(2, 12, 12), maps(2, 12, 12, seed=1)
    before = a.copy(), b.copy()
    rank_correlation(a, b), ssim(a, b), similarity.ranks(a)
    assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])


@pytest.mark.parametrize("compare", [rank_correlation, ssim])
def test_what_cannot_be_compared_is_refused(compare):
    with pytest.raises(ValueError, match="of one shape"):
        compare(maps(2, 12, 12), maps(2, 12, 13))
    with pytest.raises(ValueError, match="of one shape"):
        compare(maps(12, 12), maps(12, 12))
    with pytest.raises(ValueError, match="not finite"):
        compare(maps(1, 12, 12), np.full((1, 12, 12), np.nan))
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(maps(1, 10, 12), maps(1, 10, 12))


@pytest.mark.parametrize("lesions", ["aabcdef", "aabcde", "aaabbb"])  # an even stack has pairs half of it apart
def test_others_are_the_images_of_other_lesions(lesions):
    n, of = len(lesions), np.array(list(lesions))
    a, b = maps(n, 12, 12), maps(n, 12, 12, seed=1)
    found, unsigned = similarity.correlation_with_others(similarity.ranks(a), similarity.ranks(b), list(lesions))
    for i in range(n):
        others = np.flatnonzero(of != of[i])
        repeated = np.stack([a[i]] * len(others))
        expected = rank_correlation(repeated, b[others])
        assert found[i] == pytest.approx(expected.mean(), abs=1e-6)
        assert unsigned[i] == pytest.approx(np.abs(expected).mean(), abs=1e-6)
        assert similarity.ssim_with_others(a, of)[i] == pytest.approx(ssim(repeated, a[others]).mean(), rel=1e-9)


def test_one_lesion_has_no_others():
    a = maps(3, 12, 12)
    for lesions in ("aaa", "a"):
        some, of = a[: len(lesions)], list(lesions)
        assert np.isnan(similarity.ssim_with_others(some, of)).all()
        assert np.isnan(similarity.correlation_with_others(*[similarity.ranks(some)] * 2, of)).all()


def test_in_a_large_stack_some_pairs_stand_for_all(monkeypatch):
    a, lesions = maps(40, 11, 11), np.arange(40)
    every = np.array([ssim(np.stack([a[i]] * 39), a[lesions != i]).mean() for i in lesions])
    some = similarity.ssim_with_others(a, lesions)
    assert not np.allclose(some, every, atol=1e-6) and abs(some.mean() - every.mean()) < 0.02
    monkeypatch.setattr(similarity, "MOST_STEPS", 20)
    np.testing.assert_allclose(similarity.ssim_with_others(a, lesions), every, rtol=1e-9)
