"""Metrics of many resamples at once: a resample is how often each image stands in it.

y (n,) and p (n, 7) are as in `lesionkit.evidence.metrics`; w is (n, r), the weight of each image (row) in each
resample (column). Each number is what scikit-learn gives for the images repeated as often as w says, ties
included, and the conventions of `metrics` hold within each resample: a class that is absent from it has no
recall, F1, AUC or average precision, nor have the means over classes; a class never called has no precision.

Beside the nine metrics: the average precision of melanoma; the Brier score, the mean over images of the squared
differences summed over classes, 0..2 (Brier, Monthly Weather Review 78, 1950: the multiclass form, twice the
binary one); and the log-loss in nats, with probabilities clipped at the float64 epsilon as scikit-learn's.

How rank metrics are found: cut the scores at those of the positives and count the negatives between the cuts,
which is one sparse product with w. Summed from the top, these are the false positives at every threshold that
AUC and average precision look at.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lesionkit.evidence import metrics
from lesionkit.evidence.metrics import MELANOMA

OVERALL = (*metrics.METRICS, "melanoma_average_precision", "brier", "log_loss")
PER_CLASS = ("precision", "recall", "specificity", "f1", "auc", "average_precision")

Scorer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def scores(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(r, 12) the OVERALL metrics and (r, 6, 7) the PER_CLASS metrics of each resample; NaN where undefined.

    w: (n, r), finite and not negative; ones of shape (n, 1) give the plain metrics. For thousands of resamples
    use `scorer` on chunks of columns: memory is a few times that of w in float64.
    Raises ValueError for the arrays that `metrics.overall` refuses, or w of wrong shape or content.
    """
    return scorer(y, p)(w)


def scorer(y: np.ndarray, p: np.ndarray) -> Scorer:
    """`scores` of these labels and probabilities as a function of w; orders and cuts are found here, once."""
    metrics.confusion(y, p)  # refuses wrong arrays
    y, p = np.asarray(y), np.asarray(p, dtype=np.float64)
    n, k = p.shape
    images = np.arange(n)
    cells = _counter(k * y + p.argmax(axis=1), images, (k * k, n))  # a row for each cell of the confusion matrix
    sums = sparse.vstack([cells, sparse.csr_array(_losses(y, p))], format="csr")
    ranks = [_ranks(y == c, p[:, c], images, n) for c in range(k)]
    pooled = _ranks(np.eye(k, dtype=bool)[y].ravel(), p.ravel(), np.repeat(images, k), n)

    def of(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w = _checked(w, n)
        with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is the NaN of what a resample leaves undefined
            *confusion, squares, logs = sums @ w  # (r,) each
            confusion = np.transpose(confusion).reshape(-1, k, k)  # (r, 7, 7)
            total = confusion.sum(axis=(1, 2))
            ranked = np.array([one.auc_and_precision(w) for one in ranks]).transpose(2, 1, 0)  # (r, 2, 7)
            classes = np.concatenate([_counted(confusion), ranked], axis=1)  # (r, 6, 7)
            return _overall(classes, confusion, pooled.auc(w), squares / total, logs / total), classes

    return of


@dataclass(frozen=True)
class _Ranks:
    """The part of a one-vs-rest ranking that no resample changes; rows: the m distinct positive scores, highest first."""

    positives: sparse.csr_array  # (m, n) those that have this score
    negatives: sparse.csr_array  # (m + 1, n) those at it or above, and below the row before; last: below all
    tied: np.ndarray  # rows at which a negative ties
    ties: sparse.csr_array  # (len(tied), n) the negatives that tie there

    def auc(self, w: np.ndarray) -> np.ndarray:
        """(r,) the share of pairs in which the positive scores above the negative; a tie is half a pair."""
        return self._auc(w, self.positives @ w, _cumulated(self.negatives @ w))

    def auc_and_precision(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(r,) AUC, and (r,) average precision: precision at each positive's score, averaged over positives."""
        hits, false = self.positives @ w, _cumulated(self.negatives @ w)  # (m, r), (m + 1, r)
        auc = self._auc(w, hits, false)
        precision, called = _cumulated(hits.copy()), false[:-1]
        called += precision
        np.maximum(called, np.finfo(float).tiny, out=called)  # 0/0 above every image of a resample: no positive either
        precision /= called
        return auc, np.einsum("mr,mr->r", hits, precision) / hits.sum(axis=0)

    def _auc(self, w: np.ndarray, hits: np.ndarray, false: np.ndarray) -> np.ndarray:
        lost = np.einsum("mr,mr->r", hits, false[:-1])
        lost -= np.einsum("mr,mr->r", hits[self.tied], self.ties @ w) / 2
        return 1 - lost / (hits.sum(axis=0) * false[-1])


def _ranks(positive: np.ndarray, score: np.ndarray, image: np.ndarray, n: int) -> _Ranks:
    cuts, at = np.unique(score[positive], return_inverse=True)
    m, other, whose = len(cuts), score[~positive], image[~positive]
    reached = np.searchsorted(cuts, other, side="right")  # how many positive scores a negative is not below
    equal = np.searchsorted(cuts, other, side="left") < reached
    tied, row = np.unique(m - reached[equal], return_inverse=True)
    return _Ranks(
        positives=_counter(m - 1 - at, image[positive], (m, n)),
        negatives=_counter(m - reached, whose, (m + 1, n)),
        tied=tied,
        ties=_counter(row, whose[equal], (len(tied), n)),
    )


def _counter(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """The matrix that, times w, sums the weights of the images `column` that fall into `row`."""
    return sparse.csr_array((np.ones(len(row)), (row, column)), shape=shape)


def _cumulated(x: np.ndarray) -> np.ndarray:
    """`x`, (m, r), with the sums of its rows so far, in place: np.cumsum's result in half its time.

    np.cumsum strides down one column after the other. Here blocks of √m rows are summed side by side, whole rows
    at once, and each block then gets the last row of the one before.
    """
    m, r = x.shape
    size = max(math.isqrt(m), 1)
    blocks, rest = x[: m - m % size].reshape(m // size, size, r), x[m - m % size :]
    for i in range(1, size):
        blocks[:, i] += blocks[:, i - 1]
    blocks[1:] += np.cumsum(blocks[:-1, -1], axis=0)[:, None]
    if len(rest):
        rest[0] += blocks[-1, -1]
        np.cumsum(rest, axis=0, out=rest)
    return x


def _losses(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    eps = np.finfo(np.float64).eps
    squares = ((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1)
    return np.stack([squares, -np.log(np.clip(p[np.arange(len(y)), y], eps, 1 - eps))])


def _counted(confusion: np.ndarray) -> np.ndarray:
    """(r, 4, 7) precision, recall, specificity and F1 from (r, 7, 7) confusion matrices."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)  # (r, 7)
    n, called = confusion.sum(axis=2), confusion.sum(axis=1)
    others = n.sum(axis=1, keepdims=True) - n
    f1 = np.where(n > 0, 2 * hits / (n + called), np.nan)
    return np.stack([hits / called, hits / n, (others - (called - hits)) / others, f1], axis=1)


def _overall(
    classes: np.ndarray, confusion: np.ndarray, micro_auc: np.ndarray, brier: np.ndarray, log_loss: np.ndarray
):
    """(r, 12) from the metrics of classes; a plain mean over classes is NaN where one of them is."""
    per = dict(zip(PER_CLASS, classes.swapaxes(0, 1), strict=True))  # (r, 7) each
    n = confusion.sum(axis=2)
    values = {
        "accuracy": np.trace(confusion, axis1=1, axis2=2) / n.sum(axis=1),
        "balanced_accuracy": per["recall"].mean(axis=1),
        "macro_f1": per["f1"].mean(axis=1),
        "weighted_f1": (np.where(n > 0, per["f1"], 0) * n).sum(axis=1) / n.sum(axis=1),  # absent: weight 0
        "macro_auc": per["auc"].mean(axis=1),
        "micro_auc": micro_auc,
        "melanoma_auc": per["auc"][:, MELANOMA],
        "melanoma_sensitivity": per["recall"][:, MELANOMA],
        "melanoma_specificity": per["specificity"][:, MELANOMA],
        "melanoma_average_precision": per["average_precision"][:, MELANOMA],
        "brier": brier,
        "log_loss": log_loss,
    }
    return np.column_stack([values[name] for name in OVERALL])


def _checked(w: np.ndarray, n: int) -> np.ndarray:
    w = np.ascontiguousarray(w, dtype=np.float64)
    if w.ndim != 2 or len(w) != n:
        raise ValueError(f"w has shape {w.shape}, expected ({n}, r): one row an image, one column a resample")
    if not np.isfinite(w).all() or w.min(initial=0) < 0:
        raise ValueError("w holds weights that are negative or not finite; it counts how often an image was drawn")
    return w
