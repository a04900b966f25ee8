"""The effect of the frame is a paired difference over the framed images alone."""

import pandas as pd
import pytest

from lesionkit.evidence import comparisons, ensembles, framing, metrics, predictions
from lesionkit.evidence.mixtures import Mixture

from .tables import rows, table


def test_the_effect_is_the_paired_difference_on_the_framed_images():
    described = rows(84, split="external")
    kept = pd.concat([table(name, described, seed=k) for k, name in enumerate("ab")], ignore_index=True)
    framed = described.iloc[:56]
    cropped = pd.concat([table(name, framed, seed=9 + k, strength=4) for k, name in enumerate("ab")])
    found = framing.effect(kept, cropped, Mixture({"a": 0.25, "b": 0.75}), count=100)
    assert list(found) == framing.COLUMNS and list(dict.fromkeys(found["model"])) == ["a", "b", "ensemble"]
    assert set(found["n"]) == {56}
    mean = ensembles.mixed(cropped, Mixture({"a": 0.25, "b": 0.75}))
    expected = metrics.overall(predictions.targets(mean), predictions.probabilities(mean))
    row = found.query("model == 'ensemble'").set_index("metric")
    assert row["cropped"].to_dict() == pytest.approx({name: expected[name] for name in framing.METRICS})
    assert row["difference"].to_numpy(float) == pytest.approx((row["cropped"] - row["kept"]).to_numpy(float))
    assert row.loc["accuracy", "difference"] > 0 and row.loc["accuracy", "low"] > 0
    for _, family in found.groupby("metric"):
        assert family["p_holm"].to_numpy() == pytest.approx(comparisons.holm(family["p"]))
    assert row.loc["accuracy", "p_holm"] > row.loc["accuracy", "p"]


def test_only_the_mean_of_all_members_is_the_ensemble():
    described = rows(56, split="external")
    kept, cropped = (
        pd.concat([table(name, described, seed=start + k) for k, name in enumerate("abc")]) for start in (0, 9)
    )

    def ensemble(members: list[str], models: str) -> pd.DataFrame:
        found = framing.effect(kept, cropped[cropped["model"].isin(list(models))], Mixture.equal(members), count=20)
        assert list(dict.fromkeys(found["model"]))[: len(models)] == list(models)
        return found[found["model"] == "ensemble"].drop(columns="p_holm").reset_index(drop=True)

    assert ensemble(["a", "b", "c"], "ab").empty and ensemble(["a"], "a").empty
    pd.testing.assert_frame_equal(ensemble(["a", "b"], "abc"), ensemble(["a", "b"], "ab"))  # c is no member


def test_no_framed_image_gives_no_row_and_a_missing_image_is_named():
    described = rows(28, split="external")
    assert framing.effect(table("a", described), pd.DataFrame({"model": []}), Mixture({"a": 1})).empty
    with pytest.raises(predictions.PredictionError, match="do not hold the same images"):
        framing.effect(table("a", described.iloc[:14]), table("a", described), Mixture({"a": 1}), count=100)
