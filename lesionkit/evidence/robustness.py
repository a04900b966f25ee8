"""Which changes of a training hold on archives that nobody has looked at: chosen by a proxy, then held against the truth.

The proxy is validation under shifts (`lesionkit.data.shifts`): a model's robustness is its macro AUC on validation images
that are shifted in several ways at once, as archives differ, averaged over three draws of these ways. A change is kept where
its robustness is above the baseline's and validation as it is does not fall; test and external images have no say. Intervals
resample lesions, and all candidates share the resamples.
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
SEVERAL = ("several 1", "several 2", "several 3")  # draws of several shifts at once


def shifted_replicates(shifted: pd.DataFrame, count: int = 2000, seed: int = 0) -> dict[str, Replicates]:
    """Of each shift, CLEAN first, the metrics of all candidates on the same resamples of lesions.

    shifted: the predictions of validation, a row an image, candidate (model) and shift, as `learning.shifted` makes them.
    """
    return {
        shift: resampling.replicate(predictions.by_model(rows, split="val"), count, seed)
        for shift, rows in shifted.groupby("shift", sort=False)
    }


def by_shift(replicates: Mapping[str, Replicates], baseline: str) -> pd.DataFrame:
    """shift, model, value, difference (to the baseline), low, high: SCORE of each candidate under each shift."""
    parts = []
    for shift, r in replicates.items():
        others = [model for model in r.models if model != baseline]
        found = comparisons.differences(r, [(model, baseline) for model in others], [SCORE])
        value = {model: r.of(model, SCORE)[0] for model in r.models}
        own = pd.DataFrame([{"a": baseline, "difference": 0.0}])
        parts.append(pd.concat([own, found]).assign(shift=shift, value=lambda t: t["a"].map(value)))
    table = pd.concat(parts, ignore_index=True).rename(columns={"a": "model"})
    return table.reindex(columns=["shift", "model", "value", "difference", "low", "high", "note"])


def proxy_of(replicates: Mapping[str, Replicates]) -> Replicates:
    """The candidates' SCORE averaged over SEVERAL, as one metric, `robustness`, beside that of CLEAN, `validation`."""
    clean, shifts = replicates[CLEAN], [replicates[name] for name in SEVERAL]
    at = clean.metrics.index(SCORE)
    point = np.stack([np.mean([r.point[:, at] for r in shifts], axis=0), clean.point[:, at]], 1)
    values = np.stack([np.mean([r.values[:, :, at] for r in shifts], axis=0), clean.values[:, :, at]], 2)
    reasons = np.array([["", reason] for reason in clean.reasons[:, at]], dtype=object)
    return Replicates(clean.models, ("robustness", "validation"), point, values, reasons, clean.alone)


def decide(proxy: Replicates, baseline: str) -> pd.DataFrame:
    """A row a candidate: robustness and validation, each with its difference to the baseline, interval and p, and `kept`.

    kept: the robustness is above the baseline's at 5 %, corrected over the candidates (Holm), and validation is not below it,
    its interval reaching zero or lying above. proxy: of `proxy_of`.
    """
    others = [model for model in proxy.models if model != baseline]
    found = comparisons.differences(proxy, [(model, baseline) for model in others], proxy.metrics)
    table = pd.DataFrame({"model": proxy.models})
    for metric in proxy.metrics:
        own = found[found["metric"] == metric].set_index("a")
        table[metric] = [proxy.of(model, metric)[0] for model in proxy.models]
        for column in ("difference", "low", "high", "p"):
            table[f"{metric}_{column}"] = table["model"].map(own[column])
    table["robustness_p_holm"] = comparisons.holm(table["robustness_p"])
    better = (table["robustness_difference"] > 0) & (table["robustness_p_holm"] < 0.05)
    return table.assign(kept=better & (table["validation_high"] >= 0))


def gains(tables: pd.DataFrame, baseline: str, count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """split, metric, model, value, difference (to the baseline), low, high, p, p_holm, note: inside (test) and outside.

    tables: predictions of all candidates. p_holm: corrected over candidates and metrics of CLAIMED within the split.
    """
    parts = []
    for split in ("test", "external"):
        r = resampling.replicate(predictions.by_model(tables, split=split), count, seed)
        others = [model for model in r.models if model != baseline]
        found = comparisons.differences(r, [(model, baseline) for model in others], CLAIMED)
        found["p_holm"] = comparisons.holm(found["p"])
        own = pd.DataFrame([{"a": baseline, "metric": metric, "difference": 0.0, "note": ""} for metric in CLAIMED])
        found = pd.concat([own, found], ignore_index=True).rename(columns={"a": "model"}).assign(split=split)
        found["value"] = [r.of(model, metric)[0] for model, metric in zip(found["model"], found["metric"])]
        parts.append(found)
    columns = ["split", "metric", "model", "value", "difference", "low", "high", "p", "p_holm", "note"]
    return pd.concat(parts, ignore_index=True)[columns]


def foretold(decided: pd.DataFrame, gained: pd.DataFrame, metrics: Sequence[str] = CLAIMED) -> pd.DataFrame:
    """Does the proxy tell the order outside? metric, by (robustness or validation), correlation, p, n: Spearman over candidates.

    Exact permutation p below ten candidates; few candidates can show only a strong relation.
    """
    outside = gained[gained["split"] == "external"]
    rows = []
    for metric in metrics:
        truth = outside[outside["metric"] == metric].set_index("model")["value"]
        for by in ("robustness", "validation"):
            pair = decided.set_index("model")[by], truth.reindex(decided["model"])
            rows.append({"metric": metric, "by": by, **_spearman(*(one.to_numpy(float) for one in pair))})
    return pd.DataFrame(rows)


def _spearman(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    n = len(a)
    if n < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return {"correlation": np.nan, "p": np.nan, "n": n}
    found = stats.spearmanr(a, b)
    if n < 10:
        exact = stats.permutation_test((a,), lambda x: stats.spearmanr(x, b).statistic, permutation_type="pairings",
                                       n_resamples=np.inf if n < 8 else 9999, rng=np.random.default_rng(0))  # fmt: skip
        return {"correlation": float(found.statistic), "p": float(exact.pvalue), "n": n}
    return {"correlation": float(found.statistic), "p": float(found.pvalue), "n": n}
