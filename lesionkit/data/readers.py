"""Any known layout of a release becomes the index table; all that is wrong with it, the problems table.

`read` walks the folder once, finds the data set's label file wherever it lies, has the layout's loader turn
it into rows, and joins these with the image files. A new data set is a record in `records.py`, a loader here
and a line in LAYOUTS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lesionkit.data.listing import Listing, from_one_hot, image_ids, list_folder, read_table
from lesionkit.data.matching import Rows, match_images, one_row_an_image
from lesionkit.data.records import (
    CONFIRMATION,
    DATASETS,
    HAM10000,
    INDEX_COLUMNS,
    TEXT,
    DataError,
    Record,
    problem_table,
)


@dataclass(frozen=True)
class Reading:
    """What a folder holds of one data set; `layout` is "" if no label file was found and understood."""

    record: Record
    layout: str
    index: pd.DataFrame
    problems: pd.DataFrame


def read(folder: Path, dataset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Index (a row an image, sorted by image_id) and problems of `dataset`, found anywhere below `folder`.

    `path` is relative to `folder`, `age` in years, missing values NA. Images are matched by name;
    `checking.verify` decodes them. Raises DataError, which holds the problems, if no image is usable or a
    needed file or column is missing.
    """
    return usable(recognise(list_folder(Path(folder)), dataset))


def usable(reading: Reading) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Index and problems of a reading. Raises DataError, which holds the problems, where one is fatal."""
    fatal = reading.problems[reading.problems["fatal"]]
    if len(fatal):
        first = fatal.iloc[0]
        message = f"{reading.record.title}: {first['problem']} ({first['file']}). {first['remedy']}"
        raise DataError(message, reading.problems)
    return reading.index, reading.problems


def recognise(listing: Listing, dataset: str) -> Reading:
    """As `read`, but what stops the study is a fatal row of the problems instead of an error."""
    if dataset not in DATASETS:
        raise DataError(f"unknown data set {dataset!r}; known are {', '.join(DATASETS)}")
    record = DATASETS[dataset]
    try:
        layout, rows, problems = _label_rows(listing, record)
    except DataError as error:
        return Reading(record, "", empty_index(), error.problems)
    index, more = match_images(rows, listing, record)
    problems = [*problems, *more]
    if index.empty:
        problems.append(_nothing_left(listing, record))
    return Reading(record, layout, index, pd.concat(problems, ignore_index=True))


def empty_index() -> pd.DataFrame:
    """An index without a row."""
    return pd.DataFrame(columns=list(INDEX_COLUMNS), dtype=TEXT).astype({"age": float})


# ---- layouts: a loader turns a release's label file into rows and tables of problems


def _ham_metadata(listing: Listing, file: str, record: Record) -> Rows:
    """HAM10000_metadata (.csv, .tab or no ending): one table holds it all."""
    rows, problems = read_table(
        listing, file, ["image_id", "dx"], ["lesion_id", "dx_type", "age", "sex", "localization"], ["dataset"]
    )
    rows = rows.rename(columns={"localization": "site", "dx": "source_dx"})
    rows["source_dx"] = rows["source_dx"].str.strip().fillna("")  # NA would say: not one-hot
    archive = rows.pop("dataset").str.strip()  # vidir_modern, rosendahl, …: whose images HAM10000 was put together from
    return rows.assign(image_id=image_ids(rows["image_id"]), source=archive.fillna("HAM10000")), [problems]


def _isic2018(listing: Listing, file: str, record: Record) -> Rows:
    """ISIC 2018 Task 3: one-hot labels; lesions and confirmation in the groupings; no age, sex or site."""
    rows = _one_hot(listing, file, [label.upper() for label in record.labels])
    groups, problems = _companion(
        listing, r"isic.?2018_task3_training_lesiongroupings\.csv", ["lesion_id", "diagnosis_confirm_type"]
    )
    rows = rows.merge(groups, on="image_id", how="left")
    confirmation = rows.pop("diagnosis_confirm_type").str.strip().str.lower()
    return rows.assign(dx_type=confirmation.map(CONFIRMATION), source="HAM10000"), problems


def _isic2019(listing: Listing, file: str, record: Record) -> Rows:
    """ISIC 2019 training: one-hot labels, and metadata whose lesion ids begin with the archive's name."""
    rows = _one_hot(listing, file, list(record.labels), list(record.unmapped))
    metadata, problems = _companion(
        listing, r"isic.?2019_training_metadata\.csv", ["age_approx", "anatom_site_general", "lesion_id", "sex"]
    )
    rows = rows.merge(metadata, on="image_id", how="left")
    rows = rows.rename(columns={"age_approx": "age", "anatom_site_general": "site"})
    archives = {"HAM": "HAM10000", "BCN": "BCN_20000"}
    source = rows["lesion_id"].str.extract("^(HAM|BCN)_", expand=False).map(archives).astype(TEXT)
    # The rest is MSK's, most of it without lesion ids; where there are no metadata nothing says whose it is.
    source = source.mask(source.isna() & rows["image_id"].isin(metadata["image_id"]), "MSK")
    source = source.mask(rows["image_id"].isin(_ham_ids(listing)), "HAM10000")
    return rows.assign(source=source), problems


@dataclass(frozen=True)
class Layout:
    """How a data set lies in a folder: what tells that it does, and who reads it."""

    title: str
    labels: str  # the label file's whole name, a regular expression
    load: Callable[[Listing, str, Record], Rows]
    beside: str = ""  # a file that only this layout has


_METADATA = r"ham10000_metadata(?:\.(?:csv|tab|tsv|txt))?"
LAYOUTS = {  # the first that fits is read
    "ham10000": (
        Layout("Kaggle", _METADATA, _ham_metadata, beside=r"hmnist_.+\.csv"),
        Layout("Harvard Dataverse", _METADATA, _ham_metadata),
        Layout("ISIC 2018 Task 3", r"isic.?2018_task3_training_groundtruth\.csv", _isic2018),
        Layout("Kaggle, with masks", r"groundtruth\.csv", _isic2018),  # the same table under a shorter name
    ),
    "isic2019": (Layout("ISIC 2019 challenge", r"isic.?2019_training_groundtruth\.csv", _isic2019),),
}


def _label_rows(listing: Listing, record: Record) -> tuple[str, pd.DataFrame, list[pd.DataFrame]]:
    for layout in LAYOUTS[record.name]:
        files = listing.named(layout.labels)
        if files and (not layout.beside or listing.named(layout.beside)):
            rows, problems = layout.load(listing, files[0], record)
            for other in files[1:]:
                _check_same(rows, layout.load(listing, other, record)[0], files[0], other)
            return layout.title, rows, problems
    empty = not listing.others and listing.images.empty
    raise DataError.about(
        "empty folder" if empty else "no label file",
        str(listing.folder),
        f"Unpack images and tables of {record.title} there, from {record.home}.",
    )


def _check_same(rows: pd.DataFrame, others: pd.DataFrame, file: str, other: str) -> None:
    """The same table twice (.csv beside .tab) is no harm; two releases in a folder cannot be told apart."""
    columns = ["image_id", "source_dx"]
    mine, theirs = (table[columns].sort_values(columns, ignore_index=True) for table in (rows, others))
    if not mine.equals(theirs):
        raise DataError.about(
            "several label files", f"{file}, {other}", "They differ: keep one, or give a folder that has one."
        )


def _ham_ids(listing: Listing) -> pd.Series:
    try:
        return _label_rows(listing, HAM10000)[1]["image_id"].dropna()
    except DataError:
        return pd.Series(dtype=TEXT)


def _one_hot(listing: Listing, file: str, labels: list[str], optional: list[str] = ()) -> pd.DataFrame:
    """Rows of a one-hot table; source_dx is NA where not exactly one column is 1 and all the others 0."""
    table, _ = read_table(listing, file, ["image", *labels], list(optional))
    table = table.fillna(dict.fromkeys(optional, "0"))
    found = from_one_hot(table[[*labels, *optional]])
    return pd.DataFrame({"image_id": image_ids(table["image"]), "source_dx": found, "line": table["line"]})


def _companion(listing: Listing, pattern: str, columns: list[str]) -> Rows:
    """The table that goes with a label file; one row an image, none at all if it is missing."""
    files = listing.named(pattern)
    if not files:
        name = pattern.replace(".?", "_").replace("\\", "")
        remedy = (
            f"{name} is missing, so each image counts as its own lesion and a split can leak: fetch it "
            "from the official release."
        )
        missing = problem_table("missing file", remedy, file=[str(listing.folder)])
        return pd.DataFrame(columns=["image_id", *columns], dtype=TEXT), [missing]
    table, problems = read_table(listing, files[0], ["image"], columns)
    table = table.assign(image_id=image_ids(table["image"])).dropna(subset="image_id")
    table, repeated = one_row_an_image(table, ["lesion_id"])
    return table[["image_id", *columns]], [problems, *repeated]


def _nothing_left(listing: Listing, record: Record) -> pd.DataFrame:
    archives = listing.named(r".+\.(?:zip|tar|gz|7z)")
    remedy = (
        f"Unpack {', '.join(archives[:4])} beside the label file."
        if archives
        else f"Put the image folders of {record.title} ({record.home}) beside its label file."
    )
    return problem_table("no usable image", remedy, file=[str(listing.folder)], fatal=True)
