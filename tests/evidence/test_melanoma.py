"""Thresholds, partial AUC and net benefit against hand-worked cases, brute force and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lesionkit.data.records import CLASSES
from lesionkit.evidence import melanoma, predictions

from .tables import rows, table

SPLITS = {"val": "VAL_", "test": "ISIC_", "external": "EXT_"}


def scored(models=("resnet50", "densenet121"), splits=SPLITS, n: int = 140) -> pd.DataFrame:
    """Tables of images that differ between splits; every class in each."""
    described = pd.concat([rows(n, seed=i, split=name, prefix=SPLITS[name]) for i, name in enumerate(splits)])
    described["lesion_id"] = described["split"] + described["lesion_id"]
    return pd.concat([table(name, described, seed=i) for i, name in enumerate(models)], ignore_index=True)


def case(n: int = 200, seed: int = 0, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels and overlapping scores in 0..1; with `levels`, rounded to so many steps, which ties them."""
    draw = np.random.default_rng(seed)
    positive = draw.random(n) < 0.25
    score = 1 / (1 + np.exp(-draw.normal(size=n) - positive))
    return positive, np.round(score * levels) / levels if levels else score


def mirrored(positive, score, min_sensitivity: float = 0.80) -> float:
    """The area above a sensitivity by scikit-learn: the area below a false-positive rate of the mirrored problem."""
    room = 1 - min_sensitivity
    standardised = sk.roc_auc_score(~positive, -score, max_fpr=room)  # McClish: 0.5 is chance, 1 is all of it
    return room**2 / 2 + (2 * standardised - 1) * (room - room**2 / 2)


@pytest.mark.parametrize(("target", "cut"), [(0.2, 0.9), (0.21, 0.8), (0.6, 0.8), (0.8, 0.3), (0.81, 0.1), (1, 0.1)])
def test_threshold_by_hand_with_a_tie(target, cut):
    positive = np.array([1, 1, 1, 1, 1, 0, 0], bool)
    assert melanoma.threshold(positive, np.array([0.8, 0.1, 0.9, 0.8, 0.3, 0.95, 0.2]), target) == cut


@pytest.mark.parametrize("levels", [None, 10])
@pytest.mark.parametrize("target", [0.5, 0.8, 0.9, 0.95, 1.0])
def test_thresholds_are_the_extreme_ones_that_keep_the_promise(levels, target):
    positive, score = case(levels=levels)
    cut = melanoma.threshold(positive, score, target)
    assert (score[positive] >= cut).mean() >= target > (score[positive] >= np.nextafter(cut, 2)).mean()
    cut = melanoma.threshold_at_specificity(positive, score, target)
    assert (score[~positive] < cut).mean() >= target > (score[~positive] < np.nextafter(cut, -1)).mean()


@pytest.mark.parametrize("n", [10, 20, 167, 1000])
def test_a_share_that_floating_point_misses_asks_for_no_further_image(n):
    everything = np.full(n, True)
    for hits in range(1, n + 1):
        assert melanoma.threshold(everything, np.arange(n), hits / n) == n - hits


def test_thresholds_without_the_class_or_out_of_range():
    assert np.isnan(melanoma.threshold(np.array([False]), np.array([0.3]), 0.9))
    assert np.isnan(melanoma.threshold_at_specificity(np.array([True]), np.array([0.3]), 0.9))
    assert melanoma.threshold_at_specificity(np.array([False]), np.array([0.3]), 0) == -np.inf
    with pytest.raises(ValueError, match="sensitivity is 90"):
        melanoma.threshold(np.array([True]), np.array([0.3]), 90)
    with pytest.raises(ValueError, match="specificity is 1.5"):
        melanoma.threshold_at_specificity(np.array([True]), np.array([0.3]), 1.5)


def test_operating_points_carry_the_threshold_of_validation():
    points = melanoma.operating_points(scored(), count=50)
    assert points.shape == (2 * 2 * 3 * 4, 9)
    assert (points.groupby(["model", "target"])["threshold"].nunique() == 1).all()
    data = scored()
    for (model, target, split), part in points.groupby(["model", "target", "split"]):
        cut, here = part["threshold"].iloc[0], data[(data["model"] == model) & (data["split"] == split)]
        called, truth = here["p_mel"].to_numpy(float) >= cut, here["y_true"] == "mel"
        expected = [sk.recall_score(truth, called), sk.recall_score(~truth, ~called)]
        expected += [sk.precision_score(truth, called), sk.precision_score(~truth, ~called)]
        np.testing.assert_allclose(part.set_index("metric")["value"][list(melanoma.RATES)], expected)
        assert (part["low"] <= part["value"]).all() and (part["value"] <= part["high"]).all()
    kept = points[(points["split"] == "val") & (points["metric"] == "sensitivity")]
    assert (kept["value"] >= kept["target"]).all()


def test_operating_points_do_not_depend_on_the_scores_elsewhere():
    data = scored()
    other = data.copy()
    elsewhere = other["split"] != "val"
    other.loc[elsewhere, list(predictions.PROBABILITIES)] = np.float32(1 / 7)
    cuts = [melanoma.operating_points(each, count=5)["threshold"] for each in (data, other)]
    pd.testing.assert_series_equal(*cuts)


def test_operating_points_without_validation_or_its_melanomas_say_so():
    none = melanoma.operating_points(scored(splits=("test",)), count=5)
    assert set(none["split"]) == {"test"} and none[["threshold", "value", "low", "high"]].isna().all(axis=None)
    assert set(none["note"]) == {melanoma.UNSET}
    data = scored()
    benign = melanoma.operating_points(data[(data["split"] != "val") | (data["y_true"] != "mel")], count=5)
    assert benign["value"].isna().all()
    assert set(benign["note"]) == {"no melanoma among the validation images"}


def test_operating_points_name_what_a_split_leaves_undefined():
    data = scored(models=("resnet50",))
    test = data["split"] == "test"
    data = data[~test | (data["y_true"] != "mel")].copy()
    spread = np.where(np.arange(7) == CLASSES.index("mel"), 0, 1 / 6).astype(np.float32)
    data.loc[data["split"] == "test", list(predictions.PROBABILITIES)] = spread
    points = melanoma.operating_points(data, sensitivities=(0.9,), splits=("test",), count=20).set_index("metric")
    assert points.loc[["sensitivity", "ppv"], "note"].tolist() == ["no image of mel", "nothing is called mel"]
    assert points.loc[["sensitivity", "ppv"], ["value", "low"]].isna().all(axis=None)
    assert points.loc[["specificity", "npv"], "value"].tolist() == [1, 1]


def test_partial_auc_by_hand():
    positive = np.repeat([True, False], [5, 4])
    assert melanoma.partial_auc(positive, positive.astype(float)) == pytest.approx(0.2)
    assert melanoma.partial_auc(positive, 1.0 - positive) == 0
    assert melanoma.partial_auc(positive, np.zeros(9)) == pytest.approx(0.02)  # chance: 0.2² / 2
    # the last fifth of sensitivity is the lowest positive, 0.35: above two of the four negatives
    assert melanoma.partial_auc(positive, np.array([0.9, 0.8, 0.7, 0.6, 0.35, 0.1, 0.2, 0.4, 0.5])) == pytest.approx(
        0.1
    )


@pytest.mark.parametrize("levels", [None, 4, 12])
@pytest.mark.parametrize("least", [0.0, 0.5, 0.8, 0.95])
def test_partial_auc_is_scikit_learns_in_the_mirror(levels, least):
    positive, score = case(levels=levels, seed=3)
    expected = mirrored(positive, score, least) if least else sk.roc_auc_score(positive, score)
    assert melanoma.partial_auc(positive, score, least) == pytest.approx(expected, abs=1e-12)


def test_partial_areas_of_weights_are_those_of_repeated_images():
    positive, score = case(n=80, levels=20, seed=1)
    w = np.random.default_rng(0).poisson(1, size=(80, 30))
    areas = melanoma.partial_areas(positive, score, w)
    expected = [mirrored(np.repeat(positive, times), np.repeat(score, times)) for times in w.T]
    np.testing.assert_allclose(areas, expected, atol=1e-12)


def test_partial_areas_without_a_class_are_not_defined():
    positive, score = np.array([True, False, False]), np.array([0.9, 0.2, 0.1])
    areas = melanoma.partial_areas(positive, score, np.array([[1, 0, 2], [1, 1, 0], [1, 1, 0]]))
    np.testing.assert_allclose(areas, [0.2, np.nan, np.nan])
    assert np.isnan(melanoma.partial_auc(np.array([True]), np.array([0.5])))
    assert np.isnan(melanoma.partial_auc(np.array([False]), np.array([0.5])))
    with pytest.raises(ValueError, match="min_sensitivity is 80"):
        melanoma.partial_auc(positive, score, 80)


def test_partial_aucs_of_every_model_and_split():
    data = scored()
    result = melanoma.partial_aucs(data, count=200)
    assert list(result) == ["model", "split", "metric", "value", "low", "high", "note"] and len(result) == 6
    for _, row in result.iterrows():
        here = data[(data["model"] == row["model"]) & (data["split"] == row["split"])]
        expected = mirrored((here["y_true"] == "mel").to_numpy(), here["p_mel"].to_numpy(float))
        assert row["value"] == pytest.approx(expected) and 0 <= row["low"] <= row["value"] <= row["high"] <= 0.2
    benign = melanoma.partial_aucs(data[data["y_true"] != "mel"], splits=("test",), count=5)
    assert benign["value"].isna().all() and set(benign["note"]) == {"no image of mel"}


def test_net_benefit_by_hand():
    # 100 lesions, 20 melanomas; 15 of them and 10 others are called at 20 %: 0.15 − 0.10 · 0.25
    positive = np.repeat([True, False], [20, 80])
    score = np.repeat([0.2, 0.1, 0.5, 0.05], [15, 5, 10, 70])
    np.testing.assert_allclose(melanoma.net_benefit(positive, score, [0.2]), [0.125])
    np.testing.assert_allclose(melanoma.net_benefit(positive, np.ones(100), [0.2, 0.1]), [0, 0.2 - 0.8 / 9])
    assert melanoma.net_benefit(positive, np.zeros(100), [0.2]) == 0
    with pytest.raises(ValueError, match="expected risks in"):
        melanoma.net_benefit(positive, score, [0.5, 1.0])


@pytest.mark.parametrize("risk", [0.05, 0.3, 0.5])
def test_net_benefit_from_scikit_learns_sensitivity_and_specificity(risk):
    positive, score = case(seed=4)
    called, share = score >= risk, positive.mean()
    sensitivity, specificity = sk.recall_score(positive, called), sk.recall_score(~positive, ~called)
    expected = share * sensitivity - (1 - share) * (1 - specificity) * risk / (1 - risk)
    np.testing.assert_allclose(melanoma.net_benefit(positive, score, [risk]), [expected])


def test_decision_curve_is_net_benefit_with_an_interval_and_both_references():
    data = scored()
    curve = melanoma.decision_curve(data, thresholds=(0.1, 0.3), count=200)
    assert list(curve) == ["model", "threshold", "net_benefit", "low", "high", "note"]
    assert list(dict.fromkeys(curve["model"])) == ["resnet50", "densenet121", "treat_all", "treat_none"]
    values = curve.set_index(["model", "threshold"])["net_benefit"]
    assert values["treat_none"].eq(0).all()
    np.testing.assert_allclose(values["treat_all"], [1 / 7 - 6 / 7 * odds for odds in (1 / 9, 3 / 7)])
    here = data[(data["model"] == "resnet50") & (data["split"] == "test")]
    expected = melanoma.net_benefit(here["y_true"] == "mel", here["p_mel"], (0.1, 0.3))
    np.testing.assert_allclose(values["resnet50"], expected)
    assert (curve["low"] <= curve["net_benefit"]).all() and (curve["net_benefit"] <= curve["high"]).all()


def test_one_lesion_has_values_and_no_interval():
    data = scored(models=("resnet50",)).assign(lesion_id="one")
    points = melanoma.operating_points(data, splits=("test",), count=5)
    assert (
        points["value"].notna().all() and points["low"].isna().all() and points["note"].str.contains("one lesion").all()
    )
    curve = melanoma.decision_curve(data, count=5)
    assert curve["net_benefit"].notna().all() and curve["high"].isna().all()


def test_no_split_at_all_is_refused():
    with pytest.raises(predictions.PredictionError, match="no row of the splits external"):
        melanoma.partial_aucs(scored(splits=("val",)), splits=("external",))
