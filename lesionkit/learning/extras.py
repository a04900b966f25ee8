"""What one trained backbone answers, computed once: its predictions, the single views of the test images, and the
images with a black frame once more without it."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from lesionkit.data.decoding import Input, decode
from lesionkit.data.pixels import Pixels
from lesionkit.evidence import predictions
from lesionkit.learning import inference

VIEWS = 8  # the dihedral ones
DESCRIBED = ["image_id", "lesion_id", "group_id", "split", "y_true"]  # of an image, in the table of views


def scored(
    model: nn.Module, config: dict[str, Any], pixels: Pixels, rows: pd.DataFrame, views: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of predictions of `rows`, with energy; and the eight views of those in test, one row a view.

    model, config: as of `inference.load`. rows: image_id, lesion_id, group_id, dataset, dx, split. views: 1, 8 or 16, what
    the predictions are averaged over. The second table: DESCRIBED, version ("view0" to "view7"; "view0" is the image
    as it is), p_akiec … p_vasc. No view of an image is computed twice.
    """
    test = (rows["split"] == "test").to_numpy()
    logits = [
        inference.logits_of_rows(model, config, pixels, rows.loc[part, "image_id"], count)
        for part, count in ((test, max(VIEWS, views)), (~test, views))
    ]
    place = np.argsort(np.concatenate([np.flatnonzero(test), np.flatnonzero(~test)]))  # back into the order of rows
    whole = np.concatenate([one[:views] for one in logits], axis=1)[:, place]  # (views, n, 7)
    table = as_table(rows, whole, config["backbone"])
    return table, _by_view(table[test], logits[0][:VIEWS])


def unframed(
    model: nn.Module, config: dict[str, Any], rows: pd.DataFrame, files: Sequence[Path], views: int = 1
) -> pd.DataFrame:
    """The table of predictions, with energy, of images cropped to the inside of their black frame.

    rows: as for `scored`, those with a frame; files: the image file of each. No row, or a study that crops the frame
    anyway, gives a table without rows. The crop also shows the lesion larger, so that its effect is of both. Raises
    UnreadableImage for a file that is none.
    """
    seen = Input.of(config["study"])
    if rows.empty or seen.frame == "crop":
        return pd.DataFrame(columns=[*predictions.COLUMNS, *predictions.OPTIONAL])
    def logits(chunk: Sequence[Path]) -> np.ndarray:
        images = list(pool.map(lambda file: decode(file, *seen._replace(frame="crop")), chunk))
        return inference.predict_logits(model, config, np.stack(images), views)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = [logits(files[at : at + inference.CHUNK]) for at in range(0, len(files), inference.CHUNK)]
    return as_table(rows, np.concatenate(parts, axis=1), config["backbone"])


def as_table(rows: pd.DataFrame, logits: np.ndarray, name: str) -> pd.DataFrame:
    """The table of predictions from logits (views, n, 7)."""
    return predictions.build(rows, inference.averaged(logits), name).assign(energy=inference.energy(logits))


def _by_view(table: pd.DataFrame, logits: np.ndarray) -> pd.DataFrame:
    """One row a view and image; logits (views, n, 7) in the order of `table`."""
    described = table[DESCRIBED].reset_index(drop=True)
    parts = [
        described.assign(version=f"view{k}", **dict(zip(predictions.PROBABILITIES, inference.averaged(one[None]).T)))
        for k, one in enumerate(logits)
    ]
    return pd.concat(parts, ignore_index=True)
