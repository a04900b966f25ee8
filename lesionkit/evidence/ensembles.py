"""Several models' predictions become one model's, in the same kind of table."""

import numpy as np
import pandas as pd

from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.predictions import PROBABILITIES, PredictionError


def mean(predictions: pd.DataFrame, name: str = "ensemble") -> pd.DataFrame:
    """The arithmetic mean of all models' probabilities, as a table of the model `name`; nothing is fitted.

    Models weigh the same, and their order does not matter. The mean of one model is that model.
    Raises PredictionError if members differ in their images or labels, or if `name` is one of them.
    """
    table_of.check(predictions)
    members = {str(model): rows for model, rows in predictions.groupby("model", sort=True)}
    if name in members:
        raise PredictionError(f"{name!r} is already a model of the table and would count twice; leave it out")
    members = table_of.aligned(members)
    scores = [table_of.probabilities(rows) for rows in members.values()]
    p = np.mean(scores, axis=0, dtype=np.float64)  # (n, 7)
    first = next(iter(members.values()))
    return table_of.build(first.drop(columns=["model", *PROBABILITIES]), p, name)
