"""Tables as papers print them: an interval in brackets behind its value, and the table that published systems show."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lesionkit.evidence import comparisons, resampling
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.resampling import Replicates

PUBLISHED = ("accuracy", "weighted_f1", "macro_auc", "micro_auc")
NUMBERS = ("model", "metric", "value", "low", "high", "note")
MISSING = "NA"


def bracketed(intervals: pd.DataFrame, metrics: Sequence[str], digits: int = 3) -> pd.DataFrame:
    """A row a model, a column a metric, each cell text as "0.652 [0.601, 0.699]".

    intervals: model, metric, value, low, high. "NA" where a model has no value, "0.652 [NA]" where only the
    interval is undefined. Raises ValueError for a metric of which there is no row.
    """
    unknown = [name for name in metrics if name not in set(intervals["metric"])]
    if unknown:
        found = ", ".join(dict.fromkeys(intervals["metric"]))
        raise ValueError(f"the intervals hold no {', '.join(unknown)}; they hold {found}")
    cells = zip(intervals["value"], intervals["low"], intervals["high"], strict=True)
    text = intervals[["model", "metric"]].assign(text=[_cell(*values, digits) for values in cells])
    wide = text.pivot(index="model", columns="metric", values="text")
    wide = wide.reindex(index=list(dict.fromkeys(intervals["model"])), columns=list(metrics)).fillna(MISSING)
    return wide.rename_axis(columns=None).reset_index()


def spoken(table: pd.DataFrame, value: str = "value", *, sign: bool = False, **where: object) -> str:
    """The first row of `table` with these values, for a sentence: "0.652 [0.601, 0.699]".

    value: the column of the number, beside low and high. sign: write + before what is positive, as of differences.
    "not available" where there is no such row, or no number in it; "0.652 (no interval)" where there is only a number.
    """
    rows = (
        table.loc[np.logical_and.reduce([table[name] == wanted for name, wanted in where.items()])] if where else table
    )
    if rows.empty or pd.isna(rows[value].iloc[0]):
        return "not available"
    form = "+.3f" if sign else ".3f"
    number, low, high = (format(rows[name].iloc[0], form) for name in (value, "low", "high"))
    return f"{number} (no interval)" if "nan" in low + high else f"{number} [{low}, {high}]"


def published(
    tables: Mapping[str, pd.DataFrame], replicates: Replicates, reference: str = "ensemble"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table that published systems show, as numbers (long) and as text (a row a model).

    tables: as of `predictions.by_model`; replicates: `resampling.replicate` of them. Metrics: PUBLISHED;
    mcnemar_p, exact and two-sided, of each model's calls against those of `reference`; mcnemar_p_holm, the same
    corrected over the models (Holm); delta_accuracy = reference − model, with its paired interval.
    McNemar's test takes images for independent, which images of one lesion are not: its p is too small there,
    and the interval of delta_accuracy, which resamples lesions, is the one to trust.
    Numbers: model, metric, value, low, high, note. Raises ValueError where `reference` is no model of the tables.
    """
    if reference not in tables:
        raise ValueError(f"no model {reference!r} among {', '.join(tables)}; name the model to compare with")
    others = [name for name in tables if name != reference]
    parts = [
        resampling.intervals(replicates, PUBLISHED),
        _mcnemar(tables, others, reference),
        _deltas(replicates, others, reference),
    ]
    numbers = pd.concat([part for part in parts if len(part)], ignore_index=True)
    text = bracketed(numbers[numbers["metric"].isin(PUBLISHED)], PUBLISHED)
    return numbers, _beside(text, numbers, others, reference)


def _mcnemar(tables: Mapping[str, pd.DataFrame], others: Sequence[str], reference: str) -> pd.DataFrame:
    calls = {name: table_of.probabilities(table).argmax(axis=1) for name, table in tables.items()}
    y = table_of.targets(tables[reference])
    raw = [comparisons.mcnemar(y, calls[reference], calls[name]).p for name in others]
    corrected = comparisons.holm(raw)
    columns = {"low": np.nan, "high": np.nan, "note": ""}
    rows = [
        pd.DataFrame({"model": others, "metric": metric, "value": values, **columns})
        for metric, values in {"mcnemar_p": raw, "mcnemar_p_holm": corrected}.items()
    ]
    return pd.concat(rows, ignore_index=True)


def _deltas(replicates: Replicates, others: Sequence[str], reference: str) -> pd.DataFrame:
    pairs = [(reference, name) for name in others]
    rows = comparisons.differences(replicates, pairs, ["accuracy"]).assign(metric="delta_accuracy")
    return rows.rename(columns={"b": "model", "difference": "value"})[[*NUMBERS]]


def _beside(text: pd.DataFrame, numbers: pd.DataFrame, others: Sequence[str], reference: str) -> pd.DataFrame:
    text = text.assign(mcnemar_p="–", mcnemar_p_holm="–", delta_accuracy="–")
    if not others:
        return text
    rows = text["model"] != reference
    for metric in ("mcnemar_p", "mcnemar_p_holm"):
        values = numbers[numbers["metric"] == metric].set_index("model")["value"]
        text.loc[rows, metric] = [_p(value) for value in values[text.loc[rows, "model"]]]
    deltas = bracketed(numbers[numbers["metric"] == "delta_accuracy"], ["delta_accuracy"]).set_index("model")
    text.loc[rows, "delta_accuracy"] = deltas.loc[text.loc[rows, "model"], "delta_accuracy"].to_numpy()
    return text


def _p(value: float) -> str:
    if np.isnan(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _cell(value: float, low: float, high: float, digits: int) -> str:
    if np.isnan(value):
        return MISSING
    bounds = MISSING if np.isnan(low) or np.isnan(high) else f"{low:.{digits}f}, {high:.{digits}f}"
    return f"{value:.{digits}f} [{bounds}]"
