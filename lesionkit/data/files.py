"""Which image file a row of somebody's own table means: by name, and by as much of the path as both of them give."""

from collections import defaultdict
from pathlib import Path, PurePosixPath

import pandas as pd

from lesionkit.data import IMAGES
from lesionkit.data.listing import NOT_A_PHOTOGRAPH, walk
from lesionkit.data.matching import leave_out
from lesionkit.data.records import TEXT

AMBIGUOUS = "several images for a row"  # a problem


def image_files(folder: Path) -> pd.DataFrame:
    """All image files below `folder`: image_id, path, parts (of the path, case folded, without ending), ending."""
    files = [PurePosixPath(prefix + name) for prefix, names in walk(folder) for name in names]
    files = [file for file in files if file.suffix.lower() in IMAGES and not NOT_A_PHOTOGRAPH.search(file.stem)]
    stems = pd.Series([file.stem.removesuffix("_downsampled") for file in files], dtype=TEXT)
    ids = stems
    for longer in ([str(file.with_suffix("")) for file in files], map(str, files)):  # where names repeat
        ids = ids.mask(ids.str.casefold().duplicated(keep=False), pd.Series(longer, dtype=TEXT))
    table = pd.DataFrame({"image_id": ids})
    parts = [_parts(str(file)) for file in files]
    paths = [str(file) for file in files]
    return table.assign(path=paths, parts=[one for one, _ in parts], ending=[end for _, end in parts])


def _parts(path: str) -> tuple[tuple[str, ...], str]:
    """The parts of a path as a table or a folder has it, from either kind of system; and the ending of an image, or ""."""
    parts = [part for part in path.replace("\\", "/").casefold().split("/") if part not in ("", ".")]
    name = PurePosixPath(parts[-1] if parts else "")
    ending = name.suffix if name.suffix in IMAGES else ""
    return (*parts[:-1], str(name).removesuffix(ending).removesuffix("_downsampled")), ending


def find_files(rows: pd.DataFrame, images: pd.DataFrame) -> tuple[pd.DataFrame, set[str], pd.DataFrame]:
    """The rows with `image_id` of the file that is meant, or the table's own word where there is none; all images that are
    named; and the problem of rows that may mean several files, which are left out.

    A row means a file if all that both say of the path agrees, from its end: "a.jpg" or "x/a" is "x/a.jpg", and so is
    "C:\\export\\x\\a.jpg"; "y/a.jpg" is not.
    """
    by_name = defaultdict(list)
    for image in images.itertuples():
        by_name[image.parts[-1]].append(image)

    def meant(cell: str) -> list[str]:
        parts, ending = _parts(cell)
        fit = [one for one in by_name[parts[-1]] if all(a == b for a, b in zip(parts[::-1], one.parts[::-1]))]
        return [one.image_id for one in fit if one.ending == ending] or [one.image_id for one in fit]

    found = [meant(cell) if isinstance(cell, str) else [] for cell in rows["image"]]
    ids = [one[0] if one else cell for one, cell in zip(found, rows["image"])]
    several = pd.Series([len(one) > 1 for one in found], index=rows.index, dtype=bool)
    remedy = "Left out: files of this name are in several folders, or of several kinds. Give path and ending."
    rows = rows.assign(image_id=pd.Series(ids, rows.index, dtype=TEXT))
    rows, ambiguous = leave_out(rows, several, AMBIGUOUS, remedy)
    return rows, {name for one in found for name in one}, ambiguous
