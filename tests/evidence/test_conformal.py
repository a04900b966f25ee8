"""Conformal sets: thresholds by hand, the guarantee on exchangeable images, classes with too few images."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.evidence import conformal, predictions, resampling
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table


def arrays(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Exchangeable images, and probabilities that are far from calibrated."""
    generator = np.random.default_rng(seed)
    y = generator.choice(7, size=n, p=[0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.1])
    p = np.exp(1.5 * generator.normal(size=(n, 7)) + np.linspace(0, 4, 7)[y][:, None] * np.eye(7)[y])
    return y, p / p.sum(axis=1, keepdims=True)


def scored(n: int = 140, splits=("val", "test", "external")) -> pd.DataFrame:
    parts = [table("a", rows(n, k, split, split), seed=k) for k, split in enumerate(splits)]
    return pd.concat(parts, ignore_index=True)


def by(found: pd.DataFrame, split: str = "test", kind: str = "marginal") -> pd.DataFrame:
    return found[(found["split"] == split) & (found["kind"] == kind)].set_index("class")


def test_quantile_by_hand():
    scores = np.arange(1, 20) / 20  # 19 scores: the ⌈20 · 0.9⌉ = 18th
    assert conformal.quantile(scores[::-1]) == 0.9
    assert conformal.quantile(scores, alpha=0.5) == 0.5
    assert conformal.quantile(np.arange(9) / 10) == 0.8  # ⌈10 · 0.9⌉ = 9: the largest
    assert conformal.quantile(np.arange(8) / 10) == 1  # ⌈9 · 0.9⌉ = 9 of 8
    assert conformal.quantile(np.array([])) == 1
    with pytest.raises(ValueError, match="alpha is 1"):
        conformal.quantile(scores, alpha=1)


def test_sets_by_hand():
    p = np.array([[0.6, 0.3, 0.1, 0, 0, 0, 0], [0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1]])
    assert conformal.sets(p, np.full(7, 0.7)).astype(int).tolist() == [[1, 1, 0, 0, 0, 0, 0], [0] * 7]
    always = np.where(np.arange(7) == 3, 1, 0.5)
    assert conformal.sets(p, always).astype(int).tolist() == [[1, 0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]]


def test_thresholds_are_of_the_true_class():
    y, p = arrays(400, 0)
    own = np.array([1 - p[i, k] for i, k in enumerate(y)])
    assert set(conformal.thresholds(y, p)) == {conformal.quantile(own)}
    found = conformal.thresholds(y, p, by_class=True)
    assert found[4] == conformal.quantile(own[y == 4])


@pytest.mark.parametrize("by_class", [False, True])
def test_exchangeable_images_are_covered_as_promised(by_class):
    covered, n = [], 139
    for seed in range(300):
        y, p = arrays(n + 200, seed)
        chosen = conformal.sets(p[n:], conformal.thresholds(y[:n], p[:n], by_class=by_class))
        hits = chosen[np.arange(200), y[n:]]
        covered.append([hits[y[n:] == k].mean() for k in range(7)] if by_class else [hits.mean()])
    mean = np.mean(covered, axis=0)
    assert (mean > 0.9 - 0.012).all()
    if not by_class:  # at most 1 − α + 1 / (n + 1) for distinct scores
        assert mean[0] < 0.9 + 1 / 140 + 0.008


def test_summary_counts_what_the_sets_hold():
    data = scored(280)
    found = conformal.summary(data, count=50)
    assert tuple(found) == conformal.COLUMNS and len(found) == 2 * 2 * 8
    val, test = (data[data["split"] == split] for split in ("val", "test"))
    limits = conformal.thresholds(predictions.targets(val), predictions.probabilities(val), by_class=True)
    chosen, y = conformal.sets(predictions.probabilities(test), limits), predictions.targets(test)
    rows_of = by(found, kind="class-conditional")
    assert rows_of.loc["all", "size"] == pytest.approx(chosen.sum(axis=1).mean())
    assert rows_of.loc["all", "empty"] == pytest.approx((chosen.sum(axis=1) == 0).mean())
    assert rows_of.loc["mel", "coverage"] == pytest.approx(chosen[y == 4, 4].mean())
    np.testing.assert_array_equal(rows_of["threshold"][1:].astype(float), limits)
    assert np.isnan(rows_of.loc["all", "threshold"]) and not np.isnan(by(found).loc["all", "threshold"])
    assert (found["low"] <= found["coverage"]).all() and (found["size"] <= found["size_high"]).all()
    assert set(found["note"]) == {""}


def test_lesions_and_not_images_are_too_few():
    y, p = np.repeat(np.arange(7), 18), np.random.default_rng(0).dirichlet(np.ones(7), 126)
    pairs = np.repeat(np.arange(63), 2)  # nine lesions a class
    limits = conformal.thresholds(y, p, by_class=True)
    np.testing.assert_array_equal(conformal.thresholds(y, p, by_class=True, clusters=pairs), limits)
    joined = np.where(pairs == 1, 0, pairs)  # eight of class 0
    found = conformal.thresholds(y, p, by_class=True, clusters=joined)
    assert found[0] == 1 > limits[0] and (found[1:] == limits[1:]).all()
    assert (conformal.thresholds(y, p, by_class=True, clusters=joined, alpha=0.2)[0]) < 1  # four are enough
    assert (conformal.thresholds(y, p, clusters=joined) == conformal.quantile(1 - p[np.arange(126), y])).all()
    assert (conformal.thresholds(y, p, clusters=np.arange(126) // 18) == 1).all()  # seven lesions in all


def test_too_few_validation_lesions_of_a_class_put_it_into_every_set():
    data = scored(420)
    of_df = data.index[(data["split"] == "val") & (data["y_true"] == "df")]
    data.loc[of_df, "lesion_id"] = [f"DF_{i // 4}" for i in range(len(of_df))]
    found = conformal.summary(data.drop(of_df[32:]), count=50)
    rows_of = by(found, kind="class-conditional")
    assert rows_of.loc["df", "threshold"] == 1 and rows_of.loc["df", "coverage"] == 1
    assert rows_of.loc["df", "note"] == "only 8 validation lesions of df: df is always in the set"
    assert rows_of.loc["all", "note"] == "always in the set: df" and rows_of.loc["mel", "note"] == ""
    assert set(by(found)["note"]) == {""}


def test_too_few_validation_lesions_altogether():
    data = scored(140)
    few = pd.concat([data[data["split"] == "val"].head(16), data[data["split"] == "test"]])
    rows_of = by(conformal.summary(few, count=50))
    assert (rows_of["size"] == 7).all() and (rows_of["coverage"] == 1).all()
    assert rows_of.loc["nv", "note"] == "only 8 validation lesions: nv is always in the set"


def test_an_absent_class_is_na():
    data = scored()
    data = data[(data["split"] != "test") | (data["y_true"] != "vasc")]
    row = by(conformal.summary(data, count=50)).loc["vasc"]
    assert row["n"] == 0 and row[["coverage", "low", "high", "size", "size_low", "empty"]].isna().all()
    assert row["note"] == "no image of vasc"


def test_without_validation_all_is_undefined_with_its_reason():
    found = conformal.summary(scored(splits=("test",)), count=20)
    assert found[["coverage", "low", "size", "threshold"]].isna().all(axis=None)
    assert set(found["note"]) == {conformal.UNFITTED} and by(found).loc["all", "n"] == 140


def test_one_lesion_has_no_interval():
    data = scored()
    data.loc[data["split"] != "val", "lesion_id"] = "HAM_1"
    found = conformal.summary(data, count=20)
    assert found["coverage"].notna().all() and found["low"].isna().all()
    assert set(found["note"]) == {resampling.ALONE}


def test_several_models_or_no_split_are_refused():
    data = scored()
    with pytest.raises(PredictionError, match="2 models"):
        conformal.summary(pd.concat([data, data.assign(model="b")]))
    with pytest.raises(PredictionError, match="one of test, external"):
        conformal.summary(data[data["split"] == "val"])


def test_classes_are_in_their_order():
    assert list(by(conformal.summary(scored(), count=20)).index) == ["all", *CLASSES]
