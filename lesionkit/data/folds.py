"""Folds: every development image is scored once by a model that has not seen its lesion."""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from lesionkit.data.splits import assert_disjoint

DEVELOPMENT = ("train", "val")
FEWEST = 3  # one fold is scored, one chooses the epoch, the rest trains


def folds(table: pd.DataFrame, k: int, seed: int = 0) -> pd.Series:
    """The fold (1 to k, Int64) of each image that `table` calls train or val; NA for test and external images.

    table: image_id, lesion_id, group_id, dx, split. Groups stay whole, and each class is spread over the folds as
    evenly as they allow (scikit-learn's StratifiedGroupKFold). The result has the index of `table` and depends on
    the seed and on the set of rows, not on their order.
    Raises ValueError for k below 3 or above the number of groups, LeakError where the split is not by lesion.
    """
    assert_disjoint(table)
    inside = table[table["split"].isin(DEVELOPMENT)].sort_values("image_id")
    groups = inside["group_id"].nunique()
    if not FEWEST <= k <= groups:
        raise ValueError(
            f"k = {k}: from {FEWEST} folds (one scored, one to choose the epoch, the rest for training) to the "
            f"{groups} groups of lesions there are"
        )
    numbers = pd.Series(pd.NA, index=inside.index, dtype="Int64", name="fold")
    cut = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    for fold, (_, rows) in enumerate(cut.split(inside, inside["dx"], inside["group_id"]), start=1):
        numbers.iloc[rows] = fold
    return numbers.reindex(table.index)


def fold_split(table: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The split in which fold number `fold` is out: for `training.fit`, in the order of `table`.

    table: as for `folds`, with its column fold. Images of this fold get split "out", to be scored; those of the
    next one (after the last, the first) "val", so that the epoch is not chosen on what is scored; the others
    "train". Test and external images stay what they are. Raises ValueError for a fold that is not there, LeakError
    where a lesion or a group would stand on two sides.
    """
    number = table["fold"].to_numpy(float, na_value=np.nan)  # (n,)
    numbers = np.unique(number[~np.isnan(number)])
    if fold not in numbers or len(numbers) < FEWEST:
        raise ValueError(
            f"fold {fold} of a table with the folds {', '.join(f'{n:g}' for n in numbers)}: take one of them, and "
            f"draw at least {FEWEST} with folds()"
        )
    after = numbers[(np.searchsorted(numbers, fold) + 1) % len(numbers)]
    part = np.select([np.isnan(number), number == fold, number == after], [table["split"], "out", "val"], "train")
    result = table.assign(split=part)
    assert_disjoint(result)
    return result
