"""Splits: every lesion on one side only, and an external set that shares nothing with the internal one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lesionkit.data.records import CLASSES

PARTS = ("train", "val", "test")
COLUMNS = ["image_id", "lesion_id", "group_id", "split"]
TABLE = ["image_id", "lesion_id", "group_id", "dataset", "source", "dx", "source_dx", "split"]


class LeakError(ValueError):
    """A lesion, near-duplicate group or image stands on both sides of a split."""


def split(
    index: pd.DataFrame,
    duplicates: pd.DataFrame | None,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    by: str = "lesion",
) -> pd.DataFrame:
    """One row an image of `index`, in its order: image_id, lesion_id, group_id, split ("train", "val" or
    "test").

    A group is a set of lesions joined by `duplicates` (image_a, image_b; pairs with images that are not in
    the index join nothing); its class is its commonest dx. by="lesion" keeps groups whole. Each class is
    divided so that its images follow `fractions` as closely as whole groups allow, and reaches every part
    if it has three groups. by="image_leaky" divides images whatever their lesion: only to reproduce studies
    that did so. The result depends on the seed and on the set of rows, not on their order. Raises
    ValueError for what cannot be split.
    """
    _check(index, fractions, by)
    lesions = _lesions(index)
    groups = _groups(index["image_id"], lesions, duplicates)
    units = groups if by == "lesion" else index["image_id"]
    members = pd.DataFrame({"unit": units.to_numpy(), "dx": index["dx"].to_numpy()})
    rng = np.random.default_rng(seed)
    parts = {}
    sizes, classes = members.groupby("unit").size(), _majority(members)
    for dx in CLASSES:  # the sorted units of each class, so that row order does not matter
        parts |= _divide(sizes[classes.index[classes == dx]], fractions, rng)
    columns = (index["image_id"], lesions, groups, members["unit"].map(parts))
    return pd.DataFrame({name: column.to_numpy() for name, column in zip(COLUMNS, columns, strict=True)})


def assert_disjoint(table: pd.DataFrame, leaky: bool = False) -> None:
    """Raise LeakError, naming the first offender, if an image, a lesion or a group of `table` has rows in
    several splits.

    With leaky=True, for the split of that name, only images are checked.
    """
    for key in ("image_id",) if leaky else ("image_id", "lesion_id", "group_id"):
        sides = table.groupby(key)["split"].agg(lambda splits: sorted(set(splits)))
        torn = sides[sides.str.len() > 1]
        if len(torn):
            raise LeakError(
                f"{len(torn)} values of {key} stand in several splits, the first "
                f"{torn.index[0]!r} in {' and '.join(torn.iloc[0])}; draw the split again with "
                "by='lesion' and the table of near-duplicates"
            )
    twice = table["image_id"].duplicated()
    if twice.any():
        raise LeakError(f"image {table.loc[twice, 'image_id'].iloc[0]!r} has several rows; keep one")


def external_set(
    isic_index: pd.DataFrame, ham_index: pd.DataFrame, duplicates: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `isic_index` that share nothing with `ham_index`, and a table step, removed, remaining
    (images).

    Steps: the same image id; the same lesion id; a lesion with a confirmed near-duplicate in HAM10000
    (`duplicates`: image_a, image_b, in either order), with all images of that lesion.
    """
    ham_ids, ham_lesions = set(ham_index["image_id"]), set(_lesions(ham_index))
    steps = {
        # by HAM10000's own table too, so that a copy of it that lacks images lets none of them in
        "image id": lambda rows: rows["image_id"].isin(ham_ids) | rows["source"].eq("HAM10000").fillna(False),
        "lesion id": lambda rows: _lesions(rows).isin(ham_lesions),
        "near-duplicate": lambda rows: _twins(rows, ham_ids, duplicates),
    }
    rows, counts = isic_index, [("all images", 0, len(isic_index))]
    for step, shared in steps.items():
        gone = shared(rows).to_numpy(bool)
        rows = rows[~gone]
        counts.append((step, int(gone.sum()), len(rows)))
    return rows.reset_index(drop=True), pd.DataFrame(counts, columns=["step", "removed", "remaining"])


def study_table(
    internal: pd.DataFrame,
    inside: pd.DataFrame,
    external: pd.DataFrame,
    duplicates: pd.DataFrame | None = None,
    leaky: bool = False,
) -> pd.DataFrame:
    """The table that every later step reads: TABLE, a row an image, `internal` as split() gave it, then
    `external` rows.

    inside: the index rows of the internal images. duplicates: near-duplicates among the external images, which
    join their lesions into groups. Raises LeakError as assert_disjoint.
    """
    facts = inside[["image_id", "dataset", "source", "dx", "source_dx"]]
    lesions = _lesions(external)
    groups = _groups(external["image_id"], lesions, duplicates)
    outside = external.assign(lesion_id=lesions, group_id=groups, split="external")
    outside["source"] = outside["source"].fillna("unknown")  # an image without metadata
    inside = internal.merge(facts, on="image_id", validate="1:1")
    table = pd.concat([inside[TABLE], outside[TABLE]], ignore_index=True)
    assert_disjoint(table, leaky)
    return table


def _twins(rows: pd.DataFrame, ham_ids: set[str], duplicates: pd.DataFrame | None) -> pd.Series:
    """Which rows belong to a lesion with a near-duplicate among `ham_ids`."""
    lesions = _lesions(rows)
    if duplicates is None:
        return pd.Series(False, index=rows.index)
    one, two = duplicates["image_a"], duplicates["image_b"]
    twins = set(one[two.isin(ham_ids)]) | set(two[one.isin(ham_ids)])
    return lesions.isin(lesions[rows["image_id"].isin(twins)])


def _lesions(index: pd.DataFrame) -> pd.Series:
    """Lesion ids; an image without one is its own lesion."""
    return index["lesion_id"].where(index["lesion_id"].notna(), index["image_id"]).astype(object)


def _groups(image_ids: pd.Series, lesions: pd.Series, duplicates: pd.DataFrame | None) -> pd.Series:
    """The group of each image: connected lesions (joined by near-duplicates), named after the first."""
    names, codes = np.unique(lesions.to_numpy(), return_inverse=True)
    code = pd.Series(codes, index=image_ids)
    pairs = pd.DataFrame(columns=["image_a", "image_b"]) if duplicates is None else duplicates
    pairs = pairs[pairs["image_a"].isin(code.index) & pairs["image_b"].isin(code.index)]
    a, b = code[pairs["image_a"]].to_numpy(), code[pairs["image_b"]].to_numpy()
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(len(names), len(names)))
    count, component = connected_components(graph, directed=False)
    first = np.full(count, len(names))
    np.minimum.at(first, component, np.arange(len(names)))
    return pd.Series(names[first[component[codes]]], index=lesions.index)


def _majority(members: pd.DataFrame) -> pd.Series:
    """The commonest dx of each unit; the earlier of CLASSES in a tie."""
    counts = members.groupby(["unit", "dx"]).size().unstack(fill_value=0)
    return counts.reindex(columns=list(CLASSES), fill_value=0).idxmax(axis=1)


def _divide(sizes: pd.Series, fractions: Sequence[float], rng: np.random.Generator) -> dict[str, str]:
    """A part for each unit of one class; `sizes` counts the images of each unit.

    In random order, the largest units first, each goes to the part that it leaves least filled: every part
    gets its share of large and of small units, and the last single images even out the fractions. Parts
    still empty are served while as few units remain as they are.
    """
    sizes = sizes.sample(frac=1, random_state=rng).sort_values(ascending=False, kind="stable")
    filled, share, parts = np.zeros(len(PARTS)), np.asarray(fractions, float), {}
    for done, (unit, size) in enumerate(sizes.items()):
        level = (filled + size) / share
        if len(sizes) - done <= (filled == 0).sum():
            level[filled > 0] = np.inf
        part = int(level.argmin())
        filled[part] += size
        parts[unit] = PARTS[part]
    return parts


def _check(index: pd.DataFrame, fractions: Sequence[float], by: str) -> None:
    if by not in ("lesion", "image_leaky"):
        raise ValueError(f"by must be 'lesion' or 'image_leaky', not {by!r}")
    if len(fractions) != len(PARTS) or min(fractions) <= 0 or not np.isclose(sum(fractions), 1):
        raise ValueError(
            f"fractions must be {len(PARTS)} positive numbers ({', '.join(PARTS)}) "
            f"that sum to 1, not {tuple(fractions)}"
        )
    twice, unknown = index["image_id"].duplicated(), ~index["dx"].isin(CLASSES)
    if twice.any():
        raise ValueError(f"image {index.loc[twice, 'image_id'].iloc[0]!r} has several rows; keep one")
    if unknown.any():
        row = index[unknown].iloc[0]
        raise ValueError(
            f"image {row['image_id']!r} has dx {row['dx']!r}, none of {', '.join(CLASSES)}; "
            "leave it out before the split"
        )
