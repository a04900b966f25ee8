"""What class-balanced sampling buys: a backbone trained with it against the same without, paired.

At the argmax a balanced model calls rare classes more often and gains recall by its operating point alone. At a
specificity matched on validation the operating point is taken out, as far as the match carries over: what is left
is what the model tells apart better.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, resampling
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.melanoma import threshold_at_specificity

COLUMNS = ["metric", "where", "a", "b", "difference", "low", "high", "note"]
MATCHED = "specificity matched on validation"
SHOWN = ("mel", "akiec", "df", "vasc")
MELANOMA_NAMES = {"recall:mel": "melanoma_sensitivity", "specificity:mel": "melanoma_specificity"}
UNSET = "no validation image of both models, or of one class only: no threshold"


def compare_balancing(
    scored: pd.DataFrame, balanced: str, natural: str, split: str = "test", count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Two models of `scored`, paired by lesion: metric, where, a (balanced), b (natural), difference, low, high, note.

    where "argmax": balanced accuracy, and recall and specificity of each class of SHOWN against the rest.
    where MATCHED: both again, a class called where its probability reaches a threshold; each model's threshold gives,
    on validation, the specificity that the balanced model's argmax has there. Thresholds are carried to `split`, not
    set again, so that specificities may differ there: the note says by how much, a − b. difference = a − b; its
    interval takes the thresholds as they are. Raises ValueError where a model is not in `scored`.
    """
    names = (balanced, natural)
    tables = _pair(scored, names, split)
    if not tables:
        raise ValueError(
            f"{balanced} and {natural} are not both in split {split!r} of the predictions; predict with both"
        )
    y, p = table_of.targets(tables[0]), [table_of.probabilities(table) for table in tables]
    w = resampling.draws(table_of.clusters(tables[0]), count, seed)
    argmax = _paired(y, [_calls(scores) for scores in p], w)
    cuts = _matched(_pair(scored, names, "val"))  # (7,) of each model
    matched = _paired(y, [scores >= cut for scores, cut in zip(p, cuts, strict=True)], w)
    matched = matched[matched["metric"] != "balanced_accuracy"]  # classes are called one by one there
    if np.isnan(cuts).any():
        matched = matched.assign(a=np.nan, b=np.nan, difference=np.nan, low=np.nan, high=np.nan, note=UNSET)
    matched = matched.assign(note=_unmatched(matched))
    both = pd.concat([argmax.assign(where="argmax"), matched.assign(where=MATCHED)], ignore_index=True)
    return both[COLUMNS]


def _pair(scored: pd.DataFrame, names: tuple[str, str], split: str) -> list[pd.DataFrame]:
    rows = scored[scored["model"].isin(names) & (scored["split"] == split)]
    if set(rows["model"]) != set(names):
        return []
    tables = table_of.by_model(rows, split=split)
    return [tables[name] for name in names]


def _calls(p: np.ndarray) -> np.ndarray:
    return np.arange(len(CLASSES)) == p.argmax(axis=1)[:, None]  # (n, 7)


def _matched(validation: list[pd.DataFrame]) -> np.ndarray:
    """(2, 7) thresholds of both models at the specificity of the first one's argmax; NaN where there is none."""
    cuts = np.full((2, len(CLASSES)), np.nan)
    if not validation:
        return cuts
    y, (first, second) = table_of.targets(validation[0]), map(table_of.probabilities, validation)
    for k, called in enumerate(_calls(first).T):
        if (y != k).any():
            specificity = 1 - called[y != k].mean()
            cuts[:, k] = [threshold_at_specificity(y == k, p[:, k], specificity) for p in (first, second)]
    return cuts


def _paired(y: np.ndarray, calls: list[np.ndarray], w: np.ndarray) -> pd.DataFrame:
    def differences(w: np.ndarray) -> dict[str, np.ndarray]:
        a, b = (_rates(y, called, w) for called in calls)
        return {metric: a[metric] - b[metric] for metric in a}

    rows = resampling.summarise(differences, w).rename(columns={"value": "difference"})
    for column, called in zip("ab", calls, strict=True):
        rows[column] = [float(value[0]) for value in _rates(y, called, np.ones((len(y), 1))).values()]
    reasons = _reasons(y)
    notes = [reasons.get(metric, note) for metric, note in zip(rows["metric"], rows["note"], strict=True)]
    return rows.assign(note=notes)


def _unmatched(matched: pd.DataFrame) -> list[str]:
    """The notes, with the difference between the realised specificities of the row's class, where there is one."""
    differences, notes = matched.set_index("metric")["difference"], matched.set_index("metric")["note"]
    for name in SHOWN:
        differs = round(differences[_named("specificity", name)], 3) + 0.0  # not −0
        for metric in (_named("recall", name), _named("specificity", name)):
            if not np.isnan(differs):
                notes[metric] = "; ".join(filter(None, (notes[metric], f"specificity differs by {differs:+.3f} here")))
    return notes.tolist()


def _rates(y: np.ndarray, called: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
    """Balanced accuracy, and recall and specificity of SHOWN, under the weights w, (n, r): each (r,)."""
    truth = np.eye(len(CLASSES), dtype=bool)[y]  # (n, 7)
    shares = {}
    with np.errstate(invalid="ignore"):  # 0/0 where a resample leaves a class without images
        for name, of, hit in (("recall", truth, called), ("specificity", ~truth, ~called)):
            shares[name] = ((of & hit).T.astype(float) @ w) / (of.T.astype(float) @ w)  # (7, r)
    rates = {"balanced_accuracy": shares["recall"].mean(axis=0)}
    for name in SHOWN:
        for metric, values in shares.items():
            rates[_named(metric, name)] = values[CLASSES.index(name)]
    return rates


def _reasons(y: np.ndarray) -> Mapping[str, str]:
    reasons = {"balanced_accuracy": metrics.undefined(y).get("balanced_accuracy")}
    for name in SHOWN:
        here = y == CLASSES.index(name)
        reasons[_named("recall", name)] = None if here.any() else f"no image of {name}"
        reasons[_named("specificity", name)] = f"no image of a class but {name}" if here.all() else None
    return {metric: reason for metric, reason in reasons.items() if reason}


def _named(metric: str, name: str) -> str:
    return MELANOMA_NAMES.get(f"{metric}:{name}", f"{metric}:{name}")
