"""The validation images under shifts that set archives apart, as a trained backbone answers them."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from PIL import Image
from torch import nn

from lesionkit.data import constancy, decoding
from lesionkit.data.decoding import Input
from lesionkit.data.shifts import SEVERITIES, SHIFTS, several, shifted
from lesionkit.evidence.robustness import CLEAN, SEVERAL
from lesionkit.learning import extras, inference

LARGER = 2  # times the side that a backbone sees: shifts come before the image is made small


def under_shifts(
    model: nn.Module, config: dict[str, Any], rows: pd.DataFrame, files: Sequence[Path], seed: int = 0, views: int = 1
) -> pd.DataFrame:
    """The table of predictions of `rows` under no shift (CLEAN), each of SHIFTS, and SEVERAL at once; columns shift and severity (0 to 3).

    rows: image_id, lesion_id, group_id, dataset, dx, split; files: the image file of each. Of each shift every image has
    one severity, each severity a third of the images; it is 0 under none, and under several of any. What chance draws
    depends on the seed, the shift and the image, so that all models see the same. Raises UnreadableImage for a file that is none.
    """
    seen = Input.of(config["study"])

    def answers(name: str) -> pd.DataFrame:
        severity = np.array([SEVERITIES[crc32(f"{seed} {name} {i}".encode()) % 3] if name in SHIFTS else 0 for i in rows["image_id"]])
        parts = []
        for start in range(0, len(rows), inference.CHUNK):
            at = slice(start, start + inference.CHUNK)
            images = _seen(larger[at], seen, rows["image_id"].iloc[at], name, severity[at], seed, pool.map)
            parts.append(inference.predict_logits(model, config, images, views))
        logits = np.concatenate(parts, axis=1)
        return extras.as_table(rows, logits, config["backbone"]).assign(shift=name, severity=severity)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        larger = np.stack(list(pool.map(lambda file: decoding.decode(file, LARGER * seen.size, seen.fit), files)))
        return pd.concat([answers(name) for name in (CLEAN, *SHIFTS, *SEVERAL)], ignore_index=True)


def _seen(images: np.ndarray, seen: Input, image_ids: pd.Series, name: str, severity: np.ndarray, seed: int,
          over: Callable) -> np.ndarray:  # fmt: skip
    """Images (n, s, s, 3) shifted and brought to what the backbone sees."""

    def one(image: np.ndarray, image_id: str, level: int) -> np.ndarray:
        picture = Image.fromarray(image)
        rng = np.random.default_rng(crc32(f"{seed} {name} {image_id} drawn".encode()))
        if name in SHIFTS:
            picture = shifted(picture, name, int(level), rng)
        elif name in SEVERAL:
            picture = several(picture, rng)
        picture = decoding.inside(picture) if seen.frame == "crop" else picture
        square = decoding.to_square(picture, seen.size, "squash")
        return constancy.shades_of_grey(square) if seen.colours == "shades_of_grey" else square

    return np.stack(list(over(one, images, image_ids, severity)))
