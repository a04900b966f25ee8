"""What lies in a data folder: its image files by ISIC id, and its tables, read as text."""

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesionkit.data.records import DATASETS, TEXT, DataError, problem_table

_IMAGE_ENDING = re.compile(r"(.+)\.(?:jpe?g|png)", re.IGNORECASE)
NOT_A_PHOTOGRAPH = re.compile(r"_(?:segmentation|superpixels|attribute_\w+)$", re.IGNORECASE)
# Releases, and parts of them, that no record describes; ISIC 2018's tasks 1 and 2 hold some HAM10000 images.
_OTHER_RELEASE = re.compile(r"isic.?20\d\d.*(?:test|validation|task.?[12])|isic.?20(?:16|17|20|24)", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """One walk of `folder`; all paths are POSIX strings relative to it, in sorted order."""

    folder: Path
    images: pd.DataFrame  # image_id, path, owner (the data set whose folder holds it, or "")
    others: tuple[str, ...]  # every file that is no image

    def named(self, pattern: str) -> list[str]:
        """Files whose whole name matches the regular expression, case ignored."""
        name = re.compile(pattern, re.IGNORECASE)
        return [path for path in self.others if name.fullmatch(path.rpartition("/")[2])]


def list_folder(folder: Path) -> Listing:
    """Walk `folder`. Raises DataError if it cannot."""
    images, others = [], []
    for prefix, names in walk(folder):
        owner = _owner(prefix)
        for name in names:
            match = _IMAGE_ENDING.fullmatch(name)
            if not match:
                others.append(prefix + name)
            elif owner is not None and not NOT_A_PHOTOGRAPH.search(match[1]):
                images.append((match[1].removesuffix("_downsampled"), prefix + name, owner))
    table = pd.DataFrame(images, columns=["image_id", "path", "owner"], dtype=TEXT)
    return Listing(folder, table, tuple(sorted(others)))


def _unlisted(error: OSError) -> None:
    remedy = f"Check who may read it ({error.strerror})."
    raise DataError.about("unreadable folder", str(error.filename), remedy) from error


def walk(folder: Path, unlisted: Callable[[OSError], None] | None = _unlisted) -> Iterator[tuple[str, list[str]]]:
    """Each folder below, as "" or "sub/folder/", with the names of its files, sorted: links followed, hidden files and
    macOS's leavings not. Raises DataError where there is no folder, or one cannot be read; with None this is passed over.
    """
    if not folder.is_dir():
        raise DataError.about("missing folder", str(folder), "Give the folder of images and label file.")
    seen = set()
    for base, folders, names in os.walk(folder, followlinks=True, onerror=unlisted):
        real = os.path.realpath(base)
        if real in seen:  # a link back up would go round for ever
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        prefix = "" if base == str(folder) else Path(base).relative_to(folder).as_posix() + "/"
        yield prefix, sorted(name for name in names if not name.startswith("."))


def read_table(
    listing: Listing, file: str, needed: list[str], optional: list[str], newer: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The `needed` and `optional` columns of a table as text, with `line` ("file:number"); and its problems.

    Commas, semicolons or tabs, quoted or not; case and outer spaces of column names are ignored. A missing
    optional column is all NA and a problem; a missing needed one raises DataError; one of `newer`, which older editions
    of the release lack, is all NA and no problem.
    """
    table = read_text(listing.folder / file, file)
    table.columns = [str(name).strip().casefold() for name in table.columns]
    wanted = {name.casefold(): name for name in [*needed, *optional, *newer]}
    missing = [name for key, name in wanted.items() if key not in table.columns and name not in newer]
    for name in missing:
        if name in needed:
            raise DataError.about(
                "missing column",
                file,
                f"Column {name!r} is not among {', '.join(table.columns)}: fetch the official release's table again.",
            )
    lines = [f"{file}:{number}" for number in table.index]
    table = table.reindex(columns=list(wanted)).rename(columns=wanted).astype(TEXT).assign(line=lines)
    table = table.reset_index(drop=True)
    remedies = [_without(name) for name in missing]
    return table, problem_table("missing column", remedies, file=[file] * len(missing))


def image_ids(column: pd.Series) -> pd.Series:
    """ISIC ids of a table's image column: no file ending, no `_downsampled`; blank becomes NA."""
    ending = r"(?i)(?:_downsampled)?(?:\.(?:jpe?g|png))?$"
    ids = column.str.strip().str.replace(ending, "", regex=True)
    return ids.mask(ids == "")


def from_one_hot(table: pd.DataFrame) -> pd.Series:
    """The name of the column that is 1 in each row; NA where not exactly one is 1 and all the others 0."""
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(float)  # (n, labels)
    valid = np.isin(values, (0, 1)).all(axis=1) & (values.sum(axis=1) == 1)
    names = np.asarray(table.columns, dtype=object)[values.argmax(axis=1)]
    return pd.Series(names, index=table.index, dtype=TEXT).where(valid)


def _owner(prefix: str) -> str | None:
    """The data set that the innermost telling folder means; "" if none tells, None for another release."""
    for part in reversed(prefix.split("/")):
        if _OTHER_RELEASE.search(part):
            return None
        for record in DATASETS.values():
            if re.search(record.folders, part, re.IGNORECASE):
                return record.name
    return ""


def read_text(path: Path, file: str, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """All of a table as text: commas, semicolons or tabs, quoted or not; its index is the line where a row begins.

    Empty rows are left out. Raises DataError where it cannot be read.
    """
    try:
        with path.open(encoding=encoding) as lines:
            above, header = next(((number, line) for number, line in enumerate(lines) if line.strip()), (0, ""))
        separator = max(",\t;", key=header.count)
        table = pd.read_csv(path, sep=separator, dtype=TEXT, encoding=encoding, quoting=csv.QUOTE_MINIMAL,
                            skiprows=above, skip_blank_lines=False)  # fmt: skip
    except (OSError, UnicodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise DataError.about("unreadable table", file, f"Fetch it again ({str(error).strip()}).") from error
    within = (table[name].str.count("\n").fillna(0).to_numpy(int) for name in table)  # cells of several lines
    breaks = sum(within, np.zeros(len(table), int))
    first = above + 2 + sum(str(name).count("\n") for name in table)
    return table.set_axis(first + np.cumsum(breaks + 1) - breaks - 1, axis=0).dropna(how="all")



def _without(column: str) -> str:
    if column == "lesion_id":
        return (
            "Column 'lesion_id' is missing, so each image counts as its own lesion and a split can leak: "
            "fetch the official release's table again."
        )
    return f"Column {column!r} is missing and left empty: fetch the official release's table again."
