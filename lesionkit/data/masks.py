"""Lesion masks on disk, brought to the square that a backbone sees.

HAM10000's masks are Tschandl's, a PNG of 0 (skin) or 255 (lesion) an image, in the folder
HAM10000_segmentations_lesion_tschandl of the release (doi:10.7910/DVN/DBW86T); the phantoms' lie in masks/. Both name
their files ISIC_#######_segmentation.png, as the ISIC challenges' masks do.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np

from lesionkit.data import decoding
from lesionkit.data.field import Shares, part

HALF = 128  # of 0 to 255; exactly half, 127.5, is rounded to it


def folder_of(root: Path, named: str) -> Path | None:
    """The folder of masks `named`, below the images' folder `root` or absolute; None where it is not there.

    Unzipping may put the folder into another one of its name: then it is the inner one.
    """
    folder = Path(root) / named
    inner = folder / folder.name
    return inner if inner.is_dir() else folder if folder.is_dir() else None


def read(
    folder: Path, image_ids: Sequence[str], size: int, fit: str, boxes: Sequence[Shares | None] | None = None,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Masks (n, size, size) bool, True on the lesion, and found (n,) bool: which of the images have one.

    Frames become squares as those of the images do, so that a mask lies on what `decoding.decode` shows; `fit` as there.
    A pixel is lesion where the resampled mask is at least half, and the bars of "pad" are not. A mask that is not found
    is False all over.
    `boxes`: of each image, what `frames.boxes` leaves of it (default: all). An id may end in `_downsampled`; its mask
    does not. `workers` threads decode (default: one a core). Raises UnreadableImage for a file that is no image,
    ValueError for an unknown fit.
    """
    decoding.check(fit)
    files = [Path(folder) / f"{image_id.removesuffix('_downsampled')}_segmentation.png" for image_id in image_ids]
    masks = np.zeros((len(files), size, size), bool)

    def load(file: Path, box: Shares | None, target: np.ndarray) -> bool:
        if not file.is_file():
            return False
        with decoding.opened(file) as image:
            target[:] = decoding.to_square(part(decoding.to_rgb(image), box), size, fit)[..., 0] >= HALF
        return True

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:  # Pillow works without the GIL
        found = np.fromiter(pool.map(load, files, boxes or repeat(None), masks), bool, len(files))
    return masks, found
