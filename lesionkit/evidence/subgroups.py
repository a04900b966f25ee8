"""Metrics in subgroups of patients and lesions, with intervals by lesion, and the largest gaps.

Every group is the same resamples of the whole split, restricted to its images, so that groups are compared in
pairs. fairlearn's MetricFrame would resample images; images of one lesion are no independent observations.
Accuracy follows a group's mix of diagnoses as well as the model; sensitivity, specificity and AUC do so less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesionkit.data.records import TEXT
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence import resampling, weighted
from lesionkit.evidence.metrics import MELANOMA, undefined

AGE_BANDS = ("0–29", "30–44", "45–59", "60–74", "75+")  # years
UNKNOWN = "not known"
SHOWN = ("balanced_accuracy", "accuracy", "melanoma_sensitivity", "melanoma_auc", "melanoma_specificity")
FEW_IMAGES, FEW_MELANOMAS = 50, 10
OF_MELANOMAS = ("melanoma_sensitivity", "melanoma_auc", "melanoma_average_precision")
LOWER_IS_BETTER = ("brier", "log_loss")


@dataclass(frozen=True)
class Groups:
    """One model's metrics in every group, and in every resample: values is (rows of the table, R)."""

    table: pd.DataFrame
    values: np.ndarray


def bands(index: pd.DataFrame) -> pd.DataFrame:
    """What is known of each image, from the index table: image_id and a column an attribute; missing stays NA.

    age_band (AGE_BANDS), sex and site as released, confirmation ("histopathology" or "other"), source.
    """
    known = index["dx_type"].notna()
    confirmation = pd.Series(np.where(index["dx_type"] == "histo", "histopathology", "other"), index.index, dtype=TEXT)
    return pd.DataFrame(
        {
            "image_id": index["image_id"],
            "age_band": pd.cut(index["age"], [0, 30, 45, 60, 75, np.inf], right=False, labels=list(AGE_BANDS)),
            "sex": index["sex"],
            "site": index["site"],
            "confirmation": confirmation.where(known),
            "source": index["source"],
        }
    )


def replicate(
    scored: pd.DataFrame,
    facts: pd.DataFrame,
    split: str = "test",
    metrics: Sequence[str] = SHOWN,
    count: int = 2000,
    seed: int = 0,
) -> Groups:
    """The metrics of one model in every group of every attribute, and in all images (attribute and level "all").

    facts: image_id and a column an attribute, as of `bands`; NA is the level "not known".
    metrics: of `weighted.OVERALL`. Raises ValueError for others, where `scored` holds several models, and where
    `facts` lacks an image or holds one twice.
    """
    unknown = [name for name in metrics if name not in weighted.OVERALL]
    if unknown:
        raise ValueError(f"unknown metric {', '.join(unknown)}; choose from {', '.join(weighted.OVERALL)}")
    table = _only(table_of.by_model(scored, split=split))
    y, p = table_of.targets(table), table_of.probabilities(table)
    w = resampling.draws(table_of.clusters(table), count, seed)
    parts, values = [], []
    for attribute, level, here in _levels(table, facts):
        columns = {
            "attribute": attribute,
            "level": level,
            "n": int(here.sum()),
            "lesions": table.loc[here, "lesion_id"].nunique(),
            "melanomas": int((y[here] == MELANOMA).sum()),
        }
        rows, drawn = _group(y[here], p[here], w[here], list(metrics))
        parts.append(pd.DataFrame(columns, index=rows.index).join(rows))
        values.append(drawn)
    return Groups(pd.concat(parts, ignore_index=True), np.concatenate(values))


def summary(groups: Groups) -> pd.DataFrame:
    """A row a group and metric: attribute, level, n, lesions, melanomas, metric, value, low, high, small, note.

    n, melanomas: images. small: fewer than 50 images or, for melanoma sensitivity and AUC, than 10 melanomas.
    A group that lacks a class has no balanced accuracy: NaN, and the note names the class.
    """
    return groups.table.copy()


def gaps(groups: Groups) -> pd.DataFrame:
    """The largest difference between two levels of each attribute: attribute, metric, best, worst, gap, low, high, note.

    Small groups, "not known" and groups without an interval stand aside. The interval is of the same resamples,
    for the two levels that are the extremes of the sample. Of more than two levels these were chosen for being
    extreme, so gap and interval overstate; the note says among how many.
    """
    table = groups.table[groups.table["attribute"] != "all"]
    fit = ~table["small"] & table["low"].notna() & (table["level"] != UNKNOWN)
    parts = []
    for (attribute, metric), rows in table.groupby(["attribute", "metric"], sort=False):
        row = _widest(rows[fit[rows.index]], groups.values)
        parts.append({"attribute": attribute, "metric": metric, **row})
    columns = ["attribute", "metric", "best", "worst", "gap", "low", "high", "note"]
    return pd.DataFrame(parts, columns=columns)


def _widest(rows: pd.DataFrame, values: np.ndarray) -> dict:
    if len(rows) < 2:
        nothing = dict.fromkeys(("gap", "low", "high"), np.nan)
        return {"best": None, "worst": None, **nothing, "note": "fewer than two known levels that are not small"}
    worst, best = rows["value"].idxmin(), rows["value"].idxmax()
    gap = rows["value"][best] - rows["value"][worst]
    low, high, note = resampling.interval(gap, values[best] - values[worst])
    if rows["metric"].iloc[0] in LOWER_IS_BETTER:
        best, worst = worst, best
    chosen = f"the extremes of {len(rows)} levels, chosen on the same images: overstated" if len(rows) > 2 else ""
    return {
        "best": rows["level"][best],
        "worst": rows["level"][worst],
        "gap": gap,
        "low": low,
        "high": high,
        "note": "; ".join(filter(None, (note, chosen))),
    }


def _only(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    if len(tables) > 1:
        raise ValueError(f"the table holds the models {', '.join(tables)}; subgroups are of one model: choose one")
    return next(iter(tables.values()))


def _levels(table: pd.DataFrame, facts: pd.DataFrame):
    """Each (attribute, level, (n,) whether an image is of it); levels in the order of a categorical, or sorted."""
    twice = facts.loc[facts["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise ValueError(f"facts hold {len(twice)} images more than once, first {twice.iloc[0]}: keep one row an image")
    known = facts.set_index("image_id")
    missing = table.loc[~table["image_id"].isin(known.index), "image_id"]
    if len(missing):
        raise ValueError(
            f"facts lack {len(missing)} of {len(table)} images, first {missing.iloc[0]}: take both from one run"
        )
    yield "all", "all", np.full(len(table), True)
    for attribute, column in known.loc[table["image_id"]].items():
        present = column.dropna()
        ordered = present.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else sorted(present.unique())
        for level in ordered:
            if (here := (column == level).to_numpy(bool, na_value=False)).any():
                yield attribute, str(level), here
        if column.isna().any():
            yield attribute, UNKNOWN, column.isna().to_numpy()


def _group(y: np.ndarray, p: np.ndarray, w: np.ndarray, names: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    scorer, at = weighted.scorer(y, p), [weighted.OVERALL.index(name) for name in names]
    point = scorer(np.ones((len(y), 1)))[0][0, at]
    drawn = resampling.over(lambda w: {"all": scorer(w)[0][:, at]}, w)["all"].T  # (metrics, R)
    reasons, melanomas, alone = _reasons(y), int((y == MELANOMA).sum()), (w == 1).all()
    rows = []
    for name, value, values in zip(names, point, drawn, strict=True):
        low, high, note = (np.nan, np.nan, resampling.ALONE) if alone else resampling.interval(value, values)
        small = len(y) < FEW_IMAGES or (name in OF_MELANOMAS and melanomas < FEW_MELANOMAS)
        columns = {"metric": name, "value": value, "low": low, "high": high, "small": small}
        rows.append(columns | {"note": reasons.get(name, note)})
    return pd.DataFrame(rows), drawn


def _reasons(y: np.ndarray) -> dict[str, str]:
    reasons = undefined(y)
    absent = "melanoma_sensitivity" in reasons
    return reasons | ({"melanoma_average_precision": reasons["melanoma_sensitivity"]} if absent else {})
