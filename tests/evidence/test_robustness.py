"""What is decided from shifted validation: by hand where answers can be foreseen."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions, robustness

N = 140


def answers(skill: float, name: str, split: str = "val", seed: int = 0) -> pd.DataFrame:
    """Predictions of a model that knows the truth as far as `skill` says."""
    y = np.arange(N) % 7
    p = np.exp(np.random.default_rng(seed).normal(size=(N, 7)) + skill * np.eye(7)[y])
    ids = [f"{split}_{i}" for i in range(N)]
    rows = pd.DataFrame({"image_id": ids, "lesion_id": ids, "group_id": ids, "dx": np.take(CLASSES, y)})
    rows = rows.assign(dataset="ham10000", split=split)
    return predictions.build(rows, (p / p.sum(1, keepdims=True)).astype(np.float32), name)


def skills(clean, frame, *several):
    return {"none": clean, "frame": frame, **dict(zip(robustness.SEVERAL, several))}


SKILLS = {"baseline": skills(2.5, 1.0, 1.0, 1.0, 1.2), "helps": skills(2.5, 2.5, 2.5, 2.0, 2.2),
          "same": skills(2.5, 1.0, 1.0, 1.0, 1.2), "costs": skills(0.5, 2.5, 2.5, 2.0, 2.2)}  # fmt: skip


AFTER = {name: "baseline" for name in ("helps", "same", "costs")}


@pytest.fixture(scope="module")
def shifted():
    """Under several shifts, one image a class is under blur and jpeg, the next under hair and jpeg."""
    table = pd.concat([answers(skill, model).assign(shift=shift) for model, own in SKILLS.items() for shift, skill in own.items()])
    first = table["image_id"].str.removeprefix("val_").astype(int) % 14 < 7
    return table.assign(shifts=[frozenset(["jpeg", "blur" if one else "hair"]) for one in first]).reset_index(drop=True)


@pytest.fixture(scope="module")
def replicates(shifted):
    return robustness.shifted_replicates(shifted, count=400)


@pytest.fixture(scope="module")
def proxy(shifted):
    return robustness.proxy_of(shifted, count=400)


def auc(table):
    y, p = predictions.targets(table), predictions.probabilities(table)
    return np.mean([roc_auc_score(y == k, p[:, k]) for k in range(7)])


def test_robustness_is_the_macro_auc_over_all_draws(proxy):
    expected = auc(pd.concat([answers(SKILLS["helps"][shift], "helps") for shift in robustness.SEVERAL]))
    assert proxy.of("helps", "robustness")[0] == pytest.approx(expected, abs=1e-6)
    assert proxy.of("helps", "validation")[0] == pytest.approx(auc(answers(2.5, "helps")), abs=1e-6)


def test_archives_left_out_are_one_more_proxy_though_one_lacks_a_class():
    """As the sources of HAM10000 do: two of four have no actinic keratosis."""
    shifted = pd.concat([answers(skill, model).assign(shift=shift) for model, skill in (("baseline", 1.0), ("helps", 2.0))
                         for shift in ("none", *robustness.SEVERAL)])  # fmt: skip
    left = pd.concat([answers(skill, model, split=name, seed=seed).assign(shift=f"without {name}", split="val")
                      for seed, name in enumerate(("a", "b"), 1) for model, skill in (("baseline", 1.5), ("helps", 1.0))])  # fmt: skip
    left = left[(left["shift"] != "without b") | (left["y_true"] != "akiec")]
    everything = pd.concat([shifted, left])
    everything = everything.assign(shifts=[frozenset()] * len(everything))
    decided = robustness.decide(everything, {"helps": "baseline"}, {}, count=100).set_index("model")
    assert decided.loc["helps", "left_out"] == pytest.approx(auc(left[left["model"] == "helps"]), abs=1e-6)
    assert decided.loc["helps", "left_out_difference"] < 0 < decided.loc["helps", "robustness_difference"]
    outside = pd.DataFrame({"model": ["baseline", "helps"], "split": "external", "metric": "macro_auc", "value": [0.6, 0.7]})
    assert set(robustness.foretold(decided.reset_index(), outside, ["macro_auc"])["by"]) == {"robustness", "left_out", "validation"}


def test_what_helps_is_kept_and_what_does_nothing_or_costs_validation_is_not(shifted):
    decided = robustness.decide(shifted, AFTER, {}, count=400).set_index("model")
    assert decided["kept"].to_dict() == {"baseline": False, "helps": True, "same": False, "costs": False}
    assert decided.loc["same", "robustness_difference"] == 0 and decided.loc["costs", "robustness_low"] > 0
    assert decided.loc["helps", "robustness_p_holm"] >= decided.loc["helps", "robustness_p"]
    assert decided.loc["costs", "validation_high"] < 0


def test_by_shift_holds_every_pair_and_the_baselines_value(replicates):
    table = robustness.by_shift(replicates, AFTER)
    assert len(table) == 4 * 5 and table["shift"].unique().tolist() == ["none", "frame", *robustness.SEVERAL]
    row = table[(table["model"] == "helps") & (table["shift"] == "frame")].iloc[0]
    assert row["difference"] == pytest.approx(auc(answers(2.5, "x")) - auc(answers(1.0, "x")), abs=1e-6) and row["low"] > 0
    assert table[table["model"] == "baseline"]["difference"].isna().all() and table["model"].unique().tolist() == [*SKILLS]


def test_a_candidate_is_compared_with_what_it_was_made_on(shifted, proxy):
    decided = robustness.decide(shifted, {"helps": "baseline", "costs": "helps", "same": "helps"}, {}, count=400).set_index("model")
    assert decided["after"].to_dict() == {"baseline": "", "helps": "baseline", "costs": "helps", "same": "helps"}
    assert decided.loc["costs", "robustness_difference"] == 0 and not decided.loc["costs", "kept"]
    alone = proxy.of("baseline", "robustness")[0] - proxy.of("helps", "robustness")[0]
    assert decided.loc["same", "robustness_difference"] == pytest.approx(alone)


def test_what_training_draws_itself_does_not_speak_for_it(shifted):
    """`helps` answers better than the baseline under hair alone: it is kept, but not where its training draws hair."""
    table = shifted[shifted["model"].isin(["baseline", "helps"])].reset_index(drop=True)
    several, hairy = table["shift"].isin(robustness.SEVERAL), table["shifts"].map(lambda shifts: "hair" in shifts)
    columns = list(predictions.PROBABILITIES)
    for rows, skill in ((several & hairy, 3.0), (several & ~hairy, 0.8)):
        rows &= table["model"] == "helps"
        table.loc[rows, columns] = answers(skill, "helps").set_index("image_id").loc[table.loc[rows, "image_id"], columns].to_numpy()
    plain, fair = (robustness.decide(table, {"helps": "baseline"}, {"helps": drawn}, count=400).set_index("model")
                   for drawn in ((), ("hair", "exposure")))  # fmt: skip
    assert plain.loc["helps", "kept"] and not fair.loc["helps", "kept"]
    assert fair["unseen_only"].to_dict() == {"baseline": "", "helps": "hair, exposure"}
    of = {name: auc(table[several & ~hairy & (table["model"] == name)]) for name in ("baseline", "helps")}
    assert fair.loc["helps", "robustness_difference"] == pytest.approx(of["helps"] - of["baseline"], abs=1e-6)
    none_left = robustness.decide(table, {"helps": "baseline"}, {"helps": ("hair", "blur")}, count=50).set_index("model").loc["helps"]
    assert np.isnan(none_left["robustness_difference"]) and np.isnan(none_left["robustness_p"]) and not none_left["kept"]
    assert fair.loc["helps", "robustness_high"] < 0 < plain.loc["helps", "robustness_low"]
    assert fair["robustness"].equals(plain["robustness"])  # of all images, whatever a candidate is judged on


def test_gains_are_differences_on_the_same_images_inside_and_outside():
    tables = pd.concat([answers(skill, name, split) for name, own in {"baseline": (2, 1), "better": (2, 2)}.items()
                        for split, skill in zip(("test", "external"), own)])  # fmt: skip
    gained = robustness.gains(tables, {"better": "baseline"}, count=400)
    assert len(gained) == 2 * 2 * len(robustness.CLAIMED)
    better = gained[gained["model"] == "better"].set_index(["split", "metric"])
    assert (better.loc["test", "difference"] == 0).all() and (better.loc["external", "low"] > 0).all()
    assert (better.loc["external", "p_holm"] >= better.loc["external", "p"]).all()


def test_a_proxy_that_tells_the_order_correlates_fully_and_one_that_does_not_is_told():
    decided = pd.DataFrame({"model": list("abcdef"), "after": "", "robustness": range(6), "validation": [3, 1, 4, 1.5, 5, 2]})
    gained = pd.DataFrame({"model": list("abcdef"), "split": "external", "metric": "macro_auc", "value": np.linspace(0.6, 0.8, 6)})
    found = robustness.foretold(decided, gained, ["macro_auc"]).set_index("by")
    assert found.loc["robustness", "correlation"] == pytest.approx(1) and found.loc["robustness", "p"] == pytest.approx(2 / 720)
    assert abs(found.loc["validation", "correlation"]) < 0.6 and found.loc["validation", "p"] > 0.2
    without_one = robustness.foretold(decided.replace({"robustness": {2: np.nan}}), gained, ["macro_auc"]).set_index("by")
    assert without_one["n"].to_dict() == {"robustness": 5, "validation": 6}
    assert without_one.loc["robustness", "correlation"] == pytest.approx(1)
    few = robustness.foretold(decided.head(2), gained, ["macro_auc"])
    assert few["correlation"].isna().all() and (few["n"] == 2).all()


def test_candidates_of_one_family_are_told_apart_from_all():
    """A first change that helps makes the whole rise; among those made on it the proxy says the opposite of the truth."""
    decided = pd.DataFrame({"model": list("abcdefg"), "after": ["", "a", *"bbbbb"], "robustness": [0, 1, 9, 8, 7, 6, 5]})
    values = [0.5, 0.6, *np.linspace(0.7, 0.8, 5)]
    gained = pd.DataFrame({"model": list("abcdefg"), "split": "external", "metric": "macro_auc", "value": values})
    found = robustness.foretold(decided, gained, ["macro_auc"]).set_index("among")
    assert found["n"].to_dict() == {"all": 7, "after b": 5}
    assert found.loc["after b", "correlation"] == pytest.approx(-1) and found.loc["all", "correlation"] > 0


def test_over_seeds_by_hand():
    """Two changes, three trainings each; the variance between seeds is pooled: ((1 + 1) + (4 + 4)) / 4 in units of 0.01 squared."""
    same = {"baseline": "baseline", "again": "baseline", "once": "once", **{f"{name}{k}": f"{name}1" for name in "ab" for k in (1, 2, 3)}}
    worth = dict(zip(same, [np.nan, 0.5, 0.5, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08]))
    decided = pd.DataFrame({"model": list(worth), "robustness_difference": list(worth.values())})
    gained = pd.DataFrame({"model": list(worth), "split": "external", "metric": "macro_f1", "difference": list(worth.values())})
    found = robustness.over_seeds(decided, gained, same).set_index(["model", "where", "metric"])
    assert [*found.index] == [(name, *what) for what in (("shifts", "macro_auc"), ("external", "macro_f1")) for name in ("a1", "b1")]
    half = 2.7764451 * np.sqrt(2.5 / 3) / 100  # t of 4 degrees of freedom
    for what in (("shifts", "macro_auc"), ("external", "macro_f1")):
        row = found.loc[("b1", *what)]
        expected = [3, 0.06, 0.06 - half, 0.06 + half, 0.04, 0.08]
        assert row[["n", "difference", "low", "high", "least", "most"]].tolist() == pytest.approx(expected)
        assert found.loc[("a1", *what), "low"] == pytest.approx(0.02 - half)
    alone = decided[decided["model"].isin(["baseline", "once"])]
    assert robustness.over_seeds(alone, gained.iloc[:0], same).empty
