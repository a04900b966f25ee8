"""Shortcuts: how much of a map lies on what is not skin, and what the model says once that is taken away.

A map can light a hair, a ruler or the black frame by chance, and a model can read them without a map that shows it; so
both are measured, where the map lies and what the call depends on. Taking something away is an intervention on the
picture, and filling leaves traces of its own: a control fills as much beside the lesion.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES, TEXT
from lesionkit.evidence import resampling
from lesionkit.explain import filling

Predict = Callable[[np.ndarray], np.ndarray]
CHUNK = 256  # altered pictures at a time
ONLY_READ = ("border",)  # where the map is read and nothing is filled: there is no outside to fill from
FRAME = "corners"  # the region that nothing else is filled from: its black would run into the hole
OVERLAP = 0.05  # of a region's area: as much of a control may lie on the region or the lesion
COVERED = 0.8  # of the frame: the lesion, widened, and a black frame leave too little skin
RIM = 0.08  # of the side, filled around a lesion: its border fades into the skin
PLACES = (  # of a mask (s, s), as large as it and elsewhere: the first with room for it is the control
    lambda mask: mask[::-1, ::-1], lambda mask: mask[:, ::-1], lambda mask: mask[::-1],
    lambda mask: mask.T, lambda mask: mask[::-1, ::-1].T, lambda mask: mask[::-1].T, lambda mask: mask[:, ::-1].T,
    *(lambda mask, by=by: np.roll(mask, [len(mask) * part // 4 for part in by], (0, 1))
      for by in product(range(4), repeat=2) if any(by)),
)  # fmt: skip
COLUMNS = ["image", "region", "area", "energy", "lift", "p", "p_without", "change", "flipped", "change_control"]


def scores(predict: Predict, images: np.ndarray, maps: np.ndarray, targets: Sequence[int],
           regions: Mapping[str, np.ndarray], lesions: np.ndarray) -> pd.DataFrame:  # fmt: skip
    """A row an image and region that it has, region by region:

    image (its number), region, area (share of the frame); energy (share of the map's sum that lies in the region) and
    lift (energy / area: 1 is as much as its area); p (probability of the target) and p_without (with the region filled
    by `filling.inpainted`), change (p_without - p), flipped (1 where the call is another then, else 0); change_control:
    as change, with the region's mask moved off itself and the lesion (`_control`).

    images: uint8 (n, s, s, 3). maps: (n, s, s), at least 0; a constant one counts as uniform. targets: (n,) class
    numbers. regions: name -> bool (n, s, s); the others neither change FRAME nor are filled from it. lesions: bool
    (n, s, s). The border is not filled: NaN. No control (NaN) where there is no room for it, or no lesion to avoid.
    Predicts n images once, and one or two for each row. Raises ValueError for arrays that do not belong together.
    """
    named = {f"regions[{name!r}]": mask for name, mask in regions.items()}
    targets = _checked(images, targets, {"maps": maps, "lesions": lesions} | named)
    rows = pd.concat([_read(maps, name, mask) for name, mask in regions.items()] or [pd.DataFrame(columns=COLUMNS)])
    rows = rows.reset_index(drop=True)
    at = rows["image"].to_numpy(int)
    masks = [regions[name][i] for i, name in zip(at, rows["region"], strict=True)]
    fill = ~rows["region"].isin(ONLY_READ).to_numpy(bool)
    frame = regions.get(FRAME, np.zeros_like(lesions))
    apart = [frame[i] & (name != FRAME) for i, name in zip(at, rows["region"], strict=True)]
    controls = [_control(*of) if ok else None for *of, ok in zip(masks, lesions[at], frame[at], fill, strict=True)]
    control = np.array([mask is not None for mask in controls], bool)
    asked = np.concatenate([np.flatnonzero(fill), np.flatnonzero(control)])
    holes = [masks[k] for k in np.flatnonzero(fill)] + [mask for mask in controls if mask is not None]
    whole = predict(images)
    answers = _answers(predict, images, at[asked], holes, [apart[k] for k in asked])
    without, elsewhere = (np.full((len(rows), len(CLASSES)), np.nan) for _ in range(2))
    without[fill], elsewhere[control] = np.split(answers, [fill.sum()])
    target = np.arange(len(rows)), targets[at]
    p, p_without = whole[at][target], without[target]
    flipped = np.where(fill, without.argmax(axis=1) != whole[at].argmax(axis=1), np.nan)
    table = rows.assign(p=p, p_without=p_without, change=p_without - p, flipped=flipped)
    return table.assign(change_control=elsewhere[target] - p)[COLUMNS]


def counterfactual(predict: Predict, images: np.ndarray, lesions: np.ndarray, targets: Sequence[int],
                   frame: np.ndarray | None = None) -> pd.DataFrame:  # fmt: skip
    """A row an image: what the model says of the skin alone, with the lesion filled from around it.

    Columns: image (its number), area (share of the lesion), p (probability of the target), p_without_lesion, change
    (p_without_lesion - p), kept (1 where the model's own call stays, else 0), kept_as_sure (1 where it stays and its
    probability does not sink, else 0), call_with and call_without (the class called before, and then).

    images: uint8 (n, s, s, 3). lesions: bool (n, s, s). frame: bool (n, s, s), a black frame, which stays and is not
    filled from. There is no class for bare skin, so no call is right then; a call that stays may need no lesion, or
    read its outline, of which filling leaves a trace, or be what the model says of any skin: `kept_by_chance`. Bissoto
    et al. 2019, arXiv:1904.08818, train and test so. Undefined (NaN) where there is no mask, or where it, widened by
    RIM, and the frame cover more than COVERED. Predicts each image at most twice.
    """
    frame = np.zeros_like(lesions) if frame is None else frame
    targets = _checked(images, targets, {"lesions": lesions, "frame": frame})
    area, margin, n = lesions.mean(axis=(1, 2)), max(1, round(RIM * images.shape[1])), np.arange(len(images))
    defined = (area > 0) & (filling.covered(lesions, margin, frame) <= COVERED)
    at = np.flatnonzero(defined)
    whole, without = predict(images), np.full((len(images), len(CLASSES)), np.nan)
    without[at] = _answers(predict, images, at, lesions[at], frame[at], margin)
    (p, own), (p_without, own_without) = ((of[n, targets], of[n, whole.argmax(axis=1)]) for of in (whole, without))
    calls, others = (np.take(CLASSES, of.argmax(axis=1)).astype(object) for of in (whole, without))
    kept = np.where(defined, calls == others, np.nan)
    table = {"image": n, "area": area, "p": p, "p_without_lesion": p_without, "change": p_without - p, "kept": kept,
             "kept_as_sure": np.where(defined, kept * (own_without >= own), np.nan),
             "call_with": pd.Series(calls, dtype=TEXT),
             "call_without": pd.Series(np.where(defined, others, None), dtype=TEXT)}  # fmt: skip
    return pd.DataFrame(table)


def kept_by_chance(table: pd.DataFrame, *, cluster: str = "cluster", count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """How many calls would stay if those without the lesion had nothing to do with those before: rows as `means.means`.

    table: as in `bare_calls`, with `cluster`. Two metrics a model: kept_by_chance, the sum over classes of their shares
    among the calls before and those without, as the chance of Cohen's kappa; kept - kept_by_chance, what stays beyond.
    """
    parts = []
    for name, rows in table.groupby("model", sort=False):
        rows = rows[rows["call_without"].notna()]
        before, after = (pd.get_dummies(pd.Categorical(rows[f"call_{part}"], CLASSES)).to_numpy(float)
                         for part in ("with", "without"))  # fmt: skip

        def summary(w: np.ndarray, kept=rows["kept"].to_numpy(float), before=before, after=after) -> dict:
            chance = ((before.T @ w) * (after.T @ w)).sum(axis=0) / w.sum(axis=0) ** 2
            return {"kept_by_chance": chance, "kept - kept_by_chance": kept @ w / w.sum(axis=0) - chance}

        if len(rows):
            draws = resampling.draws(rows[cluster], count, seed)
            parts.append(resampling.summarise(summary, draws).assign(model=name, n=len(rows)))
    columns = ["model", "n", "metric", "value", "low", "high", "note"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


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


def _control(mask: np.ndarray, lesion: np.ndarray, frame: np.ndarray) -> np.ndarray | None:
    """The first of the region's PLACES, all (s, s), whose filling touches almost no region, lesion or frame; or None.

    The frame counts since it is not filled. A lesion that is nowhere is unknown, and cannot be avoided.
    """
    taken = mask | lesion | frame
    moved = np.stack([place(mask) for place in PLACES])
    free = (filling.widened(moved) & taken).sum(axis=(1, 2)) <= OVERLAP * mask.sum()
    return moved[free.argmax()] if free.any() and lesion.any() else None


def _answers(predict: Predict, images: np.ndarray, at: np.ndarray, masks: Sequence[np.ndarray],
             apart: Sequence[np.ndarray], margin: int | None = None) -> np.ndarray:  # fmt: skip
    """Probabilities (k, 7) of k pictures: image `at[i]` with `masks[i]` filled, `apart[i]` kept; a chunk at a time."""
    parts = [np.zeros((0, len(CLASSES)))]
    for start in range(0, len(at), CHUNK):
        chunk = slice(start, start + CHUNK)
        holes, kept = np.stack(masks[chunk]), np.stack(apart[chunk])
        parts.append(predict(filling.inpainted(images[at[chunk]], holes, margin, kept)))
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
