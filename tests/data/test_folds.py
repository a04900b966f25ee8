"""Folds: whole groups, classes spread evenly, nothing chosen on what is scored."""

import numpy as np
import pandas as pd
import pytest

from lesionkit.data.folds import fold_split, folds
from lesionkit.data.records import CLASSES
from lesionkit.data.splits import LeakError, split


@pytest.fixture(scope="module")
def table():
    """Classes as rare as in HAM10000; 900 lesions of one to four images, some joined by near-duplicates; 20 external."""
    rng = np.random.default_rng(0)
    sizes = rng.choice([1, 2, 3, 4], 900, p=[0.6, 0.2, 0.1, 0.1])
    dx = np.repeat(rng.choice(CLASSES, 900, p=[0.04, 0.06, 0.11, 0.03, 0.11, 0.62, 0.03]), sizes)
    lesions = np.repeat([f"L{i:04}" for i in range(900)], sizes)
    index = pd.DataFrame({"image_id": [f"i{i:04}" for i in range(len(dx))], "lesion_id": lesions, "dx": dx})
    pairs = pd.DataFrame({"image_a": ["i0000", "i0010"], "image_b": ["i0900", "i0400"]})
    inside = split(index, pairs, seed=1).assign(dx=dx)
    outside = pd.DataFrame({"image_id": [f"x{i}" for i in range(20)], "lesion_id": [f"X{i}" for i in range(20)]})
    outside = outside.assign(group_id=outside["lesion_id"], split="external", dx="nv")
    return pd.concat([inside, outside], ignore_index=True)


@pytest.mark.parametrize("k", [3, 5])
def test_each_development_image_has_one_fold_and_the_others_none(table, k):
    numbers = folds(table, k)
    inside = table["split"].isin(["train", "val"])
    assert numbers.index.equals(table.index) and numbers.name == "fold"
    assert numbers[inside].notna().all() and numbers[~inside].isna().all()
    assert set(numbers.dropna()) == set(range(1, k + 1))
    assert (table.assign(fold=numbers)[inside].groupby("group_id")["fold"].nunique() == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_every_class_is_spread_evenly_rare_ones_too(table, seed):
    counts = pd.crosstab(table["dx"], folds(table, 5, seed))
    assert len(counts) == len(CLASSES)
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 4  # images: the size of the largest lesion
    assert np.ptp(counts.sum()) <= 6


def test_they_depend_on_the_seed_and_not_on_row_order(table):
    numbers = folds(table, 5, seed=3)
    shuffled = table.sample(frac=1, random_state=0)
    assert folds(shuffled, 5, seed=3).reindex(table.index).equals(numbers)
    assert not folds(table, 5, seed=4).equals(numbers)


def test_a_fold_is_out_the_next_one_chooses_the_epoch_and_test_is_locked(table):
    numbered = table.assign(fold=folds(table, 4))
    before = numbered.copy()
    pooled = []
    for fold, after in ((1, 2), (2, 3), (3, 4), (4, 1)):
        result = fold_split(numbered, fold)
        inside = numbered["fold"].notna()
        assert (result.loc[numbered["fold"].eq(fold).fillna(False), "split"] == "out").all()
        assert (result.loc[numbered["fold"].eq(after).fillna(False), "split"] == "val").all()
        assert set(numbered.loc[result["split"] == "train", "fold"]) == {1, 2, 3, 4} - {fold, after}
        assert result.loc[~inside, "split"].equals(table.loc[~inside, "split"])
        pooled += list(result.loc[result["split"] == "out", "image_id"])
    assert sorted(pooled) == sorted(numbered.loc[numbered["fold"].notna(), "image_id"])  # each once
    assert numbered.equals(before)


def test_folds_read_from_a_file_are_as_good(table, tmp_path):
    numbered = table.assign(fold=folds(table, 3))
    numbered.to_csv(tmp_path / "folds.csv", index=False)
    again = fold_split(pd.read_csv(tmp_path / "folds.csv"), 2)
    assert again["split"].tolist() == fold_split(numbered, 2)["split"].tolist()


def test_what_cannot_be_is_named(table):
    with pytest.raises(ValueError, match="k = 2: from 3 folds"):
        folds(table, 2)
    few = table[table["group_id"].isin(table.loc[table["split"] == "train", "group_id"].unique()[:4])]
    with pytest.raises(ValueError, match="to the 4 groups"):
        folds(few, 5)
    numbered = table.assign(fold=folds(table, 3))
    with pytest.raises(ValueError, match="fold 4 of a table with the folds 1, 2, 3"):
        fold_split(numbered, 4)
    torn = numbered.copy()
    lesion = torn.loc[torn["fold"].notna(), "lesion_id"].value_counts().index[0]
    first = torn.index[torn["lesion_id"] == lesion][0]
    torn.loc[first, "fold"] = torn.loc[first, "fold"] % 3 + 1
    with pytest.raises(LeakError, match=lesion):
        for fold in (1, 2, 3):
            fold_split(torn, fold)


def test_a_split_by_image_is_refused(table):
    inside = table[table["split"] != "external"]
    leaky = split(inside, None, by="image_leaky").assign(dx=inside["dx"].to_numpy())
    with pytest.raises(LeakError, match="lesion_id"):
        folds(leaky, 3)
