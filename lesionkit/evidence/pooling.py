"""Out-of-fold predictions, pooled: every development image scored by a model that has not seen its lesion."""

import pandas as pd

from lesionkit.evidence import predictions as table_of
from lesionkit.evidence import resampling

OUT = "out"  # the split of an image in the fold that scores it
COLUMNS = ["model", "n", "lesions", "metric", "value", "low", "high", "note"]


def pooled(versions: pd.DataFrame, count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """`resampling.OVERALL` of each model over its pooled out-of-fold predictions: COLUMNS.

    versions: model, version (the fold), split and the columns of a table of predictions; rows of split "out" are
    pooled, each image once a model. An empty table gives an empty table. The folds' models differ, and their
    probabilities are pooled as they are: that is what cross-validation estimates, not one model's performance.
    Raises PredictionError where models were not scored on the same images.
    """
    if versions.empty:
        return pd.DataFrame(columns=COLUMNS)
    out = versions[versions["split"] == OUT].drop(columns="version")
    tables = table_of.by_model(out, split=OUT)
    first = next(iter(tables.values()))
    found = resampling.intervals(resampling.replicate(tables, count, seed))
    return found.assign(n=len(first), lesions=first["lesion_id"].nunique())[COLUMNS]
