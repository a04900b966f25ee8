"""With and without balancing: paired differences by hand, and a pure shift of the operating point taken out."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lesionkit.data.records import CLASSES
from lesionkit.evidence import balancing, predictions

from .tables import rows, table

NAMES = ("with", "without")


def scored(models: tuple[str, ...] = NAMES, splits: tuple[str, ...] = ("val", "test"), n: int = 140) -> pd.DataFrame:
    described = pd.concat([rows(n, seed=i, split=name, prefix=f"{name}_") for i, name in enumerate(splits)])
    return pd.concat([table(name, described, seed=i) for i, name in enumerate(models)], ignore_index=True)


def compare(data: pd.DataFrame, **options) -> pd.DataFrame:
    return balancing.compare_balancing(data, *NAMES, **{"count": 100, **options}).set_index(["where", "metric"])


def test_values_are_scikit_learns_and_differences_are_paired():
    data = scored()
    result = compare(data)
    tables = predictions.by_model(data)
    y = predictions.targets(tables["with"])
    calls = [predictions.probabilities(tables[name]).argmax(axis=1) for name in NAMES]
    at = result.loc["argmax"]
    for column, call in zip("ab", calls, strict=True):
        assert at.loc["balanced_accuracy", column] == pytest.approx(sk.balanced_accuracy_score(y, call))
        assert at.loc["recall:df", column] == pytest.approx(sk.recall_score(y == 3, call == 3))
        assert at.loc["melanoma_sensitivity", column] == pytest.approx(sk.recall_score(y == 4, call == 4))
        assert at.loc["melanoma_specificity", column] == pytest.approx(sk.recall_score(y != 4, call != 4))
    np.testing.assert_allclose(result["difference"], result["a"] - result["b"])
    assert (result["low"] <= result["difference"]).all() and (result["difference"] <= result["high"]).all()
    assert list(result.index.get_level_values("where").unique()) == ["argmax", balancing.MATCHED]
    assert len(result) == 9 + 8


def test_a_model_against_itself_differs_nowhere():
    data = scored(("with",))
    result = compare(pd.concat([data, data.assign(model="without")], ignore_index=True))
    assert (result[["difference", "low", "high"]] == 0).all(axis=None)


def test_a_shifted_prior_gains_at_the_argmax_and_nothing_at_equal_specificity():
    data = scored(("without",), n=700)
    p = predictions.probabilities(data).astype(np.float64)
    p[:, CLASSES.index("mel")] *= 5  # the odds of melanoma alone, as another mix of classes in training would
    more = data.assign(model="with")
    more[list(predictions.PROBABILITIES)] = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    result = compare(pd.concat([data, more], ignore_index=True))["difference"]
    assert result["argmax", "melanoma_sensitivity"] > 0.05 > 0 > result["argmax", "melanoma_specificity"]
    assert result[balancing.MATCHED, "melanoma_sensitivity"] == pytest.approx(0, abs=0.011)  # float32: one image
    assert result[balancing.MATCHED, "melanoma_specificity"] == pytest.approx(0, abs=0.002)


def test_specificities_are_equal_on_validation():
    data = scored(splits=("val",), n=700)
    again = data.assign(split="test", image_id="again_" + data["image_id"])
    result = compare(pd.concat([data, again], ignore_index=True))
    names = ["melanoma_specificity", *(f"specificity:{name}" for name in ("akiec", "df", "vasc"))]
    matched = result.loc[balancing.MATCHED].loc[names]
    np.testing.assert_allclose(matched["a"], matched["b"], atol=1e-12)
    np.testing.assert_allclose(matched["a"], result.loc["argmax"].loc[names, "a"], atol=1e-12)
    assert set(matched["note"]) == {"specificity differs by +0.000 here"}


def test_notes_tell_how_far_the_match_misses():
    result = compare(scored(n=280))
    matched = result.loc[balancing.MATCHED]
    assert matched["difference"].abs().max() > 0.001
    for name in balancing.SHOWN:
        recall, specificity = (balancing._named(metric, name) for metric in ("recall", "specificity"))
        differs = f"specificity differs by {round(matched.loc[specificity, 'difference'], 3) + 0.0:+.3f} here"
        assert matched.loc[[recall, specificity], "note"].tolist() == [differs, differs]
    assert set(result.loc["argmax", "note"]) == {""}
    without = compare(scored().query("split == 'val' or y_true != 'df'")).loc[balancing.MATCHED, "note"]
    assert without["recall:df"].startswith("no image of df; specificity differs by ")


def test_lesions_are_drawn_and_not_images():
    """Every image twice, in one lesion: no more is known than from each once."""
    once = scored()
    once = once.assign(lesion_id=once["image_id"])
    twice = pd.concat([once, once.assign(image_id="again_" + once["image_id"])], ignore_index=True)
    bounds = ["difference", "low", "high"]
    np.testing.assert_allclose(compare(twice)[bounds], compare(once)[bounds], atol=1e-12)


def test_without_validation_only_the_argmax_is_compared():
    result = compare(scored(splits=("test",)))
    assert result.loc["argmax", "difference"].notna().all()
    matched = result.loc[balancing.MATCHED]
    assert matched[["a", "b", "difference", "low", "high"]].isna().all(axis=None)
    assert set(matched["note"]) == {balancing.UNSET}


def test_an_absent_class_is_named():
    data = scored()
    result = compare(data[data["y_true"] != "df"])
    at = result.loc["argmax"]
    assert np.isnan(at.loc["recall:df", "difference"]) and at.loc["recall:df", "note"] == "no image of df"
    assert np.isnan(at.loc["balanced_accuracy", "a"]) and at.loc["balanced_accuracy", "note"] == "no image of df"
    assert at.loc["recall:vasc", "note"] == "" and not np.isnan(at.loc["recall:vasc", "difference"])


def test_one_class_alone_in_validation_sets_no_threshold():
    test = rows(70)
    validation = rows(70, split="val", prefix="VAL_").assign(y_true="mel")
    described = pd.concat([test, validation], ignore_index=True)
    data = pd.concat([table(name, described, seed=i) for i, name in enumerate(NAMES)], ignore_index=True)
    assert set(compare(data).loc[balancing.MATCHED, "note"]) == {balancing.UNSET}


def test_a_missing_model_is_refused():
    with pytest.raises(ValueError, match="with and without are not both in split 'test'"):
        compare(scored(("with",)))
