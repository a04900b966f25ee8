"""Whether a heat map is true to its model: what happens to the class's probability when the pixels go that it lights.

Deletion replaces pixels by a substrate, those that the map lights most first: the sooner the probability falls, the
better. Insertion brings them from the substrate back: the sooner it rises, the better (RISE: Petsiuk, Das and Saenko
2018, arXiv:1806.07421). The area under the curve is the score. The average drop asks what is left of the probability
when the image is dimmed where the map is dark (Chattopadhyay et al. 2018, Grad-CAM++, arXiv:1710.11063).

An area means little without a baseline, since a model may stand or fall with any pixels. A random order is salt and
pepper, and any map that lights whole patches gains on it by texture alone: a trained ResNet-50's deletion gained 0.110
with the images' own maps, and 0.057 with those of other images. So the other image's map is the baseline that counts:
what its own gains beyond that is about the image. A bell in the centre, where most lesions lie, asks about place.

Pixels that a map lights alike go in a random order, in insertion the reverse of that in deletion. So a constant map is
the random baseline, and its insertion is its deletion read backwards: no second pass. Each image has an order of its
own: the pattern itself can move a model (one shared by all images moved the mean area of one by 0.05), and with many
patterns the interval over images holds that chance.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from lesionkit.explain.members import ENSEMBLE, Member, resized

Predict = Callable[[np.ndarray], np.ndarray]  # uint8 images (n, s, s, 3) -> probabilities (n, 7)
Answers = tuple[np.ndarray, np.ndarray]  # p along the curves (4 orders, 2 kinds, n, steps + 1), and dimmed (n,)

ORDERS = ("map", "other", "random", "centre")
KINDS = ("deletion", "insertion")
CHUNK = 256  # pictures in memory at once; more only where a single image has more steps
DIGITS = 5  # of a map; a smaller difference is rounding, and no preference

# Sigma of the substrate's blur, as a share of the side. Measured on the demo's members at 64 px, as the mean
# probability of the class called: 0.31 for the images, 0.18 for their blur with 0.1, 0.14 with 0.2, 0.13 with 0.3 and
# for their mean colour, 0.12 for the mean of all images. So 0.2 takes the evidence away. A flat colour does no more,
# and its hard edges seem to count: of four members, half of the pixels at random leave 0.27 between the image's 0.40
# and the blur's 0.12, which is midway, and 0.24 with the colour; and the lesion's mask, as a map, stands out from
# that order in both curves, with the colour less.
BLUR = 0.2


def scores(members: Mapping[str, Member], maps: Mapping[str, np.ndarray], targets: Sequence[int], clusters: Sequence,
           steps: int = 10, seed: int = 0, shares: Mapping[str, float] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Deletion, insertion and drop of every member under its own map, and of the ensemble under the ensemble's.

    maps: of each member, and where it is to be scored of "ensemble", (n, h, h) in [0, 1] of the members' images, of any
    side: each member sees the map at its own size, over its own pixels. targets: (n,) class numbers. clusters: (n,)
    the lesion of each image. The ensemble's probability is the mean of its members' by `shares`, each under the
    ensemble's map; None: all the same.

    First the mean curves: model, order (of ORDERS; other: the same model's or ensemble's map of another lesion's image,
    as `others` has it), kind (deletion or insertion), share (of the pixels replaced or brought back, steps + 1 values
    from 0 to 1), p (mean probability of the target). Then a row a model and image: model, image (0 to n - 1), deletion,
    insertion and these of the baselines, as in deletion_random (areas in 0..1; insertion_random is deletion_random by
    construction), drop (per cent: max(0, p - p') / p of the probability p and that of the dimmed image p'), increase (1
    where p' > p, else 0). Under a constant map, which has no bright and dark, drop and increase are NaN; where all
    images show one lesion, all of `other` is.

    Passes of a member and image: 2 + 3 (steps - 1) for random and centre, and 1 + 4 (steps - 1) for each of its map and
    the ensemble's; 103 with 10 steps. Raises ValueError for maps, targets or clusters that do not fit the images.
    """
    answers, shared = {}, []
    for name, member in members.items():
        seen = [key for key in (name, ENSEMBLE) if key == name or key in maps]
        answers[name], *rest = _answers(member, {key: maps.get(key) for key in seen}, targets, clusters, steps, seed)
        shared += rest
    if shared:
        weights = None if shares is None else [shares[name] for name in members]
        answers[ENSEMBLE] = tuple(np.average(of_members, axis=0, weights=weights) for of_members in zip(*shared, strict=True))
    return _mean_curves(answers, "model"), _per_image(answers, "model")


def method_scores(member: Member, maps: Mapping[str, np.ndarray], targets: Sequence[int], clusters: Sequence,
                  steps: int = 10, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """One model's maps by several methods: the tables of `scores`, with a column method in the place of model.

    other: the same method's map of another lesion's image. Passes of an image: 2 + 3 (steps - 1), and 1 + 4 (steps - 1)
    a method.
    """
    answers = dict(zip(maps, _answers(member, maps, targets, clusters, steps, seed), strict=True))
    return _mean_curves(answers, "method"), _per_image(answers, "method")


def curves(predict: Predict, images: np.ndarray, maps: Sequence[np.ndarray], targets: Sequence[int], steps: int = 10,
           seed: int = 0) -> np.ndarray:  # fmt: skip
    """The targets' probabilities (maps, 2, n, steps + 1): deletion, then insertion, at equal shares from 0 to 1.

    images: uint8 (n, s, s, 3). maps: each (n, s, s) in [0, 1]. The bare image and the bare substrate are predicted once
    for all. Passes of an image: 2, and 2 (steps - 1) a map, half of it where the map is constant.
    """
    targets, bare = np.asarray(targets), substrate(images)
    p = np.empty((len(maps), 2, len(images), steps + 1))
    p[:, 0, :, 0] = p[:, 1, :, -1] = _of_targets(predict, images, targets)
    p[:, 0, :, -1] = p[:, 1, :, 0] = _of_targets(predict, bare, targets)
    for heat, (deletion, insertion) in zip(maps, p, strict=True):
        heat = np.round(heat, DIGITS)
        lit = np.ptp(heat, axis=(1, 2)) > 0
        deletion[:, 1:-1] = _deletion(predict, images, bare, heat, targets, steps, seed)
        insertion[:, 1:-1] = deletion[:, -2:0:-1]
        backwards = _deletion(predict, images[lit], bare[lit], -heat[lit], targets[lit], steps, seed)
        insertion[lit, 1:-1] = backwards[:, ::-1]
    return p


def others(clusters: Sequence) -> np.ndarray:
    """For each image the number of another lesion's, whose map is held against its own: (n,), -1 where there is none.

    clusters: (n,) the lesion of each image. Lesions stand in the order of a digest of their names, in which neither a
    class nor a split stays together; each image gets that half of the round away, or the next there of another lesion.
    So each is given once, unless more than half of them show the same lesion, and rows may come in any order.
    """
    names = [blake2b(str(one).encode(), digest_size=16).digest() for one in clusters]
    order = np.array(sorted(range(len(names)), key=names.__getitem__), int)
    found = np.empty(len(names), int)
    for at, image in enumerate(order):
        away = np.roll(order, -at - len(order) // 2)
        found[image] = next((other for other in away if names[other] != names[image]), -1)
    return found


def areas(p: np.ndarray) -> np.ndarray:
    """The area under curves (…, steps + 1) at equal shares from 0 to 1, by the trapezoidal rule: (…,)."""
    return (p[..., 1:] + p[..., :-1]).mean(axis=-1) / 2


def pictures(images: np.ndarray, bare: np.ndarray, heat: np.ndarray, steps: int, seed: int) -> np.ndarray:
    """Images (n, s, s, 3) with 1/steps, 2/steps, … of the pixels replaced by those of `bare`: (n, steps - 1, s, s, 3).

    The highest of `heat` (n, s, s) go first; ties in a random order of the seed and the image, the same in any batch.
    """
    counts = np.round(heat[0].size * np.arange(1, steps) / steps)
    gone = _ranks(heat, _ties(images, seed))[:, None] < counts[:, None, None]  # (n, steps - 1, s, s)
    return np.where(gone[..., None], bare[:, None], images[:, None])


def substrate(images: np.ndarray) -> np.ndarray:
    """What is left of uint8 images (n, s, s, 3) with every pixel gone: their Gaussian blur, reflected at the edge."""
    side = images.shape[1]
    blur = gaussian_filter1d(np.eye(side), BLUR * side, axis=0, mode="reflect").astype(np.float32)  # (s, s)
    parts = [np.einsum("ij,njkc,lk->nilc", blur, images[i : i + CHUNK], blur, optimize=True)
             for i in range(0, len(images), CHUNK)]  # fmt: skip
    return np.round(np.concatenate(parts)).astype(np.uint8)


def centre_map(size: int) -> np.ndarray:
    """A bell in the centre, (size, size) float32 in [0, 1]: a Gaussian whose sigma is a quarter of the side."""
    line = np.exp(-0.5 * ((np.arange(size) + 0.5) / size - 0.5) ** 2 / 0.25**2)
    bell = np.outer(line, line)
    return (bell / bell.max()).astype(np.float32)


def dimmed(images: np.ndarray, heat: np.ndarray, mean: Sequence[float]) -> np.ndarray:
    """uint8 images (n, s, s, 3) weighted by maps (n, s, s) in [0, 1], towards the colour `mean` (3,) in [0, 1] where 0.

    With the mean of a model's normalisation that is the map times the normalised image, but for rounding.
    """
    dark = 255 * np.asarray(mean, np.float32)
    return np.round(dark + heat[..., None] * (images - dark)).astype(np.uint8)


def _answers(member: Member, maps: Mapping[str, np.ndarray], targets: Sequence[int], clusters: Sequence, steps: int,
             seed: int) -> list[Answers]:  # fmt: skip
    """For each map: the curves under it, with those of the baselines, and the probability of the dimmed image."""
    images, targets, other = member.images, np.asarray(targets), others(clusters)
    _check(member.name, maps, images, targets, other, steps)
    n, size = images.shape[:2]
    sized = [resized(np.asarray(heat, np.float32), size) for heat in maps.values()]
    baselines = [np.zeros((n, size, size), np.float32), np.broadcast_to(centre_map(size), (n, size, size))]
    p = curves(member.predict, images, [*sized, *(heat[other] for heat in sized), *baselines], targets, steps, seed)
    own, of_other, of_baselines = p[: len(sized)], p[len(sized) : -2], p[-2:]
    of_other[:, :, other < 0] = np.nan
    answered = zip(own, of_other, sized, strict=True)
    return [(np.stack([*pair, *of_baselines]), _dimmed_p(member, heat, targets)) for *pair, heat in answered]


def _deletion(predict: Predict, images: np.ndarray, bare: np.ndarray, heat: np.ndarray, targets: np.ndarray, steps: int,
              seed: int) -> np.ndarray:  # fmt: skip
    """The targets' probabilities in the `pictures`: (n, steps - 1)."""
    p, chunk = np.empty((len(images), steps - 1)), max(1, CHUNK // (steps - 1))
    for at in (slice(i, i + chunk) for i in range(0, len(images), chunk)):
        seen = pictures(images[at], bare[at], heat[at], steps, seed)
        flat = seen.reshape(-1, *images.shape[1:])
        p[at] = _of_targets(predict, flat, np.repeat(targets[at], steps - 1)).reshape(-1, steps - 1)
    return p


def _dimmed_p(member: Member, heat: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The targets' probabilities of the images dimmed by maps (n, s, s): (n,), NaN where the map is constant."""
    mean, p = member.config["normalisation"][0], np.empty(len(heat))
    for at in (slice(i, i + CHUNK) for i in range(0, len(heat), CHUNK)):
        p[at] = _of_targets(member.predict, dimmed(member.images[at], heat[at], mean), targets[at])
    return np.where(np.ptp(np.round(heat, DIGITS), axis=(1, 2)) > 0, p, np.nan)


def _of_targets(predict: Predict, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return predict(images)[np.arange(len(images)), targets]


def _ties(images: np.ndarray, seed: int) -> np.ndarray:
    """A random order of the pixels of each image (n, s * s), which follows from the seed and what the image shows."""
    keys = [int.from_bytes(blake2b(image.tobytes(), digest_size=8).digest(), "little") for image in images]
    return np.stack([np.random.default_rng([seed, key]).permutation(images[0, ..., 0].size) for key in keys])


def _ranks(heat: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """The place of each pixel (n, s, s), from 0, in the order of its map, the highest first; ties (n, s * s)."""
    mixed = np.take_along_axis(heat.reshape(ties.shape), ties, axis=1)
    order = np.take_along_axis(ties, np.argsort(-mixed, axis=1, kind="stable"), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None], axis=1)
    return ranks.reshape(heat.shape)


def _mean_curves(answers: Mapping[str, Answers], key: str) -> pd.DataFrame:
    p = np.stack([of.mean(axis=2) for of, _ in answers.values()])  # (names, 4, 2, steps + 1)
    levels = {key: list(answers), "order": ORDERS, "kind": KINDS, "share": np.linspace(0, 1, p.shape[-1])}
    rows = pd.MultiIndex.from_product(levels.values(), names=levels)
    return pd.DataFrame({"p": p.ravel()}, index=rows).reset_index()


def _per_image(answers: Mapping[str, Answers], key: str) -> pd.DataFrame:
    tables = []
    for name, (p, after) in answers.items():
        columns = {f"{kind}_{order}".removesuffix("_map"): area
                   for order, of_order in zip(ORDERS, areas(p)) for kind, area in zip(KINDS, of_order)}  # fmt: skip
        before = p[0, 0, :, 0]
        columns["drop"] = 100 * np.maximum(0, before - after) / before
        columns["increase"] = np.where(np.isnan(after), np.nan, after > before)
        tables.append(pd.DataFrame({key: name, "image": np.arange(len(after)), **columns}))
    return pd.concat(tables, ignore_index=True)


def _check(name: str, maps: Mapping[str, np.ndarray | None], images: np.ndarray, targets: np.ndarray,
           other: np.ndarray, steps: int) -> None:  # fmt: skip
    n = len(images)
    if steps < 2 or not n or targets.shape != (n,) or targets.min() < 0:
        raise ValueError(
            f"{name}: {n} images, targets {targets[:5]}, {steps} steps: "
            "give each image a class number, and 2 steps or more"
        )
    if len(other) != n:
        raise ValueError(f"{name}: {len(other)} clusters of {n} images: give each image its lesion")
    for of, heat in maps.items():
        if heat is None or np.ndim(heat) != 3 or len(heat) != n or not (np.min(heat) >= 0 and np.max(heat) <= 1):
            what = "missing" if heat is None else f"{np.shape(heat)} from {np.min(heat):.3g} to {np.max(heat):.3g}"
            raise ValueError(f"{name}: the maps of {of!r} are {what}: give (n, h, h) in 0..1 for its {n} images")
