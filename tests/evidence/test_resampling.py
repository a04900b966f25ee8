"""Resamples of lesions: draws by hand, intervals of known distributions, the same resamples for every model."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, predictions, resampling, weighted
from lesionkit.evidence.predictions import PredictionError
from lesionkit.evidence.weighted import OVERALL, PER_CLASS

from .tables import rows, table


def models(n: int = 140, **described) -> dict[str, pd.DataFrame]:
    images = rows(n).assign(**described)
    return {name: table(name, images, seed=seed) for seed, name in enumerate(("resnet50", "ensemble"))}


def replicates(tables: dict[str, pd.DataFrame] | None = None, count: int = 100) -> resampling.Replicates:
    return resampling.replicate(tables or models(), count=count)


def test_a_draw_is_of_whole_clusters_and_as_many_as_there_are():
    clusters = np.array(["b", "a", "b", "c", "a", "b"])
    w = resampling.draws(clusters, count=50)
    assert w.shape == (6, 50) and w.dtype == np.uint8
    for name in "abc":
        own = w[clusters == name]
        assert (own == own[0]).all()
    np.testing.assert_array_equal(w[[1, 0, 3]].sum(axis=0), 3)  # one image of each cluster
    assert len(np.unique(w, axis=1).T) > 5


def test_draws_follow_from_the_names_and_the_seed_alone():
    clusters = np.array([f"HAM_{i // 2}" for i in range(60)])
    w = resampling.draws(clusters, count=20)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(resampling.draws(clusters[order], count=20), w[order])
    np.testing.assert_array_equal(resampling.draws(clusters, count=5), w[:, :5])
    assert (resampling.draws(clusters, count=20, seed=1) != w).any()


def test_a_cluster_is_drawn_as_often_as_a_binomial_says():
    w = resampling.draws(np.arange(40), count=4000)
    expected = stats.binom(40, 1 / 40)
    assert w.mean() == pytest.approx(expected.mean())
    assert w.var() == pytest.approx(expected.var(), rel=0.02)
    assert (w == 0).mean() == pytest.approx(expected.pmf(0), rel=0.02)


@pytest.mark.parametrize(("clusters", "count"), [([], 10), (["a", None], 10), (["a"], 0)])
def test_draws_refuse_nothing_to_draw(clusters, count):
    with pytest.raises(ValueError, match="at least one image and one resample"):
        resampling.draws(clusters, count)


def test_over_gives_each_resample_once_whatever_the_chunk():
    w = resampling.draws(np.arange(30), count=23)
    value = np.arange(30)
    seen = []

    def statistic(chunk: np.ndarray) -> dict[str, np.ndarray]:
        seen.append((chunk.shape, chunk.dtype))
        return {"sum": value @ chunk, "both": np.stack([value @ chunk, chunk[0]], axis=1)}

    result = resampling.over(statistic, w, chunk=10)
    np.testing.assert_array_equal(result["sum"], value @ w.astype(float))
    assert result["both"].shape == (23, 2)
    assert seen == [((30, 10), np.float64), ((30, 10), np.float64), ((30, 3), np.float64)]


def test_interval_is_of_percentiles():
    values = np.random.default_rng(0).permutation(1001) / 1000
    assert resampling.interval(0.5, values) == (pytest.approx(0.025), pytest.approx(0.975), "")
    assert resampling.interval(0.5, values, level=0.9)[:2] == (pytest.approx(0.05), pytest.approx(0.95))


def test_interval_of_a_mean_is_near_the_normal_one():
    x = np.random.default_rng(0).normal(size=400)
    w = resampling.draws(np.arange(400), count=2000)
    low, high, _ = resampling.interval(x.mean(), (x @ w) / 400)
    assert low == pytest.approx(x.mean() - 1.96 * x.std() / 20, abs=0.015)
    assert high == pytest.approx(x.mean() + 1.96 * x.std() / 20, abs=0.015)


def test_images_that_repeat_a_lesion_do_not_narrow_the_interval():
    """Each lesion four times: as many lesions, not images, inform the mean."""
    x = np.random.default_rng(0).normal(size=100)
    single = resampling.draws(np.arange(100), count=1000)
    repeated = resampling.draws(np.repeat(np.arange(100), 4), count=1000)
    one = resampling.interval(0, x @ single / 100)
    four = resampling.interval(0, np.repeat(x, 4) @ repeated / 400)
    assert four[:2] == pytest.approx(one[:2])


def test_undefined_resamples_are_counted_or_forbid_the_interval():
    values = np.linspace(0, 1, 2000)
    some, many = values.copy(), values.copy()
    some[:20], many[:37] = np.nan, np.nan
    low, high, note = resampling.interval(0.5, some)
    assert low == pytest.approx(np.quantile(values[20:], 0.025)) and high < 1
    assert note == "undefined in 20 of 2,000 resamples"
    low, high, note = resampling.interval(0.5, many)
    assert np.isnan([low, high]).all() and note == "undefined in 37 of 2,000 resamples"
    assert np.isnan(resampling.interval(np.nan, values)[:2]).all() and resampling.interval(np.nan, values)[2] == ""
    with pytest.raises(ValueError, match="level is 95"):
        resampling.interval(0.5, values, level=95)


def test_summarise_has_a_row_a_key():
    w = resampling.draws(np.arange(50), count=200)
    y = np.arange(50) % 2

    def statistic(chunk: np.ndarray) -> dict[str, np.ndarray]:
        return {"share": y @ chunk / chunk.sum(axis=0), "none": np.full(chunk.shape[1], np.nan)}

    result = resampling.summarise(statistic, w, model="resnet50", source="BCN")
    assert result.columns.tolist() == ["model", "source", "metric", "value", "low", "high", "note"]
    share, none = result.to_dict("records")
    assert share["value"] == 0.5 and 0.3 < share["low"] < 0.5 < share["high"] < 0.7
    assert np.isnan([none["value"], none["low"], none["high"]]).all()


def test_replicates_hold_the_metrics_of_each_model_and_resample():
    tables = models()
    r = replicates(tables)
    w = resampling.draws(predictions.clusters(tables["resnet50"]), count=100)
    assert r.models == ("resnet50", "ensemble") and r.values.shape == (100, 2, len(r.metrics))
    assert r.metrics[:12] == OVERALL and r.metrics[12:14] == ("precision:akiec", "precision:bcc")
    for at, one in enumerate(tables.values()):
        y, p = predictions.targets(one), predictions.probabilities(one)
        overall, classes = weighted.scores(y, p, w)
        np.testing.assert_allclose(r.values[:, at, :12], overall)
        np.testing.assert_allclose(r.values[:, at, 12:].reshape(100, 6, 7), classes)
        np.testing.assert_allclose(r.point[at, :9], list(metrics.overall(y, p).values()))


def test_equal_models_have_equal_resamples():
    one = models()["resnet50"]
    r = replicates({"resnet50": one, "again": one.assign(model="again")})
    np.testing.assert_array_equal(r.values[:, 0], r.values[:, 1])


def test_the_order_of_images_changes_no_interval():
    tables = models()
    order = np.random.default_rng(0).permutation(140)
    shuffled = {name: one.iloc[order].reset_index(drop=True) for name, one in tables.items()}
    pd.testing.assert_frame_equal(
        resampling.intervals(replicates(tables)), resampling.intervals(replicates(shuffled)), rtol=1e-12
    )


def test_groups_are_the_clusters_where_the_table_has_them():
    lesions, groups = models(), models(group_id=[f"G{i // 20}" for i in range(140)])
    wide = resampling.intervals(replicates(groups), ["accuracy"])
    narrow = resampling.intervals(replicates(lesions), ["accuracy"])
    assert (wide["value"] == narrow["value"]).all() and (wide["low"] != narrow["low"]).all()


def test_intervals_hold_each_model_and_metric_in_order():
    r = replicates()
    result = resampling.intervals(r, ("accuracy", "macro_auc", "recall:mel"))
    assert result.columns.tolist() == ["model", "metric", "value", "low", "high", "note"]
    assert result["model"].tolist() == ["resnet50"] * 3 + ["ensemble"] * 3
    assert (result["low"] <= result["value"]).all() and (result["value"] <= result["high"]).all()
    assert len(resampling.intervals(r)) == 24
    with pytest.raises(ValueError, match="no 'kappa' of 'resnet50'"):
        resampling.intervals(r, ["kappa"])


def test_class_intervals_hold_each_metric_of_each_class():
    result = resampling.class_intervals(replicates())
    assert result.columns.tolist() == ["model", "class", "metric", "value", "low", "high", "note"]
    assert len(result) == 2 * 7 * 6 and set(result["metric"]) == set(PER_CLASS)
    assert tuple(result["class"].unique()) == CLASSES


def test_a_class_without_images_has_its_reason():
    tables = {name: one[one["y_true"] != "df"].reset_index(drop=True) for name, one in models().items()}
    r = replicates(tables)
    result = resampling.intervals(r).query("model == 'ensemble'").set_index("metric")
    assert result.loc["macro_auc", "note"] == "no image of df" and np.isnan(result.loc["macro_auc", "low"])
    assert result.loc["accuracy", "note"] == "" and not np.isnan(result.loc["accuracy", "low"])
    classes = resampling.class_intervals(r).query("model == 'ensemble' and `class` == 'df'").set_index("metric")
    assert classes.loc["recall", "note"] == classes.loc["auc", "note"] == "no image of df"
    assert classes.loc["specificity", "note"] == ""


def test_a_rare_class_leaves_intervals_out_with_the_count():
    """One lesion of df: more than a third of the resamples leave it out."""
    images = rows(140)
    images = images[(images["y_true"] != "df") | ~images["y_true"].duplicated()].reset_index(drop=True)
    tables = {"resnet50": table("resnet50", images)}
    result = resampling.intervals(replicates(tables), ("macro_f1", "accuracy"))
    row = result.iloc[0]
    assert not np.isnan(row["value"]) and np.isnan(row["low"]) and np.isnan(row["high"])
    assert row["note"].startswith("undefined in ") and row["note"].endswith(" of 100 resamples")


def test_a_class_never_called_and_melanoma_absent_say_so():
    images = rows(60).assign(y_true="nv")
    p = np.full((60, 7), 0.1) + 0.3 * np.eye(7)[4]
    r = replicates({"resnet50": predictions.build(images, p, "resnet50")})
    overall = resampling.intervals(r).set_index("metric")["note"]
    assert overall["melanoma_average_precision"] == overall["melanoma_sensitivity"] == "no image of mel"
    classes = resampling.class_intervals(r).set_index(["class", "metric"])["note"]
    assert classes["nv", "precision"] == "nv is never called"
    assert classes["nv", "specificity"] == "no image of a class but nv"


def test_one_lesion_has_values_and_no_interval():
    r = replicates(models(lesion_id="HAM_1"))
    result = resampling.intervals(r)
    assert result["value"].notna().all() and result["low"].isna().all() and result["high"].isna().all()
    assert set(result["note"]) == {resampling.ALONE}
    w = resampling.draws(["a", "a"], count=10)
    summary = resampling.summarise(lambda chunk: {"n": chunk.sum(axis=0)}, w)
    assert summary["value"][0] == 2 and np.isnan(summary["low"][0]) and summary["note"][0] == resampling.ALONE


def test_tables_that_differ_are_refused():
    tables = models()
    with pytest.raises(PredictionError, match="ensemble and resnet50 differ in image_id"):
        replicates({**tables, "ensemble": tables["ensemble"][::-1]})
    with pytest.raises(ValueError, match="no table of a model"):
        resampling.replicate({})
