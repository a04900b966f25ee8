"""Prior shift: the EM finds the likeliest shares, and the true ones where only the shares differ."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import softmax

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, predictions, resampling, shift
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table

OLD = np.array([0.05, 0.05, 0.1, 0.05, 0.1, 0.6, 0.05])
NEW = np.array([0.1, 0.2, 0.1, 0.05, 0.25, 0.25, 0.05])


def drawn(prior: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels by the prior, and the exact posterior of each image under OLD."""
    generator = np.random.default_rng(seed)
    y = generator.choice(7, size=n, p=prior)
    x = generator.normal(size=(n, 7)) + 1.8 * np.eye(7)[y]
    return y, softmax(1.8 * x + np.log(OLD), axis=1)


def shifted(n: int = 2000) -> pd.DataFrame:
    """One model that is calibrated on validation; external images under label shift alone."""
    parts = []
    for seed, (split, prior) in enumerate({"val": OLD, "external": NEW}.items()):
        y, p = drawn(prior, n, seed)
        described = rows(n, split=split, prefix=split).assign(y_true=np.array(CLASSES)[y])
        parts.append(predictions.build(described, p, "a"))
    return pd.concat(parts, ignore_index=True)


def test_the_new_prior_and_the_posterior_are_found():
    _, p = drawn(NEW, 20_000, 0)
    corrected, new, iterations = shift.saerens(p, OLD)
    np.testing.assert_allclose(new, NEW, atol=0.012)
    posterior = p * NEW / OLD
    np.testing.assert_allclose(corrected, posterior / posterior.sum(axis=1, keepdims=True), atol=0.08)
    assert 1 < iterations < 10_000


def test_the_prior_is_the_likeliest():
    _, p = drawn(NEW, 300, 1)
    _, new, _ = shift.saerens(p, OLD)
    found = minimize(
        lambda logits: -np.log((p * softmax(logits) / OLD).sum(axis=1)).sum(), np.zeros(7), options={"gtol": 1e-4}
    )
    np.testing.assert_allclose(new, softmax(found.x), atol=1e-4)


def test_one_step_by_hand():
    p = np.array([[0.8, 0.2, 0, 0, 0, 0, 0], [0.4, 0.6, 0, 0, 0, 0, 0]])
    prior = np.array([0.5, 0.4, *[0.02] * 5])
    _, new, iterations = shift.saerens(p, prior, most=1)
    np.testing.assert_allclose(new[:2], [0.6, 0.4])  # the mean prediction
    assert iterations == 1


def test_a_consistent_classifier_stays():
    _, p = drawn(OLD, 500, 2)
    corrected, new, iterations = shift.saerens(p, p.mean(axis=0))
    assert iterations == 1
    np.testing.assert_allclose(new, p.mean(axis=0))
    np.testing.assert_allclose(corrected, p)


@pytest.mark.parametrize("prior", [np.full(7, 0.2), np.array([0, 0.4, *[0.12] * 5]), np.full(6, 1 / 6)])
def test_a_prior_that_is_none_is_refused(prior):
    with pytest.raises(ValueError, match="a share above 0"):
        shift.saerens(np.full((3, 7), 1 / 7), prior)


def test_corrected_keeps_the_model_and_tells_the_priors():
    scored = shifted()
    before = scored.copy()
    found, priors = shift.corrected(scored)
    pd.testing.assert_frame_equal(scored, before)
    predictions.check(found)
    external = scored[scored["split"] == "external"]
    assert set(found["model"]) == {"a"} and list(found["image_id"]) == list(external["image_id"])
    assert list(priors["class"]) == list(CLASSES)
    np.testing.assert_allclose(priors["estimated"], NEW, atol=0.03)
    np.testing.assert_allclose(priors["true"], external["y_true"].value_counts(normalize=True)[list(CLASSES)])
    on_itself = shift.corrected(scored, split="val")[1]
    np.testing.assert_allclose(on_itself["estimated"], on_itself["validation"], atol=1e-4)


def test_labels_of_external_images_are_not_looked_at():
    scored = shifted(700)
    other = scored.copy()
    other.loc[other["split"] == "external", "y_true"] = "nv"
    pd.testing.assert_frame_equal(
        shift.corrected(scored)[0].drop(columns="y_true"), shift.corrected(other)[0].drop(columns="y_true")
    )


def test_summary_names_the_use_of_external_images_and_pairs_the_differences():
    scored = shifted()
    found = shift.summary(scored, count=100)
    assert list(dict.fromkeys(found["method"])) == list(shift.METHODS) and "unlabelled external" in shift.METHODS[2]
    values = found.set_index(["method", "metric"])
    external = scored[scored["split"] == "external"]
    plain = metrics.overall(predictions.targets(external), predictions.probabilities(external))
    assert values.loc[("as it is", "macro_f1"), "value"] == pytest.approx(plain["macro_f1"])
    assert (values.loc["as it is", ["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    gain = values.loc[(shift.METHODS[2], "log_loss")]
    assert gain["difference_high"] < 0  # label shift is what it corrects
    assert gain["difference"] == pytest.approx(gain["value"] - values.loc[("as it is", "log_loss"), "value"])


def test_differences_are_of_the_same_resamples():
    found = shift.summary(shifted(), count=100).set_index(["method", "metric"])
    near = found.loc[(shift.METHODS[1], "accuracy")]  # the model is calibrated: next to no call changes
    assert near["difference_high"] - near["difference_low"] < 0.3 * (near["high"] - near["low"])


def test_a_collapse_is_noted():
    scored = shifted(700)
    outside = scored["split"] == "external"
    p = predictions.probabilities(scored[outside]).astype(float)
    p[:, 1] = 1e-9  # no external image looks like bcc
    scored.loc[outside, list(predictions.PROBABILITIES)] = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    found = shift.summary(scored, count=20)
    notes = found.groupby("method")["note"].unique()
    assert notes[shift.METHODS[2]].tolist() == ["estimated share below 0.1%: bcc"]
    assert notes[shift.METHODS[1]].tolist() == [""]


def test_a_class_absent_from_validation_leaves_two_methods_undefined():
    scored = shifted(700)
    scored = scored[(scored["split"] != "val") | (scored["y_true"] != "df")]
    found = shift.summary(scored, count=20)
    fitted = found["method"] != "as it is"
    assert found.loc[fitted, "value"].isna().all() and found.loc[~fitted, "value"].notna().all()
    assert found.loc[fitted, "note"].str.contains("no validation image of df").all()
    with pytest.raises(PredictionError, match="df"):
        shift.corrected(scored)


def test_no_validation_at_all():
    scored = shifted(140)
    found = shift.summary(scored[scored["split"] == "external"], count=20)
    assert found.loc[found["method"] != "as it is", "note"].str.contains("no validation image").all()


def test_a_class_absent_outside_has_undefined_means_with_the_reason():
    scored = shifted(700)
    scored = scored[(scored["split"] != "external") | (scored["y_true"] != "vasc")]
    found = shift.summary(scored, count=20)
    rows_of = found[found["metric"] == "balanced_accuracy"]
    assert rows_of["value"].isna().all() and rows_of["note"].str.contains("no image of vasc").all()


def test_one_lesion_has_no_interval():
    found = shift.summary(shifted(140).assign(lesion_id="HAM_1"), count=20)
    assert found["low"].isna().all()
    assert found["note"].isin([resampling.ALONE]).any()


def test_several_models_or_no_row_are_refused():
    scored = pd.concat([shifted(70), table("b", rows(70, split="external", prefix="external"))])
    with pytest.raises(PredictionError, match="2 models"):
        shift.summary(scored)
    with pytest.raises(PredictionError, match="0 rows of the split 'test'"):
        shift.corrected(shifted(70), split="test")


def test_priors_are_those_of_the_correction_and_none_without_validation():
    scored = shifted(400)
    pd.testing.assert_frame_equal(shift.priors(scored), shift.corrected(scored)[1])
    assert shift.priors(scored[scored["split"] == "external"]).empty
