"""What members add to the ensemble: each one left out, how unlike their errors are, and what they cost."""

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from lesionkit.evidence import ensembles, resampling
from lesionkit.evidence import predictions as table_of

CONTRIBUTED = ("balanced_accuracy", "macro_f1", "macro_auc", "melanoma_sensitivity")
COSTS = ("parameters_m", "macs_m", "ms_image")
ALONE = "the only member: nothing is left without it"


def leave_one_out(
    members: pd.DataFrame, split: str = "test", rule: str = "mean", count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """What the ensemble by `rule` loses in `split` where a member is left out, for each member and metric of CONTRIBUTED.

    Columns: model (left out), metric, with_it, without_it, contribution = with_it − without_it (positive: the
    member helps), low, high, note. A weighted ensemble is fitted anew without it. Both ensembles are scored on the same
    resamples of lesions, so that the interval is of the paired difference; it is not corrected for the number of members.
    Raises PredictionError as `ensembles.mixture` and `predictions.by_model`.
    """
    table_of.by_model(members, split=split)  # refuses what does not compare, and a split without rows
    names = sorted(members.loc[members["split"] == split, "model"].unique())
    tables = {"ensemble": _combined(members, split, rule)}
    if len(names) > 1:
        tables |= {name: _combined(members[members["model"] != name], split, rule) for name in names}
    replicates = resampling.replicate(tables, count, seed)
    rows = [_contribution(replicates, name, metric) for name in names for metric in CONTRIBUTED]
    return pd.DataFrame(rows)


def _combined(members: pd.DataFrame, split: str, rule: str) -> pd.DataFrame:
    return ensembles.mixed(members[members["split"] == split], ensembles.mixture(members, rule))


def pairwise(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How unlike the calls and the errors of each two models are: a, b, n, then shares of the n images, and a note.

    disagreement: the share of images that the two call differently (in [0, 1]); other than in Kuncheva & Whitaker,
    whose measure asks only whether one is right, two different errors count too. error_correlation: the Pearson
    correlation of the two error indicators (their ρ, in [−1, 1]); NaN, with a note, where a model errs on all
    images or on none. both_wrong: the share that both get wrong (their double fault).
    Kuncheva & Whitaker, Machine Learning 2003;51:181.
    tables: a model each, as `predictions.by_model` gives them. Raises PredictionError where images differ.
    """
    tables = table_of.aligned(dict(tables))
    y = table_of.targets(next(iter(tables.values())))
    calls = {name: table_of.probabilities(table).argmax(axis=1) for name, table in tables.items()}
    wrong = {name: call != y for name, call in calls.items()}
    constant = [name for name, errs in wrong.items() if errs.all() or not errs.any()]
    rows = []
    for a, b in combinations(tables, 2):
        shown = [name for name in (a, b) if name in constant]
        row = {
            "a": a,
            "b": b,
            "n": len(y),
            "disagreement": float((calls[a] != calls[b]).mean()),
            "error_correlation": np.nan if shown else float(np.corrcoef(wrong[a], wrong[b])[0, 1]),
            "both_wrong": float((wrong[a] & wrong[b]).mean()),
            "note": f"right or wrong on every image: {', '.join(shown)}" if shown else "",
        }
        rows.append(row)
    columns = ["a", "b", "n", "disagreement", "error_correlation", "both_wrong", "note"]
    return pd.DataFrame(rows, columns=columns)


def cost_with_ensemble(costs: pd.DataFrame, members: Iterable[str], name: str = "ensemble") -> pd.DataFrame:
    """`costs` and a row of the ensemble `name`: the sum of its members', which all have to run.

    costs: model, and any of parameters_m (millions), macs_m (millions of multiply-accumulates an image), ms_image.
    A sum is NaN where a member's cost is; its note says whose. members: those that the ensemble runs, so of a
    weighted one only those with a weight. Raises ValueError where a member has no row or two, or `name` has one.
    """
    members = list(members)
    known = _each_once(costs, "table of costs").set_index("model")
    missing = [member for member in members if member not in known.index]
    faults = {
        f"no cost of {', '.join(missing)}": missing,
        "no member is given": not members,
        f"{name} has a row already": name in known.index,
    }
    for fault, holds in faults.items():
        if holds:
            raise ValueError(f"{fault}; costs has the models {', '.join(known.index)}")
    ran = known.loc[members].reindex(columns=list(COSTS))
    unknown = list(ran.index[ran.isna().any(axis=1)])
    note = f"unknown cost of {', '.join(unknown)}" if unknown else ""
    row = pd.DataFrame([{"model": name, **ran.sum(skipna=False), "note": note}])
    before = costs if "note" in costs else costs.assign(note="")
    return pd.concat([before, row], ignore_index=True)[list(before.columns)]


def quality_and_cost(board: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """A leaderboard with the costs of each model; models without a cost keep their row, with NaN.

    Raises ValueError where either holds a model more than once.
    """
    _each_once(board, "leaderboard")
    costs = _each_once(costs, "table of costs")
    return board.merge(costs.reindex(columns=["model", *COSTS]), on="model", how="left")


def _each_once(table: pd.DataFrame, what: str) -> pd.DataFrame:
    again = table["model"][table["model"].duplicated()].tolist()
    if again:
        raise ValueError(f"the {what} holds {', '.join(again)} more than once; keep one row a model")
    return table


def _contribution(replicates: resampling.Replicates, name: str, metric: str) -> dict:
    point, values, note = replicates.of("ensemble", metric)
    row = {"model": name, "metric": metric, "with_it": point}
    if name not in replicates.models:
        nothing = dict.fromkeys(("without_it", "contribution", "low", "high"), np.nan)
        return {**row, **nothing, "note": ALONE}
    other, other_values, other_note = replicates.of(name, metric)
    low, high, resampled = resampling.interval(point - other, values - other_values)
    if replicates.alone:
        low, high, resampled = np.nan, np.nan, replicates.alone
    found = {"without_it": other, "contribution": point - other, "low": low, "high": high}
    return {**row, **found, "note": note or other_note or resampled}
