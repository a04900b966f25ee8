"""Detection of unknown images: scikit-learn's AUROC, FPR by hand, entropies in closed form."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score

from lesionkit.evidence import ensembles, openset, predictions, resampling
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table


def members(n: int = 140, names: str = "abc") -> pd.DataFrame:
    described = rows(n, split="external")
    return pd.concat([table(name, described, seed) for seed, name in enumerate(names)], ignore_index=True)


def flags(scored: pd.DataFrame, every: int = 5) -> dict[str, bool]:
    return {image: at % every == 0 for at, image in enumerate(scored["image_id"].unique())}


def brute(unknown: np.ndarray, score: np.ndarray) -> float:
    for t in np.sort(np.unique(score))[::-1]:
        if (score[unknown] >= t).mean() >= 0.95 - 1e-12:
            return float((score[~unknown] >= t).mean())
    raise AssertionError


def test_by_hand():
    unknown = np.array([True] * 20 + [False] * 4)
    score = np.r_[np.linspace(0.9, 0.5, 19), 0.1, 0.95, 0.5, 0.3, 0.1]
    found = openset.detection(unknown, score)
    assert found["fpr_at_95"] == 0.5  # 19 of 20 at t = 0.5, which also flags 0.95 and the tie at 0.5
    # pairs lost: to 0.95 all 20; to 0.5 one and half of the tie; to 0.3 one; to 0.1 half
    assert found["auroc"] == pytest.approx(1 - (20 + 1.5 + 1 + 0.5) / 80)


@pytest.mark.parametrize("digits", [1, 6])
def test_auroc_is_scikit_learns_and_fpr_is_by_search(digits):
    generator = np.random.default_rng(digits)
    unknown = generator.random(300) < 0.2
    score = (generator.normal(size=300) + unknown).round(digits)
    found = openset.detection(unknown, score)
    assert found["auroc"] == pytest.approx(roc_auc_score(unknown, score))
    assert found["fpr_at_95"] == pytest.approx(brute(unknown, score))


@pytest.mark.parametrize("digits", [1, 6])
def test_weights_are_repeated_images(digits):
    generator = np.random.default_rng(7)
    unknown = generator.random(50) < 0.4
    score = (generator.normal(size=50) + unknown).round(digits)
    w = generator.integers(0, 4, size=(50, 30)).astype(float)
    found = openset.scorer(unknown, score)(w)
    for at in range(30):
        times = w[:, at].astype(int)
        again = openset.detection(np.repeat(unknown, times), np.repeat(score, times))
        assert [found[name][at] for name in openset.METRICS] == pytest.approx(list(again.values()))


def test_extremes():
    unknown = np.array([True, True, False, False])
    assert openset.detection(unknown, np.array([3, 2, 1, 0])) == {"auroc": 1, "fpr_at_95": 0}
    assert openset.detection(unknown, np.array([0, 1, 2, 3])) == {"auroc": 0, "fpr_at_95": 1}
    assert openset.detection(unknown, np.ones(4)) == {"auroc": 0.5, "fpr_at_95": 1}  # constant: all or none


@pytest.mark.parametrize("every", [True, False])
def test_without_both_kinds_nothing_is_defined(every):
    assert all(np.isnan(value) for value in openset.detection(np.full(4, every), np.arange(4)).values())


def test_a_resample_without_unknown_images_is_undefined():
    w = np.array([[0, 1], [1, 0], [1, 1]]) * 1.0
    found = openset.scorer(np.array([True, False, False]), np.array([2.0, 1, 0]))(w)
    assert np.isnan(found["auroc"][0]) and np.isnan(found["fpr_at_95"][0])
    assert [found["auroc"][1], found["fpr_at_95"][1]] == [1, 0]


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 of them not finite"):
        openset.detection(np.array([True, False]), np.array([np.nan, 1]))


def test_disagreement_in_closed_form():
    sure = np.eye(7)
    np.testing.assert_allclose(openset.disagreement([sure[:1], sure[1:2]]), [np.log(2)])
    assert openset.disagreement([sure[:2]] * 5).tolist() == [0, 0]
    p = softmax(np.random.default_rng(0).normal(size=(40, 7)), axis=1)
    assert openset.disagreement([p] * 3).tolist() == [0] * 40  # no noise of rounding that would rank images


def test_summary_scores_every_model_and_the_disagreement():
    scored = members()
    found = openset.summary(scored, ensembles.mean(scored), flags(scored), count=100)
    assert tuple(found) == openset.COLUMNS
    assert list(zip(found["score"], found["model"]))[::2] == [
        *(("maximum_softmax", name) for name in ("a", "b", "c", "ensemble")),
        ("disagreement", "ensemble"),
    ]
    assert set(found["n_unknown"]) == {28} and set(found["n_known"]) == {112}
    b = scored[scored["model"] == "b"]
    score = 1 - predictions.probabilities(b).max(axis=1)
    auroc = found[(found["model"] == "b") & (found["metric"] == "auroc")].iloc[0]
    assert auroc["value"] == pytest.approx(roc_auc_score(list(flags(scored).values()), score))
    assert auroc["low"] < auroc["value"] < auroc["high"]


def test_energy_is_scored_where_a_table_has_it():
    scored = members(names="ab")
    logits = np.random.default_rng(0).normal(size=(len(scored), 7))
    scored = scored.assign(energy=logsumexp(logits, axis=1).astype(np.float32))
    unknown = flags(scored)
    found = openset.summary(scored, ensembles.mean(scored), unknown, count=20)
    energy = found[(found["score"] == "energy") & (found["metric"] == "auroc")].set_index("model")["value"]
    assert list(energy.index) == ["a", "b"]
    a = scored[scored["model"] == "a"]
    assert energy["a"] == pytest.approx(roc_auc_score(list(unknown.values()), -a["energy"]))


def test_one_member_has_none_to_disagree_with():
    scored = members(names="a")
    found = openset.summary(scored, ensembles.mean(scored), flags(scored), count=20)
    rows_of = found[found["score"] == "disagreement"]
    assert rows_of[["value", "low", "high"]].isna().all(axis=None) and set(rows_of["note"]) == {openset.ALONE}


def test_no_unknown_image_is_na_with_its_reason():
    scored = members()
    found = openset.summary(scored, ensembles.mean(scored), dict.fromkeys(flags(scored), False), count=20)
    assert found["value"].isna().all() and set(found["note"]) == {"no unknown image"}
    found = openset.summary(scored, ensembles.mean(scored), dict.fromkeys(flags(scored), True), count=20)
    assert set(found["note"]) == {"no known image"}


def test_one_lesion_has_no_interval():
    scored = members().assign(lesion_id="HAM_1")
    found = openset.summary(scored, ensembles.mean(scored), flags(scored), count=20)
    assert found["value"].notna().all() and found["low"].isna().all() and set(found["note"]) == {resampling.ALONE}


def test_flags_and_tables_that_do_not_fit_are_refused():
    scored = members()
    mean, unknown = ensembles.mean(scored), flags(scored)
    first = next(iter(unknown))
    del unknown[first]
    with pytest.raises(PredictionError, match=f"first {first}"):
        openset.summary(scored, mean, unknown)
    with pytest.raises(PredictionError, match="no member itself"):
        openset.summary(pd.concat([scored, mean]), mean, flags(scored))


def test_flags_may_be_a_series():
    scored = members()
    mask = pd.Series(flags(scored))
    one, two = (openset.summary(scored, ensembles.mean(scored), given, count=20) for given in (mask, dict(mask)))
    pd.testing.assert_frame_equal(one, two)
