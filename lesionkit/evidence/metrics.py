"""Metrics as pure functions of arrays.

y is (n,) integer classes, 0..6 in the order of CLASSES; p is (n, 7) probabilities. A model's call is the
argmax of p (of equal maxima the first in the order of CLASSES). Every number is scikit-learn's.

What the images leave undefined is NaN and has a reason; nothing is averaged over fewer classes than declared.
A class without images has no recall, F1, AUC or average precision, so that balanced accuracy, macro F1 and
macro AUC, which are means over all seven, are NaN too. A class never called has no precision (0/0), while its
F1 = 2TP / (2TP + FP + FN) is 0. The reasons: `undefined(y)`, and the column `note` of every table.
"""

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from lesionkit.data.records import CLASSES

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "macro_auc",
    "micro_auc",
    "melanoma_auc",
    "melanoma_sensitivity",
    "melanoma_specificity",
)
MEANS_OF_CLASSES = ("balanced_accuracy", "macro_f1", "macro_auc")
MELANOMA = CLASSES.index("mel")


def overall(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """The nine METRICS, each in [0, 1], or NaN where `undefined(y)` says why. AUCs are one-vs-rest.

    Raises ValueError for arrays of wrong shape, labels outside 0..6, scores that are not finite, or no image.
    """
    y, p = _checked(y, p)
    classes = per_class(y, p).set_index("class")
    melanoma = classes.loc["mel"]
    return {
        "accuracy": float((p.argmax(axis=1) == y).mean()),
        "balanced_accuracy": float(classes["recall"].mean(skipna=False)),
        "macro_f1": float(classes["f1"].mean(skipna=False)),
        "weighted_f1": float(np.average(classes["f1"].fillna(0), weights=classes["n"])),  # absent: weight 0
        "macro_auc": float(classes["auc"].mean(skipna=False)),
        "micro_auc": float(sk.roc_auc_score(np.eye(len(CLASSES), dtype=int)[y].ravel(), p.ravel())),
        "melanoma_auc": float(melanoma["auc"]),
        "melanoma_sensitivity": float(melanoma["recall"]),
        "melanoma_specificity": float(melanoma["specificity"]),
    }


def undefined(y: np.ndarray) -> dict[str, str]:
    """The reason of each metric of `overall` that these labels leave undefined; empty where there is none."""
    y = _checked_labels(y)
    counts = np.bincount(y, minlength=len(CLASSES))
    absent = [name for name, n in zip(CLASSES, counts, strict=True) if n == 0]
    reasons = dict.fromkeys(MEANS_OF_CLASSES, f"no image of {', '.join(absent)}") if absent else {}
    if counts[MELANOMA] == 0:
        reasons |= dict.fromkeys(("melanoma_auc", "melanoma_sensitivity"), "no image of mel")
    if counts[MELANOMA] == len(y):
        reasons |= dict.fromkeys(("melanoma_auc", "melanoma_specificity"), "no image of a class but mel")
    return reasons


def per_class(y: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    """One row a class against the others.

    Columns: class, n, precision, recall, specificity, f1, auc, average_precision, note.
    """
    y, p = _checked(y, p)
    matrix = confusion(y, p)
    return pd.DataFrame([_class_row(k, y == k, p[:, k], matrix) for k in range(len(CLASSES))])


def confusion(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(7, 7) counts: row the true class, column the model's call."""
    y, p = _checked(y, p)
    return sk.confusion_matrix(y, p.argmax(axis=1), labels=range(len(CLASSES)))


def _class_row(k: int, positive: np.ndarray, score: np.ndarray, matrix: np.ndarray) -> dict:
    n, called, hits = int(matrix[k].sum()), int(matrix[:, k].sum()), int(matrix[k, k])
    others = len(positive) - n
    notes = {"no image of this class": not n, "no image of another": not others, "never called": not called}
    return {
        "class": CLASSES[k],
        "n": n,
        "precision": _ratio(hits, called),
        "recall": _ratio(hits, n),
        "specificity": _ratio(others - (called - hits), others),
        "f1": _ratio(2 * hits, n + called) if n else np.nan,
        "auc": float(sk.roc_auc_score(positive, score)) if n and others else np.nan,
        "average_precision": float(sk.average_precision_score(positive, score)) if n else np.nan,
        "note": "; ".join(reason for reason, holds in notes.items() if holds),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def _checked_labels(y: np.ndarray) -> np.ndarray:
    y = np.asarray(y)
    if y.ndim != 1 or len(y) == 0 or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"y is {y.dtype} of shape {y.shape}, expected (n,) integers with n ≥ 1")
    if y.min() < 0 or y.max() >= len(CLASSES):
        raise ValueError(
            f"y holds labels from {y.min()} to {y.max()}, expected 0..{len(CLASSES) - 1}, "
            f"positions in {', '.join(CLASSES)}"
        )
    return y


def _checked(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, p = _checked_labels(y), np.asarray(p)
    if p.shape != (len(y), len(CLASSES)):
        raise ValueError(
            f"p has shape {p.shape}, expected {(len(y), len(CLASSES))}: one column for each of {', '.join(CLASSES)}"
        )
    if not np.isfinite(p).all():
        raise ValueError(
            f"p holds {int((~np.isfinite(p)).sum())} values that are NaN or infinite; metrics need finite scores"
        )
    return y, p
