"""What is gained by leaving the least confident images to a human: risk–coverage curves.

Confidence is the largest probability. At coverage c the model answers the share c of images that it is most
confident of; the risk is its error rate among them (Geifman & El-Yaniv, NeurIPS 2017). AURC is the mean of the
risks at coverages 1/n, 2/n … 1; E-AURC is AURC less that of a model with the same errors that is least confident
of exactly those (Geifman, Uziel & El-Yaniv, ICLR 2019). Images of equal confidence come in random order, and the
risk is the expected one: it takes in the group's errors in proportion.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lesionkit.evidence import metrics, resampling
from lesionkit.evidence import predictions as table_of

METRICS = ("aurc", "excess_aurc", "error", "error_at_80")
COVERAGE = 0.80
BLOCK = 32  # resamples at once: few enough for a processor's cache

Scorer = Callable[[np.ndarray], dict[str, np.ndarray]]


def risk_coverage(y: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    """The curve: coverage in (0, 1], risk in [0, 1], confidence (the least among those answered); a row a confidence.

    y: (n,) classes 0..6; p: (n, 7). Raises ValueError as `metrics.overall` does.
    """
    confidence, wrong = _arrays(y, p)
    values, at = np.unique(-confidence, return_inverse=True)
    kept, errors = np.bincount(at).cumsum(), np.bincount(at, weights=wrong).cumsum()
    return pd.DataFrame({"coverage": kept / len(wrong), "risk": errors / kept, "confidence": -values})


def scores(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """The METRICS: aurc, excess_aurc (E-AURC), error (of all images), error_at_80 (of the 80 % most confident)."""
    return {name: float(value[0]) for name, value in scorer(y, p)(np.ones((len(y), 1))).items()}


def scorer(y: np.ndarray, p: np.ndarray) -> Scorer:
    """`scores` as a function of w (n, r), how often each image stands in each of r resamples; (r,) each.

    The risks within a group of m copies with e errors, after N images with E errors, are (E + e·j/m) / (N + j),
    j = 1…m; their sum is e + (E − e·N/m) · (H(N + m) − H(N)), with the harmonic numbers H.
    """
    confidence, wrong = _arrays(y, p)
    order = np.argsort(-confidence, kind="stable")
    wrong = wrong[order].astype(np.float64)[:, None]
    starts = np.flatnonzero(np.r_[True, np.diff(confidence[order]) != 0])

    def block(w: np.ndarray) -> dict[str, np.ndarray]:
        w = w[order]
        m, e = (np.add.reduceat(x, starts, axis=0) for x in (w, w * wrong))  # (groups, r)
        kept, errors = m.cumsum(axis=0), e.cumsum(axis=0)
        total, all_errors = kept[-1], errors[-1]
        rate = e / np.maximum(m, 1)
        h = np.concatenate([[0], np.cumsum(1 / np.arange(1, total.max() + 1))])
        steps = np.diff(h[kept.astype(np.int32)], axis=0, prepend=0)  # H(N + m) − H(N)
        missed = errors - e - rate * (kept - m)
        area = all_errors + np.einsum("gr,gr->r", missed, steps)
        right = (total - all_errors).astype(int)
        best = all_errors - right * (h[total.astype(int)] - h[right])  # every error after every hit
        most = np.ceil(COVERAGE * total - 1e-9)
        at = (kept >= most).argmax(axis=0), np.arange(w.shape[1])
        partial = (missed[at] + rate[at] * most) / most
        values = area / total, (area - best) / total, all_errors / total, partial
        return np.stack(values)  # (4, r)

    def of(w: np.ndarray) -> dict[str, np.ndarray]:
        blocks = [block(w[:, at : at + BLOCK]) for at in range(0, w.shape[1], BLOCK)]
        return dict(zip(METRICS, np.concatenate(blocks, axis=1), strict=True))

    return of


def curves(scored: pd.DataFrame, splits: Sequence[str] = ("test", "external")) -> dict[str, dict[str, pd.DataFrame]]:
    """`risk_coverage` of every model, by split: split -> model -> curve. A split without rows is left out."""
    return {
        split: {
            name: risk_coverage(table_of.targets(table), table_of.probabilities(table))
            for name, table in table_of.by_model(scored, split=split).items()
        }
        for split in splits
        if (scored["split"] == split).any()
    }


def summary(tables: Mapping[str, pd.DataFrame], count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The METRICS of each model: model, metric, value, low, high, note.

    tables: a model each, as `predictions.by_model` gives them. Raises ValueError where there is none.
    """
    if not tables:
        raise ValueError("no table of a model is given; choose a split that has predictions")
    w = resampling.draws(table_of.clusters(next(iter(tables.values()))), count, seed)
    parts = [
        resampling.summarise(scorer(table_of.targets(table), table_of.probabilities(table)), w, model=name)
        for name, table in tables.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _arrays(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the confidence of each image, and whether its call is wrong."""
    metrics.confusion(y, p)  # refuses wrong arrays
    p = np.asarray(p)
    return p.max(axis=1), p.argmax(axis=1) != np.asarray(y)
