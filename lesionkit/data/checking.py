"""`lesionkit data check`: what a folder holds, what the releases hold, and all that is wrong with it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lesionkit.data import own
from lesionkit.data.decoding import UnreadableImage, decode
from lesionkit.data.listing import list_folder
from lesionkit.data.pixels import UNREADABLE
from lesionkit.data.readers import Reading, recognise
from lesionkit.data.records import DATASETS, TEXT, DataError, problem_table

_SHOWN = 3  # files named for each kind of problem


@dataclass(frozen=True)
class Report:
    """What `check` found: a reading for each data set in the folder, and all problems in one table."""

    folder: Path
    readings: tuple[Reading, ...]
    problems: pd.DataFrame
    template: str = ""  # a mapping to fill in, where somebody's own table is not understood

    @property
    def fatal(self) -> bool:
        """Whether a problem stops the study."""
        return bool(self.problems["fatal"].any())

    def as_dict(self) -> dict[str, Any]:
        """The report for programs: folder, fatal, datasets (name, layout, images, lesions, labels), problems (a row each),
        and the template of a mapping where one is to be filled in."""
        datasets = [{"dataset": one.record.name, "layout": one.layout, "images": len(one.index),
                     "lesions": int(one.index["lesion_id"].nunique()), "labels": one.index["source_dx"].value_counts().to_dict()}
                    for one in self.readings]  # fmt: skip
        problems = json.loads(self.problems.to_json(orient="records"))  # NA as null
        found = {"folder": str(self.folder), "fatal": self.fatal, "datasets": datasets, "problems": problems}
        return found | ({"template": self.template} if self.template else {})

    def render(self) -> str:
        """The report as plain text."""
        parts = [f"Data in {self.folder}", *map(_render_reading, self.readings)]
        filling = f"Save this as a .toml, fill it in, and give it with --mapping:\n\n{self.template}".rstrip()
        return "\n\n".join([*parts, _render_problems(self.problems), *([filling] if self.template else [])]) + "\n"


def check(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> Report:
    """Read every data set below `folder` and decode every image. Bad data raise nothing: see Report.fatal.

    A data set that is not there is no problem, unless the folder holds none at all. `progress(done, total)`
    is called while the images of each data set are decoded.
    """
    folder = Path(folder)
    try:
        listing = list_folder(folder)
    except DataError as error:
        return Report(folder, (), error.problems)
    every = [recognise(listing, name) for name in DATASETS]
    present = [reading for reading in every if not _absent(reading)]
    if not present:
        return Report(folder, (), pd.concat([reading.problems for reading in every], ignore_index=True))
    readings = tuple(_with_decoded(reading, folder, progress) for reading in present)
    problems = pd.concat([reading.problems for reading in readings], ignore_index=True)
    return Report(folder, readings, problems)


def check_own(
    folder: Path, table: Path, mapping: str = "", *, progress: Callable[[int, int], None] | None = None
) -> Report:
    """As `check`, of somebody's own images by their table, read with a mapping (see `own.recognise`).

    Raises DataError for a mapping that is none.
    """
    try:
        found = own.recognise(folder, table, mapping)
    except DataError as error:
        if error.problems.empty:
            raise
        return Report(Path(folder), (), error.problems)
    reading = _with_decoded(found.reading, folder, progress) if found.reading.layout else found.reading
    return Report(Path(folder), (reading,), reading.problems, found.template)


def verify(
    index: pd.DataFrame, root: Path, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Problems table of the images of `index` (`path` below `root`) that training could not decode.

    `workers` threads decode (default: a few more than cores); the decoder releases Python's lock.
    """

    def fault(path: str) -> str | None:
        try:
            decode(Path(root) / path, 32, "squash")
        except UnreadableImage as error:
            return f"Left out: fetch the file again ({error.__cause__})."

    faults = []
    with ThreadPoolExecutor(workers) as pool:
        for done, found in enumerate(pool.map(fault, index["path"]), 1):
            faults.append(found)
            if progress and (done % 256 == 0 or done == len(index)):
                progress(done, len(index))
    bad = index.assign(remedy=pd.Series(faults, index=index.index, dtype=TEXT)).dropna(subset="remedy")
    return problem_table(UNREADABLE, bad["remedy"], image_id=bad["image_id"], file=bad["path"])


def _absent(reading: Reading) -> bool:
    return not reading.layout and reading.problems["problem"].isin(["no label file", "empty folder"]).all()


def _with_decoded(reading: Reading, folder: Path, progress: Callable[[int, int], None] | None) -> Reading:
    """The reading without the images that cannot be decoded, which join its problems."""
    broken = verify(reading.index, folder, progress=progress)
    index = reading.index[~reading.index["image_id"].isin(broken["image_id"])]
    tables = [reading.problems, broken]
    if index.empty and len(broken):
        tables.append(
            problem_table(
                "no usable image", "None can be decoded: fetch the release again.", file=[str(folder)], fatal=True
            )
        )
    return Reading(reading.record, reading.layout, index, pd.concat(tables, ignore_index=True))


def _render_reading(reading: Reading) -> str:
    record, index = reading.record, reading.index
    if not reading.layout:
        return f"{record.title} (not read: see the problems)"
    whole = f" of {record.lesions:,}" if record.lesions else ""
    wide = max(8, *map(len, record.official)) if record.official else 8
    lines = [
        f"{record.title} (layout: {reading.layout})",
        *([f"  {record.note}"] if record.note else []),
        f"  {'images':<{wide}}{len(index):>8,} of {record.images:,}",
        f"  {'lesions':<{wide}}{index['lesion_id'].nunique():>8,}{whole}",
        f"  {'label':<{wide}}{'found':>8}{'official' if record.name in DATASETS else 'rows':>10}   class",
    ]
    found = index["source_dx"].str.casefold().value_counts()
    for label, official in record.official.items():
        name = record.labels.get(label, "none: left out")
        lines.append(f"  {label:<{wide}}{found.get(label.casefold(), 0):>8,}{official:>10,}   {name}")
    return "\n".join(lines)


def _render_problems(problems: pd.DataFrame) -> str:
    if problems.empty:
        return "No problems."
    lines = ["Problems"]
    for (fatal, kind), group in problems.groupby(["fatal", "problem"], sort=False):
        lines.append(f"  {kind}: {len(group):,}" + (" (stops the study)" if fatal else ""))
        for file, remedy in group[["file", "remedy"]].head(_SHOWN).itertuples(index=False):
            lines.append(f"    {file}: {remedy}")
        if len(group) > _SHOWN:
            lines.append(f"    and {len(group) - _SHOWN:,} more")
    return "\n".join(lines)
