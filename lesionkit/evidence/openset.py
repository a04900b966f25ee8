"""Does a model notice what it was never taught? Detection of unknown images by their scores.

Positives are the unknown images; a higher score means "more likely unknown". AUROC is the share of pairs in which
the unknown image scores above the known one, a tie being half a pair. FPR@95 is the share of known images that
are flagged (score ≥ t) at the largest t that flags at least 95 % of the unknown; all images of equal score are
flagged together. (Much of the literature has it the other way round: known images as positives, and the share of
the unknown that pass.) Chance gives 0.5 and 0.95. The threshold of a resample is its own, so that the interval
holds its luck. Nothing is fitted.

Scores: maximum softmax, 1 − max p (Hendrycks & Gimpel, ICLR 2017); energy, − log-sum-exp of the logits (Liu et
al., NeurIPS 2020), where a table has the column `energy`; disagreement, the mutual information H(mean p) − mean
H(p) between the members of an ensemble in nats, which is their Jensen–Shannon divergence (Houlsby et al. 2011).

Caveat: SCC is a near-known class. HAM10000's own akiec holds images that ISIC 2019 files as SCC (197 of 327), so
models have seen it under that name, and a low AUROC here is no failure on unknown diseases in general.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import entr

from lesionkit.evidence import predictions as table_of
from lesionkit.evidence import resampling
from lesionkit.evidence.predictions import PredictionError

METRICS = ("auroc", "fpr_at_95")
FOUND = 0.95
ALONE = "one member alone has none to disagree with"
COLUMNS = ("score", "model", "n_unknown", "n_known", "metric", "value", "low", "high", "note")


def detection(unknown: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """AUROC and FPR@95 in [0, 1] of (n,) scores against (n,) booleans; NaN where there is no unknown or no known."""
    return {name: float(value[0]) for name, value in scorer(unknown, score)(np.ones((len(score), 1))).items()}


def scorer(unknown: np.ndarray, score: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """`detection` as a function of w (n, r), how often each image stands in each of r resamples; (r,) each."""
    unknown, score = np.asarray(unknown, bool), np.asarray(score, np.float64)
    if unknown.shape != score.shape or not np.isfinite(score).all():
        raise ValueError(
            f"{unknown.shape} flags and {score.shape} scores, {int((~np.isfinite(score)).sum())} of them not finite: "
            "one of each an image"
        )
    cuts, at = np.unique(-score[unknown], return_inverse=True)  # highest first; FPR changes nowhere else
    group = np.searchsorted(cuts, -score[~unknown])  # flagged at this cut and all later ones
    tied = np.flatnonzero(np.isin(-score[~unknown], cuts))

    def of(w: np.ndarray) -> dict[str, np.ndarray]:
        if len(cuts) == 0 or unknown.all():
            return dict.fromkeys(METRICS, np.full(w.shape[1], np.nan))
        hits = _sums(w[unknown], at, len(cuts))  # (cuts, r)
        known = w[~unknown]
        flagged = _sums(known, group, len(cuts) + 1)[:-1].cumsum(axis=0)
        ties = _sums(known[tied], group[tied], len(cuts))
        found, total = hits.cumsum(axis=0), known.sum(axis=0)
        reached = (found >= FOUND * found[-1] - 1e-9).argmax(axis=0)
        with np.errstate(invalid="ignore"):  # 0/0 where a resample has no unknown image, or no known one
            auroc = 1 - (hits * (flagged - ties / 2)).sum(axis=0) / (found[-1] * total)
            fpr = np.where(found[-1] > 0, flagged[reached, np.arange(w.shape[1])] / total, np.nan)
        return dict(zip(METRICS, (auroc, fpr), strict=True))

    return of


def disagreement(members: np.ndarray) -> np.ndarray:
    """(n,) mutual information in nats, 0..log(min(m, 7)), of (m, n, 7) probabilities of m members."""
    p = np.asarray(members, np.float64)
    information = entr(p.mean(axis=0)).sum(axis=-1) - entr(p).sum(axis=-1).mean(axis=0)
    return np.maximum(information.round(12), 0)  # members that agree give 0, not the noise of rounding


def summary(
    members: pd.DataFrame,
    ensemble: pd.DataFrame,
    unknown: Mapping[str, bool],
    split: str = "external",
    count: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """AUROC and FPR@95 of every score: maximum softmax and energy of each model, disagreement of the ensemble.

    members: the backbones; ensemble: the table of their ensemble; unknown: image_id -> is it of no known class?
    Columns: score ("maximum_softmax", "energy", "disagreement"), model, n_unknown, n_known, metric, value, low,
    high, note. Energy is left out where a table has none. Raises PredictionError for an image without a flag, or an
    ensemble that is several models or a member.
    """
    tables = table_of.by_model(members, split=split)
    mixed = table_of.by_model(ensemble, split=split)
    if len(mixed) != 1 or set(mixed) & set(tables):
        raise PredictionError(
            f"the ensemble's table holds {', '.join(mixed)}: give one ensemble that is no member itself"
        )
    whole = table_of.aligned(tables | mixed)
    first = next(iter(whole.values()))
    flags = _flags(first["image_id"], unknown)
    w = resampling.draws(table_of.clusters(first), count, seed)
    scores = [
        *(("maximum_softmax", name, 1 - table_of.probabilities(rows).max(axis=1)) for name, rows in whole.items()),
        *(
            ("energy", name, -rows["energy"].to_numpy())
            for name, rows in whole.items()
            if "energy" in rows and rows["energy"].notna().all()
        ),
        ("disagreement", next(iter(mixed)), disagreement([table_of.probabilities(whole[name]) for name in tables])),
    ]
    n = {"n_unknown": int(flags.sum()), "n_known": int((~flags).sum())}
    parts = [resampling.summarise(scorer(flags, s), w, score=kind, model=name, **n) for kind, name, s in scores]
    result = pd.concat(parts, ignore_index=True)[list(COLUMNS)]
    if not all(n.values()):
        result["note"] = "no unknown image" if not n["n_unknown"] else "no known image"
    if len(tables) == 1:
        at = result["score"] == "disagreement"
        result.loc[at, ["value", "low", "high", "note"]] = np.nan, np.nan, np.nan, ALONE
    return result


def _flags(images: pd.Series, unknown: Mapping[str, bool]) -> np.ndarray:
    flags = images.map(dict(unknown))
    if flags.isna().any():
        raise PredictionError(
            f"{int(flags.isna().sum())} images have no flag in `unknown`, first {images[flags.isna()].iloc[0]}; "
            "give True or False for every image"
        )
    return flags.to_numpy(bool)


def _sums(w: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """(groups, r) the weights of each group's images."""
    n = len(group)
    return sparse.csr_array((np.ones(n), (group, np.arange(n))), shape=(groups, n)) @ w
