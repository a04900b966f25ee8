"""What a table of somebody's own calls its columns and labels: a small TOML file, read as studies are.

    title = "Our clinic"
    note = "What must be said wherever these images are used"

    [columns]  # image, label, lesion, patient, age, sex, site, confirmation, source
    image = "Datei"
    label = "Befund"

    [labels]  # each of their labels, and its class; "SCC" for squamous cell carcinoma (akiec); "" for what is no class
    Melanom = "mel"
    Narbe = ""

    [confirmation]  # how they say histo, follow_up, consensus, confocal
    Biopsie = "histo"

What a mapping does not say is as in mappings/default.toml.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from lesionkit.data.records import CLASSES, CONFIRMATION, LABELS, DataError

MAPPINGS = Path(__file__).parent / "mappings"
DEFAULT = "default"
SCC = "SCC"  # in place of a class: akiec, but for the results without squamous cell carcinoma
CHOICES = f'{", ".join(CLASSES)}; {SCC} for squamous cell carcinoma, which counts as akiec; "" for what is no class'
NOTE = "What must be said wherever these images are used"
COLUMNS_FIRST = "# with its columns filled in, give this mapping to the same command: it then lists the labels"
FILL_IN = "?"  # what the written mapping has where its reader must choose


@dataclass(frozen=True)
class TableMapping:
    """How one table is to be read. `columns`: names for each fact, case ignored; `labels` and `confirmation`: by `key`."""

    name: str
    title: str
    note: str
    columns: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, str]  # label -> class, SCC or ""
    confirmation: Mapping[str, str]
    said: Mapping[str, Any]  # by its file alone, as it lies there

    @property
    def own(self) -> frozenset[str]:
        """Facts whose column this mapping names itself."""
        return frozenset(self.said.get("columns", {}))


def available() -> list[str]:
    """Names of the mappings that ship."""
    return sorted(file.stem for file in MAPPINGS.glob("*.toml") if file.stem != DEFAULT)


def load(name: str = "") -> TableMapping:
    """The mapping `name`: one that ships, or the path of a TOML file; "" for what is understood without one.

    Raises DataError for a file that is none, or says what cannot be.
    """
    default, own = _read(MAPPINGS / f"{DEFAULT}.toml"), _read(_file(name)) if name else {}
    _check(name, own, default["columns"])
    columns, mine = ({fact: _names(found) for fact, found in one.get("columns", {}).items()} for one in (default, own))
    labels = LABELS | _by_key(default["labels"]) | _by_key(own.get("labels", {}))
    said = CONFIRMATION | _by_key(own.get("confirmation", {}))
    stem = Path(name).stem
    return TableMapping(stem, own.get("title", stem), own.get("note", ""), MappingProxyType(columns | mine),
                        MappingProxyType(labels), MappingProxyType(said), MappingProxyType(own))  # fmt: skip


def class_of(found: str) -> str:
    """The class of what a mapping says of a label: SCC is akiec."""
    return LABELS[SCC.casefold()] if found == SCC else found


def file_of(name: str, root: Path) -> str:
    """The mapping `name` of a study, for `load`: a .toml is below the folder of the data."""
    return str(Path(root) / name) if name.endswith(".toml") else name


def files_of(name: str, root: Path) -> list[Path]:
    """The files that decide how a study's own table is read: the mapping `name`, where it names one, and the default."""
    return [MAPPINGS / f"{DEFAULT}.toml", *([_path(file_of(name, root))] if name else [])]


def key(text: str) -> str:
    """A name or label as it is compared: outer, double and other spaces and case do not count."""
    return " ".join(text.split()).casefold()


def template(how: TableMapping, title: str, columns: Mapping[str, str | list[str]], counts: pd.Series,
             there: Iterable[str]) -> str:  # fmt: skip
    """A mapping to fill in that says all that `how` says itself, but for columns that are not `there`, in the table.

    columns: what is known of each fact, or FILL_IN; counts: each label of the table -> rows; the commonest comes first.
    """
    said, note = how.said, f"note = {_quoted(how.note)}" if how.note else f"# note = {_quoted(NOTE)}"
    named = f"  # the table has {', '.join(map(_quoted, there))}" if FILL_IN in columns.values() else ""
    lines = [f"title = {_quoted(how.title or title)}", note, "", f"[columns]{named}",
             *(f"{fact} = {_quoted(name)}" for fact, name in columns.items())]  # fmt: skip
    more = sorted(set(how.columns) - {*columns, "label"})
    lines += [f"# where the table has them, too: {', '.join(more)}"] if more else []
    lines += ["", f"[labels]  # {CHOICES}"]
    lines += [] if len(counts) else [COLUMNS_FIRST]
    lines += [f"{_quoted(label)} = {_quoted(how.labels.get(key(label), FILL_IN))}  # {n:,} rows"
              for label, n in counts.items()]  # fmt: skip
    listed = {key(label) for label in counts.index}
    lines += [f"{_quoted(label)} = {_quoted(dx)}"
              for label, dx in said.get("labels", {}).items() if key(label) not in listed]  # fmt: skip
    words = [f"{_quoted(word)} = {_quoted(dx_type)}" for word, dx_type in said.get("confirmation", {}).items()]
    return "\n".join([*lines, *(["", "[confirmation]", *words] if words else [])]) + "\n"


def _path(name: str) -> Path:
    return Path(name) if name.endswith(".toml") else MAPPINGS / f"{name}.toml"


def _file(name: str) -> Path:
    file = _path(name)
    if not file.is_file():
        raise DataError(f"no mapping {name!r}: use one of {', '.join(available())}, or the path of a .toml file")
    return file


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"mapping {file} is not valid TOML: {error}") from error


def _check(name: str, own: dict[str, Any], facts: Iterable[str]) -> None:
    """Raise DataError for what a mapping cannot say."""
    tables = "columns", "labels", "confirmation"
    strange = sorted(own.keys() - {"title", "note", *tables})
    if strange or not all(isinstance(own.get(table, {}), dict) for table in tables):
        raise DataError(f"mapping {name}: it says {', '.join(strange) or ', '.join(own)}; there are title, note and the tables "
                        f"[{'], ['.join(tables)}]")  # fmt: skip
    for fact, found in own.get("columns", {}).items():
        if fact not in facts or FILL_IN in _names(found) or not all(isinstance(one, str) for one in _names(found)):
            raise DataError(f"mapping {name}: {fact} = {found!r}: name a column of the table for one of {', '.join(facts)}")
    for label, dx in own.get("labels", {}).items():
        if dx not in (*CLASSES, SCC, ""):
            raise DataError(f"mapping {name}: {label!r} = {dx!r}: one of {CHOICES}")
    for word, said in own.get("confirmation", {}).items():
        if said not in CONFIRMATION.values():
            known = ", ".join(CONFIRMATION.values())
            raise DataError(f"mapping {name}: [confirmation] {word!r} = {said!r}: one of {known}")
    for text in ("title", "note"):
        if not isinstance(own.get(text, ""), str):
            raise DataError(f"mapping {name}: {text} = {own[text]!r}: give text, in quotes")


def _names(found: Any) -> tuple:
    return tuple(found) if isinstance(found, list) else (found,)


def _by_key(table: Mapping[str, str]) -> dict[str, str]:
    return {key(name): value for name, value in table.items()}


def _quoted(text: str | list[str]) -> str:
    return json.dumps(text, ensure_ascii=False)
