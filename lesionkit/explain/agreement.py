"""Do the members of an ensemble look at the same places, and does it tell when the ensemble is right?

Maps are (n, h, w) in [0, 1], of the same images and the same classes for every model. Agreement is the rank correlation
of two models' maps of an image (`similarity.rank_correlation`): −1 where they are opposed, 0 where unrelated, 1 where
they order the pixels alike.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from lesionkit.evidence import resampling
from lesionkit.explain.members import ENSEMBLE
from lesionkit.explain.similarity import correlation, correlation_with_others, ranks

COLUMNS = ["model_a", "model_b", "image", "rank_correlation", "other_rank_correlation"]


def pairwise(maps: Mapping[str, np.ndarray], clusters: Sequence | None = None) -> pd.DataFrame:
    """Each two models and each image: model_a, model_b, image (0 to n − 1), rank_correlation, other_rank_correlation.

    maps: a model each, (n, h, w), all of one shape. clusters: (n,) the lesion of each image; None: each image is a
    lesion. other_rank_correlation: a model's map of this image and the other's of images of other lesions, on average
    both ways: what models agree on because most lesions lie in the middle. It is NaN where there is no other lesion.
    A constant map agrees with none: 0. One model alone has no pair, and no row. Raises ValueError for maps of several
    shapes or that are not finite.
    """
    maps = {name: np.asarray(of) for name, of in maps.items()}
    shapes = {of.shape for of in maps.values()}
    if len(shapes) > 1 or any(len(shape) != 3 for shape in shapes):
        raise ValueError(f"maps are {sorted(shapes)}: give each model's as (n, h, w) of one shape (`members.resized`)")
    if unfit := [name for name, of in maps.items() if not np.isfinite(of).all()]:
        raise ValueError(f"maps of {', '.join(unfit)} hold values that are not finite")
    ranked = {name: ranks(of) for name, of in maps.items()}
    parts = [_pair(a, b, ranked[a], ranked[b], clusters) for a, b in combinations(ranked, 2)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _pair(a: str, b: str, ranks_a: np.ndarray, ranks_b: np.ndarray, clusters: Sequence | None) -> pd.DataFrame:
    images = np.arange(len(ranks_a))
    lesions = images if clusters is None else clusters
    both = [correlation_with_others(*pair, lesions)[0] for pair in ((ranks_a, ranks_b), (ranks_b, ranks_a))]
    found = correlation(ranks_a, ranks_b), np.mean(both, axis=0)
    return pd.DataFrame(dict(zip(COLUMNS, (a, b, images, *found))))


def matrix(pairs: pd.DataFrame, column: str = "rank_correlation") -> pd.DataFrame:
    """The mean of a column of `pairwise` over images for each two models: a square table, models in their order.

    Its diagonal is 1 for rank_correlation, and NaN for other_rank_correlation, which says nothing of one model.
    """
    names = list(dict.fromkeys([*pairs["model_a"], *pairs["model_b"]]))
    square = np.full((len(names), len(names)), np.nan)
    for (a, b), mean in pairs.groupby(["model_a", "model_b"])[column].mean().items():
        i, j = names.index(a), names.index(b)
        square[i, j] = square[j, i] = mean
    if column == "rank_correlation":
        square[np.diag_indices(len(names))] = 1
    return pd.DataFrame(square, names, names)


def per_image(pairs: pd.DataFrame) -> np.ndarray:
    """(n,) how far the members agree on each image: the mean over their pairs, in [−1, 1].

    pairs: of `pairwise`. The ensemble, whose map is made of theirs, is left out. ValueError where no pair remains.
    """
    members = pairs[(pairs["model_a"] != ENSEMBLE) & (pairs["model_b"] != ENSEMBLE)]
    if members.empty:
        raise ValueError("no pair of members: agreement needs the maps of two")
    return members.groupby("image")["rank_correlation"].mean().to_numpy()


def predicts_correctness(agreement: Sequence[float], confidence: Sequence[float], correct: Sequence[bool],
                         clusters: Sequence, count: int = 2000, seed: int = 0) -> pd.DataFrame:  # fmt: skip
    """Whether images on which the members agree are those that the ensemble calls rightly, beside its own confidence.

    Each is (n,), an image each: agreement of `per_image`, the ensemble's probability of its call, whether the call is
    right, and the lesion. Columns: score, n, right (images called rightly), value, low, high, note. The value is an
    AUC: how often an image called rightly has the higher score than one called wrongly, a tie counting half; chance
    is 0.5. Scores: agreement; confidence; both (the mean of their ranks, which fits nothing); then paired
    differences: "agreement - confidence", and "both - confidence", what agreement adds. Intervals are by lesion
    (`resampling`). Where all calls are right, or all wrong, there is no value, and the note says so.
    """
    scores = {"agreement": np.asarray(agreement, float), "confidence": np.asarray(confidence, float)}
    right, clusters = np.asarray(correct, bool), np.asarray(clusters)
    _check(scores, right, clusters)
    scores["both"] = sum(rankdata(score) for score in scores.values())
    wins = {name: _wins(score, right) for name, score in scores.items()}

    def aucs(w: np.ndarray) -> dict[str, np.ndarray]:
        found = {name: _auc(won, w[right], w[~right]) for name, won in wins.items()}
        versus = {f"{name} - confidence": found[name] - found["confidence"] for name in ("agreement", "both")}
        return found | versus

    table = resampling.summarise(aucs, resampling.draws(clusters, count, seed)).rename(columns={"metric": "score"})
    if right.all() or not right.any():
        table["note"] = f"every call is {'right' if right.all() else 'wrong'}: there is nothing to tell apart"
    table.insert(1, "n", len(right))
    table.insert(2, "right", int(right.sum()))
    return table


def _wins(score: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(rights, wrongs): 1 where the right one scores higher, 0.5 where they tie, else 0."""
    return np.sign(score[right][:, None] - score[~right]) / 2 + 0.5


def _auc(wins: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(r,) the share of pairs won in each resample; right, wrong (·, r): how often each image stands in it."""
    pairs = right.sum(axis=0) * wrong.sum(axis=0)
    won = np.einsum("ir,ir->r", right, wins @ wrong)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _check(scores: Mapping[str, np.ndarray], right: np.ndarray, clusters: np.ndarray) -> None:
    shapes = {name: array.shape for name, array in (scores | {"correct": right, "clusters": clusters}).items()}
    if right.ndim != 1 or len(set(shapes.values())) > 1 or not len(right):
        raise ValueError(f"shapes are {shapes}: give (n,) each, n at least 1")
    if unfit := [name for name, score in scores.items() if not np.isfinite(score).all()]:
        raise ValueError(f"{', '.join(unfit)} hold values that are not finite: give each image a number")
