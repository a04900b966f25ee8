"""The members' maps of the same images as one: their mean, and where they disagree."""

from collections.abc import Sequence

import numpy as np

from lesionkit.explain.cams import stretched


def ensemble_map(maps: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    """The members' maps (m, n, H, W) averaged by `weights` (m,), each image's stretched to [0, 1] again: (n, H, W).

    None weighs all the same, as the mean ensemble does. Raises ValueError for weights that are not m numbers of at
    least 0, not all 0.
    """
    return stretched(np.tensordot(_shares(maps, weights), maps, 1)).astype(np.float32)


def disagreement(maps: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    """Where the members' maps (m, n, H, W), in [0, 1], differ: twice their weighted standard deviation, (n, H, W).

    1: half of the weight says 1, the other half 0. 0: all say the same. Weights, and errors, as in `ensemble_map`.
    """
    shares = _shares(maps, weights)
    apart = maps - np.tensordot(shares, maps, 1)
    return np.clip(2 * np.sqrt(np.tensordot(shares, apart**2, 1)), 0, 1).astype(np.float32)


def _shares(maps: np.ndarray, weights: Sequence[float] | None) -> np.ndarray:
    """The members' weights (m,), float64, as shares of 1."""
    shares = np.ones(len(maps)) if weights is None else np.asarray(weights, float)
    if maps.ndim != 4 or shares.shape != maps.shape[:1] or not (shares >= 0).all() or not shares.any():
        raise ValueError(
            f"maps {maps.shape} with weights {weights}: give maps (members, images, H, W) and a weight of 0 or more to "
            "each member, one of them above 0"
        )
    return shares / shares.sum()
