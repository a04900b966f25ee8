"""Intervals by the bootstrap of lesions: whole clusters of images are drawn, the same ones for every model.

Images of one lesion, or of lesions joined by near-duplicates, are not independent; drawing images would make
intervals too narrow. A resample draws as many clusters as there are, with replacement (the cluster bootstrap:
Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8), and is kept as the number of
times that each image stands in it: a column of w, (n, count). Intervals are percentiles of the resampled values.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, weighted
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.weighted import OVERALL, PER_CLASS

MOST_UNDEFINED = 0.01  # of the resamples; an interval of the rest alone would be of another question
ALONE = "one lesion alone: there is nothing to resample"
BY_CLASS = tuple(f"{metric}:{name}" for metric in PER_CLASS for name in CLASSES)


def draws(clusters: Sequence, count: int = 2000, seed: int = 0) -> np.ndarray:
    """(n, count) how often each image stands in each resample; uint8, or uint16 where that is too small.

    clusters: (n,) the cluster of each image. What is drawn follows from the names of the clusters and the seed,
    not from the order of the images, and the first resamples are the same whatever `count` is.
    Raises ValueError for no image, a missing cluster, or a count below 1.
    """
    codes, names = pd.factorize(np.asarray(clusters), sort=True)
    if len(codes) == 0 or (codes < 0).any() or count < 1:
        raise ValueError(
            f"{len(codes)} images, {int((codes < 0).sum())} without a cluster, {count} resamples: "
            "at least one image and one resample are needed, and a cluster for every image"
        )
    generator, m = np.random.default_rng(seed), len(names)
    drawn = np.empty((count, m), dtype=np.uint16)
    for row in drawn:
        row[:] = np.bincount(generator.integers(m, size=m), minlength=m)
    if drawn.max() <= np.iinfo(np.uint8).max:
        drawn = drawn.astype(np.uint8)
    return np.ascontiguousarray(drawn.T)[codes]


def crossed_draws(clusters: Sequence, repeats: int, count: int = 2000, seed: int = 0) -> np.ndarray:
    """(n + repeats, count): `draws` of the clusters, and below them, apart from these, how often each of `repeats` comes.

    For scores of every image by each of several random networks, say: the interval then holds the luck of both. All 1
    for a single cluster, which has no interval.
    """
    w, networks = draws(clusters, count, seed), draws(range(repeats), count, seed + 1)
    return np.vstack([w, np.ones_like(networks) if pd.Series(clusters).nunique() == 1 else networks])


def over(statistic: Callable[[np.ndarray], Mapping[str, np.ndarray]], w: np.ndarray, chunk: int = 250) -> dict:
    """The statistic of every resample: each key of `statistic` with its values of all columns of w, (count, …).

    statistic: takes weights (n, r) in float64, `chunk` columns at most, and gives arrays of r values or rows.
    """
    parts = [statistic(w[:, at : at + chunk].astype(np.float64, order="C")) for at in range(0, w.shape[1], chunk)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def interval(value: float, values: np.ndarray, level: float = 0.95) -> tuple[float, float, str]:
    """Lower and upper percentile of the resampled values, and a note.

    No interval (NaN, NaN) where the value itself is NaN, or where more than 1 % of the resamples are, with that
    reason in the note. Up to 1 % are left out, and the note counts them. Raises ValueError for a level outside 0..1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected between 0 and 1, such as 0.95")
    if np.isnan(value):
        return np.nan, np.nan, ""
    defined = values[~np.isnan(values)]
    missing = len(values) - len(defined)
    note = f"undefined in {missing:,} of {len(values):,} resamples" if missing else ""
    if missing > MOST_UNDEFINED * len(values):
        return np.nan, np.nan, note
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), note


def summarise(statistic: Callable[[np.ndarray], Mapping[str, np.ndarray]], w: np.ndarray, **columns) -> pd.DataFrame:
    """One row a key of `statistic`: the given columns, then metric, value, low, high, note.

    statistic: as in `over`, one number a resample. The value is that of every image once.
    """
    point = statistic(np.ones((len(w), 1)))
    values, alone = over(statistic, w), _alone(w)
    rows = [
        {**columns, "metric": key, **_row(float(point[key][0]), resampled, alone)} for key, resampled in values.items()
    ]
    return pd.DataFrame(rows, columns=[*columns, "metric", "value", "low", "high", "note"])


@dataclass(frozen=True)
class Replicates:
    """Every metric of every model, of the images themselves and of each resample; all models share the resamples.

    metrics: OVERALL, then "metric:class" for PER_CLASS × CLASSES. reasons: (M, K), why a point is NaN, or "".
    alone: why there is no interval at all, or "".
    """

    models: tuple[str, ...]
    metrics: tuple[str, ...]
    point: np.ndarray  # (M, K)
    values: np.ndarray  # (R, M, K)
    reasons: np.ndarray  # (M, K)
    alone: str = ""

    def of(self, model: str, metric: str) -> tuple[float, np.ndarray, str]:
        """The point, the (R,) resampled values and the reason of one metric of one model; ValueError if unknown."""
        if model not in self.models or metric not in self.metrics:
            raise ValueError(
                f"no {metric!r} of {model!r}; models: {', '.join(self.models)}; metrics: {', '.join(OVERALL)}, "
                f"and {', '.join(PER_CLASS)} of a class, such as 'recall:mel'"
            )
        at = self.models.index(model), self.metrics.index(metric)
        return float(self.point[at]), self.values[:, *at], str(self.reasons[at])


def replicate(tables: Mapping[str, pd.DataFrame], count: int = 2000, seed: int = 0) -> Replicates:
    """Resample the clusters of the tables' images and score each model on each resample.

    tables: a model each, as `predictions.by_model` gives them: the same images in the same order.
    Raises PredictionError where the images differ, ValueError where there is no table.
    """
    w = draws(_shared_clusters(tables), count, seed)
    arrays = [(table_of.targets(table), table_of.probabilities(table)) for table in tables.values()]
    scorers = [weighted.scorer(y, p) for y, p in arrays]
    statistic = partial(_all_models, scorers)
    point = statistic(np.ones((len(w), 1)))["all"][0]
    values = over(statistic, w, chunk=64)["all"]  # few enough columns for a processor's cache
    names = (*OVERALL, *BY_CLASS)
    reasons = np.array([[_reasons(y, p).get(name, "") for name in names] for y, p in arrays], dtype=object)
    return Replicates(tuple(tables), names, point, values, np.where(np.isnan(point), reasons, ""), _alone(w))


def intervals(r: Replicates, metrics: Iterable[str] = OVERALL, level: float = 0.95) -> pd.DataFrame:
    """model, metric, value, low, high, note: models in their order, metrics in that given. Errors: `Replicates.of`."""
    rows = [
        {"model": model, "metric": metric, **_row_of(r, model, metric, level)}
        for model in r.models
        for metric in metrics
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high", "note"])


def class_intervals(r: Replicates, level: float = 0.95) -> pd.DataFrame:
    """model, class, metric, value, low, high, note: the PER_CLASS metrics of each class."""
    rows = [
        {"model": model, "class": name, "metric": metric, **_row_of(r, model, f"{metric}:{name}", level)}
        for model in r.models
        for name in CLASSES
        for metric in PER_CLASS
    ]
    return pd.DataFrame(rows)


def _row_of(r: Replicates, model: str, metric: str, level: float) -> dict:
    value, values, reason = r.of(model, metric)
    row = _row(value, values, r.alone, level)
    return {**row, "note": reason or row["note"]}


def _row(value: float, values: np.ndarray, alone: str, level: float = 0.95) -> dict:
    low, high, note = (np.nan, np.nan, alone) if alone else interval(value, values, level)
    return {"value": value, "low": low, "high": high, "note": note}


def _alone(w: np.ndarray) -> str:
    return ALONE if (w == 1).all() else ""  # of two clusters or more, some resample leaves one out


def _all_models(scorers: Sequence[weighted.Scorer], w: np.ndarray) -> dict[str, np.ndarray]:
    parts = [scorer(w) for scorer in scorers]
    flat = [np.concatenate([overall, classes.reshape(len(overall), -1)], axis=1) for overall, classes in parts]
    return {"all": np.stack(flat, axis=1)}  # (r, M, K)


def _reasons(y: np.ndarray, p: np.ndarray) -> dict[str, str]:
    """Why metrics may be NaN on the images themselves."""
    n, called = (np.bincount(of, minlength=len(CLASSES)) for of in (y, p.argmax(axis=1)))
    reasons = metrics.undefined(y)
    for k, name in enumerate(CLASSES):
        if n[k] == 0:
            reasons |= {f"{metric}:{name}": f"no image of {name}" for metric in PER_CLASS}
        if n[k] == len(y):
            reasons |= {f"{metric}:{name}": f"no image of a class but {name}" for metric in ("specificity", "auc")}
        if called[k] == 0:
            reasons[f"precision:{name}"] = f"{name} is never called"
    if "melanoma_sensitivity" in reasons:
        reasons["melanoma_average_precision"] = reasons["melanoma_sensitivity"]
    return reasons


def _shared_clusters(tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    if not tables:
        raise ValueError("no table of a model is given; choose a split that has predictions")
    (first, table), *others = tables.items()
    for name, other in others:
        for column in ("image_id", "y_true"):
            if not np.array_equal(other[column], table[column]):
                raise table_of.PredictionError(
                    f"{name} and {first} differ in {column} or in the order of images; take tables from by_model"
                )
    return table_of.clusters(table)
