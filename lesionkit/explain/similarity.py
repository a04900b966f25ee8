"""How alike two maps of one image are: in the order of their pixels, and in their structure.

Maps are (n, h, w) in [0, 1]; the i-th of one stack is compared with the i-th of the other. The order (rank correlation)
is free of the maps' scale and is what verdicts and agreement rest on. Structural similarity counts what is empty in
both as alike, so that maps with little in them score high whatever they show: it is given beside it, as is customary.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

SIGMA, RADIUS = 1.5, 5  # of the window, in px: 11 x 11
SIDE = 2 * RADIUS + 1
MOST_STEPS = 12
CHUNK = 1024  # images that are compared with all others at a time
C1, C2 = 0.01**2, 0.03**2  # for values in [0, 1]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) Spearman's rank correlation over the pixels, in [−1, 1]; ties get the mean of their ranks.

    A constant map prefers no pixel, and nothing can be in its order: the correlation with it is 0, that of two constant
    maps too. Raises ValueError for arrays that are not two stacks of one shape, or hold what is not finite.
    """
    a, b = _checked(a, b)
    return correlation(ranks(a), ranks(b))


def ranks(maps: np.ndarray) -> np.ndarray:
    """(n, h w) float32: the ranks of each map's pixels, less their mean, scaled to length 1; of a constant map 0."""
    flat = rankdata(maps.reshape(len(maps), -1), axis=1) if len(maps) else np.zeros((0, 1))
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0).astype(np.float32)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) the rank correlations of two stacks of `ranks`, for which they are found once and compared often."""
    return np.clip(np.einsum("np,np->n", a, b, dtype=np.float64), -1, 1)


def correlation_with_others(a: np.ndarray, b: np.ndarray, clusters: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """(n,) twice: the mean rank correlation of each of a's `ranks` with those of b of the images of other lesions, and
    the mean of its absolute value.

    clusters: (n,) the lesion of each image. NaN where there is no other.
    """
    _, lesion, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    counts, sums = len(a) - sizes[lesion], np.zeros((2, len(a)))
    for at in (slice(i, i + CHUNK) for i in range(0, len(a), CHUNK)):
        found = np.where(lesion[at, None] != lesion, a[at] @ b.T, 0)
        sums[:, at] = found.sum(axis=1), np.abs(found).sum(axis=1)
    return tuple(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) the mean structural similarity, in [−1, 1]; 1 for equal maps.

    Wang, Bovik, Sheikh and Simoncelli, IEEE Trans Image Process 13:600, 2004, doi:10.1109/TIP.2003.819861: Gaussian
    windows of 11 x 11 px (σ 1.5), their weighted moments, K1 = 0.01, K2 = 0.03 and a range of 1, averaged over all
    windows that lie within the map. Of two constant maps it is (2ab + C1) / (a² + b² + C1). Raises ValueError as
    `rank_correlation`, and for maps smaller than a window.
    """
    a, b = _checked(a, b)
    if min(a.shape[1:]) < SIDE:
        raise ValueError(f"maps are {a.shape[1:]}: structural similarity needs {SIDE} x {SIDE} px, give them larger")
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = _windowed(a), _windowed(b)
    squares = _windowed(a * a + b * b)  # the variances are needed as a sum alone
    both, means = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = _windowed(a * b) - both
    alike = (2 * both + C1) * (2 * covariance + C2) / ((means + C1) * (squares - means + C2))
    return alike.mean(axis=(1, 2))


def ssim_with_others(maps: np.ndarray, clusters: Sequence) -> np.ndarray:
    """(n,) the mean structural similarity of each map to maps of images of other lesions.

    clusters: (n,) the lesion of each image. Each map is compared with those 1, 2, … places on and back in the stack;
    where these are more than 2 MOST_STEPS, with as many that lie evenly spread over it. NaN where there is no other.
    """
    n, most, lesions = len(maps), len(maps) // 2, np.asarray(clusters)
    sums, counts = np.zeros(n), np.zeros(n)
    for step in np.unique(np.linspace(1, most, min(most, MOST_STEPS)).astype(int)):
        partner = (np.arange(n) + step) % n
        counted = lesions != lesions[partner]
        found = np.where(counted, ssim(maps, maps[partner]), 0)
        for place in (np.arange(n), partner)[: 1 + (2 * step < n)]:  # for both, unless it comes again as the other
            sums[place] += found
            counts[place] += counted
    return np.divide(sums, counts, out=np.full(n, np.nan), where=counts > 0)


def _windowed(x: np.ndarray) -> np.ndarray:
    """The weighted mean of each window within the maps (n, h, w): (n, h − 10, w − 10)."""
    return _bands(x.shape[1]) @ x @ _bands(x.shape[2]).T


def _bands(side: int) -> np.ndarray:
    """(side − 10, side): each row the weights of a window along one side."""
    at = np.arange(side) - np.arange(RADIUS, side - RADIUS)[:, None]
    weights = np.where(abs(at) <= RADIUS, np.exp(-(at**2) / (2 * SIGMA**2)), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 3 or a.shape != b.shape:
        raise ValueError(f"maps are {a.shape} and {b.shape}: give two stacks (n, h, w) of one shape")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("maps hold values that are not finite: a map without contrast is 0 all over")
    return a, b
