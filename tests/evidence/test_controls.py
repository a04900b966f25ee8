"""The effect of a sibling in training, paired over the probes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, predictions, resampling
from lesionkit.evidence.controls import COLUMNS, leak

from . import tables


def probes_of(described, seed=0):
    """Every image a probe, each a lesion of its own, halves at random."""
    half = np.random.default_rng(seed).choice(["A", "B"], len(described))
    return pd.DataFrame({"image_id": described["image_id"], "group_id": "g" + described["image_id"],
                         "dx": described["y_true"], "half": half})  # fmt: skip


def sure(described, p_truth, model="m"):
    """Predictions with these probabilities (n,) of the true class; the rest falls to the next class."""
    y, p = predictions.targets(described), np.zeros((len(described), len(CLASSES)))
    p[np.arange(len(y)), y] = p_truth
    p[np.arange(len(y)), (y + 1) % len(CLASSES)] = 1 - np.asarray(p_truth)
    return predictions.build(described, p, model)


def value(table, metric, name="all"):
    return table[(table["metric"] == metric) & (table["class"] == name)].iloc[0]


def test_four_probes_by_hand():
    described = tables.rows(4).assign(y_true=["mel", "mel", "nv", "nv"])
    probes = probes_of(described).assign(half=["A", "B", "A", "B"])
    a, b = sure(described, [0.9, 0.2, 0.8, 0.7]), sure(described, [0.3, 0.6, 0.6, 0.9])
    # leaked: A's probes by a, B's by b: 0.9, 0.6, 0.8, 0.9; clean: 0.3, 0.2, 0.6, 0.7
    table = leak(a, b, probes, count=200)
    assert list(table.columns) == COLUMNS
    truth = value(table, "probability_of_truth")
    assert truth[["leaked", "clean", "difference", "n"]].tolist() == pytest.approx([0.8, 0.45, 0.35, 4])
    assert value(table, "accuracy")[["leaked", "clean", "difference"]].tolist() == pytest.approx([1, 0.5, 0.5])
    melanoma = value(table, "melanoma_sensitivity", "mel")
    assert melanoma[["leaked", "clean", "difference", "n"]].tolist() == pytest.approx([1, 0, 1, 2])
    assert value(table, "recall", "nv")["difference"] == pytest.approx(0)
    assert value(table, "probability_of_truth", "nv")["difference"] == pytest.approx(0.2)


def test_which_model_is_called_a_makes_no_difference():
    described = tables.rows(140)
    probes = probes_of(described)
    a, b = tables.table("a", described, 1), tables.table("b", described, 2)
    swapped = probes.assign(half=probes["half"].map({"A": "B", "B": "A"}))
    pd.testing.assert_frame_equal(leak(a, b, probes, 100), leak(b, a, swapped, 100))


def test_values_are_those_of_the_metrics_and_intervals_those_of_a_plain_loop():
    described = tables.rows(210)
    probes = probes_of(described)
    a, b = tables.table("a", described, 1), tables.table("b", described, 2, strength=1.5)
    table = leak(a, b, probes, 300, seed=4)
    y, own = predictions.targets(described), (probes["half"] == "A").to_numpy()[:, None]
    pa, pb = predictions.probabilities(a), predictions.probabilities(b)
    pair = {"leaked": np.where(own, pa, pb), "clean": np.where(own, pb, pa)}
    for side, p in pair.items():
        overall = metrics.overall(y, p)
        for metric in ("accuracy", "balanced_accuracy", "melanoma_sensitivity"):
            assert value(table, metric, "mel" if metric.startswith("mel") else "all")[side] == pytest.approx(
                overall[metric]
            )
        recalls = metrics.per_class(y, p).set_index("class")["recall"]
        assert value(table, "recall", "vasc")[side] == pytest.approx(recalls["vasc"])
    w = resampling.draws(probes["group_id"], 300, 4)
    looped = []
    for counts in w.T:
        again = np.repeat(np.arange(len(y)), counts)
        leaked, clean = (balanced_accuracy_score(y[again], p[again].argmax(axis=1)) for p in pair.values())
        looped.append(leaked - clean)
    row = value(table, "balanced_accuracy")
    assert row[["low", "high"]].tolist() == pytest.approx(list(np.quantile(looped, [0.025, 0.975])))


def test_a_class_without_probes_has_no_value_and_the_reason():
    described = tables.rows(70)
    described = described[~described["y_true"].isin(["df", "mel"])].reset_index(drop=True)
    a, b = tables.table("a", described, 1), tables.table("b", described, 2)
    table = leak(a, b, probes_of(described), 100)
    for metric, name, reason in (
        ("recall", "df", "no probe of df"),
        ("melanoma_sensitivity", "mel", "no probe of mel"),
        ("balanced_accuracy", "all", "no image of df, mel"),
    ):
        row = value(table, metric, name)
        assert row[["leaked", "clean", "difference", "low", "high"]].isna().all() and row["note"] == reason
    assert np.isfinite(value(table, "accuracy")["low"])


def test_a_class_of_one_probe_and_one_probe_alone_have_no_interval():
    described = tables.rows(30).assign(y_true=["df"] + 29 * ["nv"])
    a, b = tables.table("a", described, 1), tables.table("b", described, 2)
    row = value(leak(a, b, probes_of(described), 200), "probability_of_truth", "df")
    assert np.isfinite(row["difference"]) and np.isnan(row["low"]) and row["note"].startswith("undefined in ")
    one = described.iloc[:1]
    table = leak(tables.table("a", one, 1), tables.table("b", one, 2), probes_of(one), 50)
    row = value(table, "accuracy")
    assert np.isfinite(row["difference"]) and np.isnan(row["low"]) and row["note"] == resampling.ALONE
    assert value(table, "recall", "nv")["note"] == "no probe of nv"


def test_two_equal_models_show_no_effect_and_other_images_are_ignored():
    described = tables.rows(84)
    a = tables.table("a", described, 1)
    probes = probes_of(described).iloc[10:60]
    table = leak(a, a.sample(frac=1, random_state=0), probes, 100)
    defined = table.dropna(subset=["low"])
    assert (defined[["difference", "low", "high"]] == 0).all().all() and value(table, "accuracy")["n"] == 50


def test_wrong_tables_are_refused():
    described = tables.rows(14)
    a, probes = tables.table("a", described, 1), probes_of(described)
    with pytest.raises(predictions.PredictionError, match="2 of 14 probes are not in the predictions of half B"):
        leak(a, a.iloc[2:], probes)
    both = pd.concat([a, a.assign(model="b")])
    with pytest.raises(predictions.PredictionError, match="half A are of 2 models"):
        leak(both, a, probes)
