"""Anybody's images beside a table of their own: the table's words become ours, its rows find their files.

What the table's columns and labels mean is said by a mapping (`mapping.py`), or recognised. Matching and its problems are
those of the releases (`matching.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path, PurePosixPath

import pandas as pd

from lesionkit.data import mapping, readers
from lesionkit.data.files import find_files, image_files
from lesionkit.data.listing import Listing, from_one_hot, read_text
from lesionkit.data.mapping import FILL_IN, SCC, TableMapping, key
from lesionkit.data.matching import Rows, leave_out, match_images
from lesionkit.data.readers import Reading, empty_index
from lesionkit.data.records import CLASSES, LABELS, TEXT, DataError, Record, problem_table
from lesionkit.settings import NO_IMAGES

COLUMNS = {"label": "source_dx", "lesion": "lesion_id", "confirmation": "dx_type"}  # of the index, where named otherwise
MAP_IT = "Name it in a mapping; `lesionkit data check` writes one to fill in."
GIVE_EACH = "Give each one its class in a mapping: `lesionkit data check` writes one to fill in."
SEXES = {"m": "male", "male": "male", "man": "male", "männlich": "male", "homme": "male", "hombre": "male", "uomo": "male",
         "f": "female", "w": "female", "female": "female", "woman": "female", "weiblich": "female", "femme": "female",
         "mujer": "female", "donna": "female"}  # fmt: skip
UNTOLD = ("", "unknown", "na", "n/a", "u", "?")
_BYTES = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # how a table in UTF-16 begins
NO_LABEL = "row without label"  # a problem
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
    images = image_files(folder)
    try:
        rows, named, ambiguous = find_files(_rows(text, columns, how, table.name), images)
        rows, problems = _sound(rows, how, table.name)
    except DataError as error:
        reading = Reading(_record(title, how), "", empty_index(), error.problems)
        return Own(reading, len(text), _template(text, columns, how, title))
    record = _record(title, how, rows)
    listing = Listing(folder, images[["image_id", "path"]].assign(owner=record.name), ())
    index, more = match_images(rows, listing, record, named)
    absent = [f"{' or '.join(how.columns[fact])} ({fact}) is not there, and left empty."
              for fact in sorted(how.own) if not columns[fact]]  # fmt: skip
    problems = [problem_table("missing column", absent, file=[table.name] * len(absent)), ambiguous, *problems, *more]
    if index.empty:
        remedy = f"None of {len(text):,} rows has an image of a known label in {folder}: see the other problems."
        problems.append(problem_table("no usable image", remedy, file=[table.name], fatal=True))
    layout = ", ".join(f"{fact} = {' or '.join(found)}" for fact, found in columns.items() if found)
    return Own(Reading(record, layout, index, pd.concat(problems, ignore_index=True)), len(text))


def external(root: Path, table: str = "", name: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Index and problems, as of `readers.read`, of a study's images from outside: ISIC 2019, or somebody's own.

    table: in a folder below `root`, beside its images or above them; name: a mapping, as of `recognise`, or a .toml
    below `root`. `path` is relative to `root`. table "none": no image. Raises DataError for what cannot be used.
    """
    if table == NO_IMAGES:
        return readers.empty_index(), problem_table()
    if not table:
        return readers.read(root, "isic2019")
    below = PurePosixPath(Path(table).parent.as_posix())
    folder = Path(root) / below
    index, problems = readers.usable(recognise(folder, Path(root) / table, mapping.file_of(name, root)).reading)
    return index.assign(path=index["path"].map(lambda path: str(below / path))), problems


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
    return text.mask(text == "").dropna(how="all")


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
            named = " or ".join(how.columns[fact])
            raise DataError.about("missing column", file, f"{named} ({fact}) is not there. {there}")
    if not columns["image"]:
        raise DataError.about("no column of images", file, f"{MAP_IT} {there}")
    if len(columns["label"]) > 1 and "label" not in how.own:
        named = ", ".join(columns["label"])
        raise DataError.about("several columns of labels", file, f"{named}: name one in a mapping.")
    facts = {COLUMNS.get(fact, fact): _first(text, found) for fact, found in columns.items()}
    rows = pd.DataFrame(facts, index=text.index).astype(TEXT)
    if not columns["label"]:
        hot = _hot(text, how)
        if not hot:
            raise DataError.about("no column of labels", file, f"{MAP_IT} {there}")
        rows["source_dx"] = from_one_hot(text[hot])
        _check_hot(text, hot, _strangers(text, columns, hot), rows["source_dx"], file)
    return rows.assign(image_id=rows["image"], line=[f"{file}:{number}" for number in text.index])


def _hot(text: pd.DataFrame, how: TableMapping) -> list[str]:
    """Columns that are called as labels are."""
    return [column for column in text if key(column) in how.labels or key(column) == "unk"]


def _strangers(text: pd.DataFrame, columns: Mapping[str, list[str]], hot: list[str]) -> list[str]:
    """Columns that may be labels beside `hot`: 0 and 1 alone, and 1 only in rows where none of these is."""
    none, taken = text[hot].apply(pd.to_numeric, errors="coerce").eq(0).all(axis=1), {*hot, *sum(columns.values(), [])}
    others = {column: pd.to_numeric(text[column], errors="coerce") for column in text if column not in taken}
    binary = {column: found.eq(1) for column, found in others.items() if found.isin((0, 1)).all()}
    return [column for column, one in binary.items() if one.any() and none[one].all()]


def _check_hot(text: pd.DataFrame, hot: list[str], strangers: list[str], labels: pd.Series, file: str) -> None:
    """Raises DataError where some columns of labels are not known: their images would be missing, and all seem well."""
    if len(hot) > 1 and not strangers and labels.isna().mean() <= 0.5:
        return
    also = f"{', '.join(strangers)} may be labels, too. {GIVE_EACH}"
    remedy = also if strangers else "Add a column for each other label, or one with all."
    said = f"{labels.isna().sum():,} of {len(text):,} rows have no single 1 in {', '.join(hot)}."
    raise DataError.about("labels not one-hot", file, f"{said} {remedy}")


def _sound(rows: pd.DataFrame, how: TableMapping, file: str) -> Rows:
    """Rows with a label that the mapping knows, in our words; raises DataError, naming the labels, where it knows not all."""
    rows, bare = leave_out(rows, rows["source_dx"].isna(), NO_LABEL, "Left out: fill in its label.")
    labels = rows["source_dx"].map(key)
    rows = rows.assign(source_dx=_one_spelling(rows["source_dx"]))
    unknown = rows["source_dx"][~labels.isin(how.labels)].value_counts()
    if len(unknown):
        named = ", ".join(f"{label!r} ({n:,})" for label, n in unknown.head(8).items()) + ", …" * (len(unknown) > 8)
        told = f"{len(unknown)} labels are of no known class: {named}."
        raise DataError.about("unknown label", file, f"{told} {GIVE_EACH}")
    rows = rows.assign(known=labels.map(how.labels))
    called = labels.eq(key(SCC)) & rows["known"].map(mapping.class_of).ne(LABELS[key(SCC)])  # theirs, for another thing
    rows["source_dx"] = rows["source_dx"].mask(called, rows["source_dx"] + " (the table's)")
    rows["source_dx"] = rows["source_dx"].mask(rows["known"] == SCC, SCC)  # so that results without it stand beside
    rows["dx_type"] = rows["dx_type"].map(lambda word: how.confirmation.get(key(word), word), na_action="ignore")
    sex = rows["sex"].map(lambda word: SEXES.get(key(word)), na_action="ignore")
    other = rows[sex.isna() & ~rows["sex"].fillna("").map(key).isin(UNTOLD)]
    unknown = problem_table("sex is no word that is known", [f"{text!r}: left empty. Write male or female." for text in other["sex"]],
                            file=other["line"])  # fmt: skip
    rows["sex"] = sex
    rows["source"] = rows["source"].fillna(how.title or Path(file).stem)
    age = pd.to_numeric(rows["age"].str.replace(",", "."), errors="coerce")
    age = age.where(age.between(*_AGES))
    odd = rows[age.isna() & rows["age"].notna()]
    strange = problem_table("age is no number of years", [f"{text!r}: left empty. Correct it." for text in odd["age"]],
                            file=odd["line"])  # fmt: skip
    named = rows["lesion_id"].notna()
    rows = rows.assign(age=age, lesion_id=_lesions(rows))
    return rows, [bare, strange, unknown, _torn(rows, named)]


def _one_spelling(labels: pd.Series) -> pd.Series:
    """Labels that differ in case and spaces alone, all as the first of them is written."""
    return labels.groupby(labels.map(key, na_action="ignore")).transform("first")


def _lesions(rows: pd.DataFrame) -> pd.Series:
    """The lesion, else the patient, else the image. Lesions that are numbered anew for each patient are told apart; and
    a patient or an image that is called as a lesion is "patient 3" or "image 3".
    """
    lesion, patient = rows["lesion_id"], rows["patient"]
    shared = patient.groupby(lesion).transform("nunique") > 1
    found = lesion.mask(shared.fillna(False), patient + "/" + lesion)
    for kind, name in (("patient ", patient), ("image ", rows["image_id"])):
        found = found.fillna(name.mask(name.isin(found.dropna()), kind + name))
    return found


def _torn(rows: pd.DataFrame, named: pd.Series) -> pd.DataFrame:
    """The problem of lesions of several classes, where lesions are `named`: a number may stand for two of them."""
    several = rows["known"].map(mapping.class_of).groupby(rows["lesion_id"]).transform("nunique") > 1
    rows = rows[several & named]
    remedy = "Kept: the images of one lesion should have one label. Is its number used for another lesion, too?"
    return problem_table("lesion of several classes", remedy, image_id=rows["image_id"], file=rows["line"])


def _record(title: str, how: TableMapping, rows: pd.DataFrame | None = None) -> Record:
    """What is known of this data set, as of a release: `official` counts the table's rows of each label, class by class."""
    counts = {} if rows is None else rows["source_dx"].value_counts().to_dict()
    known = {} if rows is None else rows.drop_duplicates("source_dx").set_index("source_dx")["known"].to_dict()
    classes = {label: mapping.class_of(known[label]) for label in counts}
    labels = {label: dx for known in CLASSES for label, dx in classes.items() if dx == known}
    unmapped = tuple(label for label, dx in classes.items() if not dx)
    official = {label: counts[label] for label in (*labels, *unmapped)}
    return Record(name="own", title=title, labels=labels, official=official, lesions=None, folders="", licence="", attribution="",
                  citations=(), home="", unmapped=unmapped, note=how.note)  # fmt: skip


def _template(text: pd.DataFrame, columns: Mapping[str, list[str]], how: TableMapping, title: str) -> str:
    """A mapping for this table, as far as it is understood."""
    known = {fact: found if len(found) > 1 else found[0] for fact, found in columns.items() if found}
    hot = [] if columns["label"] else _hot(text, how)
    if len(columns["label"]) > 1 and "label" not in how.own:
        known["label"] = FILL_IN
    needed = {fact: FILL_IN for fact in ("image", "label") if fact not in known and not (fact == "label" and hot)}
    if hot:
        each = [*hot, *_strangers(text, columns, hot)]
        counts = text[each].apply(pd.to_numeric, errors="coerce").eq(1).sum()
    else:
        label = _first(text, columns["label"])
        counts = pd.Series(dtype=int) if label is None else _one_spelling(label).value_counts()
    return mapping.template(how, title, needed | known, counts, text.columns)
