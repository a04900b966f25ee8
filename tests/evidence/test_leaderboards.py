"""Leaderboards: equal to scikit-learn from the file, by source with and without SCC."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lesionkit.evidence import comparisons, leaderboards, predictions, resampling
from lesionkit.evidence.metrics import METRICS
from lesionkit.evidence.predictions import PredictionError

from .tables import rows, table


@pytest.fixture
def both() -> pd.DataFrame:
    """Two models on 70 test and 84 external images."""
    inside, outside = rows(70), rows(84, seed=1, split="external", prefix="OUT_")
    return pd.concat(
        [
            table(model, part, seed=seed + 10 * at, strength=3.0 - seed - at)
            for seed, model in enumerate(("weaker", "stronger")[::-1])
            for at, part in enumerate((inside, outside))
        ],
        ignore_index=True,
    )


@pytest.fixture
def split_table(both) -> pd.DataFrame:
    """The external images: 42 BCN, 42 MSK; of the akiec images of BCN every second is SCC."""
    images = both[both["split"] == "external"].drop_duplicates("image_id")[["image_id", "y_true"]]
    images = images.assign(source=["BCN_20000"] * 42 + ["MSK"] * 42, source_dx=images["y_true"].str.upper())
    akiec = images.index[(images["y_true"] == "akiec") & (images["source"] == "BCN_20000")]
    images.loc[akiec, "source_dx"] = "AK"
    images.loc[akiec[::2], "source_dx"] = "SCC"
    return images.drop(columns="y_true").iloc[::-1]


def test_leaderboard_equals_scikit_learn_from_the_file(both, tmp_path):
    file = pd.read_parquet(predictions.write(both, tmp_path / "a.parquet"))
    board = leaderboards.leaderboard(both).set_index("model")
    assert list(board.columns) == ["n", "lesions", *METRICS, "note"]
    assert (board["n"] == 70).all() and (board["lesions"] == 35).all() and (board["note"] == "").all()
    for model, part in file[file["split"] == "test"].groupby("model"):
        calls = part.filter(like="p_").idxmax(axis=1).str.removeprefix("p_")
        y, row = part["y_true"], board.loc[model]
        assert row["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, calls))
        assert row["macro_f1"] == pytest.approx(sk.f1_score(y, calls, average="macro"))
        assert row["melanoma_auc"] == sk.roc_auc_score(y == "mel", part["p_mel"])


def test_best_balanced_accuracy_comes_first(both):
    board = leaderboards.leaderboard(both)
    assert board["balanced_accuracy"].is_monotonic_decreasing
    assert board["model"].tolist() == ["stronger", "weaker"]


def test_where_chooses_rows_and_undefined_metrics_have_a_note(both):
    board = leaderboards.leaderboard(both, where=~both["y_true"].isin(["vasc", "mel"]))
    assert (board["n"] == 50).all()
    assert board[["balanced_accuracy", "melanoma_auc"]].isna().all(axis=None)
    assert set(board["note"]) == {
        "balanced_accuracy, macro_f1, macro_auc: no image of mel, vasc; "
        "melanoma_auc, melanoma_sensitivity: no image of mel"
    }


def test_models_on_different_images_are_not_ranked(both):
    with pytest.raises(PredictionError, match="do not hold the same images"):
        leaderboards.leaderboard(both.drop(index=both.index[3]))


def test_by_class_stacks_the_models(both):
    board = leaderboards.by_class(both)
    assert board["model"].tolist() == ["stronger"] * 7 + ["weaker"] * 7
    weaker = both[(both["model"] == "weaker") & (both["split"] == "test")]
    ap = board.set_index(["model", "class"]).loc[("weaker", "df"), "average_precision"]
    assert ap == sk.average_precision_score(weaker["y_true"] == "df", weaker["p_df"])


def test_by_source_with_and_without_scc(both, split_table):
    board = leaderboards.by_source(both, split_table)
    counts = board[board["model"] == "weaker"].set_index(["source", "scc"])["n"]
    scc = int((split_table["source_dx"] == "SCC").sum())
    assert scc > 0
    assert counts.to_dict() == {
        ("all", "merged"): 84,
        ("all", "without"): 84 - scc,
        ("BCN_20000", "merged"): 42,
        ("BCN_20000", "without"): 42 - scc,
        ("MSK", "merged"): 42,
        ("MSK", "without"): 42,
    }
    kept = split_table.query("source == 'BCN_20000' and source_dx != 'SCC'")["image_id"]
    expected = leaderboards.leaderboard(both, split="external", where=both["image_id"].isin(kept))
    found = board.query("source == 'BCN_20000' and scc == 'without'").drop(columns=["source", "scc"])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)


def test_by_source_refuses_images_that_the_split_does_not_know(both, split_table):
    with pytest.raises(PredictionError, match="1 images are not in the split table: predictions and split"):
        leaderboards.by_source(both, split_table.iloc[1:])
    with pytest.raises(PredictionError, match="there is no val image"):
        leaderboards.by_source(both, split_table, split="val")


def test_intervals_by_source_hold_the_same_values(both, split_table):
    board = leaderboards.by_source(both, split_table).set_index(["source", "scc", "model"])
    found = leaderboards.by_source_intervals(both, split_table, count=100)
    assert list(found)[:4] == ["source", "scc", "model", "metric"]
    for metric in ("accuracy", "macro_f1", "melanoma_auc"):
        values = found[found["metric"] == metric].set_index(["source", "scc", "model"])["value"]
        np.testing.assert_allclose(values, board.loc[values.index, metric], atol=1e-12)


def test_pairs_are_told_apart_however_many_there_are(both):
    """Twelve models are 66 pairs: 2,000 resamples cannot tell any, as p is at least 2 / 2,001."""
    rng, (first, *_) = np.random.default_rng(0), predictions.by_model(both, split="test").values()
    columns, models = list(predictions.PROBABILITIES), {}
    truth = np.eye(7)[predictions.targets(first)]
    for i in range(12):
        p = rng.random((len(first), 7)) + (5 if i else 0) * truth  # one guesses, the others know
        models[f"m{i}"] = first.assign(model=f"m{i}", **dict(zip(columns, (p / p.sum(1, keepdims=True)).T)))
    r = resampling.replicate(models, 200)
    assert not (comparisons.every_pair(r)["p_holm"] < 0.05).any()
    found = leaderboards.pairs(models, r)
    assert len(found) == 66 and (found["note"] == "").all()
    assert ((found["p_holm"] < 0.05) == (found["a"] == "m0")).all()
    two = {name: models[name] for name in ("m0", "m1")}
    few = resampling.replicate(two, 200)
    assert leaderboards.pairs(two, few).equals(comparisons.every_pair(few))  # 200 are enough for one pair
