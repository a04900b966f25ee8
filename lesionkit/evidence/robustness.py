"""Which changes of a training hold on archives that nobody has looked at: chosen by a proxy, then held against the truth.

The proxy is validation under shifts (`lesionkit.data.shifts`): a model's robustness is its macro AUC on validation images
that are shifted in several ways at once, as archives differ, each in three draws of these ways. A change is kept where
robustness rises over that of what it was made on, the baseline or an earlier candidate, and validation as it is does not fall.
What training draws itself proves nothing: a change that draws hairs is judged on images without them.
Test and external images have no say. Intervals resample lesions, and all candidates share the resamples.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from lesionkit.evidence import comparisons, predictions, resampling
from lesionkit.evidence.resampling import Replicates

SCORE = "macro_auc"
CLAIMED = ("macro_auc", "macro_f1", "melanoma_auc")  # of which inside and outside are compared
CLEAN = "none"  # the name of no shift
PROXIES = ("robustness", "left_out", "validation")
SEVERAL = ("several 1", "several 2", "several 3")  # draws of several shifts at once
COMPARED = ("difference", "low", "high", "p", "note")  # of two candidates
ARCHIVE = "without "  # begins the name of what was answered by a training without an archive


def shifted_replicates(shifted: pd.DataFrame, count: int = 2000, seed: int = 0) -> dict[str, Replicates]:
    """Of each shift, CLEAN first, the metrics of all candidates on the same resamples of lesions.

    shifted: the predictions of validation, a row an image, candidate (model) and shift, as `learning.shifted` makes them.
    """
    return {
        shift: resampling.replicate(predictions.by_model(rows, split="val"), count, seed)
        for shift, rows in shifted.groupby("shift", sort=False)
    }


def by_shift(replicates: Mapping[str, Replicates], after: Mapping[str, str]) -> pd.DataFrame:
    """shift, model, after, value, difference, low, high: SCORE of each candidate under each shift, against that of after[model].

    after: of `Study.predecessors`. A model that it does not hold has no difference.
    """
    table = pd.concat([_against(r, after, [SCORE]).assign(shift=shift) for shift, r in replicates.items()], ignore_index=True)
    return table[["shift", "model", "after", "value", "difference", "low", "high", "note"]]


def _against(r: Replicates, after: Mapping[str, str], metrics: Sequence[str]) -> pd.DataFrame:
    """model, after, metric, value, difference, low, high, p, note: every model of r, the baseline first, then as in `after`."""
    names = [*(name for name in r.models if name not in after), *(name for name in after if name in r.models)]
    found = comparisons.differences(r, [(name, after[name]) for name in names if name in after], metrics)
    every = pd.MultiIndex.from_product([names, metrics], names=["model", "metric"])
    table = found.rename(columns={"a": "model", "b": "after"}).set_index(["model", "metric"]).reindex(every).reset_index()
    table["value"] = [r.of(model, metric)[0] for model, metric in every]
    return table.fillna({"after": "", "note": ""})


def proxy_of(shifted: pd.DataFrame, count: int = 2000, seed: int = 0) -> Replicates:
    """The candidates' SCORE as three metrics: `robustness` over the rows of SEVERAL, all draws together, `validation` over those
    of CLEAN, and where there are trainings without an archive `left_out`, over all images of the archives left out together:
    one archive alone may hold no image of a class."""
    several, archives = shifted["shift"].isin(SEVERAL), shifted["shift"].str.startswith(ARCHIVE)
    once = shifted["image_id"].where(~several, shifted["image_id"] + " " + shifted["shift"])  # an image is in all draws
    named = shifted["shift"].mask(several, "robustness").mask(shifted["shift"] == CLEAN, "validation").mask(archives, "left_out")
    wanted = several | archives | (shifted["shift"] == CLEAN)
    found = shifted_replicates(shifted.assign(image_id=once, shift=named)[wanted], count, seed)
    names = tuple(name for name in PROXIES if name in found)
    clean = found["validation"]
    at = clean.metrics.index(SCORE)
    point, values, reasons = (np.stack([getattr(found[name], part)[..., at] for name in names], axis=-1)
                              for part in ("point", "values", "reasons"))  # fmt: skip
    return Replicates(clean.models, names, point, values, reasons, clean.alone)


def decide(
    shifted: pd.DataFrame, after: Mapping[str, str], drawn: Mapping[str, Sequence[str]], count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """A row a candidate: robustness and validation, each with its difference to after[model], interval and p, and `kept`.

    kept: the difference in robustness is above zero at 5 %, corrected over the candidates (Holm), and validation is not shown to
    fall: its interval reaches zero or lies above. That difference is of the images under none of drawn[model], the shifts that the
    candidate's training draws (column `unseen_only`); `robustness` itself is the candidate's macro AUC on all of them.
    shifted: rows of CLEAN and SEVERAL, with the shifts that each image is under in column `shifts`, a set; after: of
    `Study.predecessors`; drawn: of `learning.candidates`.
    """
    proxy = proxy_of(shifted, count, seed)
    found = _against(proxy, after, proxy.metrics).set_index(["model", "metric"])
    for model in (name for name in after if drawn.get(name) and name in proxy.models):
        pair = shifted[shifted["model"].isin([model, after[model]])]
        found.loc[(model, "robustness"), [*COMPARED]] = _unseen(pair, model, after[model], drawn[model], count, seed)
    table = pd.DataFrame({"model": proxy.models, "after": [after.get(model, "") for model in proxy.models]})
    for metric in proxy.metrics:
        own = found.xs(metric, level="metric")
        for column in ("value", "difference", "low", "high", "p"):
            table["_".join([metric, *([column] if column != "value" else [])])] = table["model"].map(own[column])
    table["unseen_only"] = [", ".join(drawn.get(model, ())) for model in proxy.models]
    table["robustness_p_holm"] = comparisons.holm(table["robustness_p"])
    better = (table["robustness_difference"] > 0) & (table["robustness_p_holm"] < 0.05)
    return table.assign(kept=better & (table["validation_high"] >= 0))


def _unseen(pair: pd.DataFrame, model: str, after: str, drawn: Sequence[str], count: int, seed: int) -> list:
    """COMPARED of `model` and `after` on the images of SEVERAL that are under none of the shifts `drawn`."""
    several = pair["shift"].isin(SEVERAL)
    unseen = pair["shifts"].map(frozenset(drawn).isdisjoint)
    if not (several & unseen).any():
        return [np.nan] * 4 + [f"no image without {', '.join(drawn)}"]
    own = _against(proxy_of(pair[unseen | ~several], count, seed), {model: after}, ["robustness"]).set_index("model")
    return own.loc[model, [*COMPARED]].tolist()


def gains(tables: pd.DataFrame, after: Mapping[str, str], count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """split, metric, model, after, value, difference (to after[model]), low, high, p, p_holm, note: inside (test) and outside.

    tables: predictions of all candidates. p_holm: corrected over candidates and metrics of CLAIMED within the split.
    """
    parts = []
    for split in (name for name in ("test", "external") if (tables["split"] == name).any()):
        r = resampling.replicate(predictions.by_model(tables, split=split), count, seed)
        parts.append(_against(r, after, CLAIMED).assign(split=split, p_holm=lambda t: comparisons.holm(t["p"])))
    columns = ["split", "metric", "model", "after", "value", "difference", "low", "high", "p", "p_holm", "note"]
    return pd.concat(parts, ignore_index=True)[columns]


def over_seeds(decided: pd.DataFrame, gained: pd.DataFrame, same: Mapping[str, str]) -> pd.DataFrame:
    """What a change is worth over several trainings of it: model, where, metric, n, difference, low, high, least, most.

    decided, gained: as `decide` and `gains` give them. same: each candidate and, but for the seed, the one that it is
    (`learning.candidates.but_for_seed`), which the row names; a change that was trained once has none. difference: the mean of
    the n trainings' differences, each to what it was made on from the same seed; least, most: theirs. where: "shifts" (robustness,
    of the images under shifts that the training does not draw), "test" or "external". low, high: Student's 95 % interval, with the
    variance between seeds pooled over the changes, as in a one-way analysis of variance.
    """
    proxy = decided.assign(where="shifts", metric=SCORE, difference=decided["robustness_difference"])
    parts = [proxy, gained.assign(where=gained["split"])]
    table = pd.concat([part[["model", "where", "metric", "difference"]] for part in parts], ignore_index=True)
    table = table[table["model"].map(same) != "baseline"].assign(model=lambda t: t["model"].map(same))
    found = table.groupby(["model", "where", "metric"], sort=False)["difference"].agg(["count", "mean", "min", "max", "var"]).reset_index()
    found = found[found["count"] > 1]
    free = found["count"] - 1
    pooled = found.assign(squares=found["var"] * free, free=free).groupby(["where", "metric"])[["squares", "free"]].transform("sum")
    half = stats.t.ppf(0.975, pooled["free"]) * np.sqrt(pooled["squares"] / pooled["free"] / found["count"])
    found = found.assign(low=found["mean"] - half, high=found["mean"] + half)
    names = {"count": "n", "mean": "difference", "min": "least", "max": "most"}
    return found.rename(columns=names)[["model", "where", "metric", "n", "difference", "low", "high", "least", "most"]]


def foretold(decided: pd.DataFrame, gained: pd.DataFrame, metrics: Sequence[str] = CLAIMED) -> pd.DataFrame:
    """Does the proxy tell the order outside? metric, by (of PROXIES), among, correlation, p, n: Spearman over candidates.

    among: "all", and those that come after the same candidate, where they are five or more: these differ in one change each. The
    others share changes, and p, which takes them for independent, is too small. It is exact below eight candidates, and of 9,999
    random pairings for eight and nine.
    """
    outside = gained[gained["split"] == "external"]
    families = {"all": decided, **{f"after {name}": rows for name, rows in decided.groupby("after") if name and len(rows) >= 5}}
    rows = []
    for metric in metrics:
        truth = outside[outside["metric"] == metric].set_index("model")["value"]
        for by in (by for by in PROXIES if by in decided):
            for among, family in families.items():
                pair = family[by], truth.reindex(family["model"])
                rows.append({"metric": metric, "by": by, "among": among, **_spearman(*(one.to_numpy(float) for one in pair))})
    return pd.DataFrame(rows)


def _spearman(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    known = ~(np.isnan(a) | np.isnan(b))
    a, b, n = a[known], b[known], int(known.sum())
    if n < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return {"correlation": np.nan, "p": np.nan, "n": n}
    found = stats.spearmanr(a, b)
    if n < 10:
        exact = stats.permutation_test((a,), lambda x: stats.spearmanr(x, b).statistic, permutation_type="pairings",
                                       n_resamples=np.inf if n < 8 else 9999, rng=np.random.default_rng(0))  # fmt: skip
        return {"correlation": float(found.statistic), "p": float(exact.pvalue), "n": n}
    return {"correlation": float(found.statistic), "p": float(found.pvalue), "n": n}
