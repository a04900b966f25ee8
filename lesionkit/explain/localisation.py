"""Where a map lies against the lesion: on it, or around it. No torch here.

A map may lie on the lesion for no merit of the model: lesions are in the middle, and cover much of a photograph. So
each score has its chance level, that of a map that prefers no place: `lesion_area` for energy and pointing, 1 for lift
and for the quotient. What remains beyond it has to be compared with the maps of an untrained twin.
"""

from types import MappingProxyType

import numpy as np
import pandas as pd

COLUMNS = ("lesion_area", "energy", "lift", "pointing", "iou", "background_to_lesion", "background", "lesion",
           "constant")  # fmt: skip
CHUNK = 64  # images scored at a time: ranks of every pixel are held

# Means over images of the background-to-lesion quotient of Grad-CAM for the class called, on all HAM10000 images, by
# that class: Tschandl et al., Nat. Med. 26, 1229-1234 (2020), doi:10.1038/s41591-020-0942-0, Extended Data Fig. 1.
OTHERS = "other classes"
PUBLISHED = MappingProxyType({"akiec": 0.48, OTHERS: 0.32})


def scores(maps: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """A row an image: COLUMNS, float64, of maps (n, h, w) in [0, 1] and masks (n, h, w) bool, True on the lesion.

    lesion_area: the lesion's share of the frame.
    energy: the share of the map's sum that lies on the lesion, in [0, 1]. Wang et al. 2020, arXiv:1910.01279.
    lift: energy / lesion_area. A small lesion can reach more: prefer energy - lesion_area for means.
    pointing: the share of the map's maxima on the lesion: 1 or 0, but for ties. Zhang et al. 2016, arXiv:1608.00507;
        without its tolerance of 15 px.
    iou: the highest intersection over union of the mask and {map >= t}, over all values t of the map. The mask chooses
        t, so this is what the map could do at best; never below lesion_area, which {map >= minimum}, the frame, has.
    background, lesion: the mean of the map a pixel, outside and on the lesion, once its mean over the frame is made 1;
        of a constant map 1. Each image so has one weight in what is pooled, however much of it the map lights.
    background_to_lesion: background / lesion, the quotient of PUBLISHED. It has no upper bound: a few images whose map
        is near 0 on the lesion can make up its mean, and those where it is 0 (NaN here) are missing from it, though
        they are the worst. `evidence.means.ratio` of background and lesion pools all images and has neither fault.
    constant: 1 for a constant map, also of zeros, else 0. It prefers no place: energy, pointing and iou are
        lesion_area, lift and quotient 1. A model with many of them is near chance for want of an answer.

    An empty mask gives NaN throughout. A mask of the whole frame gives energy, lift, pointing and iou 1, and NaN for
    what needs a background. Raises ValueError for shapes that differ, masks that are not bool, maps outside [0, 1].
    """
    maps, masks = np.asarray(maps), np.asarray(masks)
    _check(maps, masks)
    parts = [_scores(maps[i : i + CHUNK], masks[i : i + CHUNK]) for i in range(0, len(maps), CHUNK)]
    return pd.DataFrame(np.concatenate([np.zeros((0, len(COLUMNS))), *parts]), columns=list(COLUMNS))


def _scores(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(n, len(COLUMNS))."""
    inside = masks.reshape(len(masks), -1)  # (n, h w)
    m = maps.reshape(len(maps), -1).astype(np.float64)
    constant = m.min(1) == m.max(1)
    m[constant] = 1
    size, on, off, level = inside.sum(1), (m * inside).sum(1), (m * ~inside).sum(1), m.mean(1)
    top = m == m.max(1, keepdims=True)
    area, energy, pointing = size / m.shape[1], on / (on + off), (top & inside).sum(1) / top.sum(1)
    background, lesion = _divided(off / level, m.shape[1] - size), _divided(on / level, size)
    lift, quotient = _divided(energy, area), _divided(background, lesion)
    columns = area, energy, lift, pointing, _best_iou(m, inside), quotient, background, lesion, constant
    table = np.stack(columns, axis=1, dtype=np.float64)
    table[size == 0] = np.nan
    return table


def _best_iou(m: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(n,) of maps and masks (n, p), both flat."""
    order = np.argsort(-m, axis=1)
    ranked = np.take_along_axis(m, order, axis=1)
    both = np.take_along_axis(inside, order, axis=1).cumsum(axis=1)
    either = np.arange(1, m.shape[1] + 1) + inside.sum(1, keepdims=True) - both
    last = np.diff(ranked, axis=1, append=-1) < 0  # a threshold takes all pixels of its value, or none
    return np.where(last, both / either, 0).max(1)


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)


def _check(maps: np.ndarray, masks: np.ndarray) -> None:
    if maps.ndim != 3 or masks.shape != maps.shape or masks.dtype != bool:
        raise ValueError(f"maps {maps.shape}, masks {masks.dtype} {masks.shape}: give maps (n, h, w), and bool masks of "
                         "the same shape (data.masks.read at the maps' size)")  # fmt: skip
    wrong = np.flatnonzero(~((maps >= 0) & (maps <= 1)).all((1, 2)))
    if len(wrong):
        raise ValueError(f"{len(wrong)} of {len(maps)} maps have values outside [0, 1], first number {wrong[0]}: scale "
                         "each by its own maximum")  # fmt: skip
