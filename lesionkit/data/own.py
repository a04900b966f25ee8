"""Anybody's images beside a table of their own: the table's words become ours, its rows find their files.

What the table's columns and labels mean is said by a mapping (`mapping.py`), or recognised. Matching and its problems are
those of the releases (`matching.py`).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path, PurePosixPath

import pandas as pd

from lesionkit.data import IMAGES, mapping, readers
from lesionkit.data.listing import NOT_A_PHOTOGRAPH, Listing, from_one_hot, read_text, walk
from lesionkit.data.mapping import SCC, TableMapping, key
from lesionkit.data.matching import Rows, leave_out, match_images
from lesionkit.data.readers import Reading, empty_index
from lesionkit.data.records import CLASSES, TEXT, DataError, Record, problem_table

COLUMNS = {"label": "source_dx", "lesion": "lesion_id", "confirmation": "dx_type"}  # of the index, where named otherwise
MAP_IT = "Name it in a mapping; `lesionkit data check` writes one to fill in."
SEXES = {"m": "male", "f": "female", "w": "female"}
_BYTES = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # how a table in UTF-16 begins
_AGES = 0, 120  # years


@dataclass(frozen=True)
class Own:
    """What a folder and its table, of so many `rows`, hold."""

    reading: Reading
    rows: int
    template: str = ""  # a mapping to fill in, where the table is not understood


def recognise(folder: Path, table: Path, name: str = "") -> Own:
    """Index and problems of the images in `folder` by their table (CSV), read with the mapping `name`.

    What stops is a fatal row of the problems; where a label or a column is not understood `template` holds a mapping to
    fill in. `image_id` is a file's name without ending, or its path where names repeat; `lesion_id` the lesion, else the
    patient, else the image. Raises DataError where there is no such folder, table or mapping, or it cannot be read.
    """
    folder, table = Path(folder), Path(table)
    how = mapping.load(name)
    text = _read(table)
    columns = {fact: _present(text, names) for fact, names in how.columns.items()}
    title = how.title or table.stem
    images = _image_files(folder)
    try:
        rows, named, ambiguous = _find_files(_rows(text, columns, how, table.name), images)
        rows, problems = _sound(rows, how, table.name)
    except DataError as error:
        return Own(Reading(_record(title, how, {}), "", empty_index(), error.problems), len(text), _template(text, columns, how))
    record = _record(title, how, rows["source_dx"].value_counts().to_dict())
    listing = Listing(folder, images[["image_id", "path"]].assign(owner=record.name), ())
    index, more = match_images(rows, listing, record, named)
    absent = [f"{' or '.join(how.columns[fact])} ({fact}) is not there, and left empty." for fact in sorted(how.own) if not columns[fact]]
    problems = [problem_table("missing column", absent, file=[table.name] * len(absent)), ambiguous, *problems, *more]
    if index.empty:
        remedy = f"None of {len(text):,} rows has an image of a known label in {folder}: see the other problems."
        problems.append(problem_table("no usable image", remedy, file=[table.name], fatal=True))
    layout = ", ".join(f"{fact} = {' or '.join(found)}" for fact, found in columns.items() if found)
    return Own(Reading(record, layout, index, pd.concat(problems, ignore_index=True)), len(text))


def external(root: Path, table: str = "", name: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Index and problems, as of `readers.read`, of a study's images from outside: ISIC 2019, or somebody's own.

    table: below `root`, beside its images or above them; name: a mapping, as of `recognise`, or a .toml below `root`. `path`
    is relative to `root`. Raises DataError for what cannot be used.
    """
    if not table:
        return readers.read(root, "isic2019")
    folder = (Path(root) / table).parent
    name = str(Path(root) / name) if name.endswith(".toml") else name
    index, problems = readers.usable(recognise(folder, Path(root) / table, name).reading)
    below = folder.relative_to(root).as_posix()
    return index.assign(path=index["path"].map(f"{below}/{{}}".format) if below != "." else index["path"]), problems


def _read(table: Path) -> pd.DataFrame:
    """All of the table as text, whatever wrote it: UTF-8, UTF-16, or the Windows code page of Western Europe."""
    try:
        start = table.read_bytes()
    except OSError as error:
        raise DataError.about("unreadable table", str(table), f"Give a CSV file ({error.strerror}).") from error
    if start.startswith(b"PK"):
        raise DataError.about("unreadable table", table.name, "It is an Excel or a zip file: save it as CSV.")
    encoding = next((name for mark, name in _BYTES if start.startswith(mark)), "utf-8-sig")
    try:
        start.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"
    text = read_text(table, table.name, encoding).rename(columns=lambda name: str(name).strip())
    text = text.apply(lambda column: column.str.strip())
    return text.mask(text == "")


def _present(text: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """The table's columns of these names, in the order of the names."""
    return [column for name in names for column in text if key(column) == key(name)]


def _first(text: pd.DataFrame, columns: list[str]) -> pd.Series | None:
    """The first filled cell of each row; None without a column."""
    return reduce(pd.Series.fillna, (text[column] for column in columns)) if columns else None


def _rows(text: pd.DataFrame, columns: Mapping[str, list[str]], how: TableMapping, file: str) -> pd.DataFrame:
    """A row a row of the table: image, source_dx and what else is known, `line`; raises DataError for what must be there."""
    there = f"The table has {', '.join(text)}."
    for fact in ("image", "label"):
        if fact in how.own and not columns[fact]:
            raise DataError.about("missing column", file, f"{' or '.join(how.columns[fact])} ({fact}) is not there. {there}")
    if not columns["image"]:
        raise DataError.about("no column of images", file, f"{MAP_IT} {there}")
    if len(columns["label"]) > 1 and "label" not in how.own:
        raise DataError.about("several columns of labels", file, f"{', '.join(columns['label'])}: name one in a mapping.")
    facts = {COLUMNS.get(fact, fact): _first(text, found) for fact, found in columns.items()}
    rows = pd.DataFrame(facts, index=text.index).astype(TEXT)
    if not columns["label"]:
        hot = [column for column in text if key(column) in how.labels or key(column) == "unk"]
        if not hot:
            raise DataError.about("no column of labels", file, f"{MAP_IT} {there}")
        rows["source_dx"] = from_one_hot(text[hot])
    return rows.assign(image_id=rows["image"], line=[f"{file}:{number}" for number in range(2, len(text) + 2)])


def _sound(rows: pd.DataFrame, how: TableMapping, file: str) -> Rows:
    """Rows with a label that the mapping knows, in our words; raises DataError, naming the labels, where it knows not all."""
    rows, bare = leave_out(rows, rows["source_dx"].isna(), "row without label", "Left out: fill in its label.")
    labels = rows["source_dx"].map(key)
    rows = rows.assign(source_dx=_one_spelling(rows["source_dx"]))
    unknown = rows["source_dx"][~labels.isin(how.labels)].value_counts()
    if len(unknown):
        named = ", ".join(f"{label!r} ({n:,})" for label, n in unknown.head(8).items()) + ", …" * (len(unknown) > 8)
        raise DataError.about("unknown label", file, f"{len(unknown)} labels are of no known class: {named}. Give each one in a mapping: "
                              "`lesionkit data check` writes one to fill in.")  # fmt: skip
    rows["source_dx"] = rows["source_dx"].mask(labels.map(how.labels) == SCC, SCC)  # so that results without it stand beside
    rows["dx_type"] = rows["dx_type"].map(lambda word: how.confirmation.get(key(word), word), na_action="ignore")
    rows["sex"] = rows["sex"].map(lambda word: SEXES.get(key(word), word), na_action="ignore")
    rows["source"] = rows["source"].fillna(how.title or Path(file).stem)
    age = pd.to_numeric(rows["age"].str.replace(",", "."), errors="coerce")
    age = age.where(age.between(*_AGES))
    odd = rows[age.isna() & rows["age"].notna()]
    strange = problem_table("age is no number of years", [f"{text!r}: left empty. Correct it." for text in odd["age"]],
                            file=odd["line"])  # fmt: skip
    rows = rows.assign(age=age, lesion_id=_lesions(rows))
    return rows, [bare, strange, _torn(rows, labels.map(how.class_of))]


def _one_spelling(labels: pd.Series) -> pd.Series:
    """Labels that differ in case and spaces alone, all as the first of them is written."""
    return labels.groupby(labels.map(key, na_action="ignore")).transform("first")


def _lesions(rows: pd.DataFrame) -> pd.Series:
    """The lesion, else the patient. Lesions that are numbered anew for each patient are told apart."""
    lesion, patient = rows["lesion_id"], rows["patient"]
    shared = patient.groupby(lesion).transform("nunique") > 1
    return lesion.mask(shared.fillna(False), patient + "/" + lesion).fillna(patient)


def _torn(rows: pd.DataFrame, dx: pd.Series) -> pd.DataFrame:
    """The problem of lesions of several classes, where lesions are named: a number may stand for two of them."""
    several = dx.groupby(rows["lesion_id"]).transform("nunique") > 1
    rows = rows[several & (rows["patient"].isna() | (rows["lesion_id"] != rows["patient"]))]
    remedy = "Kept: the images of one lesion should have one label. Is its number used for another lesion, too?"
    return problem_table("lesion of several classes", remedy, image_id=rows["image_id"], file=rows["line"])


def _image_files(folder: Path) -> pd.DataFrame:
    """All image files below `folder`: image_id, path, parts (of the path, case folded, without ending), ending."""
    files = [PurePosixPath(prefix + name) for prefix, names in walk(folder) for name in names]
    files = [file for file in files if file.suffix.lower() in IMAGES and not NOT_A_PHOTOGRAPH.search(file.stem)]
    stems = pd.Series([file.stem.removesuffix("_downsampled") for file in files], dtype=TEXT)
    ids = stems
    for longer in ([str(file.with_suffix("")) for file in files], map(str, files)):  # where names repeat
        ids = ids.mask(ids.str.casefold().duplicated(keep=False), pd.Series(longer, dtype=TEXT))
    table = pd.DataFrame({"image_id": ids})
    parts = [_parts(str(file)) for file in files]
    return table.assign(path=[str(file) for file in files], parts=[one for one, _ in parts], ending=[end for _, end in parts])


def _parts(path: str) -> tuple[tuple[str, ...], str]:
    """The parts of a path as a table or a folder has it, from either kind of system; and the ending of an image, or ""."""
    parts = [part for part in path.replace("\\", "/").casefold().split("/") if part not in ("", ".")]
    name = PurePosixPath(parts[-1] if parts else "")
    ending = name.suffix if name.suffix in IMAGES else ""
    return (*parts[:-1], str(name).removesuffix(ending).removesuffix("_downsampled")), ending


def _find_files(rows: pd.DataFrame, images: pd.DataFrame) -> tuple[pd.DataFrame, set[str], pd.DataFrame]:
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
    rows, ambiguous = leave_out(rows, several, "several images for a row", remedy)
    return rows, {name for one in found for name in one}, ambiguous


def _record(title: str, how: TableMapping, counts: Mapping[str, int]) -> Record:
    """What is known of this data set, as of a release: `official` counts the table's rows of each label, class by class."""
    classes = {label: how.class_of(label) for label in counts}
    labels = {label: dx for known in CLASSES for label, dx in classes.items() if dx == known}
    unmapped = tuple(label for label, dx in classes.items() if not dx)
    official = {label: counts[label] for label in (*labels, *unmapped)}
    return Record(name="own", title=title, labels=labels, official=official, lesions=None, folders="", licence="", attribution="",
                  citations=(), home="", unmapped=unmapped, note=how.note)  # fmt: skip


def _template(text: pd.DataFrame, columns: Mapping[str, list[str]], how: TableMapping) -> str:
    """A mapping for this table, as far as it is understood."""
    label = columns["label"]
    counts = _one_spelling(text[label[0]]).value_counts() if len(label) == 1 else pd.Series(dtype=int)
    known = {fact: found[0] for fact, found in columns.items() if len(found) == 1}
    return mapping.template(known, counts, how.labels, how.columns)
