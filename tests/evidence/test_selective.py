"""Risk and coverage: by hand, by every order of ties, by repeating images."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from lesionkit.evidence import predictions, resampling, selective

from .tables import rows, table


def with_top(confidence: list[float]) -> np.ndarray:
    """Class 0 has the confidence, the rest share what is left."""
    c = np.array(confidence)[:, None]
    return np.hstack([c, np.repeat((1 - c) / 6, 6, axis=1)])


def arrays(n: int = 60, seed: int = 0, digits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    c = generator.uniform(0.3, 1, n).round(digits)
    return (generator.random(n) > c).astype(int), with_top(c)


def mean_risk(wrong: np.ndarray) -> float:
    return float((wrong.cumsum() / np.arange(1, len(wrong) + 1)).mean())


def test_by_hand():
    p = with_top([0.9, 0.8, 0.7, 0.6, 0.5])
    y = np.array([0, 1, 0, 0, 1])  # wrong: the second and the last
    found = selective.scores(y, p)
    assert found["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert found["excess_aurc"] == pytest.approx(found["aurc"] - (1 / 4 + 2 / 5) / 5)
    assert found["error"] == 0.4
    assert found["error_at_80"] == 0.25  # of the first four
    curve = selective.risk_coverage(y, p)
    np.testing.assert_allclose(curve["coverage"], [0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(curve["risk"], [0, 1 / 2, 1 / 3, 1 / 4, 2 / 5])
    np.testing.assert_allclose(curve["confidence"], [0.9, 0.8, 0.7, 0.6, 0.5])


def test_ties_are_the_mean_over_their_orders():
    p = with_top([0.9, 0.7, 0.7, 0.7, 0.5])
    wrong = np.array([0, 1, 0, 1, 0])
    orders = [mean_risk(wrong[[0, *middle, 4]]) for middle in permutations([1, 2, 3])]
    at_80 = [wrong[[0, *middle]].mean() for middle in permutations([1, 2, 3])]
    found = selective.scores(wrong, p)
    assert found["aurc"] == pytest.approx(np.mean(orders))
    assert found["error_at_80"] == pytest.approx(np.mean(at_80))
    assert len(selective.risk_coverage(wrong, p)) == 3


def test_distinct_confidences_are_a_running_mean():
    y, p = arrays()
    wrong = (y != 0)[np.argsort(-p[:, 0])].astype(float)
    assert selective.scores(y, p)["aurc"] == pytest.approx(mean_risk(wrong))
    assert selective.scores(y, p)["error_at_80"] == pytest.approx(wrong[:48].mean())


@pytest.mark.parametrize("digits", [1, 8])
def test_weights_are_repeated_images(digits):
    y, p = arrays(digits=digits)
    w = np.random.default_rng(1).integers(0, 4, size=(60, 70)).astype(float)
    found = selective.scorer(y, p)(w)
    for at in range(70):
        times = w[:, at].astype(int)
        again = selective.scores(np.repeat(y, times), np.repeat(p, times, axis=0))
        for metric, value in again.items():
            assert found[metric][at] == pytest.approx(value, abs=1e-12)


def test_constant_confidence_gains_nothing():
    y = np.array([0, 0, 1, 1, 1])
    found = selective.scores(y, with_top([0.6] * 5))
    assert found["aurc"] == found["error_at_80"] == pytest.approx(0.6)


def test_without_errors_there_is_no_risk_and_with_errors_alone_nothing_else():
    p = with_top([0.9, 0.8, 0.7])
    assert set(selective.scores(np.zeros(3, int), p).values()) == {0}
    assert selective.scores(np.ones(3, int), p) == {"aurc": 1, "excess_aurc": 0, "error": 1, "error_at_80": 1}


def test_errors_last_leave_no_excess():
    y = np.array([0, 0, 0, 1, 1])
    assert selective.scores(y, with_top([0.9, 0.8, 0.7, 0.6, 0.5]))["excess_aurc"] == pytest.approx(0)


def test_summary_has_a_row_a_model_and_metric():
    tables = {name: table(name, rows(140), seed) for seed, name in enumerate("ab")}
    found = selective.summary(tables, count=100)
    assert list(found) == ["model", "metric", "value", "low", "high", "note"] and len(found) == 8
    again = selective.scores(predictions.targets(tables["b"]), predictions.probabilities(tables["b"]))
    assert found.set_index(["model", "metric"])["value"]["b", "aurc"] == pytest.approx(again["aurc"])
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()
    with pytest.raises(ValueError, match="no table"):
        selective.summary({})


def test_one_lesion_has_no_interval():
    found = selective.summary({"a": table("a", rows(14).assign(lesion_id="HAM_1"))}, count=20)
    assert found["low"].isna().all() and set(found["note"]) == {resampling.ALONE}


def test_curves_are_by_split_and_model():
    both = pd.concat([table("a", rows(70)), table("b", rows(70), seed=1)], ignore_index=True)
    found = selective.curves(both)
    assert list(found) == ["test"] and list(found["test"]) == ["a", "b"]
    one = both[both["model"] == "b"]
    expected = selective.risk_coverage(predictions.targets(one), predictions.probabilities(one))
    pd.testing.assert_frame_equal(found["test"]["b"], expected)
