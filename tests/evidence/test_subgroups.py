"""Subgroups: each group's numbers are those of its images alone; gaps are of groups that are not small."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.evidence import metrics, predictions, resampling, subgroups

from .tables import rows, table

SHOWN = subgroups.SHOWN


def index(**columns) -> pd.DataFrame:
    n = max(map(len, columns.values()))
    empty = {"age": [np.nan] * n, "sex": [None] * n, "site": [None] * n, "dx_type": [None] * n, "source": ["A"] * n}
    return pd.DataFrame({"image_id": [f"ISIC_{i:07d}" for i in range(n)], **empty, **columns})


def one(n: int = 420, **columns) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A model's table, and facts with `columns`, each repeated over the images by lesion (two images each)."""
    described = rows(n)
    repeated = {name: np.resize(np.repeat(values, 2), n) for name, values in columns.items()}
    return table("resnet50", described), pd.DataFrame({"image_id": described["image_id"], **repeated})


def test_bands_by_hand():
    facts = subgroups.bands(
        index(
            age=[0, 29.9, 30, 59, 60, 74, 75, 90, np.nan],
            dx_type=["histo", "follow_up", "consensus", "confocal", None, np.nan, "histo", "histo", None],
            sex=["male", None] * 4 + ["female"],
        )
    )
    assert list(facts) == ["image_id", "age_band", "sex", "site", "confirmation", "source"]
    expected = ["0–29", "0–29", "30–44", "45–59", "60–74", "60–74", "75+", "75+"]
    assert facts["age_band"].tolist()[:8] == expected and pd.isna(facts["age_band"].iloc[8])
    confirmation = facts["confirmation"]
    assert confirmation.dropna().tolist() == ["histopathology", "other", "other", "other"] + ["histopathology"] * 2
    assert confirmation.isna().tolist() == [False] * 4 + [True] * 2 + [False] * 2 + [True]
    assert facts["site"].isna().all() and facts["sex"].notna().sum() == 5


def test_each_group_has_the_metrics_of_its_images():
    scored, facts = one(sex=["male", "female", "male"], site=["back", None])
    result = subgroups.summary(subgroups.replicate(scored, facts, count=50))
    assert result.groupby("attribute", sort=False)["level"].unique().map(list).to_dict() == {
        "all": ["all"],
        "sex": ["female", "male"],
        "site": ["back", "not known"],
    }
    known = facts.set_index("image_id").loc[scored["image_id"]]
    for (attribute, level), part in result.groupby(["attribute", "level"]):
        here = np.full(len(scored), True)
        if attribute != "all":
            here = (known[attribute].isna() if level == subgroups.UNKNOWN else known[attribute] == level).to_numpy()
        chosen = scored[here]
        expected = metrics.overall(predictions.targets(chosen), predictions.probabilities(chosen))
        np.testing.assert_allclose(part["value"], [expected[name] for name in part["metric"]])
        assert (part["n"] == here.sum()).all() and (part["lesions"] == chosen["lesion_id"].nunique()).all()
        assert (part["melanomas"] == (chosen["y_true"] == "mel").sum()).all()


def test_intervals_restrict_the_resamples_of_the_whole_split():
    scored, facts = one(sex=["male", "female"])
    groups = subgroups.replicate(scored, facts, metrics=("accuracy",), count=300, seed=5)
    w = resampling.draws(scored["lesion_id"], 300, 5)
    right = predictions.probabilities(scored).argmax(axis=1) == predictions.targets(scored)
    here = (facts["sex"] == "male").to_numpy()
    values = (w[here & right].sum(axis=0)) / w[here].sum(axis=0)
    row = groups.table.index[(groups.table["level"] == "male")][0]
    np.testing.assert_allclose(groups.values[row], values)
    np.testing.assert_allclose(groups.table.loc[row, ["low", "high"]].astype(float), np.percentile(values, [2.5, 97.5]))


def test_ages_come_in_order_and_nobody_is_guessed():
    scored, facts = one(age_band=["75+", "0–29", None])
    facts["age_band"] = pd.Categorical(facts["age_band"], subgroups.AGE_BANDS, ordered=True)
    levels = subgroups.replicate(scored, facts, metrics=("accuracy",), count=5).table["level"]
    assert levels.tolist() == ["all", "0–29", "75+", "not known"]


def test_small_groups_are_marked_for_what_they_lack():
    scored, facts = one(n=420)
    mel = scored["y_true"] == "mel"
    facts["site"] = np.where(mel & (mel.cumsum() > 9), "rest", np.where(np.arange(420) < 49, "few", "nine"))
    facts.loc[mel & (mel.cumsum() <= 9), "site"] = "nine"
    result = subgroups.summary(subgroups.replicate(scored, facts, count=20)).set_index(["level", "metric"])
    nine = result.loc["nine"]
    assert nine.loc["accuracy", "melanomas"] == 9 and nine.loc["accuracy", "n"] > 50
    assert nine.index[nine["small"]].tolist() == ["melanoma_sensitivity", "melanoma_auc"]
    assert result.loc["few", "small"].all() and result.loc["few"].iloc[0]["n"] < 50
    assert not result.loc["all", "small"].any()


def test_a_class_that_a_group_lacks_is_named_and_not_averaged_away():
    scored, facts = one()
    facts["site"] = np.where(scored["y_true"].isin(["mel", "df"]), "back", "face")
    result = subgroups.summary(subgroups.replicate(scored, facts, count=20)).set_index(["level", "metric"])
    assert np.isnan(result.loc[("face", "balanced_accuracy"), "value"])
    assert result.loc[("face", "balanced_accuracy"), "note"] == "no image of df, mel"
    assert result.loc[("face", "melanoma_auc"), "note"] == "no image of mel"
    assert result.loc[("face", "accuracy"), "note"] == ""


def test_the_widest_gap_by_hand():
    scored, facts = one(site=["a", "b", "c"], sex=["male", "female"])
    groups = subgroups.replicate(scored, facts, metrics=("accuracy", "log_loss"), count=200)
    gaps = subgroups.gaps(groups).set_index(["attribute", "metric"])
    values = groups.table[groups.table["metric"] == "accuracy"].set_index("level")["value"]
    row = gaps.loc[("site", "accuracy")]
    sites = values[["a", "b", "c"]]
    assert (row["best"], row["worst"]) == (sites.idxmax(), sites.idxmin())
    assert row["gap"] == pytest.approx(sites.max() - sites.min())
    assert row["note"] == "the extremes of 3 levels, chosen on the same images: overstated"
    at = groups.table[groups.table["metric"] == "accuracy"].reset_index().set_index("level")["index"]
    drawn = groups.values[at[row["best"]]] - groups.values[at[row["worst"]]]
    np.testing.assert_allclose([row["low"], row["high"]], np.percentile(drawn, [2.5, 97.5]))
    assert gaps.loc[("sex", "accuracy"), "note"] == ""
    losses = groups.table[groups.table["metric"] == "log_loss"].set_index("level")["value"]
    assert gaps.loc[("site", "log_loss"), "best"] == losses[["a", "b", "c"]].idxmin()
    assert gaps.loc[("site", "log_loss"), "gap"] > 0


def test_gaps_leave_out_small_and_unknown_groups():
    scored, facts = one(sex=["male", None])
    facts.loc[:9, "sex"] = "female"
    gaps = subgroups.gaps(subgroups.replicate(scored, facts, metrics=("accuracy",), count=20))
    assert len(gaps) == 1 and np.isnan(gaps.loc[0, "gap"]) and pd.isna(gaps.loc[0, "best"])
    assert gaps.loc[0, "note"] == "fewer than two known levels that are not small"


def test_no_attribute_gives_all_images_and_no_gap():
    scored, facts = one()
    groups = subgroups.replicate(scored, facts, count=20)
    assert groups.table["attribute"].unique().tolist() == ["all"]
    gaps = subgroups.gaps(groups)
    assert gaps.empty and list(gaps) == ["attribute", "metric", "best", "worst", "gap", "low", "high", "note"]


def test_one_lesion_has_no_interval():
    scored, facts = one(sex=["male", "female"])
    groups = subgroups.replicate(scored.assign(lesion_id="one"), facts, metrics=("accuracy",), count=20)
    assert groups.table["value"].notna().all() and groups.table["low"].isna().all()
    assert set(groups.table["note"]) == {resampling.ALONE}


def test_faults_are_refused_by_name():
    scored, facts = one(sex=["male", "female"])
    both = pd.concat([scored, scored.assign(model="other")], ignore_index=True)
    with pytest.raises(ValueError, match="the models resnet50, other"):
        subgroups.replicate(both, facts)
    with pytest.raises(ValueError, match="facts lack 1 of 420 images, first ISIC_0000000"):
        subgroups.replicate(scored, facts[1:])
    with pytest.raises(ValueError, match="facts hold 1 images more than once, first ISIC_0000003"):
        subgroups.replicate(scored, pd.concat([facts, facts[3:4]]))
    with pytest.raises(ValueError, match="unknown metric f2"):
        subgroups.replicate(scored, facts, metrics=("f2",))


def test_inputs_are_left_as_they_were():
    scored, facts = one(sex=["male", None])
    before = scored.copy(), facts.copy()
    groups = subgroups.replicate(scored, facts, count=5)
    mine = subgroups.summary(groups)
    mine["value"] = 0.0
    subgroups.gaps(groups)
    pd.testing.assert_frame_equal(scored, before[0])
    pd.testing.assert_frame_equal(facts, before[1])
    assert (groups.table["value"] > 0).all()
