"""Pooled out-of-fold predictions are one table, scored once."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.evidence import metrics, pooling, predictions

from .tables import rows, table


def folded(model="a", n=84):
    """Two folds of one model: each image is out once; both have scored the test images."""
    out, test = rows(n, split="out"), rows(28, split="test", prefix="TEST_")
    first = out["lesion_id"] < out["lesion_id"].max()
    parts = [
        table(model, pd.concat([out[here], test]), seed=k).assign(version=f"fold{k}")
        for k, here in enumerate((first, ~first), start=1)
    ]
    return pd.concat(parts, ignore_index=True)


def test_each_image_counts_once_and_test_images_do_not():
    versions = folded()
    found = pooling.pooled(versions, count=100).set_index("metric")
    out = versions[versions["split"] == "out"]
    expected = metrics.overall(predictions.targets(out), predictions.probabilities(out))
    assert found.loc[list(expected), "value"].to_dict() == pytest.approx(expected)
    assert set(found["n"]) == {84} and set(found["lesions"]) == {42}
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()


def test_lesions_are_drawn_and_not_images():
    """Every image twice, in one lesion: no more is known than from each once."""
    once = folded()
    once = once.assign(lesion_id=once["image_id"])
    twice = pd.concat([once, once.assign(image_id="again_" + once["image_id"])], ignore_index=True)
    bounds = ["value", "low", "high"]
    np.testing.assert_allclose(pooling.pooled(twice, 100)[bounds], pooling.pooled(once, 100)[bounds], atol=1e-12)


def test_models_of_other_images_are_refused_and_nothing_gives_nothing():
    versions = pd.concat([folded("a"), folded("b", n=70)])
    with pytest.raises(predictions.PredictionError, match="do not hold the same images"):
        pooling.pooled(versions, count=100)
    assert list(pooling.pooled(pd.DataFrame({"model": []}))) == pooling.COLUMNS
