"""Is one model better than another? Tests of pairs on the same images, corrected for how many there are.

Differences come from the resamples of `lesionkit.evidence.resampling`, which all models share, and so respect
lesions; DeLong's test does by the clusters that it is given. McNemar's test counts images as if independent: where
lesions hold several images, its p is too small. Families of tests are corrected by Holm (Scand J Stat 6, 1979).
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats import contingency_tables
from statsmodels.stats.multitest import multipletests

from lesionkit.evidence import predictions as table_of
from lesionkit.evidence import resampling
from lesionkit.evidence.metrics import MELANOMA
from lesionkit.evidence.resampling import Replicates

COMPARED = ("balanced_accuracy", "macro_f1", "macro_auc", "melanoma_sensitivity")
TESTS = (*COMPARED, "mcnemar_exact", "mcnemar_mid_p", "delong_melanoma_auc")
LEAST_VARIANCE = 1e-24  # of a difference of AUCs; less is rounding: one pair of 1e5 × 1e5 swapped gives 1e-20


class McNemar(NamedTuple):
    """b: images that a alone gets right; c: that b alone does; two-sided p, exact and mid-p."""

    b: int
    c: int
    p: float
    p_mid: float


class DeLong(NamedTuple):
    """Two AUCs and their difference a − b, with its standard error, z, two-sided p and 95 % interval."""

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    z: float
    p: float
    low: float
    high: float
    note: str


def mcnemar(y: np.ndarray, call_a: np.ndarray, call_b: np.ndarray) -> McNemar:
    """McNemar's test that two models are equally often right; y and calls are (n,).

    p: exact conditional (statsmodels). p_mid: that less half the probability of what was seen on either side
    (Fagerland, Lydersen and Laake, BMC Med Res Methodol 13:91, 2013). Without an image that one alone gets right,
    both are 1. Raises ValueError where the arrays differ in shape.
    """
    y, call_a, call_b = np.asarray(y), np.asarray(call_a), np.asarray(call_b)
    if not y.shape == call_a.shape == call_b.shape or y.ndim != 1:
        raise ValueError(f"y, call_a, call_b have shapes {y.shape}, {call_a.shape}, {call_b.shape}; expected (n,) each")
    right_a, right_b = call_a == y, call_b == y
    b, c = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    exact = float(contingency_tables.mcnemar([[0, b], [c, 0]], exact=True).pvalue)
    if b + c == 0:
        return McNemar(b, c, exact, exact)
    seen = float(stats.binom.pmf(b, b + c, 0.5))
    return McNemar(b, c, exact, exact - seen / 2 if b == c else exact - seen)  # b = c: p stops at 1


def delong(positive: np.ndarray, score_a: np.ndarray, score_b: np.ndarray, clusters: Sequence | None = None) -> DeLong:
    """DeLong's test that two scores of the same images have the same AUC; positive is (n,) bool, scores (n,).

    Placement values by midranks (Sun and Xu, IEEE Signal Process Lett 21, 2014). clusters: (n,), the lesion of each
    image; sums of placements are then what varies (Obuchowski, Biometrics 53, 1997). None: every image by itself,
    which is DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988).
    NaN with the reason in `note` where a class is absent, has one cluster only, or the difference cannot vary.
    Raises ValueError for arrays of wrong shape or scores that are not finite.
    """
    positive, scores, cluster = _checked(positive, score_a, score_b, clusters)
    if not positive.any() or positive.all():
        reason = "no positive image" if not positive.any() else "no negative image"
        return DeLong(*[np.nan] * 8, note=reason)
    placements = [_placements(positive, score) for score in scores]
    auc_a, auc_b = (float(above.mean()) for above, _ in placements)
    difference = auc_a - auc_b
    above, below = (a - b for a, b in zip(*placements, strict=True))  # (m,), (n − m,): the placements' differences
    variance = _variance(above - difference, below - difference, cluster[positive], cluster[~positive])
    if np.isnan(variance) or variance < LEAST_VARIANCE:
        reason = "fewer than two clusters of a class" if np.isnan(variance) else "the difference cannot vary"
        return DeLong(auc_a, auc_b, difference, *[np.nan] * 5, note=reason)
    error = float(np.sqrt(variance))
    half, z = float(stats.norm.ppf(0.975)) * error, difference / error
    return DeLong(
        auc_a, auc_b, difference, error, z, float(2 * stats.norm.sf(abs(z))), difference - half, difference + half, ""
    )


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction of a family of p-values (statsmodels); NaN stays NaN and is not in the family."""
    p = np.asarray(p, dtype=np.float64)
    corrected, known = np.full(p.shape, np.nan), ~np.isnan(p)
    if known.any():
        corrected[known] = multipletests(p[known], method="holm")[1]
    return corrected


def differences(r: Replicates, pairs: Iterable[tuple[str, str]], metrics: Iterable[str]) -> pd.DataFrame:
    """a, b, metric, difference (a − b), low, high, p, note of each pair and metric, from the paired resamples.

    p: two-sided, twice the smaller share of resamples in which the difference is ≤ 0 or ≥ 0, one added to count
    and total so that it is never 0 (Davison and Hinkley 1997, section 4.4): with R resamples it is at least
    2 / (R + 1). Undefined resamples as in `resampling.interval`; then p is NaN with the interval.
    Raises ValueError for a model or metric that r does not hold.
    """
    pairs, metrics = list(pairs), list(metrics)
    rows = [
        {"a": a, "b": b, "metric": metric, **_difference(r.of(a, metric), r.of(b, metric), (a, b), r.alone)}
        for a, b in pairs
        for metric in metrics
    ]
    return pd.DataFrame(rows, columns=["a", "b", "metric", "difference", "low", "high", "p", "note"])


def against(tables: Mapping[str, pd.DataFrame], r: Replicates, reference: str = "ensemble") -> pd.DataFrame:
    """The reference against each other model: model, reference, test, estimate, low, high, p, p_holm, note.

    tables: those that `r` was made of. Tests: the differences of the metrics COMPARED, in the reference's favour
    where positive; mcnemar_exact and mcnemar_mid_p, whose estimate is the difference in accuracy; delong_melanoma_auc,
    clustered by lesion. p_holm: corrected over the models within each test. Raises ValueError for an unknown reference.
    """
    if reference not in tables or tuple(tables) != r.models:
        raise ValueError(
            f"reference {reference!r} and the models {', '.join(r.models)} must be in tables: {', '.join(tables)}"
        )
    others = [name for name in tables if name != reference]
    tested = differences(r, [(reference, name) for name in others], COMPARED)
    tested = tested.rename(columns={"b": "model", "a": "reference", "metric": "test", "difference": "estimate"})
    rows = [*tested.to_dict("records"), *(row for name in others for row in _image_tests(tables, reference, name))]
    columns = ["model", "reference", "test", "estimate", "low", "high", "p", "note"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[3:7], np.float64))
    table = table.sort_values("test", key=lambda names: names.map(TESTS.index), kind="stable", ignore_index=True)
    table.insert(7, "p_holm", table.groupby("test")["p"].transform(holm))
    return table


def every_pair(r: Replicates, metric: str = "balanced_accuracy") -> pd.DataFrame:
    """Each pair of models once: a, b, metric, difference (a − b), low, high, p, p_holm (over all pairs), note.

    As p is never below 2 / (R + 1), 2,000 resamples can find a difference at 5 % among 50 pairs at most: 45 of ten
    models. Where the family is too large for the resamples, each note says so.
    """
    table = differences(r, combinations(r.models, 2), [metric])
    table.insert(7, "p_holm", holm(table["p"]))
    family, least = int(table["p"].notna().sum()), 2 / (len(r.values) + 1)
    if family * least >= 0.05:
        reason = f"{len(r.values):,} resamples are too few to reject among {family} pairs"
        table["note"] = [f"{note}; {reason}" if note else reason for note in table["note"]]
    return table


def drops(inside: Replicates, outside: Replicates, metrics: Iterable[str] = COMPARED) -> pd.DataFrame:
    """model, metric, internal, external, drop (internal − external), low, high, note: what each model loses outside.

    The two sets of images are different and so are their resamples: the interval is that of a difference of
    independent values. Raises ValueError unless both hold the same models and as many resamples.
    """
    if set(inside.models) != set(outside.models) or len(inside.values) != len(outside.values):
        raise ValueError(
            f"inside and outside must hold the same models and as many resamples, but hold {', '.join(inside.models)} "
            f"with {len(inside.values):,} and {', '.join(outside.models)} with {len(outside.values):,}"
        )
    metrics = list(metrics)
    rows = [
        {"model": model, "metric": metric, **_drop(inside, outside, model, metric)}
        for model in inside.models
        for metric in metrics
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "internal", "external", "drop", "low", "high", "note"])


def _difference(first: tuple, second: tuple, names: tuple[str, str], alone: str) -> dict:
    """difference, low, high, p, note of first − second, each as `Replicates.of` gives it."""
    difference, values = first[0] - second[0], first[1] - second[1]
    low, high, note = (np.nan, np.nan, alone) if alone else resampling.interval(difference, values)
    reasons = [f"{name}: {reason}" for name, (*_, reason) in zip(names, (first, second), strict=True) if reason]
    p = np.nan if np.isnan(low) else _two_sided(values[~np.isnan(values)])
    return {"difference": difference, "low": low, "high": high, "p": p, "note": "; ".join(reasons) or note}


def _drop(inside: Replicates, outside: Replicates, model: str, metric: str) -> dict:
    internal, (external, values, reason) = inside.of(model, metric), outside.of(model, metric)
    # of one seed, resample i inside and resample i outside come from the same random numbers: pair it with the next
    shifted = (external, np.roll(values, 1), reason)
    drop = _difference(internal, shifted, ("internal", "external"), inside.alone or outside.alone)
    return {"internal": internal[0], "external": external, "drop": drop["difference"], **drop}


def _two_sided(values: np.ndarray) -> float:
    least = min((values <= 0).sum(), (values >= 0).sum())
    return float(min(1, 2 * (least + 1) / (len(values) + 1)))


def _image_tests(tables: Mapping[str, pd.DataFrame], reference: str, name: str) -> list[dict]:
    """The rows of `against` that need the images: McNemar's two p-values and DeLong's test."""
    y, clusters = table_of.targets(tables[reference]), table_of.clusters(tables[reference])
    a, b = (table_of.probabilities(tables[model]) for model in (reference, name))
    paired = mcnemar(y, a.argmax(axis=1), b.argmax(axis=1))
    areas = delong(y == MELANOMA, a[:, MELANOMA], b[:, MELANOMA], clusters)
    note = f"alone right: {reference} on {paired.b:,} images, {name} on {paired.c:,}"
    if len(set(clusters)) < len(clusters):
        note += "; images of a lesion count as independent"
    pair = {"model": name, "reference": reference}
    calls = {**pair, "estimate": (paired.b - paired.c) / len(y), "note": note}
    return [
        {**calls, "test": "mcnemar_exact", "p": paired.p},
        {**calls, "test": "mcnemar_mid_p", "p": paired.p_mid},
        {**pair, "test": "delong_melanoma_auc", "estimate": areas.difference, **areas._asdict()},
    ]


def _placements(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive, the share of negatives below it, and of each negative, of positives above; ties count half."""
    ranks, m = stats.rankdata(score), int(positive.sum())
    above = (ranks[positive] - stats.rankdata(score[positive])) / (len(score) - m)
    return above, 1 - (ranks[~positive] - stats.rankdata(score[~positive])) / m


def _variance(above: np.ndarray, below: np.ndarray, of_above: np.ndarray, of_below: np.ndarray) -> float:
    """Obuchowski's variance from placements less their mean, and the cluster of each; NaN for one cluster of a class."""
    m, n, of = len(above), len(below), np.concatenate([of_above, of_below])
    total = of.max() + 1
    up, down = np.bincount(of_above, above, total) / m, np.bincount(of_below, below, total) / n
    with_up, with_down, count = (len(np.unique(each)) for each in (of_above, of_below, of))
    if min(with_up, with_down) < 2:
        return np.nan
    parts = (with_up, up @ up), (with_down, down @ down), (count, 2 * up @ down)
    return float(sum(k / (k - 1) * part for k, part in parts))


def _checked(
    positive: np.ndarray, score_a: np.ndarray, score_b: np.ndarray, clusters: Sequence | None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    positive, scores = np.asarray(positive, dtype=bool), (np.asarray(score_a), np.asarray(score_b))
    cluster = np.arange(len(positive)) if clusters is None else pd.factorize(np.asarray(clusters))[0]
    if {each.shape for each in (*scores, cluster)} != {positive.shape} or positive.ndim != 1:
        raise ValueError(f"positive, both scores and clusters must be (n,); positive has shape {positive.shape}")
    if not all(np.isfinite(score).all() for score in scores):
        raise ValueError("a score is NaN or infinite; ranks need finite scores")
    return positive, scores, cluster
