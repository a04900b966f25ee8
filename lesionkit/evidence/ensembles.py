"""Several models' predictions become one model's, in the same kind of table.

The study names its own, `ensemble`, before any result: the plain mean, or where members are of unlike strength the weighted
one, of members that are calibrated before. The others stand beside it. The means fit nothing; the rest is fitted on the
validation images alone (`stacking`) and then applied to every split, so that on validation itself its numbers are
optimistic. Members weigh by what they are called, never by their order.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence import stacking
from lesionkit.evidence.mixtures import Mixture
from lesionkit.evidence.predictions import PROBABILITIES, PredictionError
from lesionkit.evidence.stacking import CannotFit

RULES = ("mean", "geometric", "weighted", "stacked", "greedy")
NAMES = ("ensemble", *(f"ensemble_{rule}" for rule in RULES))  # the study's own, and those of the other rules


class Fitted(NamedTuple):
    """The predictions of a fitted ensemble, every split, and what was fitted."""

    table: pd.DataFrame
    weights: pd.DataFrame


def mixture(predictions: pd.DataFrame, rule: str = "mean") -> Mixture:
    """What the study's ensemble is of its members: the plain mean, or what `weighted` fits. One member alone is taken as it is.

    predictions: of the members, with the validation images where rule is "weighted". Errors as of `weighted`.
    """
    members = _members(predictions, "ensemble")
    if rule == "mean" or len(members.names) == 1:
        return Mixture.equal(members.names)
    try:
        return _weighing(members)
    except CannotFit as reason:
        raise CannotFit(f'{reason}: set ensemble = "mean"') from reason


def mixed(predictions: pd.DataFrame, mixture: Mixture, name: str = "ensemble") -> pd.DataFrame:
    """The models' probabilities mixed, as a table of the model `name`. Errors as of `mean`, and PredictionError for a model
    without a share, or a share without its model."""
    members = _members(predictions, name)
    if {*members.names} != {*mixture.shares}:
        raise PredictionError(f"shares of {', '.join(mixture.shares)} for the models {', '.join(members.names)}: give each its share")
    return members.mixed(mixture, name)


def mean(predictions: pd.DataFrame, name: str = "ensemble") -> pd.DataFrame:
    """The arithmetic mean of all models' probabilities, as a table of the model `name`; nothing is fitted.

    Models weigh the same, and their order does not matter. The mean of one model is that model.
    Raises PredictionError if members differ in their images or labels, or if `name` or an ensemble is one of them.
    """
    members = _members(predictions, name)
    return members.table(members.p.mean(axis=0), name)


def geometric_mean(predictions: pd.DataFrame, name: str = "ensemble_geometric") -> pd.DataFrame:
    """The geometric mean, renormalised (`stacking.geometric`); nothing is fitted. Errors as of `mean`."""
    members = _members(predictions, name)
    return members.table(stacking.geometric(members.p), name)


def weighted(predictions: pd.DataFrame, name: str = "ensemble_weighted") -> Fitted:
    """The mean of temperature-scaled members with the weights and temperatures of `stacking.scaled_weights`.

    weights: model, weight (of sum 1), temperature. Raises CannotFit without validation images of every class or for one
    member alone; else as `mean`.
    """
    members = _members(predictions, name)
    return members.fitted(_weighing(members), name)


def greedy(predictions: pd.DataFrame, name: str = "ensemble_greedy") -> Fitted:
    """The mean of the picks of `stacking.greedy_weights`, members as they are. weights and errors as of `weighted`."""
    members = _members(predictions, name)
    weights = stacking.greedy_weights(*members.validation()[:2])
    return members.fitted(Mixture(dict(zip(members.names, weights.tolist(), strict=True))), name)


def stacked(predictions: pd.DataFrame, name: str = "ensemble_stacked") -> Fitted:
    """The regression of `stacking.stack` on the members' log-probabilities.

    weights: model, given (the class whose log-probability it is), class (whose score it moves), weight; strength,
    the chosen C, is the same in every row. Errors as of `weighted`, and of `stacking.stack`.
    """
    members = _members(predictions, name)
    fitted = stacking.stack(*members.validation())
    inputs = pd.MultiIndex.from_product([members.names, CLASSES], names=["model", "given"])
    weights = pd.DataFrame(fitted.coef_.T, inputs, pd.Index(CLASSES, name="class")).stack().rename("weight")
    p = fitted.predict_proba(stacking.features(members.p))
    return Fitted(members.table(p, name), weights.reset_index().assign(strength=fitted.C))


def every(members: pd.DataFrame, rule: str = "mean") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ensembles by all RULES, tables below one another, first the study's, by `rule`, as "ensemble"; and those left out.

    The two plain means are always there; one that cannot be fitted is not, and stands in the second table:
    ensemble, reason. Errors as of `mixture`.
    """
    makers = dict(zip(RULES, (mean, geometric_mean, weighted, stacked, greedy), strict=True))
    tables, left_out = [mixed(members, mixture(members, rule))], []
    for name, make in ((f"ensemble_{other}", make) for other, make in makers.items() if other != rule):
        try:
            made = make(members, name=name)
            tables.append(made.table if isinstance(made, Fitted) else made)
        except CannotFit as reason:
            left_out.append({"ensemble": name, "reason": str(reason)})
    return pd.concat(tables, ignore_index=True), pd.DataFrame(left_out, columns=["ensemble", "reason"])


def weights_of(members: pd.DataFrame) -> pd.DataFrame:
    """What each member weighs in the weighted and in the greedy ensemble: ensemble, model, weight, temperature (1: as it is).

    An ensemble that cannot be fitted has no row; `every` gives the reason. Errors as of `mean`.
    """
    parts = []
    for name, fit in {"ensemble_weighted": weighted, "ensemble_greedy": greedy}.items():
        try:
            parts.append(fit(members).weights.assign(ensemble=name))
        except CannotFit:
            continue
    columns = ["ensemble", "model", "weight", "temperature"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


@dataclass(frozen=True)
class _Members:
    names: tuple[str, ...]
    rows: pd.DataFrame  # what is known of the n images
    p: np.ndarray  # (M, n, 7)

    def validation(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """y (v,), p (M, v, 7) and clusters (v,) of the validation images: all that a fit may see."""
        chosen = (self.rows["split"] == "val").to_numpy()
        rows = self.rows[chosen]
        return table_of.targets(rows), self.p[:, chosen], table_of.clusters(rows)

    def table(self, p: np.ndarray, name: str) -> pd.DataFrame:
        return table_of.build(self.rows, p, name)

    def mixed(self, mixture: Mixture, name: str) -> pd.DataFrame:
        return self.table(mixture.of(dict(zip(self.names, self.p, strict=True))), name)

    def fitted(self, mixture: Mixture, name: str) -> Fitted:
        return Fitted(self.mixed(mixture, name), mixture.table().rename(columns={"share": "weight"}))


def _weighing(members: _Members) -> Mixture:
    temperatures, weights = stacking.scaled_weights(*members.validation()[:2])
    return Mixture(*(dict(zip(members.names, of.tolist(), strict=True)) for of in (weights, temperatures)))


def _members(predictions: pd.DataFrame, name: str) -> _Members:
    table_of.check(predictions)
    tables = {str(model): rows for model, rows in predictions.groupby("model", sort=True)}
    for ensemble in (name, *NAMES):
        if ensemble in tables:
            raise PredictionError(f"{ensemble!r} is already a model of the table and would count twice; leave it out")
    tables = table_of.aligned(tables)
    p = np.stack([table_of.probabilities(rows).astype(np.float64) for rows in tables.values()])
    first = next(iter(tables.values()))
    return _Members(tuple(tables), first.drop(columns=["model", *PROBABILITIES]), p)
