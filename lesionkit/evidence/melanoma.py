"""Melanoma against the rest: thresholds set on validation, partial AUC, decision curves, what balancing buys.

positive is (n,) booleans (the truth is melanoma), score (n,) is p_mel; a threshold t calls melanoma where
score ≥ t. A threshold is set on validation and carried unchanged to the other splits; the intervals there
resample lesions under that threshold, so they hold its luck fixed. On validation itself they are optimistic.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lesionkit.evidence import metrics, resampling
from lesionkit.evidence import predictions as table_of

SPLITS = ("val", "test", "external")
RATES = ("sensitivity", "specificity", "ppv", "npv")
RISKS = tuple(i / 100 for i in range(1, 51))
UNSET = "no validation image of this model to set the threshold on"


def threshold(positive: np.ndarray, score: np.ndarray, sensitivity: float) -> float:
    """The largest threshold whose sensitivity is at least `sensitivity`, in (0, 1]; NaN without a positive."""
    hits = np.sort(np.asarray(score, float)[np.asarray(positive, bool)])[::-1]
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity is {sensitivity}, expected a share in (0, 1]")
    return float(hits[_whole(sensitivity * len(hits)) - 1]) if len(hits) else np.nan


def threshold_at_specificity(positive: np.ndarray, score: np.ndarray, specificity: float) -> float:
    """The smallest threshold whose specificity is at least `specificity`, in [0, 1]; NaN without a negative."""
    rest = np.sort(np.asarray(score, float)[~np.asarray(positive, bool)])
    if not 0 <= specificity <= 1:
        raise ValueError(f"specificity is {specificity}, expected a share in [0, 1]")
    below = _whole(specificity * len(rest))
    if below == 0:
        return -np.inf if len(rest) else np.nan
    return float(np.nextafter(rest[below - 1], np.inf))  # just above the last that must stay below


def operating_points(
    scored: pd.DataFrame,
    sensitivities: Sequence[float] = (0.90, 0.95),
    splits: Sequence[str] = SPLITS,
    count: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """RATES at the threshold that has each sensitivity on validation, of every model in every split.

    Columns: model, target, threshold, split, metric (one of RATES), value, low, high, note. A split without
    rows is left out. Without a validation image, or a melanoma among them, all is NaN and the note says so.
    """
    validation = _tables(scored, "val")
    parts = []
    for split, tables in _splits(scored, splits).items():
        w = resampling.draws(table_of.clusters(next(iter(tables.values()))), count, seed)
        for name, table in tables.items():
            positive, score = _melanoma(table)
            for target in sensitivities:
                cut, fault = _carried(validation.get(name), target)
                rows = _at(positive, score >= cut, w)
                rows = rows.assign(model=name, target=target, threshold=cut, split=split)
                parts.append(_undefined(rows, fault) if fault else rows)
    columns = ["model", "target", "threshold", "split", "metric", "value", "low", "high", "note"]
    return pd.concat(parts, ignore_index=True)[columns]


def partial_auc(positive: np.ndarray, score: np.ndarray, min_sensitivity: float = 0.80) -> float:
    """The area of the ROC curve above `min_sensitivity`, in [0, 1 − min_sensitivity]; NaN where a class is absent.

    The area between the curve, linear between its points, and the line of that sensitivity: Jiang, Metz &
    Nishikawa, Radiology 1996;201:745, undivided, as the ISIC 2024 challenge scored on Kaggle. Chance gives
    (1 − min_sensitivity)² / 2; at 0 it is the AUC.
    """
    return float(partial_areas(positive, score, np.ones((len(score), 1)), min_sensitivity)[0])


def partial_areas(positive: np.ndarray, score: np.ndarray, w: np.ndarray, min_sensitivity: float = 0.80) -> np.ndarray:
    """(r,) `partial_auc` under each column of the weights w, (n, r); NaN where one leaves a class absent.

    The area above a sensitivity s is the integral, over the share 1 − s of the positives that score lowest,
    of the share of negatives that score lower still; a negative that ties with a positive counts in part.
    """
    if not 0 <= min_sensitivity < 1:
        raise ValueError(f"min_sensitivity is {min_sensitivity}, expected a share in [0, 1)")
    positive, score, w = np.asarray(positive, bool), np.asarray(score, float), np.asarray(w, float)
    values, group = np.unique(score[positive], return_inverse=True)
    if len(values) == 0 or positive.all():
        return np.full(w.shape[1], np.nan)
    starts = np.searchsorted(np.sort(group), np.arange(len(values)))
    mass = np.add.reduceat(w[positive][np.argsort(group, kind="stable")], starts, axis=0)  # (g, r) positives a score
    rest, order = score[~positive], np.argsort(score[~positive], kind="stable")
    lower = np.vstack([np.zeros(w.shape[1]), w[~positive][order].cumsum(axis=0)])  # (m + 1, r) negatives so far
    below = lower[np.searchsorted(rest[order], values, "left")]
    tied = lower[np.searchsorted(rest[order], values, "right")] - below
    with np.errstate(invalid="ignore"):  # 0/0 where a class is absent
        mass, below, tied = mass / mass.sum(axis=0), below / lower[-1], tied / lower[-1]
    room = (1 - min_sensitivity) - (mass.cumsum(axis=0) - mass)
    part = np.clip(np.minimum(mass, room), 0, None)
    share = np.divide(part, mass, out=np.zeros_like(part), where=mass > 0)
    return (part * (below + tied * share / 2)).sum(axis=0)


def partial_aucs(
    scored: pd.DataFrame, splits: Sequence[str] = SPLITS, count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """`partial_auc` above 80 % sensitivity of every model: model, split, metric, value, low, high, note."""
    parts = []
    for split, tables in _splits(scored, splits).items():
        w = resampling.draws(table_of.clusters(next(iter(tables.values()))), count, seed)
        for name, table in tables.items():
            positive, score = _melanoma(table)

            def area(w: np.ndarray, positive=positive, score=score) -> dict[str, np.ndarray]:
                return {"partial_auc": partial_areas(positive, score, w)}

            rows = resampling.summarise(area, w, model=name, split=split)
            parts.append(_explained(rows, metrics.undefined(table_of.targets(table)).get("melanoma_auc", "")))
    return pd.concat(parts, ignore_index=True)


def net_benefit(positive: np.ndarray, score: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """(k,) net benefit of treating where score ≥ t, for each risk t in (0, 1): TP/n − FP/n · t / (1 − t).

    The score is read as a risk, so it should be calibrated. Treating all: a score of 1; treating none: 0.
    Vickers & Elkin, Med Decis Making 2006;26:565.
    """
    return _benefits(positive, score, thresholds).mean(axis=1)


def decision_curve(
    scored: pd.DataFrame,
    split: str = "test",
    thresholds: Sequence[float] = RISKS,
    count: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """`net_benefit` of every model, of "treat_all" and of "treat_none": model, threshold, net_benefit, low, high, note.

    p_mel is read as the risk: give calibrated predictions where there are some.
    """
    tables = table_of.by_model(scored, split=split)
    first = next(iter(tables.values()))
    positive, scores = _melanoma(first)[0], {name: _melanoma(table)[1] for name, table in tables.items()}
    scores |= {"treat_all": np.ones(len(first)), "treat_none": np.zeros(len(first))}
    w = resampling.draws(table_of.clusters(first), count, seed)
    parts = []
    for name, score in scores.items():
        gains = _benefits(positive, score, thresholds)  # (k, n)

        def mean(w: np.ndarray, gains=gains) -> dict[float, np.ndarray]:
            return dict(zip(thresholds, gains @ w / w.sum(axis=0), strict=True))

        parts.append(resampling.summarise(mean, w, model=name))
    curves = pd.concat(parts, ignore_index=True)
    return curves.rename(columns={"metric": "threshold", "value": "net_benefit"})


def _benefits(positive: np.ndarray, score: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    risks = np.asarray(thresholds, float)
    if not ((risks > 0) & (risks < 1)).all():
        raise ValueError(
            f"thresholds run from {risks.min()} to {risks.max()}, expected risks in (0, 1), bounds excluded"
        )
    worth = np.where(np.asarray(positive, bool), 1.0, -(risks / (1 - risks))[:, None])  # (k, n)
    return worth * (np.asarray(score, float) >= risks[:, None])


def _at(positive: np.ndarray, called: np.ndarray, w: np.ndarray) -> pd.DataFrame:
    cells = np.stack([called & positive, called & ~positive, ~called & positive, ~called & ~positive]).astype(float)

    def rates(w: np.ndarray) -> dict[str, np.ndarray]:
        tp, fp, fn, tn = cells @ w
        parts, wholes = (tp, tn, tp, tn), (tp + fn, tn + fp, tp + fp, tn + fn)
        with np.errstate(invalid="ignore"):
            return {name: part / whole for name, part, whole in zip(RATES, parts, wholes, strict=True)}

    rows = resampling.summarise(rates, w)
    absent = (not positive.any(), positive.all(), not called.any(), called.all())
    reasons = ("no image of mel", "no image of a class but mel", "nothing is called mel", "everything is called mel")
    for metric, holds, reason in zip(RATES, absent, reasons, strict=True):
        if holds:
            rows.loc[rows["metric"] == metric, "note"] = reason
    return rows


def _carried(validation: pd.DataFrame | None, target: float) -> tuple[float, str]:
    if validation is None:
        return np.nan, UNSET
    cut = threshold(*_melanoma(validation), target)
    return cut, "no melanoma among the validation images" if np.isnan(cut) else ""


def _undefined(rows: pd.DataFrame, note: str) -> pd.DataFrame:
    return rows.assign(value=np.nan, low=np.nan, high=np.nan, note=note)


def _explained(rows: pd.DataFrame, reason: str) -> pd.DataFrame:
    return rows.assign(note=reason) if reason else rows


def _whole(number: float) -> int:
    return int(np.ceil(number - 1e-9))  # 0.95 · 20 must be 19 and not, by rounding, 20


def _melanoma(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return (table["y_true"] == "mel").to_numpy(), table["p_mel"].to_numpy(np.float64)


def _tables(scored: pd.DataFrame, split: str) -> Mapping[str, pd.DataFrame]:
    return table_of.by_model(scored, split=split) if (scored["split"] == split).any() else {}


def _splits(scored: pd.DataFrame, splits: Sequence[str]) -> dict[str, Mapping[str, pd.DataFrame]]:
    found = {split: tables for split in splits if (tables := _tables(scored, split))}
    if not found:
        raise table_of.PredictionError(f"the table has no row of the splits {', '.join(splits)}; predict one of them")
    return found
