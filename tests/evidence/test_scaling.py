"""Temperature and bias: solved by hand, found again in simulations, and the lowest log-loss around."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from lesionkit.evidence import predictions, scaling
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(logits), and the logits."""
    generator = np.random.default_rng(seed)
    z = 1.5 * generator.normal(size=(n, 7)) + np.linspace(0, 1, 7)
    y = (generator.random(n)[:, None] > softmax(z, axis=1).cumsum(axis=1)[:, :-1]).sum(axis=1)
    return y, z


def study(seed: int = 0) -> pd.DataFrame:
    parts = [rows(70, seed, "val", "V"), rows(70, seed + 1, "test", "T")]
    return pd.concat([table(name, part, seed=k) for k, name in enumerate("ab") for part in parts], ignore_index=True)


def test_temperature_of_a_case_by_hand():
    p = np.tile([0.9, *[0.1 / 6] * 6], (4, 1))
    # three of four are right, so the top class must get 0.75: log(54) / T = log(18)
    assert scaling.temperature(np.array([0, 0, 0, 1]), p) == pytest.approx(np.log(54) / np.log(18), rel=1e-5)


def test_temperature_is_found_again_and_has_the_lowest_log_loss():
    y, z = drawn(20_000)
    p = softmax(2.5 * z, axis=1)
    t = scaling.temperature(y, p)
    assert t == pytest.approx(2.5, rel=0.03)
    losses = [log_loss(y, scaling.scaled(p, other), labels=range(7)) for other in (0.99 * t, t, 1.01 * t)]
    assert losses[1] == min(losses)


def test_scaling_divides_logits_and_keeps_the_calls():
    _, z = drawn(50)
    p = softmax(z, axis=1)
    np.testing.assert_allclose(scaling.scaled(p, 3.0), softmax(z / 3, axis=1))
    np.testing.assert_allclose(scaling.scaled(p, 1.0), p)
    np.testing.assert_array_equal(scaling.scaled(p, 0.3).argmax(axis=1), p.argmax(axis=1))


def test_extremes_of_temperature():
    y = np.arange(7)
    assert scaling.temperature(y, np.full((7, 7), 1 / 7)) == 1.0
    sure = 0.3 * np.eye(7) + 0.1
    assert scaling.temperature(y, sure) == pytest.approx(scaling.LIMITS[0], rel=1e-3)
    assert scaling.temperature((y + 1) % 7, sure) == pytest.approx(scaling.LIMITS[1], rel=1e-3)
    assert np.isfinite(scaling.temperature(y, np.eye(7)))  # a probability of 0 has a logarithm


@pytest.mark.parametrize("t", [0, -1, np.nan, np.inf])
def test_a_temperature_that_is_none_is_refused(t):
    with pytest.raises(ValueError, match="expected a positive number"):
        scaling.scaled(np.full((1, 7), 1 / 7), t)


def test_bias_and_temperature_are_found_again():
    y, z = drawn(30_000)
    bias = np.array([1.0, -1.0, 0.5, 0, 0, -0.5, 0])
    t, found = scaling.bias_corrected(y, softmax(2 * (z - bias), axis=1))
    assert t == pytest.approx(2, rel=0.03)
    np.testing.assert_allclose(found, bias, atol=0.12)
    assert found.sum() == pytest.approx(0, abs=1e-9)


def test_bias_makes_the_mean_prediction_the_share_and_cannot_lose_on_the_fit():
    y, z = drawn(700, seed=3)
    p = softmax(0.5 * z + np.linspace(0, 2, 7), axis=1)
    t, bias = scaling.bias_corrected(y, p)
    fitted = scaling.bias_scaled(p, t, bias)
    np.testing.assert_allclose(fitted.mean(axis=0), np.bincount(y, minlength=7) / 700, atol=1e-5)
    both = [log_loss(y, q, labels=range(7)) for q in (fitted, scaling.scaled(p, scaling.temperature(y, p)))]
    assert both[0] < both[1]
    for step in 0.02 * np.eye(8):  # convex: lower than all around is lowest
        near = scaling.bias_scaled(p, t * (1 + step[7]), bias + step[:7])
        assert log_loss(y, near, labels=range(7)) > both[0]


def test_a_class_without_image_has_no_bias():
    with pytest.raises(ValueError, match="no image of df"):
        scaling.bias_corrected(np.array([0, 1, 2, 4, 5, 6]), np.full((6, 7), 1 / 7))


def test_scaled_table_scales_each_model_by_its_own_validation():
    scored = study()
    before = scored.copy()
    result = predictions.check(scaling.scaled_table(scored))
    pd.testing.assert_frame_equal(scored, before)
    pd.testing.assert_frame_equal(result.iloc[:, :6], scored.iloc[:, :6])
    for name, part in scored.groupby("model"):
        own = part[part["split"] == "val"]
        t = scaling.temperature(predictions.targets(own), predictions.probabilities(own))
        expected = scaling.scaled(predictions.probabilities(part), t)
        np.testing.assert_allclose(predictions.probabilities(result[result["model"] == name]), expected, atol=1e-6)


def test_nothing_but_validation_is_fitted_on():
    scored = study()
    other = scored.copy()
    test = other["split"] == "test"
    other.loc[test, "y_true"] = "nv"
    assert scaling.temperatures(other) == scaling.temperatures(scored)


def test_a_model_without_validation_is_refused_by_name():
    scored = study()
    scored = scored[(scored["model"] != "b") | (scored["split"] != "val")]
    assert list(scaling.temperatures(scored)) == ["a"]
    with pytest.raises(PredictionError, match="b has no validation row"):
        scaling.scaled_table(scored)
    assert scaling.temperatures(scored[scored["split"] == "test"]) == {}


def test_risks_have_the_share_of_each_class_on_validation_and_keep_the_order_of_rows():
    scored = study().sample(frac=1, random_state=0)
    risks = scaling.as_risks(scored)
    assert risks.index.equals(scored.index) and risks["image_id"].equals(scored["image_id"])
    for _, own in risks[risks["split"] == "val"].groupby("model"):
        shares = np.bincount(predictions.targets(own), minlength=7) / len(own)
        np.testing.assert_allclose(predictions.probabilities(own).mean(axis=0), shares, atol=1e-4)
    other = scored.assign(y_true=scored["y_true"].where(scored["split"] == "val", "nv"))
    pd.testing.assert_frame_equal(scaling.as_risks(other).drop(columns="y_true"), risks.drop(columns="y_true"))


def test_risks_without_a_class_or_without_validation():
    scored = study()
    lacks = scored[~((scored["split"] == "val") & (scored["y_true"] == "df"))]
    np.testing.assert_allclose(
        predictions.probabilities(scaling.as_risks(lacks)),
        predictions.probabilities(scaling.scaled_table(lacks)),
        atol=1e-6,
    )
    test = scored[scored["split"] == "test"]
    pd.testing.assert_frame_equal(scaling.as_risks(test), test)
