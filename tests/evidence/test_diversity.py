"""What members add, how their errors go together and what they cost: by hand and by the plain loop."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.evidence import diversity, ensembles, metrics, predictions, resampling
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table

TRUTH = list(CLASSES) + ["nv", "nv", "mel"]


def members(*names: str, n: int = 210) -> pd.DataFrame:
    return pd.concat([table(name, rows(n), seed=i) for i, name in enumerate(names)], ignore_index=True)


def calling(model: str, calls: list[str], truth: list[str] = TRUTH) -> pd.DataFrame:
    described = rows(len(calls)).assign(y_true=truth)
    return predictions.build(described, np.eye(7)[[CLASSES.index(name) for name in calls]], model)


def scores(table: pd.DataFrame, images: np.ndarray = slice(None)) -> dict[str, float]:
    return metrics.overall(predictions.targets(table)[images], predictions.probabilities(table)[images])


def test_contribution_is_the_ensemble_with_it_minus_without_it():
    table = members("a", "b", "c")
    result = diversity.leave_one_out(table, count=20).set_index(["model", "metric"])
    assert list(result) == ["with_it", "without_it", "contribution", "low", "high", "note"] and len(result) == 3 * 4
    whole, without_b = ensembles.mean(table), ensembles.mean(table[table["model"] != "b"])
    w = resampling.draws(predictions.clusters(whole), 20)
    drawn = [np.repeat(np.arange(210), column) for column in w.T]
    loop = [(scores(whole, images), scores(without_b, images)) for images in drawn]
    for metric in diversity.CONTRIBUTED:
        row = result.loc[("b", metric)]
        assert row["with_it"] == pytest.approx(scores(whole)[metric])
        assert row["without_it"] == pytest.approx(scores(without_b)[metric])
        assert row["contribution"] == pytest.approx(row["with_it"] - row["without_it"])
        paired = [one[metric] - other[metric] for one, other in loop]
        np.testing.assert_allclose([row["low"], row["high"]], np.quantile(paired, [0.025, 0.975]), atol=1e-9)


def test_a_weighted_ensemble_is_fitted_anew_without_a_member():
    table = pd.concat([members("a", "b", "c"), members("a", "b", "c").assign(split="val", image_id=lambda t: "v" + t["image_id"])])
    found = diversity.leave_one_out(table, "test", "weighted", count=20).set_index(["model", "metric"])["without_it"]
    rest = table[table["model"] != "a"]
    again = ensembles.weighted(rest).table.query("split == 'test'")
    assert found["a", "macro_f1"] == pytest.approx(scores(again)["macro_f1"])


def test_good_members_help_and_one_that_avoids_the_truth_hurts():
    good = members("a", "b")
    averse = table("averse", rows(210), seed=8, strength=-3)
    result = diversity.leave_one_out(pd.concat([good, averse]), count=200).set_index(["model", "metric"])
    assert result.loc[("averse", "macro_auc"), "high"] < 0 < result.loc[("a", "macro_auc"), "low"]


def test_only_the_split_counts_and_nothing_is_changed():
    here, other = members("a", "b"), members("a", "b").assign(split="external")
    other["image_id"] += "_x"
    both = pd.concat([here, other], ignore_index=True)
    before = both.copy()
    pd.testing.assert_frame_equal(
        diversity.leave_one_out(both, "test", count=20), diversity.leave_one_out(here, count=20)
    )
    pd.testing.assert_frame_equal(both, before)
    with pytest.raises(PredictionError, match="no prediction of split 'val'"):
        diversity.leave_one_out(both, "val")
    with pytest.raises(PredictionError, match="already a model"):
        diversity.leave_one_out(pd.concat([here, ensembles.mean(here)]))


def test_contribution_of_the_only_member_has_no_answer_but_a_reason():
    result = diversity.leave_one_out(members("a"), count=20)
    assert result[["without_it", "contribution", "low", "high"]].isna().all(axis=None)
    assert result["with_it"].notna().all() and set(result["note"]) == {diversity.ALONE}


def test_contribution_over_an_absent_class_or_one_lesion_is_na_with_the_reason():
    table = members("a", "b")
    lacking = diversity.leave_one_out(table[table["y_true"] != "mel"], count=20).set_index(["model", "metric"])
    assert lacking["contribution"].isna().all() and set(lacking["note"]) == {"no image of mel"}
    one = diversity.leave_one_out(table.assign(lesion_id="HAM_0"), count=20)
    assert one["contribution"].notna().all() and one[["low", "high"]].isna().all(axis=None)
    assert set(one["note"]) == {resampling.ALONE}


def test_pairs_by_hand():
    a = ["nv", "nv", *TRUTH[2:]]  # wrong on images 0 and 1
    b = ["nv", "mel", "nv", *TRUTH[3:]]  # wrong on 0, 1 and 2; on 1 otherwise
    row = diversity.pairwise({"a": calling("a", a), "b": calling("b", b)}).iloc[0]
    assert row[["a", "b", "n", "note"]].tolist() == ["a", "b", 10, ""]
    assert row["disagreement"] == pytest.approx(2 / 10)  # images 1 and 2
    assert row["both_wrong"] == pytest.approx(2 / 10)
    n11, n10, n01, n00 = 7, 1, 0, 2  # both right; a right only; b right only; both wrong
    rho = (n11 * n00 - n01 * n10) / np.sqrt((n11 + n10) * (n01 + n00) * (n11 + n01) * (n10 + n00))
    assert row["error_correlation"] == pytest.approx(rho)  # the formula of Kuncheva & Whitaker 2003


def test_the_same_calls_and_opposite_errors():
    a, half = ["nv"] * 5 + TRUTH[5:], TRUTH[:5] + ["bkl"] * 5
    pairs = diversity.pairwise({"a": calling("a", a), "b": calling("b", a), "c": calling("c", half)})
    assert pairs[["a", "b"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert pairs["disagreement"].tolist() == [0, 1, 1]
    np.testing.assert_allclose(pairs["error_correlation"], [1, -1, -1])
    assert pairs["both_wrong"].tolist() == [0.5, 0, 0]


def test_constant_errors_have_no_correlation_but_a_reason():
    right, wrong = calling("right", TRUTH), calling("a", ["akiec"] * 2 + TRUTH[2:])
    pairs = diversity.pairwise({"right": right, "a": wrong})
    assert np.isnan(pairs["error_correlation"][0]) and pairs["note"][0] == "right or wrong on every image: right"
    assert diversity.pairwise({"right": right}).empty


def test_pairs_need_the_same_images():
    with pytest.raises(PredictionError, match="do not hold the same images"):
        diversity.pairwise({"a": calling("a", TRUTH), "b": calling("b", TRUTH[:9], TRUTH[:9])})


COSTS = pd.DataFrame(
    [["a", 1.5, 100.0, 2.0], ["b", 2.5, 300.0, np.nan], ["c", 9.0, 50.0, 1.0]],
    columns=["model", "parameters_m", "macs_m", "ms_image"],
)


def test_an_ensemble_costs_the_sum_of_those_it_runs():
    table = diversity.cost_with_ensemble(COSTS, ["a", "c"])
    assert table.iloc[-1].tolist() == ["ensemble", 10.5, 150.0, 3.0, ""] and len(table) == 4
    again = diversity.cost_with_ensemble(table, ["a", "b"], "ensemble_greedy").iloc[-1]
    assert again[["parameters_m", "macs_m"]].tolist() == [4.0, 400.0]
    assert np.isnan(again["ms_image"]) and again["note"] == "unknown cost of b"
    assert list(COSTS) == ["model", "parameters_m", "macs_m", "ms_image"]
    with pytest.raises(ValueError, match="no cost of d; costs has the models a, b, c"):
        diversity.cost_with_ensemble(COSTS, ["a", "d"])
    with pytest.raises(ValueError, match="ensemble has a row already"):
        diversity.cost_with_ensemble(table, ["a"])
    with pytest.raises(ValueError, match="no member is given"):
        diversity.cost_with_ensemble(COSTS, [])


def test_quality_stands_beside_cost():
    board = pd.DataFrame({"model": ["ensemble", "b", "a"], "macro_f1": [0.7, 0.6, 0.5]})
    table = diversity.quality_and_cost(board, COSTS.drop(columns="ms_image"))
    assert table["model"].tolist() == ["ensemble", "b", "a"] and list(table)[2:] == list(diversity.COSTS)
    assert table["ms_image"].isna().all()
    np.testing.assert_array_equal(table["macs_m"], [np.nan, 300, 100])
    with pytest.raises(ValueError, match="the leaderboard holds a more than once"):
        diversity.quality_and_cost(pd.concat([board, board.tail(1)]), COSTS)
    with pytest.raises(ValueError, match="the table of costs holds c more than once"):
        diversity.quality_and_cost(board, pd.concat([COSTS, COSTS.tail(1)]))
