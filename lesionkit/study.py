"""A study as it is written: found, read, overridden and checked."""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lesionkit.settings import CHOICES, FIXED, OF_A_MEMBER, RANGES, SEVEN, Study, StudyError

STUDIES = Path(__file__).parent / "studies"


def available() -> list[str]:
    """Names of the studies that ship with the package."""
    return sorted(path.stem for path in STUDIES.glob("*.toml"))


def load(name: str, overrides: Iterable[str] = ()) -> Study:
    """The study `name`: one that ships, or the path of a TOML file, with `key=value` laid over it and its backbones' tables.

    A file that says `base = "full"` starts from that study and names only what differs. A value is TOML (`epochs=1`,
    `backbones=["resnet50"]`, `backbone.resnet50.lr=1e-4`); what is not, is text. Raises StudyError for a study, key or value
    that cannot be.
    """
    values = _read(name)
    for item in overrides:
        change = _parse(item)
        for table in values.get("backbone", {}).values():  # what is set for all holds for each
            for key in change.keys() & table.keys():
                del table[key]
        _merge(values, change)
        tables = change.get("backbone")
        unknown = set(tables) - set(values.get("backbones", SEVEN)) if isinstance(tables, dict) else set()
        if unknown:
            raise StudyError(f"--set backbone.{min(unknown)}: the study has no such backbone")
    return _build(Path(name).stem, values)


def _read(name: str) -> dict:
    path = Path(name) if name.endswith(".toml") else STUDIES / f"{name}.toml"
    if not path.is_file():
        raise StudyError(f"no study {name!r}: use one of {', '.join(available())}, or the path of a .toml file")
    try:
        own = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path} is not valid TOML: {error}") from error
    values = _read(own.pop("base")) if "base" in own else {}
    _merge(values, own)
    return values


def _parse(item: str) -> dict:
    key, equals, value = item.partition("=")
    if not equals:
        raise StudyError(f"--set {item!r}: write key=value")
    try:
        return tomllib.loads(f"{key} = {value}")
    except tomllib.TOMLDecodeError:
        try:
            return tomllib.loads(f"{key} = {json.dumps(value)}")
        except tomllib.TOMLDecodeError as error:
            raise StudyError(f"--set {item!r}: {key!r} is not a key; write key=value") from error


def _merge(values: dict, more: dict) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _build(name: str, values: dict) -> Study:
    values = {key: _checked(key, value) for key, value in values.items()}
    study = Study(**{"name": name} | values)
    if not study.backbones or len(set(study.backbones)) != len(study.backbones):
        raise StudyError(f"backbones = {list(study.backbones)}: name at least one, and each once")
    if study.network:
        raise StudyError(f"network = {study.network!r}: belongs in a table of one of the backbones, such as [backbone.again]")
    if study.own_images and study.phantoms:
        raise StudyError(f"external = {study.external!r}: phantoms bring their own external set; set phantoms = 0")
    place = Path(study.external)
    if study.own_images and (place.is_absolute() or ".." in place.parts or len(place.parts) == 1):
        raise StudyError(f"external = {study.external!r}: give the table's path below the folder of the data, in a folder of its own "
                         "with its images, such as clinic/table.csv")  # fmt: skip
    if study.mapping and not study.own_images:
        raise StudyError(f"mapping = {study.mapping!r}: says how to read your own images; set external to their table")
    if not study.cams:
        raise StudyError("cams = []: name at least one method for heat maps, such as gradcam")
    if len(study.fractions) != 3 or abs(sum(study.fractions) - 1) > 1e-6 or min(study.fractions) <= 0:
        raise StudyError(f"fractions = {list(study.fractions)}: three shares above 0 that sum to 1")
    _check_tables("backbone", study.backbone, FIXED)
    _check_candidates(study.candidate)
    for settings in (study, *map(study.for_backbone, study.backbone), *map(study.as_candidate, study.candidate)):
        if settings.batch_size % settings.processes:
            raise StudyError(f"processes = {settings.processes}: batch_size = {settings.batch_size} does not part into as many "
                             "equal shares; set a multiple")  # fmt: skip
    folded = {study.folds, *(study.for_backbone(name).folds for name in study.backbone)} - {0}
    if folded and study.split == "image_leaky":
        raise StudyError("folds: are by lesion, and the split is by image: set folds = 0, or split = lesion")
    few = {1, 2} & folded
    if few:
        raise StudyError(f"folds = {min(few)}: 0, or at least 3: one is scored, one chooses the epoch, the rest trains")
    return study


def _check_candidates(tables: Mapping[str, Mapping[str, Any]]) -> None:
    if "baseline" in tables:
        raise StudyError("candidate.baseline: is the name of what has no change; choose another")
    for at, (name, own) in enumerate(tables.items()):
        if (after := own.get("after", "")) and after not in [*tables][:at]:
            raise StudyError(f"candidate.{name}.after = {after!r}: name a candidate whose table stands above it")
    changes = {name: {key: value for key, value in own.items() if key != "after"} for name, own in tables.items()}
    _check_tables("candidate", changes, {*FIXED, *OF_A_MEMBER} - {"fit", "frame"})


def _check_tables(kind: str, tables: Mapping[str, Mapping[str, Any]], fixed: Iterable[str]) -> None:
    for name, table in tables.items():
        if wrong := sorted({*table} & {*fixed}):
            raise StudyError(f"{kind}.{name}.{wrong[0]}: holds for the whole study; set {wrong[0]} instead")
        for key, value in table.items():
            _checked(key, value)


def _checked(key: str, value: Any) -> Any:
    fields = {f.name: f.type for f in dataclasses.fields(Study)}
    if key not in fields:
        close = difflib.get_close_matches(key, fields, 1)
        raise StudyError(f"no key {key!r} in a study" + (f": did you mean {close[0]!r}?" if close else ""))
    value = tuple(value) if isinstance(value, list) else value
    value = float(value) if fields[key] is float and type(value) is int else value
    if not _is(value, fields[key]):
        raise StudyError(f"{key} = {value!r}: must be {getattr(fields[key], '__name__', fields[key])}")
    if key in CHOICES and not {*(value if isinstance(value, tuple) else (value,))} <= {*CHOICES[key]}:
        known = ", ".join(str(choice) or '""' for choice in CHOICES[key])
        raise StudyError(f"{key} = {value!r}: one of {known}")
    if key in RANGES and not RANGES[key][0] <= value <= RANGES[key][1]:
        raise StudyError(f"{key} = {value!r}: between {RANGES[key][0]} and {RANGES[key][1]}")
    return value


def _is(value: Any, kind: Any) -> bool:
    if kind in (int, float, str, bool):
        return type(value) is kind
    if kind == tuple[str, ...]:
        return isinstance(value, tuple) and all(type(item) is str for item in value)
    if kind == tuple[float, ...]:
        return isinstance(value, tuple) and all(type(item) in (int, float) for item in value)
    return isinstance(value, Mapping) and all(isinstance(item, Mapping) for item in value.values())
