"""Other archives hold other shares of the classes: correction of the prior from unlabelled external images.

Under label shift only the shares of the classes differ, not how a class looks. The new shares then follow from
the unlabelled images by EM (Saerens, Latinne & Decaestecker, Neural Computation 2002), starting from a classifier
that is consistent with the old ones. It is made so by bias-corrected temperature scaling on validation (Alexandari,
Kundaje & Shrikumar, ICML 2020), after which the mean prediction there is the share of each class.

The last METHOD looks at the external images, though not at their labels: it is adapted to that archive and must
never be read as an external validation. Where lesions also look different, as between archives they do, the
estimate is biased and can collapse: shares near 0 silence a class. The note names the classes where it does.
Scaling and priors stay fixed over the resamples.
"""

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence import resampling, scaling
from lesionkit.evidence.predictions import PredictionError

METHODS = ("as it is", "validation-calibrated", "prior-corrected (uses unlabelled external images)")
SILENCED = 0.001  # an estimated share below this leaves a class next to no call
METRICS = ("balanced_accuracy", "macro_f1", "accuracy", "melanoma_sensitivity", "log_loss")


def saerens(
    p: np.ndarray, prior: np.ndarray, tolerance: float = 1e-8, most: int = 10_000
) -> tuple[np.ndarray, np.ndarray, int]:
    """(n, 7) corrected probabilities, (7,) the new prior, and the iterations of the EM that found it.

    p: (n, 7) probabilities under `prior`, (7,), shares above 0 that sum to 1. It ends when no share moves by more
    than `tolerance`, or after `most` iterations. Raises ValueError for another prior, or no image.
    """
    p, old = np.asarray(p, np.float64), np.asarray(prior, np.float64)
    if len(p) == 0 or old.shape != p.shape[1:] or not (old > 0).all() or not np.isclose(old.sum(), 1):
        raise ValueError(
            f"{len(p)} images and the prior {np.round(old, 4).tolist()}: at least one image is needed, and for each "
            "class a share above 0; a class that validation lacks cannot be corrected"
        )
    new, iterations = old, 0
    for iterations in range(1, most + 1):
        corrected = _reweighted(p, new / old)
        last, new = new, corrected.mean(axis=0)
        if np.abs(new - last).max() <= tolerance:
            break
    return _reweighted(p, new / old), new, iterations


def corrected(scored: pd.DataFrame, split: str = "external") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The prior-corrected predictions of one model in `split`, under its own name, and the table of the priors.

    scored: one model's predictions in "val" and `split`. The priors: class, validation, estimated, true (shares
    in 0..1; the true one is for comparison only). Raises PredictionError where scored holds another number of
    models, no row of a split, or no validation image of a class.
    """
    _, rows = _parts(scored, split)
    fitted, prior = _calibrated(scored, split)
    p, estimated, _ = saerens(fitted, prior)
    priors = {"class": CLASSES, "validation": prior, "estimated": estimated, "true": _shares(rows)}
    return scaling.with_probabilities(rows, p), pd.DataFrame(priors)


def priors(scored: pd.DataFrame, split: str = "external") -> pd.DataFrame:
    """The second table of `corrected`; empty where nothing can be fitted on validation."""
    try:
        return corrected(scored, split)[1]
    except PredictionError:
        return pd.DataFrame(columns=["class", "validation", "estimated", "true"])


def summary(scored: pd.DataFrame, split: str = "external", count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """METRICS of one model in `split` by each of METHODS, and the difference from "as it is" on the same resamples.

    scored: one model's predictions in "val" and `split`. Columns: method, metric, value, low, high, difference,
    difference_low, difference_high, note. Where nothing can be fitted on validation, the two methods that need it
    are NaN and the note says why. Raises PredictionError without a row of `split`, or for several models.
    """
    _, rows = _parts(scored, split)
    tables, fault, collapse = {METHODS[0]: rows}, "", ""
    try:
        tables[METHODS[1]] = scaling.with_probabilities(rows, _calibrated(scored, split)[0])
        tables[METHODS[2]], priors = corrected(scored, split)
        collapse = _collapse(priors)
    except PredictionError as error:
        fault = str(error)
    r = resampling.replicate(tables, count, seed)
    table = resampling.intervals(r, METRICS).rename(columns={"model": "method"})
    differences = [
        _difference(r, method, metric) for method, metric in zip(table["method"], table["metric"], strict=True)
    ]
    table[["difference", "difference_low", "difference_high"]] = differences
    table.loc[table["method"].eq(METHODS[2]) & table["note"].eq(""), "note"] = collapse
    missing = [
        {"method": method, "metric": metric, "note": fault}
        for method in METHODS
        if method not in tables
        for metric in METRICS
    ]
    table = pd.concat([table, pd.DataFrame(missing)], ignore_index=True) if missing else table
    return table[[*table.columns.drop("note"), "note"]]


def _collapse(priors: pd.DataFrame) -> str:
    names = priors.loc[priors["estimated"] < SILENCED, "class"]
    return f"estimated share below {SILENCED:.1%}: {', '.join(names)}" if len(names) else ""


def _difference(r: resampling.Replicates, method: str, metric: str) -> tuple[float, float, float]:
    (value, values, _), (base, bases, _) = r.of(method, metric), r.of(METHODS[0], metric)
    if method == METHODS[0] or r.alone:
        return (0.0, 0.0, 0.0) if method == METHODS[0] else (value - base, np.nan, np.nan)
    low, high, _ = resampling.interval(value - base, values - bases)
    return value - base, low, high


def _calibrated(scored: pd.DataFrame, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, 7) the probabilities in `split` made consistent with validation, and (7,) the shares there."""
    validation, rows = _parts(scored, split)
    shares = _shares(validation) if len(validation) else np.zeros(len(CLASSES))
    absent = [name for name, share in zip(CLASSES, shares, strict=True) if share == 0]
    if absent:
        raise PredictionError(
            f"no validation image of {', '.join(absent)}: its prior is unknown and nothing is corrected"
        )
    t, bias = scaling.bias_corrected(table_of.targets(validation), table_of.probabilities(validation))
    return scaling.bias_scaled(table_of.probabilities(rows), t, bias), shares


def _parts(scored: pd.DataFrame, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    table_of.check(scored)
    rows = scored[scored["split"] == split].reset_index(drop=True)
    if scored["model"].nunique() != 1 or rows.empty:
        raise PredictionError(
            f"{scored['model'].nunique()} models and {len(rows)} rows of the split {split!r}: give one model's "
            f"predictions in 'val' and {split!r}"
        )
    return scored[scored["split"] == "val"], rows


def _reweighted(p: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    weighed = p * ratio
    return weighed / weighed.sum(axis=1, keepdims=True)


def _shares(table: pd.DataFrame) -> np.ndarray:
    return np.bincount(table_of.targets(table), minlength=len(CLASSES)) / len(table)
