"""What a sibling in training is worth: the same probes scored by a model that saw siblings and by one that did not.

The design is a crossover (`lesionkit.data.siblings.injection`): model A was trained with siblings of the probes of
half A, model B with those of half B. Each probe has a leaked prediction, of its own half's model, and a clean one, of
the other's; both training sets are equally large. What makes a lesion hard is the same on both sides, and what makes
one model better than the other cancels as far as the halves are equal. Each model is trained once: the intervals are
of lesions, and the chance of the two trainings is not in them.
"""

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, resampling
from lesionkit.evidence import predictions as table_of

COLUMNS = ["class", "n", "metric", "leaked", "clean", "difference", "low", "high", "note"]


def leak(
    predictions_a: pd.DataFrame, predictions_b: pd.DataFrame, probes: pd.DataFrame, count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """The effect of a sibling in training, leaked − clean over the same probes, with intervals: COLUMNS.

    predictions_a, predictions_b: tables of one model each, trained on the tables of halves A and B; rows of other
    images are ignored. probes: image_id, group_id, half ("A" or "B"). Metrics of all probes: accuracy,
    balanced_accuracy and probability_of_truth, the mean probability of the true class; of each class: recall
    (of mel: melanoma_sensitivity) and probability_of_truth. Intervals resample probes, each a lesion of its own.
    What is undefined is NaN and note says why. Raises PredictionError where a probe is not in both tables.
    """
    a, b = (_of_probes(table, probes, half) for table, half in ((predictions_a, "A"), (predictions_b, "B")))
    own = (probes["half"] == "A").to_numpy()[:, None]
    p = [table_of.probabilities(table) for table in (a, b)]
    y, leaked, clean = table_of.targets(a), np.where(own, *p), np.where(own, *p[::-1])

    def difference(w: np.ndarray) -> dict[str, np.ndarray]:
        with_sibling, without = _means(y, leaked, w), _means(y, clean, w)
        return {key: with_sibling[key] - without[key] for key in with_sibling}

    w = resampling.draws(probes["group_id"], count, seed)
    table = resampling.summarise(difference, w).rename(columns={"value": "difference"})
    point = {name: _means(y, scores, np.ones((len(y), 1))) for name, scores in (("leaked", leaked), ("clean", clean))}
    for name, values in point.items():
        table[name] = [float(values[key][0]) for key in table["metric"]]
    return _labelled(table, y)


def _of_probes(table: pd.DataFrame, probes: pd.DataFrame, half: str) -> pd.DataFrame:
    """The rows of the probes, in their order."""
    models = table["model"].unique()
    if len(models) != 1:
        raise table_of.PredictionError(f"the predictions of half {half} are of {len(models)} models, not of one")
    rows = table[table["image_id"].isin(probes["image_id"])].set_index("image_id")
    missing = probes.loc[~probes["image_id"].isin(rows.index), "image_id"]
    if len(missing):
        raise table_of.PredictionError(
            f"{len(missing)} of {len(probes)} probes are not in the predictions of half {half}, first "
            f"{missing.iloc[0]}: predict all probes with both models"
        )
    return rows.loc[probes["image_id"]].reset_index()


def _means(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric under the weights w, (n, r): arrays (r,); keys "metric:class"."""
    hit = (p.argmax(axis=1) == y).astype(float)
    truth = p[np.arange(len(y)), y].astype(float)
    of_class = np.eye(len(CLASSES))[y].T  # (7, n)
    with np.errstate(invalid="ignore"):  # 0/0 where a resample leaves a class without probes
        recall, sure = ((of_class * values) @ w / (of_class @ w) for values in (hit, truth))  # (7, r)
    total = w.sum(axis=0)
    means = {
        "accuracy:all": hit @ w / total,
        "balanced_accuracy:all": recall.mean(axis=0),
        "probability_of_truth:all": truth @ w / total,
    }
    for k, name in enumerate(CLASSES):
        means[f"{'melanoma_sensitivity' if name == 'mel' else 'recall'}:{name}"] = recall[k]
        means[f"probability_of_truth:{name}"] = sure[k]
    return means


def _labelled(table: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
    counts = dict(zip(CLASSES, np.bincount(y, minlength=len(CLASSES)), strict=True)) | {"all": len(y)}
    table[["metric", "class"]] = table["metric"].str.split(":", expand=True)
    table["n"] = table["class"].map(counts)
    reasons = {name: f"no probe of {name}" for name, n in counts.items() if n == 0}
    undefined = table["difference"].isna()
    why = table["class"].map(reasons | {"all": metrics.undefined(y).get("balanced_accuracy", "")})
    table["note"] = table["note"].mask(undefined, why)
    return table[COLUMNS]
