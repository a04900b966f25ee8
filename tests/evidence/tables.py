"""Prediction tables for tests of the evidence, drawn from a seed."""

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions


def rows(n: int, seed: int = 0, split: str = "test", prefix: str = "ISIC_") -> pd.DataFrame:
    """n images, two a lesion, every class among any seven neighbours; image ids start with `prefix`."""
    order = np.random.default_rng(seed).permutation(n)
    return pd.DataFrame(
        {
            "image_id": [f"{prefix}{i:07d}" for i in range(n)],
            "lesion_id": [f"HAM_{i // 2:07d}" for i in range(n)],
            "dataset": "ham10000",
            "split": split,
            "y_true": [CLASSES[i % len(CLASSES)] for i in order],
        }
    )


def table(model: str, described: pd.DataFrame, seed: int = 0, strength: float = 2.0) -> pd.DataFrame:
    """Softmax of noise, raised by `strength` at the true class."""
    y = predictions.targets(described)
    logits = np.random.default_rng(seed).normal(size=(len(y), len(CLASSES)))
    logits[np.arange(len(y)), y] += strength
    p = np.exp(logits)
    return predictions.build(described, p / p.sum(axis=1, keepdims=True), model)
