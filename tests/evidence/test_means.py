"""Means with intervals by lesion: values by hand, what is undefined, and what the interval may not depend on."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.evidence import resampling
from lesionkit.evidence.means import NOTHING, crossed, means, paired, ratio


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"cluster": list("aabbc"), "x": [1.0, 2, 3, 4, 5], "y": [2.0, 1, 1, 1, 5], **columns})


def drawn(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Two images a lesion, of two models."""
    x = np.random.default_rng(seed).normal(size=(2, n))
    columns = {"model": "m0", "x": x[0], "y": 2 + x[1] / 9, "cluster": [f"HAM_{i // 2}" for i in range(n)]}
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(columns).assign(model="m1", x=x[0] + 1)], ignore_index=True)


def test_columns_and_values_by_hand():
    result = means(table(), ["x", "y"])
    assert result.columns.tolist() == ["n", "metric", "value", "low", "high", "note"]
    assert result["metric"].tolist() == ["x", "y"] and result["value"].tolist() == [3, 2]
    assert result["n"].tolist() == [5, 5] and result["note"].tolist() == ["", ""]


def test_the_interval_is_of_lesions_drawn_by_hand():
    w = resampling.draws(list("aabbc"), 400, 3).astype(float)
    low, high = np.quantile(np.array([1, 2, 3, 4, 5]) @ w / w.sum(axis=0), [0.025, 0.975])
    row = means(table(), ["x"], count=400, seed=3).iloc[0]
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high)) and low < 3 < high


def test_two_lesions_of_one_image_give_what_can_be_drawn():
    row = means(table().iloc[[0, 4]], ["x"]).iloc[0]  # 1 and 5: a quarter of the resamples are all 1, a quarter all 5
    assert (row["value"], row["low"], row["high"]) == (3, 1, 5)


def test_rows_without_a_value_are_left_out_of_their_metric_alone():
    holes = table(x=[1, np.nan, 3, np.nan, np.nan])
    x, y = means(holes, ["x", "y"]).to_dict("records")
    assert (x["n"], x["value"], y["n"], y["value"]) == (2, 2, 5, 2)
    without = means(holes.dropna(), ["x"]).iloc[0]
    assert (x["low"], x["high"], x["note"]) == (without["low"], without["high"], "")


def test_an_infinite_value_is_undefined_and_noted():
    row = means(table(x=[1, np.inf, 3, -np.inf, 5]), ["x"]).iloc[0]
    assert row["n"] == 3 and row["value"] == 3 and row["note"] == "2 infinite values left out"
    assert means(table(x=[1, np.inf, 3, 4, 5]), ["x"]).loc[0, "note"] == "1 infinite value left out"


def test_nothing_defined_is_said():
    row = means(table(x=[np.nan, np.inf] + [np.nan] * 3), ["x"]).iloc[0]
    assert row["n"] == 0 and np.isnan([row["value"], row["low"], row["high"]]).all()
    assert row["note"] == f"{NOTHING}; 1 infinite value left out"
    assert means(table().iloc[:0], ["x"]).loc[0, "note"] == NOTHING and means(table().iloc[:0], ["x"], ["y"]).empty


def test_one_lesion_has_a_value_and_no_interval():
    row = means(table().iloc[:2], ["x"]).iloc[0]
    assert row["value"] == 1.5 and np.isnan([row["low"], row["high"]]).all() and row["note"] == resampling.ALONE
    holes = table(x=[1, 2, np.nan, np.nan, np.nan])  # as many lesions as have a value
    assert means(holes, ["x"]).loc[0, "note"] == resampling.ALONE


def test_groups_are_in_order_of_appearance_and_each_is_as_if_alone():
    scores = drawn().assign(part=["late", "early", None] * 40)
    result = means(scores, ["x", "y"], ["model", "part"], count=100)
    assert result.columns.tolist()[:4] == ["model", "part", "n", "metric"]
    assert result["model"].tolist() == ["m0"] * 6 + ["m1"] * 6
    assert result["part"].iloc[::2].fillna("-").tolist() == ["late", "early", "-"] * 2
    for key, rows in scores.groupby(["model", "part"], dropna=False):
        alone = means(rows, ["x", "y"], count=100)
        same = (result["model"] == key[0]) & (result["part"].isna() if pd.isna(key[1]) else result["part"] == key[1])
        pd.testing.assert_frame_equal(result[same].reset_index(drop=True)[alone.columns], alone)


def test_models_of_the_same_lesions_share_the_resamples():
    a, b = means(drawn(), ["x"], ["model"]).to_dict("records")
    assert b["low"] - a["low"] == pytest.approx(1) and b["high"] - a["high"] == pytest.approx(1)


def test_neither_the_order_of_rows_nor_a_second_call_changes_anything():
    scores = drawn()
    kept = scores.copy()
    first = means(scores, ["x", "y"], ["model"])
    pd.testing.assert_frame_equal(first, means(scores, ["x", "y"], ["model"]))
    shuffled = means(scores.sample(frac=1, random_state=0), ["x", "y"], ["model"]).sort_values(["model", "metric"])
    pd.testing.assert_frame_equal(first, shuffled.reset_index(drop=True), rtol=1e-9)
    pd.testing.assert_frame_equal(scores, kept)
    assert means(scores, ["x"], seed=1).loc[0, "low"] != means(scores, ["x"]).loc[0, "low"]


def test_images_that_repeat_a_lesion_do_not_narrow_the_interval():
    one = drawn().query("model == 'm0'")
    four = pd.concat([one] * 4)
    apart = four.assign(cluster=range(len(four)))
    of_one, of_four, of_apart = (means(scores, ["x"]).loc[0, ["low", "high"]].tolist() for scores in (one, four, apart))
    assert of_four == pytest.approx(of_one) and np.ptp(of_apart) < 0.8 * np.ptp(of_four)


def test_another_column_may_hold_the_lesions():
    scores = drawn().rename(columns={"cluster": "group_id"})
    pd.testing.assert_frame_equal(means(scores, ["x"], cluster="group_id"), means(drawn(), ["x"]))


def test_booleans_are_shares():
    assert means(table(hit=[True, False, True, True, False]), ["hit"]).loc[0, "value"] == 0.6


def test_paired_is_the_mean_of_differences_on_the_rows_that_have_both():
    scores = table(x=[1, 2, np.nan, 4, 5], y=[2, np.nan, 1, 1, 5])
    row = paired(scores, "x", "y").iloc[0]
    assert row["metric"] == "x - y" and row["n"] == 3 and row["value"] == pytest.approx((-1 + 3 + 0) / 3)
    difference = means(scores.assign(z=scores["x"] - scores["y"]), ["z"]).iloc[0]
    assert row[["low", "high"]].tolist() == difference[["low", "high"]].tolist()


def test_paired_takes_out_what_lesions_share():
    scores = drawn().assign(z=lambda t: t["x"] + 0.5)
    row = paired(scores, "z", "x", ["model"]).iloc[0]
    assert row["model"] == "m0" and (row["value"], row["low"], row["high"]) == pytest.approx((0.5,) * 3)


def test_infinite_on_both_sides_is_counted():
    row = paired(table(x=[np.inf, 2, 3, 4, 5], y=[np.inf, 1, 1, 1, np.inf]), "x", "y").iloc[0]
    assert row["n"] == 3 and row["value"] == 2 and row["note"] == "2 infinite values left out"


def test_ratio_pools_before_it_divides():
    row = ratio(table(), "x", "y").iloc[0]
    assert row["metric"] == "x / y" and row["n"] == 5 and row["value"] == pytest.approx(15 / 10)
    w = resampling.draws(list("aabbc"), 2000).astype(float)
    drawn = (np.array([1, 2, 3, 4, 5]) @ w) / (np.array([2, 1, 1, 1, 5]) @ w)
    assert row[["low", "high"]].tolist() == pytest.approx(np.quantile(drawn, [0.025, 0.975]).tolist())
    zeros = ratio(table(y=[0, 0, 1, 1, 2]), "x", "y").iloc[0]  # rows of 0 do no harm; a resample of lesion a alone does
    assert zeros["value"] == pytest.approx(15 / 4) and np.isnan(zeros["low"])
    assert zeros["note"].startswith("undefined in ")


def test_ratio_leaves_out_rows_that_lack_one_and_is_undefined_over_0():
    assert ratio(table(y=[np.nan, 1, 1, 1, 5]), "x", "y").loc[0, "value"] == pytest.approx(14 / 8)
    row = ratio(table(y=[0.0] * 5), "x", "y").iloc[0]
    assert np.isnan(row["value"]) and row["note"] == "divided by 0"


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="no column 'z' in the scores: they have cluster, x, y"):
        means(table(), ["z"])
    with pytest.raises(ValueError, match="no column 'model'"):
        paired(table(), "x", "y", ["model"])
    with pytest.raises(ValueError, match="1 of 5 rows have no cluster"):
        ratio(table(cluster=["a", None, "b", "b", "c"]), "x", "y")


def test_crossed_means_take_in_lesions_and_repeats():
    scores, clusters = np.random.default_rng(0).normal(size=(6, 3)), list("aabbcd")
    row = crossed(scores, clusters, count=300, seed=4)
    lesions, repeats = resampling.draws(clusters, 300, 4), resampling.draws(range(3), 300, 5)
    values = [np.average(np.average(scores, axis=0, weights=w), weights=v) for w, v in zip(lesions.T, repeats.T)]
    assert row["n"] == 6 and row["value"] == pytest.approx(scores.mean()) and row["note"] == ""
    assert [row["low"], row["high"]] == pytest.approx(list(np.quantile(values, [0.025, 0.975])))
    alone = crossed(scores, ["a"] * 6, count=20)
    assert np.isnan(alone["low"]) and alone["note"] == resampling.ALONE and alone["value"] == pytest.approx(scores.mean())
