"""Metrics of every model in a table of predictions: inside, and outside by source."""

from collections.abc import Iterator, Mapping, Sequence
from math import comb

import numpy as np
import pandas as pd

from lesionkit.evidence import comparisons, metrics, resampling
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.predictions import PredictionError
from lesionkit.evidence.resampling import Replicates

LEAST, ENOUGH = 40, 100  # resamples a pair: up to the first, no p can stay below 5 % after Holm's correction (`every_pair`)


def leaderboard(predictions: pd.DataFrame, *, split: str = "test", where: Sequence[bool] | None = None) -> pd.DataFrame:
    """One row a model: model, n (images), lesions, the nine METRICS, note; the best balanced accuracy first.

    note names each undefined metric with its reason, and is empty where there is none.
    split, where, errors: as in `predictions.by_model`.
    """
    tables = table_of.by_model(predictions, split=split, where=where)
    board = pd.DataFrame([{"model": name, **_summary(table)} for name, table in tables.items()])
    return board.sort_values("balanced_accuracy", ascending=False, kind="stable", ignore_index=True)


def by_class(predictions: pd.DataFrame, *, split: str = "test", where: Sequence[bool] | None = None) -> pd.DataFrame:
    """The `metrics.per_class` table of every model, below one another; the first column is the model."""
    tables = table_of.by_model(predictions, split=split, where=where)
    parts = {name: metrics.per_class(*_arrays(table)) for name, table in tables.items()}
    return pd.concat(parts, names=["model"]).reset_index("model").reset_index(drop=True)


def by_source(predictions: pd.DataFrame, split_table: pd.DataFrame, *, split: str = "external") -> pd.DataFrame:
    """Leaderboards of all images and of each source, with SCC merged into akiec and without the SCC images.

    split_table: image_id, source, source_dx (the release's own label); one row an image.
    Adds two columns to `leaderboard`: source ("all" first) and scc ("merged" or "without"). A combination
    without an image is left out. Raises PredictionError for images that the split table lacks.
    """
    chosen = predictions[predictions["split"] == split]
    boards = [
        leaderboard(chosen, split=split, where=here).assign(source=source, scc=scc)
        for source, scc, here in _sources(chosen, split_table, split)
    ]
    board = pd.concat(boards, ignore_index=True)
    return board[["source", "scc", *board.columns.drop(["source", "scc"])]]


def by_source_intervals(
    predictions: pd.DataFrame, split_table: pd.DataFrame, *, split: str = "external", count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """`resampling.intervals` of the same choices as `by_source`: source, scc, model, metric, value, low, high, note."""
    chosen = predictions[predictions["split"] == split]
    parts = []
    for source, scc, here in _sources(chosen, split_table, split):
        tables = table_of.by_model(chosen, split=split, where=here)
        found = resampling.intervals(resampling.replicate(tables, count, seed))
        parts.append(found.assign(source=source, scc=scc))
    table = pd.concat(parts, ignore_index=True)
    return table[["source", "scc", *table.columns.drop(["source", "scc"])]]


def pairs(tables: Mapping[str, pd.DataFrame], replicates: Replicates, seed: int = 0) -> pd.DataFrame:
    """`comparisons.every_pair` of the replicates; of more of them, where they are too few for so many pairs. tables: theirs."""
    family = comb(len(tables), 2)
    few = len(replicates.values) <= LEAST * family
    return comparisons.every_pair(resampling.replicate(tables, ENOUGH * family, seed) if few else replicates)


def _sources(chosen: pd.DataFrame, split_table: pd.DataFrame, split: str) -> Iterator[tuple[str, str, np.ndarray]]:
    """Each source ("all" first), with SCC and without: source, scc, which rows of `chosen`."""
    known = split_table.set_index("image_id")
    unknown = chosen.loc[~chosen["image_id"].isin(known.index), "image_id"]
    if chosen.empty or len(unknown):
        missing = f"{unknown.nunique()} images are not in the split table"
        fault = missing if len(unknown) else f"there is no {split} image"
        raise PredictionError(f"{fault}: predictions and split are of different runs; make them again")
    source = chosen["image_id"].map(known["source"]).to_numpy()
    scc = (chosen["image_id"].map(known["source_dx"]) == "SCC").to_numpy()
    for name in ["all", *sorted(set(source))]:
        here = np.full(len(chosen), True) if name == "all" else source == name
        for label, mask in {"merged": here, "without": here & ~scc}.items():
            if mask.any():
                yield name, label, mask


def _summary(table: pd.DataFrame) -> dict:
    y, p = _arrays(table)
    reasons: dict[str, list[str]] = {}
    for metric, reason in metrics.undefined(y).items():
        reasons.setdefault(reason, []).append(metric)
    note = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    return {"n": len(y), "lesions": table["lesion_id"].nunique(), **metrics.overall(y, p), "note": note}


def _arrays(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table_of.targets(table), table_of.probabilities(table)
