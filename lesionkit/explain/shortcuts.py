"""Shortcuts: how much of a map lies on what is not skin, and what the model says once that is taken away.

A map can light a hair, a ruler or the black frame by chance, and a model can read them without a map that shows it; so
both are measured, where the map lies and what the call depends on. Taking something away is an intervention on the
picture, and filling leaves traces of its own: a control fills as much elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.explain.regions import inpainted

Predict = Callable[[np.ndarray], np.ndarray]
CHUNK = 256  # altered pictures at a time
ONLY_READ = ("border",)  # where the map is read and nothing is filled: there is no outside to fill from
OVERLAP = 0.5  # of a region that its turned mask may cover, and still be a control
COVERED = 0.8  # of the frame: the lesion leaves too little skin
RIM = 0.08  # of the side, filled around a lesion: its border fades into the skin
COLUMNS = ["image", "region", "area", "energy", "lift", "p", "p_without", "change", "flipped", "change_control"]


def scores(predict: Predict, images: np.ndarray, maps: np.ndarray, targets: Sequence[int],
           regions: Mapping[str, np.ndarray]) -> pd.DataFrame:  # fmt: skip
    """A row an image and region that it has, region by region:

    image (its number), region, area (share of the frame); energy (share of the map's sum that lies in the region) and
    lift (energy / area: 1 is as much as its area); p (probability of the target) and p_without (with the region filled
    by `regions.inpainted`), change (p_without - p), flipped (1 where the call is another then, else 0); change_control:
    as change, with the region's mask turned by 180 degrees about the centre, what filling itself does.

    images: uint8 (n, s, s, 3). maps: (n, s, s), at least 0; a constant one counts as uniform. targets: (n,) class
    numbers. regions: name -> bool (n, s, s). The border is not filled: NaN. No control (NaN) where the turned mask
    covers half of the region or more.
    Predicts n images once, and one or two for each row. Raises ValueError for arrays that do not belong together.
    """
    targets = _checked(images, targets, {"maps": maps} | {f"regions[{name!r}]": mask for name, mask in regions.items()})
    rows = pd.concat([_read(maps, name, mask) for name, mask in regions.items()] or [pd.DataFrame(columns=COLUMNS)])
    rows = rows.reset_index(drop=True)
    at = rows["image"].to_numpy(int)
    masks = [regions[name][i] for i, name in zip(at, rows["region"], strict=True)]
    fill = ~rows["region"].isin(ONLY_READ).to_numpy(bool)
    control = fill & np.array([_turned_elsewhere(mask) for mask in masks], bool)
    altered = [masks[k] for k in np.flatnonzero(fill)] + [masks[k][::-1, ::-1] for k in np.flatnonzero(control)]
    whole = predict(images)
    answers = _answers(predict, images, np.concatenate([at[fill], at[control]]), altered)
    without, elsewhere = (np.full((len(rows), len(CLASSES)), np.nan) for _ in range(2))
    without[fill], elsewhere[control] = np.split(answers, [fill.sum()])
    target = np.arange(len(rows)), targets[at]
    p, p_without = whole[at][target], without[target]
    flipped = np.where(fill, without.argmax(axis=1) != whole[at].argmax(axis=1), np.nan)
    table = rows.assign(p=p, p_without=p_without, change=p_without - p, flipped=flipped)
    return table.assign(change_control=elsewhere[target] - p)[COLUMNS]


def counterfactual(predict: Predict, images: np.ndarray, lesions: np.ndarray, targets: Sequence[int]) -> pd.DataFrame:
    """A row an image: what the model says of the skin alone, with the lesion filled from around it.

    Columns: image (its number), area (share of the lesion), p (probability of the target), p_without_lesion, change
    (p_without_lesion - p), kept (1 where the call stays, else 0), call_without (the class that is called then).

    images: uint8 (n, s, s, 3). lesions: bool (n, s, s). There is no class for bare skin, so no call is right then; but
    a model that keeps its call, as sure as before, did not get it from the lesion (Bissoto et al. 2019,
    arXiv:1904.08818, train and test without it). Undefined (NaN) where there is no mask or it covers more than 0.8 of
    the frame. Predicts each image at most twice.
    """
    targets = _checked(images, targets, {"lesions": lesions})
    area = lesions.mean(axis=(1, 2))
    at = np.flatnonzero((area > 0) & (area <= COVERED))
    whole, without = predict(images), np.full((len(images), len(CLASSES)), np.nan)
    without[at] = _answers(predict, images, at, [lesions[i] for i in at], max(1, round(RIM * images.shape[1])))
    p, p_without = (answer[np.arange(len(images)), targets] for answer in (whole, without))
    calls = np.full(len(images), None, object)
    calls[at] = np.take(CLASSES, without[at].argmax(axis=1))
    kept = np.where(np.isin(np.arange(len(images)), at), without.argmax(axis=1) == whole.argmax(axis=1), np.nan)
    return pd.DataFrame(
        {
            "image": np.arange(len(images)),
            "area": area,
            "p": p,
            "p_without_lesion": p_without,
            "change": p_without - p,
            "kept": kept,
            "call_without": pd.Series(calls, dtype="str"),
        }
    )


def bare_calls(table: pd.DataFrame) -> pd.DataFrame:
    """What each model calls skin whose lesion is filled: a row a model, n and the share of each class, 0 to 1.

    table: `counterfactual`s of several models, one under the other, with a column `model`. Undefined rows do not count;
    a model without any has NaN.
    """
    counts = pd.crosstab(table["model"], table["call_without"]).reindex(columns=list(CLASSES), fill_value=0)
    counts = counts.reindex(table["model"].unique(), fill_value=0)
    n = counts.sum(axis=1)
    shares = counts.div(n.where(n > 0), axis=0)
    shares.insert(0, "n", n)
    return shares.rename_axis(index="model", columns=None).reset_index()


def _read(maps: np.ndarray, name: str, masks: np.ndarray) -> pd.DataFrame:
    """The rows of one region: image, region, area, energy, lift."""
    at = np.flatnonzero(masks.any(axis=(1, 2)))
    inside, energy = masks[at], np.asarray(maps[at], float)
    flat = energy.max(axis=(1, 2), initial=0) == energy.min(axis=(1, 2), initial=np.inf)
    energy[flat] = 1
    area = inside.mean(axis=(1, 2))
    share = (energy * inside).sum(axis=(1, 2)) / energy.sum(axis=(1, 2))
    return pd.DataFrame({"image": at, "region": name, "area": area, "energy": share, "lift": share / area})


def _turned_elsewhere(mask: np.ndarray) -> bool:
    """Whether the mask, turned by 180 degrees, leaves more than half of the region alone."""
    return bool((mask & mask[::-1, ::-1]).sum() < OVERLAP * mask.sum())


def _answers(predict: Predict, images: np.ndarray, at: np.ndarray, masks: Sequence[np.ndarray],
             margin: int | None = None) -> np.ndarray:  # fmt: skip
    """Probabilities (k, 7) of k pictures: image `at[i]` with `masks[i]` filled, a chunk at a time."""
    parts = [np.zeros((0, len(CLASSES)))]
    for start in range(0, len(at), CHUNK):
        chunk = slice(start, start + CHUNK)
        parts.append(predict(inpainted(images[at[chunk]], np.stack(masks[chunk]), margin)))
    return np.concatenate(parts)


def _checked(images: np.ndarray, targets: Sequence[int], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The targets as integers (n,); ValueError where something has another number or size than the images."""
    targets = np.asarray(targets, int)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images are {images.dtype} {images.shape}: give uint8 (n, s, s, 3)")
    for name, array in arrays.items():
        if array.shape != images.shape[:3] or (name != "maps" and array.dtype != bool):
            kind = "numbers" if name == "maps" else "booleans"
            raise ValueError(f"{name} is {array.dtype} {array.shape}: give {kind} {images.shape[:3]}, as the images")
    if targets.shape != images.shape[:1] or not np.isin(targets, np.arange(len(CLASSES))).all():
        raise ValueError(f"{targets.shape} targets for {len(images)} images: give each one, 0 to {len(CLASSES) - 1}")
    return targets
