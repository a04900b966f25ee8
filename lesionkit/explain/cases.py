"""Which images are worth explaining: chosen from predictions alone, so that the choice is the same for every model."""

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence.predictions import probabilities

SPLITS = ("test", "external")
OUTCOMES = ("correct", "missed")


def choose_cases(predictions: pd.DataFrame, model: str = "ensemble", per_cell: int = 1) -> pd.DataFrame:
    """The clearest cases of `model`: image_id, class, call, outcome, split, p; one row an image.

    For each class, inside (test) and outside (external): the `per_cell` images of it that the model called correctly with
    the highest probability, and those that it missed with the highest probability of its wrong call; p is that
    probability. One image a lesion; ties go to the lower image_id. A cell without such images gives no row: what is
    missing here did not happen. Rows are sorted by class in the order of CLASSES, then split, outcome and p.
    Raises ValueError where the table does not hold the model.
    """
    rows = predictions[predictions["model"] == model]
    if rows.empty:
        raise ValueError(
            f"no predictions of {model!r}: the table holds {', '.join(sorted(predictions['model'].unique()))}"
        )
    rows = rows[rows["split"].isin(SPLITS)]
    p = probabilities(rows)
    call = np.take(CLASSES, p.argmax(1))
    outcome = np.where(call == rows["y_true"].to_numpy(), *OUTCOMES)
    table = rows.assign(**{"class": rows["y_true"], "call": call, "outcome": outcome, "p": p.max(1)})
    cell = ["class", "split", "outcome"]
    for column, order in zip(cell, (CLASSES, SPLITS, OUTCOMES), strict=True):
        table[column] = pd.Categorical(table[column], categories=list(order), ordered=True)
    table = table.sort_values([*cell, "p", "image_id"], ascending=[True] * 3 + [False, True])
    chosen = table.drop_duplicates([*cell, "lesion_id"]).groupby(cell, observed=True).head(per_cell)
    columns = ["image_id", "class", "call", "outcome", "split", "p"]
    return chosen[columns].astype(dict.fromkeys(cell, "str")).reset_index(drop=True)
