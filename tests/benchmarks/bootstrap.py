"""The bootstrap of `lesionkit.evidence.resampling` against the plain scikit-learn loop, in one run.

    python tests/benchmarks/bootstrap.py --images 15000 --models 9 --resamples 2000

Ours runs whole: the draws, every metric of every model in every resample. The loop runs on as many of the same
resamples as about `--seconds` allow, for all models, and its time for all of them follows from that. Printed: seconds
of each (elapsed and of the processor), their ratio, the largest difference on what both computed, and peak memory.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions, resampling
from lesionkit.evidence.metrics import MELANOMA
from lesionkit.evidence.predictions import PROBABILITIES
from lesionkit.evidence.weighted import OVERALL

SHARES = (0.033, 0.051, 0.110, 0.011, 0.111, 0.670, 0.014)  # of the classes in HAM10000
IMAGES_A_LESION = 1.34


def tables(images: int, models: int, seed: int) -> dict[str, pd.DataFrame]:
    """Lesion-like predictions: mostly nevi, several images of a lesion, models of unlike strength and shared errors."""
    draw = np.random.default_rng(seed)
    lesions = max(round(images / IMAGES_A_LESION), 1)
    lesion = np.concatenate([np.arange(lesions), draw.integers(lesions, size=images - lesions)])
    y = draw.choice(len(CLASSES), size=lesions, p=SHARES)[lesion]
    shared = draw.normal(size=(images, len(CLASSES)))
    rows = pd.DataFrame({"image_id": np.arange(images), "lesion_id": lesion, "y_true": np.array(CLASSES)[y]})
    result = {}
    for model in range(models):
        logits = shared + draw.normal(size=shared.shape) + (1 + 2 * model / models) * np.eye(len(CLASSES))[y]
        p = np.exp(logits)
        scores = pd.DataFrame(p / p.sum(axis=1, keepdims=True), columns=list(PROBABILITIES))
        result[f"model_{model}"] = pd.concat([rows, scores], axis=1)
    return result


def plain(y: np.ndarray, p: np.ndarray) -> list[float]:
    """The twelve metrics in the order of OVERALL, each a call of scikit-learn."""
    calls, melanoma = p.argmax(axis=1), y == MELANOMA
    return [
        sk.accuracy_score(y, calls),
        sk.balanced_accuracy_score(y, calls),
        sk.f1_score(y, calls, average="macro"),
        sk.f1_score(y, calls, average="weighted"),
        sk.roc_auc_score(y, p, multi_class="ovr"),
        sk.roc_auc_score(np.eye(len(CLASSES))[y], p, average="micro"),
        sk.roc_auc_score(melanoma, p[:, MELANOMA]),
        sk.recall_score(melanoma, calls == MELANOMA),
        sk.recall_score(~melanoma, calls != MELANOMA),
        sk.average_precision_score(melanoma, p[:, MELANOMA]),
        float(((p - np.eye(len(CLASSES))[y]) ** 2).sum(axis=1).mean()),
        sk.log_loss(y, p),
    ]


def loop(scored: dict[str, pd.DataFrame], w: np.ndarray, seconds: float) -> np.ndarray:
    """(r, models, 12) of the first r resamples, as many as `seconds` allow and at least one."""
    arrays = [(predictions.targets(table), predictions.probabilities(table)) for table in scored.values()]
    values, start = [], time.perf_counter()
    while len(values) < w.shape[1] and (not values or time.perf_counter() - start < seconds):
        drawn = np.repeat(np.arange(len(w)), w[:, len(values)])
        values.append([plain(y[drawn], p[drawn]) for y, p in arrays])
    return np.array(values)


def timed(function: Callable) -> tuple:
    """What `function` gives, its elapsed seconds and those of the processor."""
    start, busy = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - start, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"images": 15000, "models": 9, "resamples": 2000, "seed": 0, "seconds": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    scored = tables(asked.images, asked.models, asked.seed)
    ours, elapsed, busy = timed(lambda: resampling.replicate(scored, asked.resamples, asked.seed))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # Linux counts in kB
    w = resampling.draws(predictions.clusters(scored["model_0"]), asked.resamples, asked.seed)
    values, loop_elapsed, loop_busy = timed(lambda: loop(scored, w, asked.seconds))
    times = asked.resamples / len(values)
    apart = np.abs(ours.values[: len(values), :, : len(OVERALL)] - values).max()
    print(f"{asked.resamples:,} resamples × {asked.models} models × {len(OVERALL)} metrics, {asked.images:,} images")
    print(f"lesionkit: {elapsed:.1f} s ({busy:.1f} s of processor), peak memory {peak:.2f} GB")
    print(f"scikit-learn loop: {loop_elapsed:.1f} s ({loop_busy:.1f}) for {len(values)} resamples,")
    print(f"  {times * loop_elapsed:,.0f} s ({times * loop_busy:,.0f}) for all {asked.resamples:,}")
    print(f"ratio: {times * loop_elapsed / elapsed:.0f} (processor {times * loop_busy / busy:.0f})")
    print(f"largest difference: {apart:.1e}")


if __name__ == "__main__":
    main()
