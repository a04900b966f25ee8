"""Metrics of resamples: scikit-learn's on the repeated images, answers by hand, and what is undefined."""

import numpy as np
import pytest
from sklearn import metrics as sk

from lesionkit.evidence import metrics, weighted
from lesionkit.evidence.weighted import OVERALL, PER_CLASS

DF, MEL, NV = 3, 4, 5
SHARES = [0.05, 0.08, 0.12, 0.03, 0.15, 0.5, 0.07]


def random(n: int = 300, seed: int = 0, decimals: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities; of few decimals, so that many scores tie."""
    draw = np.random.default_rng(seed)
    y = np.concatenate([np.arange(7), draw.choice(7, size=n - 7, p=SHARES)])
    p = np.exp(draw.normal(size=(n, 7)) + np.eye(7)[y])
    return y, np.round(p / p.sum(axis=1, keepdims=True), decimals)


def drawn(n: int, count: int = 20, seed: int = 1) -> np.ndarray:
    """(n, count) how often n draws of n images hit each."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=count).T


def by_scikit_learn(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """The twelve metrics of images that hold every class."""
    calls, melanoma = p.argmax(axis=1), y == MEL
    return {
        "accuracy": sk.accuracy_score(y, calls),
        "balanced_accuracy": sk.balanced_accuracy_score(y, calls),
        "macro_f1": sk.f1_score(y, calls, average="macro"),
        "weighted_f1": sk.f1_score(y, calls, average="weighted"),
        "macro_auc": np.mean([sk.roc_auc_score(y == k, p[:, k]) for k in range(7)]),
        "micro_auc": sk.roc_auc_score(np.eye(7)[y], p, average="micro"),
        "melanoma_auc": sk.roc_auc_score(melanoma, p[:, MEL]),
        "melanoma_sensitivity": sk.recall_score(melanoma, calls == MEL),
        "melanoma_specificity": sk.recall_score(~melanoma, calls != MEL),
        "melanoma_average_precision": sk.average_precision_score(melanoma, p[:, MEL]),
        "brier": np.mean([sum((p[i] - np.eye(7)[label]) ** 2) for i, label in enumerate(y)]),
        "log_loss": sk.log_loss(y, p),
    }


@pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one")  # rounded, for ties
@pytest.mark.parametrize("decimals", [9, 2, 1])
def test_a_resample_equals_scikit_learn_on_the_repeated_images(decimals):
    y, p = random(decimals=decimals)
    w = drawn(len(y))
    w[:7] += 1  # every class is there
    overall, classes = weighted.scores(y, p, w)
    for at in range(w.shape[1]):
        images = np.repeat(np.arange(len(y)), w[:, at])
        assert dict(zip(OVERALL, overall[at], strict=True)) == pytest.approx(by_scikit_learn(y[images], p[images]))
        table = metrics.per_class(y[images], p[images])
        np.testing.assert_allclose(classes[at], table[list(PER_CLASS)].to_numpy(float).T, atol=1e-12)


def test_ones_give_the_plain_metrics():
    y, p = random()
    overall, classes = weighted.scores(y, p, np.ones((len(y), 1)))
    assert overall.shape == (1, 12) and classes.shape == (1, 6, 7)
    np.testing.assert_allclose(overall[0, : len(metrics.METRICS)], list(metrics.overall(y, p).values()), atol=1e-12)
    np.testing.assert_allclose(classes[0], metrics.per_class(y, p)[list(PER_CLASS)].to_numpy(float).T, atol=1e-12)


def test_the_order_of_images_changes_nothing():
    y, p = random(decimals=2)
    w = drawn(len(y))
    order = np.random.default_rng(2).permutation(len(y))
    for one, other in zip(weighted.scores(y, p, w), weighted.scores(y[order], p[order], w[order]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_only_the_ratio_of_weights_counts():
    y, p = random(decimals=2)
    w = drawn(len(y))
    for one, other in zip(weighted.scores(y, p, w), weighted.scores(y, p, 3 * w), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_weights_need_not_be_whole():
    y, p = random(decimals=2)
    w = np.random.default_rng(3).random(len(y))
    overall, classes = weighted.scores(y, p, w[:, None])
    for k in range(7):
        auc = sk.roc_auc_score(y == k, p[:, k], sample_weight=w)
        precision = sk.average_precision_score(y == k, p[:, k], sample_weight=w)
        np.testing.assert_allclose(classes[0, -2:, k], [auc, precision], atol=1e-12)
    micro = sk.roc_auc_score(np.eye(7)[y].ravel(), p.ravel(), sample_weight=np.repeat(w, 7))
    assert overall[0, OVERALL.index("micro_auc")] == pytest.approx(micro, abs=1e-12)


def test_a_scorer_gives_each_resample_alone_what_it_gives_all_together():
    y, p = random()
    w = drawn(len(y), count=3)
    scorer = weighted.scorer(y, p)
    overall, classes = scorer(w)
    for at in range(3):
        one, other = scorer(w[:, [at]])
        np.testing.assert_allclose(one[0], overall[at], atol=1e-12)
        np.testing.assert_allclose(other[0], classes[at], atol=1e-12)


def test_brier_and_log_loss_by_hand():
    """Two images: 0.5 for the truth and 0.5 for another; 0 for the truth and 1 for another."""
    p = np.zeros((2, 7))
    p[0, [MEL, NV]], p[1, NV] = 0.5, 1
    overall, _ = weighted.scores(np.array([MEL, MEL]), p, np.array([[1, 1, 0], [0, 1, 1]]))
    brier, log_loss = overall[:, OVERALL.index("brier")], overall[:, OVERALL.index("log_loss")]
    np.testing.assert_allclose(brier, [0.5, 1.25, 2])
    never = -np.log(np.finfo(np.float64).eps)  # 0 is clipped
    np.testing.assert_allclose(log_loss, [np.log(2), (np.log(2) + never) / 2, never])


def test_a_class_absent_from_a_resample_leaves_it_and_the_means_undefined():
    y, p = random()
    w = np.ones((len(y), 2))
    w[y == DF, 1] = 0
    overall, classes = weighted.scores(y, p, w)
    assert not np.isnan(overall[0]).any()
    undefined = {name for name, value in zip(OVERALL, overall[1], strict=True) if np.isnan(value)}
    assert undefined == set(metrics.undefined(y[y != DF])) == {"balanced_accuracy", "macro_f1", "macro_auc"}
    absent = dict(zip(PER_CLASS, classes[1, :, DF], strict=True))
    assert {name for name, value in absent.items() if np.isnan(value)} == {"recall", "f1", "auc", "average_precision"}
    plain = metrics.overall(y[y != DF], p[y != DF])
    np.testing.assert_allclose(overall[1, : len(plain)], list(plain.values()), atol=1e-12)  # NaN equals NaN


def test_a_class_that_is_nowhere_is_undefined_in_every_resample():
    y, p = random()
    present = y != DF
    overall, classes = weighted.scores(y[present], p[present], drawn(int(present.sum())))
    assert np.isnan(classes[:, [1, 3, 4, 5], DF]).all()
    assert np.isnan(overall[:, OVERALL.index("macro_auc")]).all()
    assert not np.isnan(overall[:, OVERALL.index("weighted_f1")]).any()


def test_nothing_but_melanoma():
    y, p = random()
    w = (y == MEL)[:, None].astype(float)
    overall, classes = weighted.scores(y, p, w)
    values = dict(zip(OVERALL, overall[0], strict=True))
    assert np.isnan([values["melanoma_auc"], values["melanoma_specificity"]]).all()
    assert values["melanoma_average_precision"] == 1
    assert values["melanoma_sensitivity"] == values["accuracy"]
    assert values["micro_auc"] == pytest.approx(metrics.overall(y[y == MEL], p[y == MEL])["micro_auc"])


def test_a_class_never_called_has_no_precision_but_an_f1_of_zero():
    p = np.full((7, 7), 0.05) + 0.65 * np.eye(7)[[0, 1, 2, 2, 4, 5, 6]]
    _, classes = weighted.scores(np.arange(7), p, np.ones((7, 1)))
    row = dict(zip(PER_CLASS, classes[0, :, DF], strict=True))
    assert np.isnan(row["precision"]) and row["f1"] == row["recall"] == 0


def test_constant_scores_are_ties_throughout():
    y = np.arange(14) % 7
    overall, classes = weighted.scores(y, np.full((14, 7), 1 / 7), drawn(14) + 1)
    for name in ("macro_auc", "micro_auc", "melanoma_auc"):
        np.testing.assert_allclose(overall[:, OVERALL.index(name)], 0.5)
    w = drawn(14) + 1
    np.testing.assert_allclose(classes[:, -1, MEL], w[y == MEL].sum(axis=0) / w.sum(axis=0))  # prevalence


def test_one_image():
    overall, _ = weighted.scores(np.array([MEL]), np.eye(7)[[MEL]], np.ones((1, 1)))
    values = dict(zip(OVERALL, overall[0], strict=True))
    assert values["accuracy"] == values["micro_auc"] == values["melanoma_sensitivity"] == 1
    assert np.isnan(values["balanced_accuracy"]) and values["brier"] == 0


def test_an_empty_resample_has_no_metric():
    y, p = random()
    overall, classes = weighted.scores(y, p, np.zeros((len(y), 1)))
    assert np.isnan(overall).all() and np.isnan(classes).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 101, 400])
def test_cumulated_is_cumsum(rows):
    x = np.random.default_rng(0).integers(5, size=(rows, 3)).astype(float)
    np.testing.assert_array_equal(weighted._cumulated(x.copy()), np.cumsum(x, axis=0))


def test_inputs_stay_as_they_are():
    y, p = random()
    w = drawn(len(y)).astype(np.float64)
    before = y.copy(), p.copy(), w.copy()
    weighted.scores(y, p, w)
    for one, other in zip(before, (y, p, w), strict=True):
        np.testing.assert_array_equal(one, other)


def test_arrays_that_break_the_contract_are_refused():
    y, p = random()
    for w, message in (
        (np.ones((2, 1)), r"w has shape \(2, 1\), expected \(300, r\)"),
        (np.ones(300), r"w has shape \(300,\)"),
        (np.full((300, 1), np.nan), "negative or not finite"),
        (-np.ones((300, 1)), "negative or not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            weighted.scores(y, p, w)
    with pytest.raises(ValueError, match="p has shape"):
        weighted.scores(y, p[:, :6], np.ones((300, 1)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        weighted.scores(y, np.where(p > 0.5, np.nan, p), np.ones((300, 1)))
