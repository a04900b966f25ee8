"""Probabilities made consistent with validation: temperature scaling, and the same with a bias for each class.

Both act on log-probabilities, which are the logits but for a constant of the image that the softmax removes:
softmax(log p / T) divides the logits by T (Guo et al., ICML 2017); softmax(log p / T + b) also moves the classes
against each other (bias-corrected temperature scaling: Alexandari, Kundaje & Shrikumar, ICML 2020). Both are
fitted by the log-loss of the split "val" alone. T above 1 makes a model less sure; the order of an image's
classes, and so the model's call, changes only with a bias. A column `energy` stays that of the unscaled logits.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.predictions import PROBABILITIES, PredictionError

LIMITS = (0.05, 20.0)  # of T: the fit ends here where every call is right (T falls) or none is better than chance
SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 in a float32 table has a logarithm, too


def temperature(y: np.ndarray, p: np.ndarray) -> float:
    """The T in LIMITS that minimises the log-loss of `scaled(p, T)`; 1 where no T changes it (all p are uniform).

    y: (n,) classes 0..6; p: (n, 7) probabilities, of validation. Raises ValueError as `metrics.overall` does.
    """
    metrics.confusion(y, p)  # refuses wrong arrays
    z = _logarithm(p)
    if np.ptp(z, axis=1).max() == 0:
        return 1.0
    own = z[np.arange(len(z)), y]

    def loss(log_t: float) -> float:  # convex in 1 / T, so it has one minimum in log T
        beta = np.exp(-log_t)
        return float(np.mean(logsumexp(beta * z, axis=1) - beta * own))

    found = minimize_scalar(loss, bounds=tuple(np.log(LIMITS)), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x))


def scaled(p: np.ndarray, t: float) -> np.ndarray:
    """(n, 7) softmax(log p / T) in float64. Raises ValueError for a T that is not positive and finite."""
    if not (np.isfinite(t) and t > 0):
        raise ValueError(f"temperature is {t}, expected a positive number, such as what `temperature` fits")
    return softmax(_logarithm(p) / t, axis=1)


def bias_corrected(y: np.ndarray, p: np.ndarray) -> tuple[float, np.ndarray]:
    """T in LIMITS and (7,) biases of mean 0 that together minimise the log-loss of `bias_scaled(p, T, bias)`.

    On the images of the fit, the mean of the scaled probabilities then is each class's share (the derivative by
    its bias is 0). Raises ValueError where a class has no image, for its bias would be −∞.
    """
    n = metrics.confusion(y, p).sum(axis=1)
    absent = [name for name, of in zip(CLASSES, n, strict=True) if of == 0]
    if absent:
        raise ValueError(f"no image of {', '.join(absent)}: no bias can be fitted; use temperature scaling")
    z, truth = _logarithm(p), np.eye(len(CLASSES))[y]

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        logs = log_softmax(x[0] * z + x[1:], axis=1)
        wrong = (np.exp(logs) - truth) / len(y)  # (n, 7)
        return -(logs * truth).sum() / len(y), np.concatenate([[(wrong * z).sum()], wrong.sum(axis=0)])

    bounds = [(1 / LIMITS[1], 1 / LIMITS[0]), *[(None, None)] * len(CLASSES)]
    start = np.r_[1.0, np.zeros(len(CLASSES))]
    options = {"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-8}
    x = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return float(1 / x[0]), x[1:] - x[1:].mean()


def bias_scaled(p: np.ndarray, t: float, bias: np.ndarray) -> np.ndarray:
    """(n, 7) softmax(log p / T + bias) in float64; bias: (7,)."""
    return softmax(_logarithm(p) / t + bias, axis=1)


def temperatures(scored: pd.DataFrame) -> dict[str, float]:
    """The temperature of each model that has validation rows; models without are left out."""
    if not (scored["split"] == "val").any():
        return {}
    tables = table_of.by_model(scored, split="val")
    return {name: temperature(table_of.targets(rows), table_of.probabilities(rows)) for name, rows in tables.items()}


def scaled_table(scored: pd.DataFrame) -> pd.DataFrame:
    """`scored` with every model temperature-scaled under its own name: same rows, order and columns.

    Raises PredictionError for a model without validation rows.
    """
    fitted = temperatures(scored)
    missing = [str(name) for name in scored["model"].unique() if name not in fitted]
    if missing:
        raise PredictionError(
            f"{', '.join(missing)} has no validation row to fit a temperature on; predict the split 'val' or leave it out"
        )
    t = scored["model"].map(fitted).to_numpy(np.float64)[:, None]
    p = softmax(_logarithm(table_of.probabilities(scored)) / t, axis=1)
    return with_probabilities(scored, p)


def as_risks(scored: pd.DataFrame) -> pd.DataFrame:
    """`scored` with the probabilities of every model made consistent with the shares of validation: same rows and order.

    By bias-corrected temperature scaling, fitted on "val" alone: class-balanced training makes a model claim rare
    classes too often, which a temperature does not mend. Where a class is absent there, by temperature alone; a model
    without validation rows stays as it is.
    """
    parts = []
    for _, rows in scored.groupby("model", sort=False):
        own = rows[rows["split"] == "val"]
        p = table_of.probabilities(rows)
        if len(own):
            y, fit_on = table_of.targets(own), table_of.probabilities(own)
            whole = len(np.unique(y)) == len(CLASSES)
            p = bias_scaled(p, *bias_corrected(y, fit_on)) if whole else scaled(p, temperature(y, fit_on))
        parts.append(with_probabilities(rows, p))
    return pd.concat(parts).loc[scored.index]


def with_probabilities(table: pd.DataFrame, p: np.ndarray) -> pd.DataFrame:
    """A copy of a table of predictions in which p, (n, 7), stands for its probabilities."""
    return table.assign(**dict(zip(PROBABILITIES, np.asarray(p, np.float32).T, strict=True)))


def _logarithm(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(p, np.float64), SMALLEST))
