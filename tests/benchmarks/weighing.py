"""Ways to weigh the members of an ensemble, compared where no external image is looked at: on validation under shifts.

    python tests/benchmarks/weighing.py outputs/robust84 --pools 100

A pool is three to six of the run's candidates. Weights are fitted on one half of the validation lesions, as their images are, and
scored on the other half under several shifts at once; then the halves change places. Printed, a row a way: the mean over pools and
halves of macro AUC, macro F1 and melanoma AUC, how far each lies above the pool's best member in it, and the share that is
above the best in all three.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from lesionkit.evidence import metrics, predictions, scaling, stacking
from lesionkit.evidence.robustness import CLAIMED, SEVERAL

Weigh = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # y, p of the fit and p (M, n, 7) to mix -> (n, 7)


def scaled_first(y: np.ndarray, p: np.ndarray, to_mix: np.ndarray) -> np.ndarray:
    t, weights = stacking.scaled_weights(y, p)
    return np.tensordot(weights, [scaling.scaled(one, of) for one, of in zip(to_mix, t, strict=True)], 1)


WAYS: dict[str, Weigh] = {
    "plain mean": lambda y, p, to_mix: to_mix.mean(axis=0),
    "geometric mean": lambda y, p, to_mix: stacking.geometric(to_mix),
    "greedy": lambda y, p, to_mix: np.tensordot(stacking.greedy_weights(y, p), to_mix, 1),
    "weighted as they are": lambda y, p, to_mix: np.tensordot(stacking.convex_weights(y, p), to_mix, 1),
    "scaled, then weighted": scaled_first,
}


def answers(run: Path, kind: str) -> dict[str, pd.DataFrame]:
    """Of each candidate its rows of validation: as the images are, or under several shifts at once; all in the same order."""
    found = {}
    for file in sorted((run / "predictions" / kind).glob("*.parquet")):
        rows = pd.read_parquet(file).query("split == 'val'")
        rows = rows[rows["shift"].isin(SEVERAL)].sort_values(["shift", "image_id"]) if kind == "shifted" else rows.sort_values("image_id")
        found[file.stem] = rows
    return found


def score(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    found = metrics.overall(y, p)
    return np.array([found[name] for name in CLAIMED])


def compared(run: Path, pools: int, seed: int = 0) -> pd.DataFrame:
    """A row a pool, half and way: CLAIMED of the ensemble, its excess over the best member, and whether all are above."""
    plain, shifted = answers(run, "candidates"), answers(run, "shifted")
    rng, names, rows = np.random.default_rng(seed), [*plain], []
    one, other = plain[names[0]], shifted[names[0]]
    y, lesions = predictions.targets(one), predictions.clusters(one)
    for number in range(pools):
        pool = rng.choice(names, rng.integers(3, 7), replace=False)
        halves = StratifiedGroupKFold(2, shuffle=True, random_state=number).split(y, y, lesions)
        p, q = (np.stack([predictions.probabilities(of[name]) for name in pool]).astype(float) for of in (plain, shifted))
        for fit, held in halves:
            seen = np.isin(predictions.clusters(other), lesions[held])
            truth, to_mix = predictions.targets(other)[seen], q[:, seen]
            best = np.max([score(truth, member) for member in to_mix], axis=0)
            for way, weigh in WAYS.items():
                found = score(truth, weigh(y[fit], p[:, fit], to_mix))
                rows.append([way, *found, *(found - best), (found > best).all()])
    return pd.DataFrame(rows, columns=["way", *CLAIMED, *(f"{name}_above" for name in CLAIMED), "all_above"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pools", type=int, default=100)
    given = parser.parse_args()
    print(compared(given.run, given.pools).groupby("way", sort=False).mean().round(4).to_string())
