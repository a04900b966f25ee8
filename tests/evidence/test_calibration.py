"""Calibration errors by hand and by scikit-learn; intervals that hold the truth; both orders of scaling."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve

from lesionkit.evidence import calibration, ensembles, predictions, resampling, scaling, weighted
from lesionkit.evidence.mixtures import Mixture
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table


def arrays(n: int, seed: int = 0, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities, which are then sharpened by `power`: calibrated at 1."""
    generator = np.random.default_rng(seed)
    p = np.exp(2 * generator.normal(size=(n, 7)))
    p /= p.sum(axis=1, keepdims=True)
    y = (generator.random(n)[:, None] > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return y, p**power / (p**power).sum(axis=1, keepdims=True)


def scored(models: str = "ab", n: int = 140, splits=("val", "test", "external")) -> pd.DataFrame:
    parts = [rows(n, k, split, split) for k, split in enumerate(splits)]
    tables = [table(name, part, seed=10 * i + k) for i, name in enumerate(models) for k, part in enumerate(parts)]
    return pd.concat(tables, ignore_index=True)


def with_top(confidence: list[float]) -> np.ndarray:
    """Class 0 has the confidence, the rest share what is left."""
    c = np.array(confidence)[:, None]
    return np.hstack([c, np.repeat((1 - c) / 6, 6, axis=1)])


def test_ece_by_hand():
    p = with_top([0.5, 0.6, 0.8, 0.9])
    found = calibration.scores(np.array([0, 1, 0, 0]), p, bins=2)
    # bins: confidence 0.55 with accuracy 0.5, and 0.85 with 1
    assert found["ece"] == pytest.approx((0.05 + 0.15) / 2)
    assert found["overconfidence"] == pytest.approx(0.7 - 0.75)


def test_classwise_ece_is_the_mean_of_scikit_learns_curves():
    y, p = arrays(150)
    errors = []
    for k in range(7):
        observed, predicted = calibration_curve(y == k, p[:, k], n_bins=15, strategy="quantile")
        errors.append(np.abs(observed - predicted).mean())  # bins of ten each
    assert calibration.scores(y, p)["classwise_ece"] == pytest.approx(np.mean(errors))


def test_ece_of_distinct_confidences_splits_them_evenly():
    y, p = arrays(300, seed=2)
    order = p.max(axis=1).argsort()
    gaps = ((p.argmax(axis=1) == y) - p.max(axis=1))[order].reshape(15, 20).mean(axis=1)
    assert calibration.scores(y, p)["ece"] == pytest.approx(np.abs(gaps).mean())


def test_equal_confidences_share_a_bin():
    p = with_top([0.7] * 10)
    y = np.array([0] * 4 + [1] * 6)
    assert calibration.scores(y, p)["ece"] == pytest.approx(0.3)
    assert len(calibration.reliability(y, p)) == 1


def test_losses_are_those_of_the_bootstrap():
    y, p = arrays(90)
    w = np.random.default_rng(0).integers(0, 3, size=(90, 5)).astype(float)
    expected = dict(zip(weighted.OVERALL, weighted.scores(y, p, w)[0].T, strict=True))
    found = calibration.scorer(y, p)(w)
    for metric in ("brier", "log_loss"):
        np.testing.assert_allclose(found[metric], expected[metric])


def test_resamples_keep_the_bins_of_the_sample():
    p = with_top([0.5, 0.6, 0.8, 0.9])
    y = np.array([0, 1, 0, 0])
    w = np.array([[2, 1], [0, 1], [0, 1], [2, 1]]) * 1.0
    found = calibration.scorer(y, p, bins=2)(w)["ece"]
    np.testing.assert_allclose(found, [(0.5 + 0.1) / 2, 0.1])


def test_an_absent_class_is_still_one_of_seven():
    y, p = arrays(105)
    y = np.where(y == 3, 5, y)
    curve = p[:, 3].mean()  # frequency 0 in all bins, so its error is its mean probability
    one = calibration.scorer(y, p)(np.ones((105, 1)))["classwise_ece"][0]
    others = [
        np.abs(np.subtract(*calibration_curve(y == k, p[:, k], n_bins=15, strategy="quantile"))).mean()
        for k in range(7)
        if k != 3
    ]
    assert one == pytest.approx((sum(others) + curve) / 7)


def test_reliability_has_wilson_intervals_of_lesions():
    p = with_top([0.7] * 10)
    y = np.array([0] * 8 + [1] * 2)
    row = calibration.reliability(y, p).iloc[0]
    assert [row["n"], row["accuracy"]] == [10, 0.8]
    # 8 of 10: Newcombe's score interval without continuity correction, as statsmodels and R's prop.test give it
    np.testing.assert_allclose([row["low"], row["high"]], [0.4902, 0.9433], atol=1e-4)
    pairs = calibration.reliability(y, p, clusters=np.repeat(range(5), 2)).iloc[0]
    # 4 of 5
    np.testing.assert_allclose([pairs["low"], pairs["high"]], [0.3755, 0.9638], atol=1e-4)


def test_reliability_covers_every_image_once():
    y, p = arrays(501)
    diagram = calibration.reliability(y, p)
    assert diagram["n"].sum() == 501 and len(diagram) == 10 and diagram["n"].between(50, 51).all()
    assert np.average(diagram["accuracy"], weights=diagram["n"]) == pytest.approx((p.argmax(axis=1) == y).mean())
    assert diagram["confidence"].is_monotonic_increasing
    assert (diagram["low"] <= diagram["accuracy"]).all() and (diagram["accuracy"] <= diagram["high"]).all()


def test_chance_is_what_calibrated_models_get():
    found = [calibration.scores(*arrays(300, seed))["ece"] for seed in range(60)]
    by_chance = calibration.chance(arrays(300)[1], np.arange(300))
    assert np.mean(by_chance["ece"]) == pytest.approx(np.mean(found), rel=0.1)
    joined = calibration.chance(np.repeat(arrays(30)[1], 10, axis=0), np.repeat(range(30), 10))
    assert np.mean(joined["ece"]) > 1.5 * np.mean(by_chance["ece"])  # ten images of a lesion are not ten


@pytest.mark.parametrize(("n", "power", "true"), [(600, 1.0, 0.0), (1500, 1.15, 0.0416), (600, 1.5, 0.1149)])
def test_intervals_hold_the_true_ece(n, power, true):
    """`true`: from two million images; percentiles would hold 0 in no sample, and 0.0416 in about a third."""
    held = 0
    for seed in range(25):
        y, p = arrays(n, seed, power)
        part = predictions.build(rows(n).assign(y_true=np.array(predictions.CLASSES)[y]), p, "a")
        found = calibration._rows(part, resampling.draws(np.arange(n), 200, seed), seed)
        row = found.set_index("metric").loc["ece"]
        held += row["low"] <= true <= row["high"]
        assert row["low"] <= row["value"] <= row["high"]
    assert held >= 20


def test_summary_has_both_scalings_of_every_model_and_split():
    predicted = scored()
    found = calibration.summary(predicted, count=50)
    assert len(found) == 2 * 2 * 2 * 5
    keys = found.set_index(["model", "split", "scaling", "metric"])["value"]
    fitted = scaling.temperatures(predicted)
    part = predictions.by_model(scaling.scaled_table(predicted), split="external")["b"]
    again = calibration.scores(predictions.targets(part), predictions.probabilities(part))
    for metric, value in again.items():
        assert keys["b", "external", "temperature", metric] == pytest.approx(value, abs=1e-6)
    assert set(found.loc[found["model"].eq("b") & found["scaling"].eq("temperature"), "temperature"]) == {fitted["b"]}
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()


def test_a_calibrated_model_is_noted():
    y, p = arrays(1400, seed=5)
    part = predictions.build(rows(1400).assign(y_true=np.array(predictions.CLASSES)[y]), p, "a")
    found = calibration.summary(part, count=50).set_index(["scaling", "metric"]).loc["none"]
    assert found.loc["ece", "low"] == 0 and "by chance" in found.loc["ece", "note"]
    assert found.loc["brier", "note"] == ""
    assert found.loc["classwise_ece", "note"].endswith(f"by chance; {calibration.APPROXIMATE}")


def test_intervals_of_classwise_ece_are_said_to_be_approximate():
    y, p = arrays(1400, seed=5, power=2.0)
    part = predictions.build(rows(1400).assign(y_true=np.array(predictions.CLASSES)[y]), p, "a")
    notes = calibration.summary(part, count=50).query("scaling == 'none'").set_index("metric")["note"]
    assert notes["classwise_ece"] == calibration.APPROXIMATE and set(notes.drop("classwise_ece")) == {""}


def test_without_validation_scaling_is_undefined_with_its_reason():
    found = calibration.summary(scored(splits=("test",)), count=20)
    after = found[found["scaling"] == "temperature"]
    assert after["value"].isna().all() and set(after["note"]) == {calibration.UNFITTED}
    assert found[found["scaling"] == "none"]["value"].notna().all()
    with pytest.raises(PredictionError, match="no row of the splits test, external"):
        calibration.summary(scored(splits=("val",)))


def test_one_lesion_has_no_interval():
    one = scored("a").assign(lesion_id="HAM_1")
    found = calibration.summary(one, count=20)
    assert found["value"].notna().all() and found[["low", "high"]].isna().all(axis=None)
    assert set(found["note"]) == {resampling.ALONE}


def test_diagrams_are_before_and_after():
    one = scored("a")
    found = calibration.diagrams(one)
    assert {split: list(tables) for split, tables in found.items()} == {
        split: ["uncalibrated", "temperature-scaled"] for split in ("test", "external")
    }
    assert list(calibration.diagrams(one[one["split"] == "test"])["test"]) == ["uncalibrated"]
    with pytest.raises(PredictionError, match="2 models"):
        calibration.diagrams(scored())


def test_orders_compare_the_same_images():
    members = scored("abc")
    mixture = Mixture({"a": 0.5, "b": 0.3, "c": 0.2})
    found = calibration.orders(members, mixture, count=50)
    assert list(dict.fromkeys(found["order"])) == [*calibration.ORDERS, calibration.DIFFERENCE]
    values = found.set_index(["split", "metric", "order"])["value"]
    mean = ensembles.mixed(members, mixture)
    test = mean[mean["split"] == "test"]
    plain = calibration.scores(predictions.targets(test), predictions.probabilities(test))
    assert values["test", "ece", "mean"] == pytest.approx(plain["ece"], abs=1e-6)
    after = predictions.by_model(scaling.scaled_table(mean), split="external")["ensemble"]
    again = calibration.scores(predictions.targets(after), predictions.probabilities(after))
    assert values["external", "brier", "average_then_calibrate"] == pytest.approx(again["brier"], abs=1e-6)
    scaled = ensembles.mixed(scaling.scaled_table(members), mixture)
    before = predictions.by_model(scaled, split="test")["ensemble"]
    first = calibration.scores(predictions.targets(before), predictions.probabilities(before))
    assert values["test", "log_loss", "calibrate_then_average"] == pytest.approx(first["log_loss"], abs=1e-6)
    for split in ("test", "external"):
        one, two, difference = (values[split, "brier", order] for order in (*calibration.ORDERS[1:], "difference"))
        assert difference == pytest.approx(one - two)
    scales_itself = Mixture(mixture.shares, scaling.temperatures(members))
    own = calibration.orders(members, scales_itself, count=50).set_index(["split", "metric", "order"])["value"]
    assert own["test", "ece", "mean"] == own["test", "ece", "calibrate_then_average"] == values["test", "ece", "calibrate_then_average"]
    assert own["test", "ece", "average_then_calibrate"] == values["test", "ece", "average_then_calibrate"]


def test_orders_of_one_member_do_not_differ():
    found = calibration.orders(scored("a"), Mixture({"a": 1}), count=30)
    difference = found[found["order"] == calibration.DIFFERENCE]
    np.testing.assert_allclose(difference[["value", "low", "high"]].to_numpy(float), 0, atol=1e-6)


def test_orders_without_validation_of_every_member_are_undefined():
    members = scored("ab")
    members = members[(members["model"] != "b") | (members["split"] != "val")]
    found = calibration.orders(members, Mixture({"a": 0.5, "b": 0.5}), count=20)
    plain = found["order"] == "mean"
    assert found.loc[plain, "value"].notna().all() and found.loc[~plain, "value"].isna().all()
    assert set(found.loc[~plain, "note"]) == {calibration.UNFITTED}
