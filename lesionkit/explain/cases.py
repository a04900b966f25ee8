"""Which images are worth explaining: chosen from predictions alone, so that the choice is the same for every model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence.predictions import clusters, probabilities

SPLITS = ("test", "external")
OUTCOMES = ("correct", "missed", "false_alarm")
CONFIDENCES = ("most", "least")
CELL = ("class", "split", "outcome")
COLUMNS = ["image_id", "class", "truth", "call", "outcome", "confidence", "split", "p"]


def choose_cases(predictions: pd.DataFrame, model: str = "ensemble", per_cell: int = 1) -> pd.DataFrame:
    """The most and the least confident right and wrong calls of `model`, a row each: COLUMNS.

    For each class, inside (test) and outside (external): images of it that were called so (correct), images of it that
    were called otherwise (missed), and images of others that were called so (false_alarm); of each the `per_cell` with
    the highest probability of the call, p, and then, among the lesions that are left, the `per_cell` with the lowest.
    One image a lesion in each such cell (a group where near-duplicates join lesions); ties go to the lower image_id.
    A cell without such images gives no row: what is missing here did not happen. A wrong call can stand in two rows, as
    missed of its truth and as a false alarm of its call. Rows are sorted by class in the order of CLASSES, then split,
    outcome and confidence. Raises ValueError where the table does not hold the model.
    """
    called = _called(predictions, model, SPLITS)
    wrong = called["call"] != called["truth"]
    own = called.assign(**{"class": called["truth"], "outcome": np.where(wrong, "missed", "correct")})
    others = called[wrong].assign(**{"class": called["call"][wrong], "outcome": "false_alarm"})
    cells = pd.concat([own, others], ignore_index=True)
    most = _first(cells, list(CELL), per_cell, highest=True).assign(confidence="most")
    seen = pd.MultiIndex.from_frame(most[[*CELL, "cluster"]])
    rest = cells[~pd.MultiIndex.from_frame(cells[[*CELL, "cluster"]]).isin(seen)]
    least = _first(rest, list(CELL), per_cell, highest=False).assign(confidence="least")
    return _sorted(pd.concat([most, least]), [*CELL, "confidence"])[COLUMNS]


def missed_melanomas(
    predictions: pd.DataFrame, model: str = "ensemble", split: str = "test", count: int = 8
) -> pd.DataFrame:
    """The `count` melanomas of `split` with the highest probability of `model`'s call of something else: COLUMNS.

    The highest first, one a lesion; ties go to the lower image_id. Raises ValueError where the table does not hold the
    model or the split.
    """
    called = _called(predictions, model, (split,))
    if called.empty:
        found = ", ".join(sorted(predictions["split"].unique()))
        raise ValueError(f"no predictions of split {split!r}: the table holds {found}")
    missed = called[(called["truth"] == "mel") & (called["call"] != "mel")]
    missed = missed.assign(**{"class": "mel", "outcome": "missed", "confidence": "most"})
    return _first(missed, ["class"], count, highest=True)[COLUMNS].reset_index(drop=True)


def sample_cases(
    predictions: pd.DataFrame, model: str = "ensemble", per_class: int = 24, seed: int = 0
) -> pd.DataFrame:
    """A sample to score explanations on: image_id, cluster, class, call, target, correct, split, p; one row an image.

    Of each true class, inside (test) and outside (external), up to `per_class` images of as many lesions, all lesions
    equally likely and each of a lesion's images too; 0 takes every image of every lesion. cluster: the lesion, or the
    group where near-duplicates join lesions (`predictions.clusters`); target: the call's position in CLASSES; p: its
    probability. What is drawn depends on the seed and on the images of the same class and split, not on the order of
    rows nor on other models, and a smaller sample is part of a larger one. Rows are sorted by class in the order of
    CLASSES, then split and image_id. Raises ValueError where the table does not hold the model, or for a negative
    number.
    """
    if per_class < 0:
        raise ValueError(f"per_class = {per_class}: give 1 or more images a class, or 0 for all")
    called = _called(predictions, model, SPLITS)
    called = called.assign(**{"class": called["truth"], "correct": called["call"] == called["truth"],
                              "target": pd.Index(CLASSES).get_indexer(called["call"])})  # fmt: skip
    called = _sorted(called, ["class", "split", "image_id"])
    if per_class:
        parts = [
            rows.iloc[_drawn(rows["cluster"].to_numpy(), per_class, [seed, CLASSES.index(dx), SPLITS.index(split)])]
            for (dx, split), rows in called.groupby(["class", "split"], sort=False)
        ]
        called = pd.concat([called[:0], *parts], ignore_index=True)
    return called[["image_id", "cluster", "class", "call", "target", "correct", "split", "p"]]


def _called(predictions: pd.DataFrame, model: str, splits: Sequence[str]) -> pd.DataFrame:
    """image_id, split, cluster, truth, call and p, its probability, of the images that `model` scored in `splits`."""
    rows = predictions[predictions["model"] == model]
    if rows.empty:
        raise ValueError(
            f"no predictions of {model!r}: the table holds {', '.join(sorted(predictions['model'].unique()))}"
        )
    rows = rows[rows["split"].isin(splits)]
    p = probabilities(rows)
    columns = {"cluster": clusters(rows), "truth": rows["y_true"], "call": np.take(CLASSES, p.argmax(1)), "p": p.max(1)}
    return rows[["image_id", "split"]].assign(**columns).reset_index(drop=True)


def _first(rows: pd.DataFrame, cell: list[str], count: int, highest: bool) -> pd.DataFrame:
    """The `count` rows of each cell with the highest or the lowest p, one a cluster, in that order."""
    ordered = rows.sort_values(["p", "image_id"], ascending=[not highest, True])
    return ordered.drop_duplicates([*cell, "cluster"]).groupby(cell).head(count)


def _sorted(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Rows in the order of CLASSES, SPLITS, OUTCOMES and CONFIDENCES; those alike in these stay in their order."""
    orders = {"class": CLASSES, "split": SPLITS, "outcome": OUTCOMES, "confidence": CONFIDENCES}
    return table.sort_values(
        by, kind="stable", ignore_index=True,
        key=lambda column: column.map({value: i for i, value in enumerate(orders[column.name])})
        if column.name in orders else column,
    )  # fmt: skip


def _drawn(clusters: np.ndarray, count: int, seed: Sequence[int]) -> np.ndarray:
    """Positions of one image each of up to `count` clusters, in ascending order.

    An image of each cluster first and then the clusters: drawn in one go, clusters of many images would come too often.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(clusters))
    _, first = np.unique(clusters[shuffled], return_index=True)
    return np.sort(rng.permutation(shuffled[first])[:count])
