"""What each step of a study is made from, as hashes with names: a step that is stale can say why."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lesionkit import sources
from lesionkit.data import mapping
from lesionkit.settings import HOW
from lesionkit.study import Study
from lesionkit.workbook.artifacts import SEES_IMAGES
from lesionkit.workbook.hashes import Hashes, short_hash

# Files below outputs/<study>/ that a notebook reads, by its number; what it was seen to read last time comes on top.
READS = {
    "01": (),
    "02": ("splits/*.csv",),
    "07": ("splits/*.csv",),
    "05": ("splits/*.csv", "predictions/{backbone}.parquet", "models/{backbone}/config.json"),
    "06": ("tables/0[1-5]*_*.csv", "tables/0[1-5]*_*.md"),
}
READS_OTHERWISE = (
    "splits/*.csv",
    "predictions/{backbone}.parquet",
    *(f"predictions/{kind}/*.parquet" for kind in ("views", "folds", "unframed")),
    "tables/02_cost_*.csv",
)
DATA_SETTINGS = (
    "name",
    "given",
    "title",
    "note",
    "seed",
    "phantoms",
    "phantom_size",
    "external",
    "mapping",
    "split",
    "fractions",
    "size",
    "fit",
)  # all that 01 needs
EXPLAINING = ("explained", "scored", "curve_steps", "cams", "masks")
OTHERS_SETTINGS = ("backbones", "backbone", "resamples", *EXPLAINING)  # no matter of the training of one backbone
SHOWN = 3  # reasons of a kind


@dataclass(frozen=True)
class Step:
    """One notebook of a study, for one backbone where it is a template; or the report."""

    notebook: str  # "02_train_backbone", as in the manifest
    backbone: str = ""
    source: Path | None = None  # None: the report, which is no notebook

    @property
    def id(self) -> str:
        return "_".join(filter(None, (self.notebook, self.backbone)))

    @property
    def number(self) -> str:
        return self.notebook[:2]

    @property
    def prefix(self) -> str:
        """The number with its letter, as in the names of what it makes: 03b."""
        return self.notebook.split("_")[0]

    def made(self, artifact: Mapping[str, Any]) -> bool:
        """Whether an artifact of the manifest is this step's."""
        return artifact["notebook"] == self.notebook and artifact.get("backbone", "") == self.backbone


@dataclass(frozen=True)
class State:
    """How a step stands: fresh, stale or missing; and why."""

    step: Step
    name: str
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a study is run, and what its manifest says at the moment."""

    study: Study
    folder: Path  # outputs/<study>
    images: Path | None  # None: not known
    hashes: Hashes
    manifest: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def parts(step: Step, place: Place) -> dict[str, Any]:
    """All that decides what a step makes, by name; plain JSON."""
    if step.source is None:
        shown = {path: entry["hash"] for path, entry in place.manifest["artifacts"].items() if not step.made(entry)}
        found = {
            "code": _code("from lesionkit.workbook import report"),
            "parameters": _parameters(step, place.study),
            "inputs": shown,
        }
    else:
        cells = json.loads(step.source.read_text(encoding="utf-8"))["cells"]
        found = {"notebook": _notebook(cells), "code": _code(_python(cells)), "parameters": _parameters(step, place.study),
                 "inputs": _current(_reads(step, place), place) | _mappings(step, place), "images": images(step, place)}  # fmt: skip
    return json.loads(json.dumps(found))


def images(step: Step, place: Place) -> str | None:
    """The hash of the images that a step reads; None where it reads none. Phantoms are 01's own, known once it has run.

    Lesion masks that lie below the images count with them everywhere, those elsewhere for the notebooks that read them.
    """
    if step.number not in SEES_IMAGES:
        return None
    found, outlines = place.hashes.of_folder(place.images), Path(place.study.masks)
    if step.number != "05" or not outlines.is_absolute() or not outlines.is_dir():
        return found
    return short_hash(f"{found} {place.hashes.of_folder(outlines)}")


def judge(step: Step, place: Place) -> State:
    """Compare what a step was made from, and what it made, with what is there now."""
    entry = place.manifest["steps"].get(step.id)
    if entry is None:
        return State(step, "missing", ("not run yet",))
    now = parts(step, place)
    if step.source:
        now["inputs"] |= _current(observed(step, place.manifest), place)
    why = [*_changes(entry["parts"], now, place), *_outputs(step, entry, place)]
    return State(step, "stale" if why else "fresh", tuple(why))


def fingerprint(found: Mapping[str, Any]) -> str:
    """A short hash of a step's parts."""
    return short_hash(json.dumps(found, sort_keys=True))


def observed(step: Step, manifest: Mapping[str, Any]) -> dict[str, str]:
    """What the step's artifacts say it has read, with the hash at that time; its own files left out."""
    mine = [entry for entry in manifest["artifacts"].values() if step.made(entry)]
    read = {path: value for entry in mine for path, value in entry.get("inputs", {}).items()}
    return {path: value for path, value in read.items() if not _is_mine(step, path, manifest)}


def _mappings(step: Step, place: Place) -> dict[str, str | None]:
    """What says how notebook 01 reads own images: a .toml may lie anywhere, and one that ships changes with the package."""
    if step.number != "01" or not place.study.own_images:
        return {}
    files = mapping.files_of(place.study.mapping, place.images or Path())
    return {f"mapping {file.stem}": place.hashes.of(file) for file in files}


def _is_mine(step: Step, path: str, manifest: Mapping[str, Any]) -> bool:
    maker = manifest["artifacts"].get(path)
    return maker is not None and step.made(maker)


def _current(paths: Iterable[str], place: Place) -> dict[str, str | None]:
    return {path: place.hashes.of(place.folder / path) for path in sorted(paths)}


def _reads(step: Step, place: Place) -> set[str]:
    found = set()
    for pattern in READS.get(step.number, READS_OTHERWISE):
        if "{backbone}" in pattern:  # one that is not there yet counts too
            found |= {pattern.format(backbone=name) for name in place.study.backbones}
        else:
            found |= {path.relative_to(place.folder).as_posix() for path in place.folder.glob(pattern)}
    return {path for path in found if not _is_mine(step, path, place.manifest)}


def _parameters(step: Step, study: Study) -> dict[str, Any]:
    settings = asdict(study.for_backbone(step.backbone) if step.backbone else study)
    if step.number == "01":
        return {key: value for key, value in settings.items() if key in DATA_SETTINGS}
    left_out = {*HOW, *(OTHERS_SETTINGS if step.backbone else ()), *(("candidate", "leave_archive_out") if step.number != "07" else ())}
    tables = {name: {key: value for key, value in own.items() if key not in HOW} for name, own in settings["backbone"].items()}
    return {key: value for key, value in (settings | {"backbone": tables}).items() if key not in left_out}


def _notebook(cells: list[dict]) -> str:
    """A hash of what is written in the cells and how they are tagged; Markdown too, for it stands in the executed copy."""
    return short_hash(
        json.dumps([(c["cell_type"], "".join(c["source"]), c["metadata"].get("tags", [])) for c in cells])
    )


def _python(cells: list[dict]) -> str:
    """The code cells as one program, without the lines that only IPython understands."""
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", "\n".join(c for c in code if not c.startswith("%%")), flags=re.MULTILINE)


def _code(program: str) -> dict[str, str]:
    return _code_at(
        program, sources.PACKAGE, tuple(file.stat().st_mtime_ns for file in sorted(sources.PACKAGE.rglob("*.py")))
    )


@cache  # steps share their modules, and parsing them takes longer than all the rest
def _code_at(program: str, package: Path, times: tuple[int, ...]) -> dict[str, str]:
    used = sorted(sources.modules_used(program))
    return {file.relative_to(package).as_posix(): sources.code_hash([file]) for file in used}


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], place: Place) -> Iterator[str]:
    if old.get("notebook") != new.get("notebook"):
        yield "the notebook changed"
    yield from _some(f"{name} {_change(a, b)}" for name, a, b in _differences(old["code"], new["code"]))
    yield from _some(_setting(*difference) for difference in _differences(old["parameters"], new["parameters"]))
    yield from _some(f"{name} {_change(a, b)}" for name, a, b in _differences(old["inputs"], new["inputs"]))
    if old.get("images") != new.get("images"):
        yield "the images changed" if new["images"] else f"the images are not in {place.images}"


def _outputs(step: Step, entry: Mapping[str, Any], place: Place) -> Iterator[str]:
    mine = {path: made for path, made in place.manifest["artifacts"].items() if step.made(made)}
    if any(made.get("superseded") for made in mine.values()):
        yield "its last run did not end"
    found = ((path, made["hash"], place.hashes.of(place.folder / path)) for path, made in mine.items())
    yield from _some(f"{path} {_change(old, new)}" for path, old, new in found if old != new)
    yield from _some(
        f"{path} was made with other settings" for path, made in mine.items() if made["study"] != entry["study"]
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def _setting(name: str, old: Any, new: Any) -> str:
    text = f"{name} = {old}, now {new}"
    return text if len(text) < 80 else f"{name} changed"  # lists of backbones and their tables


def _change(old: str | None, new: str | None) -> str:
    return "is new" if old is None else "is missing" if new is None else "changed"


def _some(reasons: Iterator[str]) -> list[str]:
    reasons = list(reasons)
    return reasons[:SHOWN] + ([f"and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else [])
