"""Do probabilities mean what they say? Calibration error, Brier score and log-loss, before and after scaling.

A bin holds images of like confidence; ECE is the mean over images of |accuracy − mean confidence| of their bin
(Naeini et al., AAAI 2015), here of the top label, in 15 bins of equal mass: quantiles of the whole sample, which
its resamples keep. Images of equal confidence share a bin, so that there may be fewer. Class-wise ECE is the mean
over the seven classes of the same error of p_k against "is of class k" (Kull et al., NeurIPS 2019).
Overconfidence is mean confidence − accuracy. Brier and log-loss are as in `lesionkit.evidence.weighted`.

Temperatures are fitted on "val" alone and stay fixed over the resamples: intervals hold the luck of that fit fixed.

Intervals of ECE are not percentiles. Noise only adds to an absolute error, and resampling adds it once more, so
percentiles lie too high. The basic interval 2·value − percentiles (Davison & Hinkley 1997, section 5.2), widened
to hold the value, undoes that; and where the value is no more than a perfectly calibrated model gets by chance
(the 95th percentile of `chance`), the interval begins at 0 and the note says so. Simulated with 1,500 images,
percentiles held a true ECE of 0, 0.03 and 0.08 in 0, 5 and 92 % of samples, these intervals in 93, 89 and 92 %; a
true class-wise ECE of 0, 0.009 and 0.023 in 0, 0 and 10 %, these in 94, 60 and 88 %.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from statsmodels.stats.proportion import proportion_confint

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, resampling, scaling
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.mixtures import Mixture
from lesionkit.evidence.predictions import PredictionError

ECE_BINS = 15
ERRORS = ("ece", "classwise_ece")
METRICS = (*ERRORS, "overconfidence", "brier", "log_loss")
ORDERS = ("mean", "calibrate_then_average", "average_then_calibrate")
DIFFERENCE = "difference"  # calibrate-then-average − average-then-calibrate
APPROXIMATE = "the interval is approximate: it covers 60–70 % where the true value is near 0.01"
UNFITTED = "no validation image of this model to fit the temperature on"

Scorer = Callable[[np.ndarray], dict[str, np.ndarray]]


def scores(y: np.ndarray, p: np.ndarray, bins: int = ECE_BINS) -> dict[str, float]:
    """The METRICS of (n,) classes and (n, 7) probabilities. Raises ValueError as `metrics.overall` does."""
    return {name: float(value[0]) for name, value in scorer(y, p, bins)(np.ones((len(y), 1))).items()}


def scorer(y: np.ndarray, p: np.ndarray, bins: int = ECE_BINS) -> Scorer:
    """`scores` as a function of weights (n, r), how often each image stands in each of r resamples; (r,) each."""
    metrics.confusion(y, p)  # refuses wrong arrays
    y, p = np.asarray(y), np.asarray(p, np.float64)
    sets = _labels(p)
    gaps = sparse.vstack([_binned(c, bins) @ sparse.diags_array((label == y) - c) for label, c in sets]).tocsr()
    own = np.clip(p[np.arange(len(y)), y], np.finfo(float).eps, 1)
    losses = np.stack([((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1), -np.log(own)])

    def of(w: np.ndarray) -> dict[str, np.ndarray]:
        total = w.sum(axis=0)
        sums = (gaps @ w).reshape(len(sets), bins, -1) / total  # (8, bins, r)
        errors = np.abs(sums).sum(axis=1)
        values = errors[0], errors[1:].mean(axis=0), -sums[0].sum(axis=0), *(losses @ w / total)
        return dict(zip(METRICS, values, strict=True))

    return of


def chance(p: np.ndarray, clusters: Sequence, bins: int = ECE_BINS, count: int = 400, seed: int = 0) -> dict:
    """The (count,) ERRORS that p, (n, 7), has by chance alone were it perfectly calibrated.

    Labels are drawn from p itself (consistency resampling: Bröcker & Smith, Weather and Forecasting 2007), with
    one random number for all images of a cluster, so that their labels agree as far as their probabilities do.
    """
    p = np.asarray(p, np.float64)
    codes, names = pd.factorize(np.asarray(clusters))
    u = np.random.default_rng(seed).random((len(names), count))[codes]
    drawn = sum((u >= upper[:, None]).astype(np.int8) for upper in p.cumsum(axis=1).T[:-1])  # (n, count)
    hits = [(drawn == np.reshape(label, (-1, 1)), c[:, None]) for label, c in _labels(p)]
    errors = [np.abs(_binned(c[:, 0], bins) @ (hit - c)).sum(axis=0) / len(p) for hit, c in hits]
    return dict(zip(ERRORS, (errors[0], np.mean(errors[1:], axis=0)), strict=True))


def reliability(y: np.ndarray, p: np.ndarray, bins: int = 10, clusters: Sequence | None = None) -> pd.DataFrame:
    """The reliability diagram of the top label in bins of equal mass: bin, n, confidence, accuracy, low, high.

    confidence and accuracy are means over the n images of a bin. low, high: 95 % Wilson interval of the accuracy,
    with n replaced by the effective number of lesions (Σm)² / Σm², m images each (Kish 1965), as if a model were
    right on all images of a lesion or on none: the widest case. clusters: (n,) lesions; None: an image is its own.
    """
    metrics.confusion(y, p)  # refuses wrong arrays
    p = np.asarray(p, np.float64)
    table = pd.DataFrame(
        {
            "bin": _bin(p.max(axis=1), bins),
            "confidence": p.max(axis=1),
            "right": p.argmax(axis=1) == y,
            "lesion": np.arange(len(p)) if clusters is None else np.asarray(clusters),
        }
    )
    rows = []
    for at, (_, images) in enumerate(table.groupby("bin")):
        accuracy, m = images["right"].mean(), images["lesion"].value_counts()
        effective = m.sum() ** 2 / (m**2).sum()
        low, high = proportion_confint(accuracy * effective, effective, method="wilson")
        rows.append((at, len(images), images["confidence"].mean(), accuracy, low, high))
    return pd.DataFrame(rows, columns=["bin", "n", "confidence", "accuracy", "low", "high"])


def diagrams(
    table: pd.DataFrame, splits: Sequence[str] = ("test", "external"), bins: int = 10
) -> dict[str, dict[str, pd.DataFrame]]:
    """`reliability` of one model by split, before and after its temperature scaling: split -> name -> diagram.

    The second is left out where there is no validation image. Raises PredictionError for several models.
    """
    if table["model"].nunique() != 1:
        raise PredictionError(f"{table['model'].nunique()} models in the table: choose one for a reliability diagram")
    states = {"uncalibrated": 1.0} | {"temperature-scaled": t for t in scaling.temperatures(table).values()}
    return {
        split: {name: _diagram(_rescaled(rows, t), bins) for name, t in states.items()}
        for split, tables in _splits(table, splits).items()
        for rows in tables.values()
    }


def summary(
    scored: pd.DataFrame, splits: Sequence[str] = ("test", "external"), count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """METRICS of every model in each split, before and after temperature scaling.

    Columns: model, split, scaling ("none", "temperature"), temperature (1 for "none"), metric, value, low, high,
    note. A split without rows is left out. Of a model without validation images "temperature" is NaN, with a note.
    """
    fitted = scaling.temperatures(scored)
    parts = []
    for split, tables in _splits(scored, splits).items():
        w = resampling.draws(table_of.clusters(next(iter(tables.values()))), count, seed)
        for name, table in tables.items():
            for kind, t in {"none": 1.0, "temperature": fitted.get(name)}.items():
                columns = {"model": name, "split": split, "scaling": kind, "temperature": np.nan if t is None else t}
                parts.append(_unfitted(columns) if t is None else _rows(_rescaled(table, t), w, seed, **columns))
    return pd.concat(parts, ignore_index=True)


def orders(
    members: pd.DataFrame, mixture: Mixture, splits: Sequence[str] = ("test", "external"), count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Scale each member and average, or average and scale? METRICS of both ORDERS and of the mean as it is.

    members: the backbones alone, without ensembles. mixture: the study's (`ensembles.mixture`), whose shares hold in every mean;
    where it scales its members itself, it is the first of the two. Columns:
    order (one of ORDERS, or DIFFERENCE, of the two scaled ones on the same resamples), split, metric, value, low, high,
    note. Without validation images of every member all but the mean as it is is NaN, with a note.
    """
    fitted = scaling.temperatures(members)
    whole = set(fitted) == set(members["model"])
    joint = _joint_temperature(members, mixture.shares) if whole else np.nan
    parts = []
    for split, tables in _splits(members, splits).items():
        first = next(iter(tables.values()))
        w = resampling.draws(table_of.clusters(first), count, seed)
        ensembles = {"mean": _averaged(tables, mixture)}
        if whole:
            ensembles["calibrate_then_average"] = _averaged(tables, Mixture(mixture.shares, fitted))
            ensembles["average_then_calibrate"] = _rescaled(_averaged(tables, Mixture(mixture.shares)), joint)
        for name in ORDERS:
            columns = {"order": name, "split": split}
            parts.append(_rows(ensembles[name], w, seed, **columns) if name in ensembles else _unfitted(columns))
        columns = {"order": DIFFERENCE, "split": split}
        parts.append(_difference(*list(ensembles.values())[1:], w, **columns) if whole else _unfitted(columns))
    return pd.concat(parts, ignore_index=True)


def _diagram(table: pd.DataFrame, bins: int) -> pd.DataFrame:
    return reliability(table_of.targets(table), table_of.probabilities(table), bins, table_of.clusters(table))


def _joint_temperature(members: pd.DataFrame, shares: Mapping[str, float]) -> float:
    mean = _averaged(table_of.by_model(members, split="val"), Mixture(shares))
    return scaling.temperature(table_of.targets(mean), table_of.probabilities(mean))


def _averaged(tables: Mapping[str, pd.DataFrame], mixture: Mixture) -> pd.DataFrame:
    mean = mixture.of({name: table_of.probabilities(table) for name, table in tables.items()})
    return scaling.with_probabilities(next(iter(tables.values())), mean)


def _rescaled(table: pd.DataFrame, t: float) -> pd.DataFrame:
    return table if t == 1 else scaling.with_probabilities(table, scaling.scaled(table_of.probabilities(table), t))


def _rows(table: pd.DataFrame, w: np.ndarray, seed: int, **columns) -> pd.DataFrame:
    y, p = table_of.targets(table), table_of.probabilities(table)
    rows = _basic(resampling.summarise(scorer(y, p), w, **columns))
    for metric, values in chance(p, table_of.clusters(table), seed=seed).items():
        at, most = rows["metric"] == metric, np.quantile(values, 0.95)
        by_chance = at & (rows["value"] <= most) & rows["low"].notna()
        rows.loc[at, "low"] = rows.loc[at, "low"].clip(lower=0)
        rows.loc[by_chance, "low"] = 0.0
        rows.loc[by_chance, "note"] = f"a perfectly calibrated model gets up to {most:.3f} by chance"
    rough = rows["metric"].eq("classwise_ece") & rows["low"].notna()
    rows.loc[rough, "note"] = ["; ".join(filter(None, (note, APPROXIMATE))) for note in rows.loc[rough, "note"]]
    return rows


def _basic(rows: pd.DataFrame) -> pd.DataFrame:
    at = rows["metric"].isin(ERRORS)
    low, high = 2 * rows["value"] - rows["high"], 2 * rows["value"] - rows["low"]
    low, high = np.minimum(low, rows["value"]), np.maximum(high, rows["value"])
    return rows.assign(low=low.where(at, rows["low"]), high=high.where(at, rows["high"]))


def _difference(one: pd.DataFrame, other: pd.DataFrame, w: np.ndarray, **columns) -> pd.DataFrame:
    scorers = [scorer(table_of.targets(table), table_of.probabilities(table)) for table in (one, other)]

    def minus(w: np.ndarray) -> dict[str, np.ndarray]:
        first, second = (of(w) for of in scorers)
        return {name: first[name] - second[name] for name in METRICS}

    return _basic(resampling.summarise(minus, w, **columns))


def _unfitted(columns: dict) -> pd.DataFrame:
    nothing = dict.fromkeys(("value", "low", "high"), np.nan)
    return pd.DataFrame([{**columns, "metric": name, **nothing, "note": UNFITTED} for name in METRICS])


def _splits(scored: pd.DataFrame, splits: Sequence[str]) -> dict[str, dict[str, pd.DataFrame]]:
    present = [split for split in splits if (scored["split"] == split).any()]
    if not present:
        raise PredictionError(f"no row of the splits {', '.join(splits)}; predict one of them")
    return {split: table_of.by_model(scored, split=split) for split in present}


def _labels(p: np.ndarray) -> list[tuple[np.ndarray | int, np.ndarray]]:
    """The label that is meant and its probability, (n,): of the call, then of each class."""
    return [(p.argmax(axis=1), p.max(axis=1)), *((k, p[:, k]) for k in range(len(CLASSES)))]


def _binned(confidence: np.ndarray, bins: int) -> sparse.csr_array:
    """(bins, n) 1 where the image is in the bin."""
    n = len(confidence)
    return sparse.csr_array((np.ones(n), (_bin(confidence, bins), np.arange(n))), shape=(bins, n))


def _bin(confidence: np.ndarray, bins: int) -> np.ndarray:
    """(n,) the bin of each image, 0..bins − 1: its rank decides, and equal confidences have the lowest of theirs."""
    return bins * np.searchsorted(np.sort(confidence), confidence) // len(confidence)
