"""Ensembles: by hand, whatever the order of members, never over different images, and fitted on validation alone."""


import numpy as np
import pandas as pd
import pytest

from lesionkit.data.records import CLASSES
from lesionkit.evidence import ensembles, predictions, scaling, stacking
from lesionkit.evidence.mixtures import Mixture
from lesionkit.evidence.predictions import PROBABILITIES, PredictionError

from .tables import rows, table

FITS = (ensembles.weighted, ensembles.stacked, ensembles.greedy)


def members(*names: str) -> pd.DataFrame:
    return pd.concat([table(name, rows(14), seed=i) for i, name in enumerate(names)], ignore_index=True)


def study(*names: str, n: int = 140) -> pd.DataFrame:
    """Members on three splits, with groups; the later the name, the stronger, each with something to add."""
    splits = [rows(n, seed=9, split=split, prefix=f"{split}_") for split in ("val", "test", "external")]
    described = pd.concat(splits, ignore_index=True)
    described["group_id"] = described["split"] + described["lesion_id"]
    parts = [table(name, described, seed=i, strength=1 + 0.1 * i) for i, name in enumerate(names)]
    return pd.concat(parts, ignore_index=True)


def test_mean_by_hand():
    described = rows(2)
    one = predictions.build(described, np.eye(7)[[0, 1]], "one")
    two = predictions.build(described, np.eye(7)[[0, 4]], "two")
    result = ensembles.mean(pd.concat([one, two]))
    np.testing.assert_array_equal(predictions.probabilities(result), [[1, 0, 0, 0, 0, 0, 0], [0, 0.5, 0, 0, 0.5, 0, 0]])
    assert list(result.columns) == list(predictions.COLUMNS)
    assert set(result["model"]) == {"ensemble"}
    assert result["image_id"].tolist() == described["image_id"].tolist()


def test_rows_and_members_may_come_in_any_order():
    table = members("a", "b", "c")
    turned = ensembles.mean(table.sample(frac=1, random_state=0)).set_index("image_id")
    straight = ensembles.mean(table).set_index("image_id")
    pd.testing.assert_frame_equal(turned.loc[straight.index], straight)


def test_the_mean_of_one_or_of_equals_is_itself():
    alone = members("a")
    pd.testing.assert_frame_equal(ensembles.mean(alone, name="a mean"), alone.assign(model="a mean"))
    twice = pd.concat([alone, alone.assign(model="b")])
    pd.testing.assert_frame_equal(ensembles.mean(twice), alone.assign(model="ensemble"))


def test_members_must_hold_the_same_images_and_labels():
    table = members("a", "b")
    with pytest.raises(PredictionError, match="b and a do not hold the same images.* first ISIC_0000013"):
        ensembles.mean(table.iloc[:-1])
    with pytest.raises(PredictionError, match="b and a disagree on split of 14 images"):
        ensembles.mean(table.assign(split=np.where(table["model"] == "b", "val", "test")))


def test_an_ensemble_is_no_member_of_itself():
    table = members("a", "b")
    with pytest.raises(PredictionError, match="'ensemble' is already a model"):
        ensembles.mean(pd.concat([table, ensembles.mean(table)]))
    before = table.copy()
    ensembles.mean(table)
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize("combine", [ensembles.mean, ensembles.geometric_mean, *FITS, ensembles.every])
def test_every_ensemble_refuses_what_the_mean_refuses(combine):
    table = study("a", "b")
    with pytest.raises(PredictionError, match="no rows"):
        combine(table.iloc[:0])
    with pytest.raises(PredictionError, match="'ensemble_greedy' is already a model"):
        combine(table.assign(model=table["model"].replace("b", "ensemble_greedy")))
    with pytest.raises(PredictionError, match="do not hold the same images"):
        combine(table.iloc[:-1])


def test_geometric_mean_by_hand():
    described = rows(1)
    one, two = np.full((2, 1, 7), 0.02)
    one[0, 0], two[0, 0], two[0, 1] = 0.88, 0.44, 0.46
    both = [predictions.build(described, p, name) for name, p in {"one": one, "two": two}.items()]
    product = np.sqrt([0.88 * 0.44, 0.02 * 0.46, *[0.02**2] * 5])
    result = ensembles.geometric_mean(pd.concat(both))
    np.testing.assert_allclose(predictions.probabilities(result)[0], product / product.sum(), rtol=1e-6)


@pytest.mark.parametrize("fit", [ensembles.weighted, ensembles.greedy])
def test_a_mixture_is_its_weights_times_the_scaled_members(fit):
    table = study("a", "b", "c")
    result, weights = fit(table)
    expected = scaling.temperatures(table) if fit is ensembles.weighted else dict.fromkeys("abc", 1.0)
    assert dict(zip(weights["model"], weights["temperature"])) == pytest.approx(expected)
    assert weights["model"].tolist() == ["a", "b", "c"] and weights["weight"].sum() == pytest.approx(1)
    parts = [scaling.scaled(predictions.probabilities(one), expected[name]) for name, one in table.groupby("model")]
    np.testing.assert_allclose(predictions.probabilities(result), np.tensordot(weights["weight"], parts, 1), atol=1e-6)
    shown = ensembles.weights_of(table)
    pd.testing.assert_frame_equal(
        shown.loc[shown["ensemble"] == result["model"][0], ["model", "weight", "temperature"]].reset_index(drop=True), weights
    )


def test_a_member_weighs_the_same_however_sure_it_is():
    table = study("a", "b", "c")
    vaguer = table["model"] == "b"
    p = scaling.scaled(predictions.probabilities(table[vaguer]), 3.0)
    other = pd.concat([table[~vaguer], scaling.with_probabilities(table[vaguer], p)])
    (one, fitted), (two, changed) = (ensembles.weighted(of) for of in (table, other))
    np.testing.assert_allclose(fitted["weight"], changed["weight"], atol=1e-3)
    np.testing.assert_allclose(changed["temperature"] / fitted["temperature"], [1, 1 / 3, 1], rtol=1e-3)
    np.testing.assert_allclose(*(predictions.probabilities(of) for of in (one, two)), atol=1e-3)


def test_stacked_shows_its_regression():
    table = study("a", "b")
    result, weights = ensembles.stacked(table)
    assert list(weights) == ["model", "given", "class", "weight", "strength"] and len(weights) == 2 * 7 * 7
    val = dict(iter(table[table["split"] == "val"].groupby("model")))
    p = np.stack([predictions.probabilities(rows) for rows in val.values()]).astype(float)
    fitted = stacking.stack(predictions.targets(val["a"]), p, val["a"]["group_id"].to_numpy())
    chosen = weights.set_index(["model", "given", "class"]).loc[("b", "mel", "nv"), "weight"]
    assert chosen == pytest.approx(fitted.coef_[CLASSES.index("nv"), 7 + CLASSES.index("mel")])
    assert set(weights["strength"]) == {fitted.C}
    scores = predictions.probabilities(result[result["split"] == "val"])
    np.testing.assert_allclose(scores, fitted.predict_proba(stacking.features(p)), atol=1e-6)


def corrupted(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Other labels, or other scores, in every row that is not of validation; the same in all members."""
    table, outside = table.copy(), (table["split"] != "val").to_numpy()
    if what == "labels":
        images = sorted(table.loc[outside, "image_id"].unique())
        new = dict(zip(images, np.random.default_rng(1).choice(CLASSES, len(images)), strict=True))
        table.loc[outside, "y_true"] = table.loc[outside, "image_id"].map(new)
    else:
        p = np.random.default_rng(2).dirichlet(np.ones(7), int(outside.sum()))
        table.loc[outside, list(PROBABILITIES)] = p.astype(np.float32)
    return table


@pytest.mark.parametrize("what", ["labels", "scores"])
@pytest.mark.parametrize("fit", FITS)
def test_nothing_but_validation_enters_a_fit(fit, what):
    table = study("a", "b", "c")
    other = corrupted(table, what)
    assert not other.equals(table)
    pd.testing.assert_frame_equal(fit(other).weights, fit(table).weights, check_exact=True)
    alone = table[table["split"] == "val"]
    pd.testing.assert_frame_equal(fit(alone).weights, fit(table).weights, check_exact=True)
    turned = table.assign(split=table["split"].replace({"val": "test", "test": "val"}))
    assert not fit(turned).weights.equals(fit(table).weights)  # while other validation images do


def test_every_stacks_all_five_and_keeps_groups_and_rows():
    table = study("a", "b", "c").assign(energy=1.5)
    before = table.copy()
    all_five, left_out = ensembles.every(table)
    others = [f"ensemble_{rule}" for rule in ensembles.RULES if rule != "mean"]
    assert list(all_five["model"].unique()) == ["ensemble", *others] and left_out.empty
    assert list(all_five) == [*predictions.KEYS, "group_id", *PROBABILITIES]  # energy is of one network's logits
    assert all_five.groupby(["model", "split"]).size().eq(140).all()
    one = table[table["model"] == "a"].set_index("image_id")
    for _, scored in all_five.groupby("model"):
        pd.testing.assert_series_equal(scored.set_index("image_id")["group_id"], one["group_id"])
    pd.testing.assert_frame_equal(table, before)
    turned, _ = ensembles.every(table.sample(frac=1, random_state=0))
    keys = ["model", "image_id"]
    turned, straight = turned.set_index(keys).sort_index(), all_five.set_index(keys).sort_index()
    pd.testing.assert_frame_equal(turned, straight, rtol=1e-3, atol=1e-4)


def test_a_study_may_name_the_weighted_mean_its_ensemble():
    table = study("a", "b", "c")
    found, weights = ensembles.mixture(table, "weighted").table(), ensembles.weighted(table).weights
    assert found["model"].tolist() == ["a", "b", "c"] and found["share"].sum() == pytest.approx(1)
    pd.testing.assert_frame_equal(found.rename(columns={"share": "weight"}), weights)
    made, _ = ensembles.every(table, "weighted")
    others = [f"ensemble_{rule}" for rule in ensembles.RULES if rule != "weighted"]
    assert list(made["model"].unique()) == ["ensemble", *others]
    plain, _ = ensembles.every(table)
    for one, other in (("ensemble", "ensemble_weighted"), ("ensemble_mean", "ensemble")):
        p = [predictions.probabilities(of[of["model"] == name]) for of, name in ((made, one), (plain, other))]
        np.testing.assert_allclose(*p, atol=1e-6)
    assert ensembles.mixture(table) == Mixture(dict.fromkeys("abc", 1 / 3))
    assert ensembles.mixture(table[table["model"] == "a"], "weighted") == Mixture({"a": 1})
    with pytest.raises(ensembles.CannotFit, match='set ensemble = "mean"'):
        ensembles.mixture(table[table["split"] != "val"], "weighted")
    for wrong in ({"a": 0.5, "b": 0.5}, dict.fromkeys("abcd", 0.25)):
        with pytest.raises(predictions.PredictionError, match="give each its share"):
            ensembles.mixed(table, Mixture(wrong))


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda t: t[t["split"] != "val"], "there is no validation image to fit on"),
        (lambda t: t[(t["split"] != "val") | (t["y_true"] != "df")], "there is no validation image of df to fit on"),
        (lambda t: t[t["model"] == "a"], "there is one member alone, so that nothing is to be weighed"),
    ],
)
def test_what_cannot_be_fitted_is_left_out_with_its_reason(change, reason):
    table = change(study("a", "b"))
    found, left_out = ensembles.every(table)
    assert list(found["model"].unique()) == ["ensemble", "ensemble_geometric"]
    assert left_out["ensemble"].tolist() == ["ensemble_weighted", "ensemble_stacked", "ensemble_greedy"]
    assert set(left_out["reason"]) == {reason}
    assert list(ensembles.weights_of(table)) == ["ensemble", "model", "weight", "temperature"] and ensembles.weights_of(table).empty


def test_a_class_of_one_lesion_leaves_only_the_stacked_out():
    table = study("a", "b")
    rare = (table["split"] == "val") & (table["y_true"] == "df")
    table.loc[rare, ["lesion_id", "group_id"]] = "one"
    found, left_out = ensembles.every(table)
    assert len(found["model"].unique()) == 4 and left_out["ensemble"].tolist() == ["ensemble_stacked"]
    assert "of df are of too few lesions (1)" in left_out["reason"][0]
