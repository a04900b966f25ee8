"""The effect of the frame is a paired difference over the framed images alone."""

import pandas as pd
import pytest

from lesionkit.evidence import ensembles, framing, metrics, predictions

from .tables import rows, table


def test_the_effect_is_the_paired_difference_on_the_framed_images():
    described = rows(84, split="external")
    kept = pd.concat([table(name, described, seed=k) for k, name in enumerate("ab")], ignore_index=True)
    framed = described.iloc[:56]
    cropped = pd.concat([table(name, framed, seed=9 + k, strength=4) for k, name in enumerate("ab")])
    found = framing.effect(kept, cropped, count=100)
    assert list(found) == framing.COLUMNS and list(dict.fromkeys(found["model"])) == ["a", "b", "ensemble"]
    assert set(found["n"]) == {56}
    mean = ensembles.mean(cropped)
    expected = metrics.overall(predictions.targets(mean), predictions.probabilities(mean))
    row = found.query("model == 'ensemble'").set_index("metric")
    assert row["cropped"].to_dict() == pytest.approx({name: expected[name] for name in framing.METRICS})
    assert row["difference"].to_numpy(float) == pytest.approx((row["cropped"] - row["kept"]).to_numpy(float))
    assert row.loc["accuracy", "difference"] > 0 and row.loc["accuracy", "low"] > 0


def test_no_framed_image_gives_no_row_and_a_missing_image_is_named():
    described = rows(28, split="external")
    assert framing.effect(table("a", described), pd.DataFrame({"model": []})).empty
    with pytest.raises(predictions.PredictionError, match="do not hold the same images"):
        framing.effect(table("a", described.iloc[:14]), table("a", described), count=100)
