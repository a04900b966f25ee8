"""Stability over views, folds and seeds: measures by hand, means by the plain loop, reasons where there is none."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions, resampling, stability
from lesionkit.evidence.mixtures import Mixture
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table


def versions(n: int = 140, names=("view0", "view1", "view2"), strength: float = 1.0) -> pd.DataFrame:
    parts = [table("one", rows(n), seed=i, strength=strength).assign(version=name) for i, name in enumerate(names)]
    return pd.concat(parts, ignore_index=True).drop(columns=["model", "dataset"])


def by_hand() -> pd.DataFrame:
    """Three images in three versions: of one mind; two against one; all different."""
    calls = {"view0": ["mel", "mel", "nv"], "view1": ["mel", "nv", "mel"], "view2": ["mel", "nv", "bcc"]}
    described = rows(3).assign(y_true=["mel", "nv", "nv"], lesion_id=["a", "b", "c"])
    parts = []
    for version, names in calls.items():
        p = np.eye(7)[[CLASSES.index(name) for name in names]]
        parts.append(predictions.build(described, p, "one").assign(version=version))
    return pd.concat(parts, ignore_index=True)


def test_measures_by_hand():
    images = stability.by_image(by_hand()).set_index("image_id")
    assert images["call"].tolist() == ["mel", "nv", "bcc"]  # of equal counts the first class
    np.testing.assert_allclose(images["agreement"], [1, 2 / 3, 1 / 3])
    assert images["flip"].tolist() == [False, True, True]
    np.testing.assert_allclose(images["sd_mel"], [0, np.std([1, 0, 0], ddof=1), np.std([0, 1, 0], ddof=1)])


def test_means_over_all_and_by_class_by_hand():
    summary = stability.over_versions(by_hand(), count=50).set_index(["class", "metric"])
    assert list(dict.fromkeys(summary.index.get_level_values(0))) == ["all", *CLASSES]
    assert summary.loc[("all", "agreement"), "value"] == pytest.approx(2 / 3)
    assert summary.loc[("all", "flip"), "value"] == pytest.approx(2 / 3)
    assert summary.loc[("nv", "agreement"), "value"] == pytest.approx(1 / 2)
    assert summary.loc[("mel", "flip"), ["n", "value"]].tolist() == [1, 0]
    assert summary.loc[("df", "flip"), "n"] == 0 and np.isnan(summary.loc[("df", "flip"), "value"])
    assert summary.loc[("df", "flip"), "note"] == "no image of this class"
    assert "undefined in" in summary.loc[("mel", "flip"), "note"]  # one lesion: many resamples are without it


def test_intervals_are_those_of_the_plain_loop_over_lesions():
    scored = versions()
    summary = stability.over_versions(scored, count=60, seed=3).set_index(["class", "metric"])
    images = stability.by_image(scored)
    w = resampling.draws(images["lesion_id"].to_numpy(), 60, 3)
    drawn = [images.iloc[np.repeat(np.arange(140), column)] for column in w.T]
    for name, metric in [("all", "flip"), ("mel", "sd_mel"), ("nv", "agreement")]:
        means = [part.loc[(part["y_true"] == name) | (name == "all"), metric].mean() for part in drawn]
        row = summary.loc[(name, metric)]
        np.testing.assert_allclose([row["low"], row["high"]], np.quantile(means, [0.025, 0.975]))
        assert row["low"] <= row["value"] <= row["high"]


def test_order_of_rows_and_versions_does_not_matter():
    scored = versions()
    before = scored.copy()
    turned = scored.sample(frac=1, random_state=1)
    keys = ["image_id"]
    straight = stability.by_image(scored).set_index(keys)
    pd.testing.assert_frame_equal(stability.by_image(turned).set_index(keys).loc[straight.index], straight)
    pd.testing.assert_frame_equal(scored, before)
    renamed = scored.assign(version=scored["version"].map({"view0": 42, "view1": 7, "view2": 1}))  # seeds
    pd.testing.assert_frame_equal(stability.over_versions(renamed, 20), stability.over_versions(scored, 20))


def test_equal_versions_are_stable_and_groups_are_the_clusters():
    one = table("one", rows(70)).drop(columns="model")
    same = pd.concat([one.assign(version=name) for name in ("fold1", "fold2")], ignore_index=True)
    summary = stability.over_versions(same, count=30).set_index(["class", "metric"])
    assert summary.loc[("all", "agreement"), ["value", "low", "high"]].tolist() == [1, 1, 1]
    assert (summary.xs("sd_mel", level="metric")["value"] == 0).all()
    grouped = versions(70).assign(group_id="one")
    assert set(stability.over_versions(grouped, count=30)["note"]) == {resampling.ALONE}
    assert "group_id" in stability.by_image(grouped)


def test_refuses_tables_that_do_not_compare():
    scored = versions(14)
    with pytest.raises(PredictionError, match="missing column version"):
        stability.by_image(scored.drop(columns="version"))
    with pytest.raises(PredictionError, match="holds view0 alone; stability needs two"):
        stability.by_image(scored[scored["version"] == "view0"])
    with pytest.raises(PredictionError, match="view2 and view0 do not hold the same images"):
        stability.by_image(scored.iloc[:-1])
    with pytest.raises(PredictionError, match="holds the splits test, val; choose one"):
        stability.by_image(scored.assign(split=["test"] * 14 + ["val"] * 28))
    with pytest.raises(PredictionError, match="holds the models a, b; choose one"):
        stability.by_image(scored.assign(model=["a"] * 14 + ["b"] * 28))
    with pytest.raises(PredictionError, match="do not sum to 1"):
        stability.by_image(scored.assign(p_mel=2.0))
    with pytest.raises(PredictionError, match="duplicate keys"):
        stability.by_image(pd.concat([scored, scored.tail(1)]))
    with pytest.raises(PredictionError, match="no rows"):
        stability.by_image(scored.iloc[:0])


def test_every_model_and_their_ensemble():
    a, b = versions().assign(model="a"), versions(strength=3.0).assign(model="b")
    table = stability.every_model(pd.concat([a, b]), Mixture({"a": 0.25, "b": 0.75}, {"b": 2.0}), "test", count=30)
    assert list(table) == stability.COLUMNS and list(dict.fromkeys(table["model"])) == ["a", "b", "ensemble"]
    names = list(predictions.PROBABILITIES)
    roots = b[names] ** 0.5  # what a temperature of 2 makes of them, but for their sum
    both = a.assign(**{name: a[name] / 4 + 0.75 * roots[name] / roots.sum(axis=1) for name in names})
    for model, own in {"a": a, "b": b, "ensemble": both}.items():
        found = table[table["model"] == model].drop(columns="model").reset_index(drop=True)
        expected = stability.over_versions(own.drop(columns="model"), count=30)
        pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-5)
    assert stability.every_model(a.iloc[:0], Mixture({"a": 1})).empty and stability.every_model(a, Mixture({"a": 1}), "external").empty


def test_only_the_mean_of_all_members_is_the_ensemble():
    a, b = versions().assign(model="a"), versions(strength=3.0).assign(model="b")
    both = pd.concat([a, b])

    def models(found: pd.DataFrame, members: list[str]) -> list[str]:
        return list(dict.fromkeys(stability.every_model(found, Mixture.equal(members), count=10)["model"]))

    assert models(both, ["a", "b", "c"]) == ["a", "b"]  # c has no views
    assert models(a, ["a"]) == ["a"]
    fewer = b[b["version"] != "view2"]  # of view2 the mean would be a alone
    assert models(pd.concat([a, fewer]), ["a", "b"]) == ["a", "b"]
    third = versions(strength=6.0).assign(model="c")  # no member
    tables = [stability.every_model(found, Mixture.equal("ab"), count=10) for found in (both, pd.concat([both, third]))]
    ensembles = [found[found["model"] == "ensemble"].reset_index(drop=True) for found in tables]
    pd.testing.assert_frame_equal(*ensembles)
