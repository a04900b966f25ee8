"""Metrics: answers worked by hand, scikit-learn's on random data, and what is undefined."""

import numpy as np
import pytest
from sklearn import metrics as sk

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics

AKIEC, BCC, BKL, DF, MEL, NV, VASC = range(7)


def certain(*calls: int) -> np.ndarray:
    """Probabilities 0.7 for the call and 0.05 for the others."""
    return np.full((len(calls), 7), 0.05) + 0.65 * np.eye(7)[list(calls)]


def random(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = draw.choice(7, size=n, p=[0.05, 0.08, 0.12, 0.03, 0.15, 0.5, 0.07])
    p = np.exp(draw.normal(size=(n, 7)) + np.eye(7)[y])
    return y, (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def test_confusion_by_hand():
    matrix = metrics.confusion(np.array([MEL, MEL, NV, NV, NV]), certain(MEL, NV, NV, NV, VASC))
    expected = np.zeros((7, 7), int)
    expected[MEL, MEL], expected[MEL, NV], expected[NV, NV], expected[NV, VASC] = 1, 1, 2, 1
    np.testing.assert_array_equal(matrix, expected)


def test_overall_by_hand():
    """One image of each class, a second mel and a second nv; the second mel is called nv, all else right."""
    y = np.array([*range(7), MEL, NV])
    result = metrics.overall(y, certain(*range(7), NV, NV))
    assert result["accuracy"] == pytest.approx(8 / 9)
    assert result["balanced_accuracy"] == pytest.approx(6.5 / 7)  # mel 1/2, the others 1
    assert result["macro_f1"] == pytest.approx((5 + 2 / 3 + 4 / 5) / 7)  # mel 2·1/(2+1), nv 2·2/(2+3)
    assert result["weighted_f1"] == pytest.approx((5 + 2 * 2 / 3 + 2 * 4 / 5) / 9)
    assert result["melanoma_sensitivity"] == 1 / 2
    assert result["melanoma_specificity"] == 1
    assert result["melanoma_auc"] == pytest.approx(0.75)  # one mel above all others, one level
    assert result["macro_auc"] == pytest.approx((5 + 0.75 + 13 / 14) / 7)  # nv: 2·7 pairs, 12 won and 2 tied
    assert result["micro_auc"] == pytest.approx((8 * 53.5 + 53 / 2) / (9 * 54))
    assert tuple(result) == metrics.METRICS


@pytest.mark.parametrize("seed", range(3))
def test_overall_equals_scikit_learn(seed):
    y, p = random(seed=seed)
    calls, wide = p.argmax(axis=1), p.astype(np.float64)
    expected = {
        "accuracy": sk.accuracy_score(y, calls),
        "balanced_accuracy": sk.balanced_accuracy_score(y, calls),
        "macro_f1": sk.f1_score(y, calls, average="macro"),
        "weighted_f1": sk.f1_score(y, calls, average="weighted"),
        "macro_auc": sk.roc_auc_score(y, wide / wide.sum(axis=1, keepdims=True), multi_class="ovr"),
        "micro_auc": sk.roc_auc_score(np.eye(7)[y], p, average="micro"),
        "melanoma_auc": sk.roc_auc_score(y == MEL, p[:, MEL]),
        "melanoma_sensitivity": sk.recall_score(y == MEL, calls == MEL),
        "melanoma_specificity": sk.recall_score(y != MEL, calls != MEL),
    }
    assert metrics.overall(y, p) == pytest.approx(expected, abs=1e-12)
    assert metrics.undefined(y) == {}


def test_per_class_equals_scikit_learn():
    y, p = random()
    table = metrics.per_class(y, p)
    assert table["class"].tolist() == list(CLASSES)
    assert (table["note"] == "").all()
    precision, recall, f1, n = sk.precision_recall_fscore_support(y, p.argmax(axis=1))
    for name, values in {"precision": precision, "recall": recall, "f1": f1, "n": n}.items():
        np.testing.assert_allclose(table[name], values, atol=1e-12)
    for k in range(7):
        assert table.loc[k, "auc"] == sk.roc_auc_score(y == k, p[:, k])
        assert table.loc[k, "average_precision"] == sk.average_precision_score(y == k, p[:, k])
        assert table.loc[k, "specificity"] == sk.recall_score(y != k, p.argmax(axis=1) != k)


def test_confusion_equals_scikit_learn():
    y, p = random()
    np.testing.assert_array_equal(metrics.confusion(y, p), sk.confusion_matrix(y, p.argmax(axis=1)))


def test_an_absent_class_makes_means_undefined_with_a_reason():
    y = np.array([AKIEC, BCC, BKL, MEL, NV])
    p = certain(AKIEC, BCC, BKL, MEL, DF)
    result = metrics.overall(y, p)
    undefined = metrics.undefined(y)
    assert undefined == dict.fromkeys(("balanced_accuracy", "macro_f1", "macro_auc"), "no image of df, vasc")
    assert {name for name, value in result.items() if np.isnan(value)} == set(undefined)
    assert result["weighted_f1"] == pytest.approx(sk.f1_score(y, p.argmax(axis=1), average="weighted"))
    row = metrics.per_class(y, p).set_index("class").loc["df"]
    assert row[["recall", "f1", "auc", "average_precision"]].isna().all()
    assert row["precision"] == 0 and row["specificity"] == 4 / 5 and row["note"] == "no image of this class"


def test_without_melanoma_or_with_nothing_else():
    none, only = np.array([NV, NV, BCC]), np.array([MEL, MEL])
    for y, p, names in (
        (none, certain(NV, MEL, BCC), {"melanoma_auc", "melanoma_sensitivity"}),
        (only, certain(MEL, NV), {"melanoma_auc", "melanoma_specificity"}),
    ):
        missing = {name for name, value in metrics.overall(y, p).items() if np.isnan(value)}
        assert missing == set(metrics.undefined(y)) == names | set(metrics.MEANS_OF_CLASSES)
    assert metrics.overall(none, certain(NV, MEL, BCC))["melanoma_specificity"] == pytest.approx(2 / 3)
    assert metrics.overall(only, certain(MEL, NV))["melanoma_sensitivity"] == 1 / 2
    assert "no image of another" in metrics.per_class(only, certain(MEL, NV)).loc[MEL, "note"]


def test_a_class_never_called_has_no_precision_but_an_f1_of_zero():
    row = metrics.per_class(np.arange(7), certain(0, 1, 2, 2, 4, 5, 6)).loc[DF]
    assert np.isnan(row["precision"]) and row["note"] == "never called"
    assert row["f1"] == row["recall"] == 0


def test_constant_scores_tie_to_the_first_class_and_an_auc_of_one_half():
    y = np.arange(7)
    result = metrics.overall(y, np.full((7, 7), 1 / 7))
    assert metrics.confusion(y, np.full((7, 7), 1 / 7))[:, AKIEC].tolist() == [1] * 7
    for name in ("macro_auc", "micro_auc", "melanoma_auc"):
        assert result[name] == 0.5
    assert result["balanced_accuracy"] == pytest.approx(1 / 7)


def test_metrics_do_not_depend_on_the_order_of_images():
    y, p = random()
    order = np.random.default_rng(1).permutation(len(y))
    assert metrics.overall(y[order], p[order]) == pytest.approx(metrics.overall(y, p), abs=1e-12)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        (np.zeros(3, int), np.ones((3, 6)), r"p has shape \(3, 6\), expected \(3, 7\)"),
        (np.zeros(3, int), np.ones((2, 7)), r"p has shape \(2, 7\)"),
        (np.zeros(3), np.ones((3, 7)), "y is float64"),
        (np.zeros(0, int), np.ones((0, 7)), "n ≥ 1"),
        (np.array([0, 7]), np.ones((2, 7)), "labels from 0 to 7, expected 0..6"),
        (np.array([-1, 2]), np.ones((2, 7)), "labels from -1 to 2"),
        (np.zeros(2, int), np.full((2, 7), np.nan), "14 values that are NaN"),
    ],
)
def test_arrays_that_break_the_contract_are_refused(y, p, message):
    for function in (metrics.overall, metrics.per_class, metrics.confusion):
        with pytest.raises(ValueError, match=message):
            function(y, p)
