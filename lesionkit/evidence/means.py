"""Means of scores an image, with intervals by lesion: in groups, of paired differences, and pooled quotients.

A score that is NaN says "undefined", and one that is infinite cannot be averaged: such rows are left out of that
metric alone, n counts the rest, and a note counts the infinite ones. Lesions are drawn within a group, among those with
a value.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from lesionkit.evidence import resampling

COLUMNS = ("n", "metric", "value", "low", "high", "note")  # after those of `by`
NOTHING = "no value is defined"


def means(scores: pd.DataFrame, metrics: Sequence[str], by: Sequence[str] = (), *, cluster: str = "cluster",
          count: int = 2000, seed: int = 0) -> pd.DataFrame:  # fmt: skip
    """The mean of each metric in each group: *by, n (rows with a value), metric, value, low, high, note.

    scores: a row an image, or an image and method; `metrics` name columns of numbers, `by` those that make groups (in
    order of appearance; a missing value is a group, too), `cluster` the lesion of each row. low and high: 95 %, of the
    cluster bootstrap (`resampling.draws`, `count` resamples). Groups of the same lesions share the resamples. A single
    lesion has no interval. Raises ValueError for a column that is not there, and for a row without a lesion.
    """
    parts = {name: (_numbers(scores, name), np.ones(len(scores))) for name in metrics}
    return _quotients(scores, parts, by, cluster, count, seed)


def paired(scores: pd.DataFrame, a: str, b: str, by: Sequence[str] = (), *, cluster: str = "cluster", count: int = 2000,
           seed: int = 0) -> pd.DataFrame:  # fmt: skip
    """The mean of column a minus column b over the rows that have both, as metric "a - b": else as `means`."""
    x, y = _numbers(scores, a), _numbers(scores, b)
    infinite = np.isinf(x) | np.isinf(y)
    difference = np.where(infinite, np.inf, x - np.where(infinite, 0, y))  # ∞ − ∞ is no less infinite
    return _quotients(scores, {f"{a} - {b}": (difference, np.ones(len(scores)))}, by, cluster, count, seed)


def ratio(scores: pd.DataFrame, a: str, b: str, by: Sequence[str] = (), *, cluster: str = "cluster", count: int = 2000,
          seed: int = 0) -> pd.DataFrame:  # fmt: skip
    """The pooled quotient, mean of a over mean of b over the rows that have both, as metric "a / b": else as `means`.

    Unlike the mean of the rows' own quotients it needs no row's b above 0, and no row with a small b outweighs the
    others. NaN where the mean of b is 0.
    """
    return _quotients(scores, {f"{a} / {b}": (_numbers(scores, a), _numbers(scores, b))}, by, cluster, count, seed)


def crossed(scores: np.ndarray, clusters: Sequence, count: int = 2000, seed: int = 0) -> dict:
    """n, value, low, high and note of the mean of scores (n, repeats): of each image by each of several random networks.

    The interval resamples lesions and, apart from them, the repeats (`resampling.crossed_draws`).
    """
    n, repeats = scores.shape

    def mean(w: np.ndarray) -> dict[str, np.ndarray]:
        images, networks = (part / part.sum(axis=0) for part in (w[:n], w[n:]))
        return {"": np.einsum("tr,tr->r", scores.T @ images, networks)}

    w = resampling.crossed_draws(clusters, repeats, count, seed)
    return {"n": n} | resampling.summarise(mean, w).iloc[0].drop("metric").to_dict()


def _quotients(scores: pd.DataFrame, parts: Mapping[str, tuple[np.ndarray, np.ndarray]], by: Sequence[str],
               cluster: str, count: int, seed: int) -> pd.DataFrame:  # fmt: skip
    """For each group and each name of `parts`, (x, d) of a value a row: the sum of x over that of d."""
    clusters = _column(scores, cluster).to_numpy()
    if missing := int(pd.isna(clusters).sum()):
        raise ValueError(f"{missing} of {len(scores)} rows have no {cluster}: give each row its lesion")
    draw = lru_cache(maxsize=4)(lambda drawn: resampling.draws(drawn, count, seed))  # models share lesions
    rows = [
        {**group, "metric": name, **_quotient(x[at], d[at], clusters[at], draw)}
        for group, at in _groups(scores, by)
        for name, (x, d) in parts.items()
    ]
    return pd.DataFrame(rows, columns=[*by, *COLUMNS])


def _quotient(x: np.ndarray, d: np.ndarray, clusters: np.ndarray, draw: Callable[[tuple], np.ndarray]) -> dict:
    infinite = int((np.isinf(x) | np.isinf(d)).sum())
    left_out = f"{infinite} infinite value{'s' * (infinite > 1)} left out" if infinite else ""
    known = np.isfinite(x) & np.isfinite(d)
    if not known.any():
        row = {"value": np.nan, "low": np.nan, "high": np.nan, "note": NOTHING}
    else:
        x, d = x[known], d[known]
        w = draw(tuple(clusters[known]))
        row = resampling.summarise(lambda w: {"": _divided(x @ w, d @ w)}, w).iloc[0].drop("metric").to_dict()
        row["note"] = "divided by 0" if np.isnan(row["value"]) else row["note"]
    return row | {"n": int(known.sum()), "note": "; ".join(filter(None, (row["note"], left_out)))}


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b != 0)


def _groups(scores: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict, np.ndarray]]:
    """The values of `by` and the positions of the rows of each group."""
    if not by:
        yield {}, np.arange(len(scores))
        return
    columns = {name: _column(scores, name) for name in by}
    numbers = scores.groupby(list(by), sort=False, dropna=False, observed=True).ngroup().to_numpy()
    for number in range(numbers.max(initial=-1) + 1):
        at = np.flatnonzero(numbers == number)
        yield {name: column.iloc[at[0]] for name, column in columns.items()}, at


def _numbers(scores: pd.DataFrame, name: str) -> np.ndarray:
    return _column(scores, name).to_numpy(dtype=np.float64, na_value=np.nan)


def _column(scores: pd.DataFrame, name: str) -> pd.Series:
    if name not in scores:
        raise ValueError(f"no column {name!r} in the scores: they have {', '.join(map(str, scores))}")
    return scores[name]
