"""Rows of a label file and the image files on disk become the index; what does not fit becomes problems."""

from collections.abc import Iterable

import pandas as pd

from lesionkit.data.listing import Listing
from lesionkit.data.records import INDEX_COLUMNS, TEXT, Record, problem_table

NO_IMAGE, NO_CLASS, SEVERAL_ROWS = "row without image", "label of no class", "several rows for an image"  # problems
Rows = tuple[pd.DataFrame, list[pd.DataFrame]]  # rows, and tables of what is wrong with them


def match_images(rows: pd.DataFrame, listing: Listing, record: Record, named: Iterable[str] | None = None) -> Rows:
    """Index of the images that have both a file and one sound row, and the problems of all the others.

    `rows` has image_id, source_dx (NA: not one-hot), `line` ("file:number") and what else the release tells; `named`: the
    images that the table names (default: those of `rows`).
    """
    images = _pick_files(listing, record)
    unlabelled = images[
        ~images["image_id"].isin(rows["image_id"] if named is None else named)
        & (images["owner"].eq(record.name) | images["image_id"].str.fullmatch(r"ISIC_\d+"))
    ]
    remedy = "Left out: the label file does not name it. Add its row, or remove the file."
    orphans = problem_table("image without row", remedy, image_id=unlabelled["image_id"], file=unlabelled["path"])
    rows, more = _sound_rows(rows, record)
    rows = rows.merge(images[["image_id", "path"]], on="image_id", how="left")
    rows, absent = leave_out(
        rows,
        rows["path"].isna(),
        NO_IMAGE,
        "Left out: no image has this name. Unpack all image parts, or remove the row.",
    )
    return _tidy(rows, record), [orphans, *more, absent]


def _pick_files(listing: Listing, record: Record) -> pd.DataFrame:
    """One file an image: in the data set's own folders if there, and of several copies the largest."""
    images = listing.images[listing.images["owner"].isin([record.name, ""])]
    copied = images["image_id"].duplicated(keep=False)
    sizes = {path: -(listing.folder / path).stat().st_size for path in images["path"][copied]}  # bytes
    order = images.assign(foreign=images["owner"] != record.name, size=images["path"].map(sizes))
    return order.sort_values(["foreign", "size", "path"]).drop_duplicates("image_id")


def _sound_rows(rows: pd.DataFrame, record: Record) -> Rows:
    """Rows with an id, a label of the study and no second row; `dx` is added."""
    rows, nameless = leave_out(
        rows,
        rows["image_id"].isna(),
        NO_IMAGE,
        "Left out: its image column is empty. Fill it, or remove the row.",
    )
    rows, repeated = one_row_an_image(rows, ["source_dx", "lesion_id"])
    rows, blurred = leave_out(
        rows,
        rows["source_dx"].isna(),
        "label not one-hot",
        "Left out: exactly one label must be 1 and all others 0. Correct the row.",
    )
    classes = {label.casefold(): name for label, name in record.labels.items()}
    rows = rows.assign(dx=rows["source_dx"].str.casefold().map(classes).astype(TEXT))
    classless = rows["source_dx"].isin(record.unmapped)
    remedies = [f"Left out: {label!r} is no class of the study." for label in rows["source_dx"][classless]]
    rows, outside = leave_out(rows, classless, NO_CLASS, remedies)
    unknown = rows["dx"].isna()
    known = ", ".join(record.labels)
    remedies = [f"Left out: {label!r} is none of {known}." for label in rows["source_dx"][unknown]]
    rows, foreign = leave_out(rows, unknown, "unknown label", remedies)
    return rows, [nameless, *repeated, blurred, outside, foreign]


def one_row_an_image(rows: pd.DataFrame, telling: list[str]) -> Rows:
    """Of an image's rows that agree in the `telling` columns the first stays; of rows that do not, none."""
    again = rows[rows["image_id"].duplicated(keep=False)]
    differ = again.groupby("image_id")[telling].nunique(dropna=False).gt(1).any(axis=1)
    torn = rows["image_id"].isin(differ.index[differ])
    rows, first = leave_out(
        rows, torn, SEVERAL_ROWS, "All of them left out: they contradict each other. Keep the right one."
    )
    rows, second = leave_out(
        rows,
        rows["image_id"].duplicated(),
        SEVERAL_ROWS,
        "The first is kept: they agree. Remove the others.",
    )
    return rows, [first, second]


def leave_out(rows: pd.DataFrame, bad: pd.Series, problem: str, remedy) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that are not `bad`, and a problem for each of the others, named by their image_id and `line`."""
    left = rows[bad]
    return rows[~bad], problem_table(problem, remedy, image_id=left["image_id"], file=left["line"])


def _tidy(rows: pd.DataFrame, record: Record) -> pd.DataFrame:
    """The index's columns, types and missing values."""
    index = rows.reindex(columns=list(INDEX_COLUMNS)).assign(dataset=record.name)
    index["age"] = pd.to_numeric(index["age"], errors="coerce").astype(float)
    for column in ("lesion_id", "dx_type", "sex", "site"):
        text = index[column].astype(TEXT).str.strip()
        text = text if column == "lesion_id" else text.str.lower()
        index[column] = text.mask(text.str.lower().isin(["", "unknown"]))
    index["sex"] = index["sex"].where(index["sex"].isin(["male", "female"]))
    index["lesion_id"] = index["lesion_id"].fillna(index["image_id"])
    strings = {column: TEXT for column in INDEX_COLUMNS if column != "age"}
    return index.astype(strings).sort_values("image_id", ignore_index=True)
