"""The leak, measured: how often a split by image leaves a sibling in training, and what one sibling is worth.

A sibling is another image of the same lesion (of the same group, where near-duplicates join lesions). A split by
image tests other images than a split by lesion, and lesions that were photographed twice are harder, so that
comparing the two measures nothing. Here the same test images are scored by two models instead.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.data.splits import PARTS, LeakError, assert_disjoint, split

HALVES = ("A", "B")


def sibling_share(
    table: pd.DataFrame, fractions: Sequence[float] = (0.7, 0.15, 0.15), seeds: Iterable[int] = range(20)
) -> pd.DataFrame:
    """How many test images of a split by image have a sibling in training: class, n, share, least, most.

    table: image_id, lesion_id, group_id, dx, split; its internal images are split anew, by image, once a seed. n is
    the mean number of test images of the class, share the mean over seeds, least and most its range; "all" comes
    first. NaN for a class without test images.
    """
    inside = table[table["split"].isin(PARTS)]
    index = inside[["image_id", "dx"]].assign(lesion_id=inside["group_id"])
    drawn = pd.concat([_with_sibling(index, fractions, seed).assign(seed=seed) for seed in seeds])
    by_seed = {"all": drawn.groupby("seed")["sibling"]} | {
        name: drawn[drawn["dx"] == name].groupby("seed")["sibling"] for name in CLASSES
    }
    rows = [(name, part.size().mean(), *part.mean().agg(["mean", "min", "max"])) for name, part in by_seed.items()]
    return pd.DataFrame(rows, columns=["class", "n", "share", "least", "most"]).fillna({"n": 0})


def cannot_inject(table: pd.DataFrame) -> str:
    """Why `injection` cannot be made from a split table; empty where it can."""
    try:
        assert_disjoint(table)
    except LeakError:
        return "the split is by image: siblings of the test images are in training already"
    lesions = _photographed_twice(table)["group_id"].nunique()
    if lesions < 2:
        return (
            f"{lesions} test lesions have several images, and at least 2 are needed, one a half: use a data set "
            "that names the lesion of each image, or a larger test part"
        )
    return ""


def injection(table: pd.DataFrame, seed: int = 0) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The paired injection, a crossover: the probes (image_id, group_id, dx, half), and a split table a half.

    table: image_id, lesion_id, group_id, dx, split, by lesion. Each test lesion with several images gives one image,
    drawn with the seed, as its probe; the others can be injected into training. The lesions are halved at random
    within the probes' classes, so that both halves inject as nearly the same number as whole lesions allow. In the
    table of half A the injected images of A are "train" and all else is as it was; that of B likewise. A model of A
    has then seen siblings of A's probes and, of B's, as many other images instead; for a model of B it is the other
    way round. So each probe is scored once with its siblings in training and once without.
    Raises ValueError with fewer than two such lesions, LeakError where the split is not by lesion.
    """
    assert_disjoint(table)
    if reason := cannot_inject(table):
        raise ValueError(reason)
    test = _photographed_twice(table)
    rng = np.random.default_rng(seed)
    probes = test.groupby("group_id").sample(1, random_state=rng)
    injected = test[~test["image_id"].isin(probes["image_id"])]
    sizes = injected.groupby("group_id").size()
    half = probes["group_id"].map(_halves(probes.set_index("group_id")["dx"], sizes, rng))
    probes = probes.assign(half=half)[["image_id", "group_id", "dx", "half"]].reset_index(drop=True)
    tables = {name: _injected(table, injected, probes, name) for name in HALVES}
    return probes, tables


def _photographed_twice(table: pd.DataFrame) -> pd.DataFrame:
    """The test images whose lesion has several there, in the order of their ids."""
    test = table[table["split"] == "test"].sort_values("image_id")
    return test[test.groupby("group_id")["image_id"].transform("size") > 1]


def _with_sibling(index: pd.DataFrame, fractions: Sequence[float], seed: int) -> pd.DataFrame:
    """The test images of one split by image: dx, and whether training holds the sibling."""
    parts = split(index, None, fractions, seed, by="image_leaky").merge(index[["image_id", "dx"]], on="image_id")
    trained = set(parts.loc[parts["split"] == "train", "lesion_id"])
    test = parts[parts["split"] == "test"]
    return test.assign(sibling=test["lesion_id"].isin(trained))[["dx", "sibling"]]


def _halves(classes: pd.Series, sizes: pd.Series, rng: np.random.Generator) -> dict[str, str]:
    """A half for each lesion; `sizes` counts the images that it injects.

    Class by class the lesions are paired in the order of their sizes, equal ones at random; one of each pair goes
    to either half, the larger one, or a last one alone, to the half that injects fewer so far.
    """
    halves, filled = {}, dict.fromkeys(HALVES, 0)
    for name in CLASSES:
        lesions = sizes[classes.index[classes == name]]
        lesions = lesions.sample(frac=1, random_state=rng).sort_values(ascending=False, kind="stable")
        for at in range(0, len(lesions), 2):
            order = sorted(rng.permutation(HALVES), key=filled.get)  # by a stable sort, at random where equal
            for half, (lesion, size) in zip(order, lesions.iloc[at : at + 2].items(), strict=False):
                halves[lesion] = str(half)
                filled[half] += size
    return halves


def _injected(table: pd.DataFrame, injected: pd.DataFrame, probes: pd.DataFrame, half: str) -> pd.DataFrame:
    mine = set(probes.loc[probes["half"] == half, "group_id"])
    images = injected.loc[injected["group_id"].isin(mine), "image_id"]
    result = table.assign(split=table["split"].mask(table["image_id"].isin(images), "train"))
    _check_crossed(result, probes, mine)
    return result


def _check_crossed(table: pd.DataFrame, probes: pd.DataFrame, mine: set[str]) -> None:
    trained = table[table["split"] == "train"]
    if trained["image_id"].isin(probes["image_id"]).any():
        raise LeakError("a probe stands in a training set: give every image one row")
    if set(trained["group_id"]) & set(probes["group_id"]) != mine:
        raise LeakError("siblings of a probe stand in the training set of the other half, or in none")
