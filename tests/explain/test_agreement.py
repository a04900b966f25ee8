"""Agreement of maps by hand, and whether it tells right calls from wrong ones, against the plain count of pairs."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from lesionkit.evidence import resampling
from lesionkit.explain.agreement import matrix, pairwise, per_image, predicts_correctness
from lesionkit.explain.similarity import rank_correlation

A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[4.0, 3.0], [2.0, 1.0]])


def three():
    """Of two images: a and b agree, then are opposed; c is constant, then as a."""
    return {"a": np.stack([A, A]), "b": np.stack([A, B]), "c": np.stack([0 * A, A])}


def test_each_pair_and_image_has_a_row():
    pairs = pairwise(three())
    assert list(pairs) == ["model_a", "model_b", "image", "rank_correlation", "other_rank_correlation"]
    assert list(zip(pairs["model_a"], pairs["model_b"])) == [("a", "b")] * 2 + [("a", "c")] * 2 + [("b", "c")] * 2
    assert pairs["image"].tolist() == [0, 1] * 3
    np.testing.assert_allclose(pairs["rank_correlation"], [1, -1, 0, 1, 0, -1], atol=1e-6)


def test_pairs_are_rank_correlations_of_random_maps():
    rng = np.random.default_rng(0)
    maps = {name: rng.random((5, 6, 7)).round(1) for name in "abcd"}
    pairs = pairwise(maps).set_index(["model_a", "model_b"])
    for a, b in combinations(maps, 2):
        expected = rank_correlation(maps[a], maps[b])
        np.testing.assert_allclose(pairs.loc[(a, b), "rank_correlation"].to_numpy(), expected, atol=1e-6)


def test_other_images_show_what_models_agree_on_by_the_frame_alone():
    pairs = pairwise(three())
    # ab, image 0: a0 is opposed to b1, b0 is like a1; bc, image 0: b0 is like c1, c0 like none
    np.testing.assert_allclose(pairs["other_rank_correlation"], [0, 0, 0.5, 0.5, 0.5, 0.5], atol=1e-6)
    rng = np.random.default_rng(1)
    maps, lesions = {name: rng.random((5, 6, 7)) for name in "ab"}, list("xxyyz")
    found = pairwise(maps, lesions)["other_rank_correlation"]
    for i, lesion in enumerate(lesions):
        others = [j for j in range(5) if lesions[j] != lesion]
        both = [rank_correlation(np.stack([maps[p][i]] * len(others)), maps[q][others]).mean() for p, q in ("ab", "ba")]
        assert found[i] == pytest.approx(np.mean(both), abs=1e-6)
    assert pairwise(maps, ["x"] * 5)["other_rank_correlation"].isna().all()


def test_the_matrix_holds_means_both_ways_in_the_models_order():
    square = matrix(pairwise({"z": three()["a"], "b": three()["b"], "c": three()["c"]}))
    assert list(square) == list(square.index) == ["z", "b", "c"]
    np.testing.assert_allclose(square, [[1, 0, 0.5], [0, 1, -0.5], [0.5, -0.5, 1]], atol=1e-6)
    others = matrix(pairwise(three()), "other_rank_correlation")
    np.testing.assert_allclose(others, [[np.nan, 0, 0.5], [0, np.nan, 0.5], [0.5, 0.5, np.nan]], atol=1e-6)
    assert matrix(pairwise({"a": three()["a"]})).empty


def test_the_ensemble_has_no_say_in_how_far_members_agree():
    maps = three()
    expected = [(1 + 0 + 0) / 3, (-1 + 1 - 1) / 3]
    np.testing.assert_allclose(per_image(pairwise(maps)), expected, atol=1e-6)
    np.testing.assert_allclose(per_image(pairwise(maps | {"ensemble": maps["a"]})), expected, atol=1e-6)
    for alone in ({"a": maps["a"]}, {"a": maps["a"], "ensemble": maps["a"]}):
        with pytest.raises(ValueError, match="the maps of two"):
            per_image(pairwise(alone))


def test_maps_that_do_not_compare_are_refused():
    with pytest.raises(ValueError, match="of one shape"):
        pairwise({"a": np.zeros((2, 4, 4)), "b": np.zeros((2, 4, 5))})
    with pytest.raises(ValueError, match="maps of b hold"):
        pairwise({"a": np.zeros((1, 4, 4)), "b": np.full((1, 4, 4), np.nan)})


def auc(score, right):
    pairs = [(x, y) for x in score[right] for y in score[~right]]
    return np.mean([1.0 if x > y else 0.5 if x == y else 0.0 for x, y in pairs])


def study(n=60, seed=0):
    rng = np.random.default_rng(seed)
    right = rng.random(n) < 0.7
    agreement = (rng.normal(size=n) + right).round(1)  # with ties
    confidence = (rng.random(n) / 2 + 0.3 * right + 0.2).round(2)
    return agreement, confidence, right, np.arange(n) // 2


def test_auc_is_the_share_of_pairs_won():
    agreement, confidence, right, clusters = study()
    table = predicts_correctness(agreement, confidence, right, clusters, count=200).set_index("score")
    both = rankdata(agreement) + rankdata(confidence)
    values = {"agreement": auc(agreement, right), "confidence": auc(confidence, right), "both": auc(both, right)}
    values |= {f"{name} - confidence": values[name] - values["confidence"] for name in ("agreement", "both")}
    assert table["value"].to_dict() == pytest.approx(values)
    assert set(table["n"]) == {60} and set(table["right"]) == {right.sum()}
    assert ((table["low"] < table["value"]) & (table["value"] < table["high"])).all()


def test_intervals_are_those_of_repeated_lesions():
    agreement, confidence, right, clusters = study(seed=1)
    table = predicts_correctness(agreement, confidence, right, clusters, count=100, seed=3).set_index("score")
    drawn = [np.repeat(np.arange(60), column) for column in resampling.draws(clusters, 100, 3).T]
    gain = [auc(agreement[at], right[at]) - auc(confidence[at], right[at]) for at in drawn]
    bounds = table.loc["agreement - confidence", ["low", "high"]].tolist()
    assert bounds == pytest.approx(np.quantile(gain, [0.025, 0.975]))


def test_a_perfect_and_an_opposed_score():
    right = np.array([True, True, False, False, True, False])
    table = predicts_correctness(right * 2.0, -1.0 * right, right, range(6), count=50).set_index("score")
    assert table["value"].tolist() == pytest.approx([1, 0, 0.5, 1, 0.5])


@pytest.mark.parametrize("right, said", [(True, "every call is right"), (False, "every call is wrong")])
def test_without_both_kinds_of_calls_there_is_no_value_but_a_reason(right, said):
    table = predicts_correctness([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [right] * 3, range(3), count=20)
    assert table[["value", "low", "high"]].isna().all(axis=None) and table["note"].str.contains(said).all()
    assert set(table["right"]) == {3 * right}


def test_one_lesion_has_a_value_without_an_interval():
    table = predicts_correctness([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [False, True, True], list("aaa"), count=20)
    assert table["value"].notna().all() and table[["low", "high"]].isna().all(axis=None)
    assert set(table["note"]) == {resampling.ALONE}


@pytest.mark.parametrize("change, message", [
    ({"confidence": [0.5]}, r"give \(n,\) each"), ({"agreement": [0.1, np.nan]}, "agreement hold values"),
    ({"clusters": ["a", None]}, "1 without a cluster"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(change, message):
    arguments = {"agreement": [0.1, 0.2], "confidence": [0.5, 0.6], "correct": [True, False], "clusters": ["a", "b"]}
    with pytest.raises(ValueError, match=message):
        predicts_correctness(**arguments | change, count=5)


def test_tables_are_left_alone():
    pairs = pairwise(three() | {"ensemble": three()["a"]})
    before = pairs.copy()
    matrix(pairs), per_image(pairs)
    pd.testing.assert_frame_equal(pairs, before)
