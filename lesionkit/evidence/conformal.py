"""Sets of classes that hold the truth in 90 % of images, as promised by validation: split conformal prediction.

The score of an image is 1 − p of its true class (least ambiguous sets: Sadinle, Lei & Wasserman, JASA 2019). The
threshold is the k-th smallest score of n validation images, k = ⌈(n + 1)(1 − α)⌉; the set of an image holds each
class with 1 − p at the threshold or below, and may be empty. "marginal" has one threshold, "class-conditional"
one a class, from the validation images of that class (Mondrian: Vovk et al. 2005). Where m lesions are too few,
⌈(m + 1)(1 − α)⌉ above m, the threshold is 1, and the class is always in the set: at α = 0.1 with fewer than 9.

The guarantee is for images exchangeable with those of validation: it holds on average over validation samples, of
independent images, and promises nothing on another archive. Images of one lesion are not independent, so that
coverage can fall below the promise: with two images of equal scores a lesion, thresholds of 5 lesions, which the
rule above refuses, would cover 0.833, those of 11 cover 0.918 and those of 15 cover 0.875 (simulated). Thresholds
stay fixed over the resamples.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, resampling
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.predictions import PredictionError

ALPHA = 0.1  # share of images whose set may miss
KINDS = ("marginal", "class-conditional")
COLUMNS = (
    *("split", "kind", "class", "n", "threshold", "coverage", "low", "high", "size", "size_low", "size_high"),
    *("empty", "note"),
)
UNFITTED = "no validation image of this model to set the threshold on"


def quantile(values: np.ndarray, alpha: float = ALPHA) -> float:
    """The ⌈(n + 1)(1 − α)⌉-th smallest of n scores in [0, 1]; 1 where there are too few. ValueError for α outside 0..1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, expected the share of sets that may miss, such as 0.1")
    k = _rank(len(values), alpha)
    return 1.0 if k > len(values) else float(np.sort(values)[k - 1])


def thresholds(
    y: np.ndarray, p: np.ndarray, alpha: float = ALPHA, by_class: bool = False, clusters: Sequence | None = None
) -> np.ndarray:
    """(7,) the threshold of each class, all equal unless `by_class`, from the y (n,) and p (n, 7) of validation.

    clusters: (n,) the lesion of each image; too few of them give 1. None: an image is its own.
    """
    metrics.confusion(y, p)  # refuses wrong arrays
    own = 1 - np.asarray(p, np.float64)[np.arange(len(y)), y]
    if by_class:
        limits = np.array([quantile(own[np.asarray(y) == k], alpha) for k in range(len(CLASSES))])
    else:
        limits = np.full(len(CLASSES), quantile(own, alpha))
    lesions = _lesions(y, np.arange(len(y)) if clusters is None else np.asarray(clusters), by_class)
    return np.where(_too_few(lesions, alpha), 1.0, limits)


def sets(p: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """(n, 7) booleans: is the class in the set of the image? limits: (7,), of `thresholds`."""
    return 1 - np.asarray(p, np.float64) <= limits


def summary(
    table: pd.DataFrame,
    splits: Sequence[str] = ("test", "external"),
    alpha: float = ALPHA,
    count: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Coverage and mean size of the sets of one model, over all images of a split and over those of each class.

    table: the predictions of one model in all splits. Columns: split, kind (KINDS), class ("all", then the true
    class), n, threshold (of the class; NaN for "all" where classes differ), coverage, low, high, size (classes a
    set), size_low, size_high, empty (share of empty sets), note. A split without rows is left out; where a class
    has no image, or validation none at all, values are NaN and the note says why.
    """
    table_of.check(table)
    present = [split for split in splits if (table["split"] == split).any()]
    if table["model"].nunique() != 1 or not present:
        raise PredictionError(
            f"{table['model'].nunique()} models with the splits {', '.join(table['split'].unique())}: "
            f"give the rows of one model, with one of {', '.join(splits)}"
        )
    validation = table[table["split"] == "val"]
    parts = []
    for split in present:
        rows = table[table["split"] == split]
        w = resampling.draws(table_of.clusters(rows), count, seed)
        for kind in KINDS:
            limits, notes = _fitted(validation, alpha, kind)
            parts.append(_summarised(rows, limits, notes, w).assign(split=split, kind=kind))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _fitted(validation: pd.DataFrame, alpha: float, kind: str) -> tuple[np.ndarray | None, list[str]]:
    """The thresholds, and a note for all images and for each class."""
    if validation.empty:
        return None, [UNFITTED] * (len(CLASSES) + 1)
    y = table_of.targets(validation)
    by_class = kind == "class-conditional"
    clusters = table_of.clusters(validation)
    limits = thresholds(y, table_of.probabilities(validation), alpha, by_class, clusters)
    lesions = _lesions(y, clusters, by_class)
    few = _too_few(lesions, alpha)
    notes = [
        f"only {of} validation lesions{f' of {name}' * by_class}: {name} is always in the set" if too else ""
        for name, of, too in zip(CLASSES, lesions, few, strict=True)
    ]
    always = [name for name, too in zip(CLASSES, few, strict=True) if too]
    return limits, [f"always in the set: {', '.join(always)}" if always else "", *notes]


def _rank(n: int, alpha: float) -> int:
    return int(np.ceil((n + 1) * (1 - alpha) - 1e-9))  # 10 · 0.9 must be 9 and not, by rounding, 10


def _too_few(lesions: Sequence[int], alpha: float) -> list[bool]:
    return [_rank(m, alpha) > m for m in lesions]


def _lesions(y: np.ndarray, clusters: np.ndarray, by_class: bool) -> list[int]:
    """How many lesions the threshold of each class stands on."""
    if not by_class:
        return [len(set(clusters))] * len(CLASSES)
    return [len(set(clusters[np.asarray(y) == k])) for k in range(len(CLASSES))]


def _summarised(rows: pd.DataFrame, limits: np.ndarray | None, notes: list[str], w: np.ndarray) -> pd.DataFrame:
    y = table_of.targets(rows)
    n = np.array([len(y), *np.bincount(y, minlength=len(CLASSES))])
    result = pd.DataFrame({"class": ["all", *CLASSES], "n": n, "note": notes})
    if limits is None:
        return result.reindex(columns=COLUMNS)
    chosen = sets(table_of.probabilities(rows), limits)
    size, covered = chosen.sum(axis=1), chosen[np.arange(len(y)), y]
    groups = np.vstack([np.ones(len(y)), np.eye(len(CLASSES))[y].T])  # (8, n)
    found = _means({"coverage": covered, "size": size}, groups, w)
    with np.errstate(invalid="ignore"):
        result["empty"] = groups @ (size == 0) / n
    result["threshold"] = [limits[0] if (limits == limits[0]).all() else np.nan, *limits]
    for name, (low, high) in {"coverage": ("low", "high"), "size": ("size_low", "size_high")}.items():
        result[[name, low, high]] = found.loc[name, ["value", "low", "high"]].to_numpy()
    absent = np.where(n == 0, [f"no image of {name}" for name in result["class"]], "")
    return result.assign(note=_joined(result["note"], absent, found.loc["coverage", "note"]))


def _means(values: dict[str, np.ndarray], groups: np.ndarray, w: np.ndarray) -> pd.DataFrame:
    """The mean of each value in each group with its interval; a row a group, indexed by the name of the value."""

    def means(w: np.ndarray) -> dict[tuple[str, int], np.ndarray]:
        total = groups @ w
        with np.errstate(invalid="ignore"):  # 0/0 where a class is absent
            found = {name: (groups * value) @ w / total for name, value in values.items()}
        return {(name, at): row for name, rows in found.items() for at, row in enumerate(rows)}

    rows = resampling.summarise(means, w)
    return rows.assign(name=[name for name, _ in rows["metric"]]).set_index("name")


def _joined(*notes: Sequence[str]) -> list[str]:
    return ["; ".join(filter(None, parts)) for parts in zip(*notes, strict=True)]
