"""One step of a study brought up to date: judged, and run where it is stale. The same in this process and in a worker."""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import lesionkit
from lesionkit import study as studies
from lesionkit.settings import WEIGHTS
from lesionkit.study import Study, StudyError
from lesionkit.workbook import energy, provenance, report, staleness
from lesionkit.workbook.hashes import Hashes, short_hash
from lesionkit.workbook.manifest import cut_manifest, file_hash, read_manifest, update_manifest
from lesionkit.workbook.places import images_folder
from lesionkit.workbook.staleness import Place, Step

NOTEBOOKS = Path(lesionkit.__file__).parents[1] / "notebooks"
TEMPLATE = "02_"  # runs once a backbone
EVIDENCE = ("03", "04")  # need predictions only
OUTSIDE = ("04_", "04b")  # are about external images
REPORT = Step("report")


class RunError(RuntimeError):
    """A run that could not end. The message says at which step, why, and how to go on."""


@dataclass(frozen=True)
class Command:
    """A run as it was asked for, in absolute paths: all that a job needs to know, in whatever process. Made by `of`."""

    study: str  # one that ships, or the path of a .toml
    data: str  # the folder of images; "": phantoms, or where they were last time
    out: str
    overrides: tuple[str, ...]
    notebooks: Path

    @classmethod
    def of(cls, study: str, data: str, out: str, overrides: Iterable[str], notebooks: Path) -> "Command":
        """The command, from paths that are relative to where it is started."""
        return cls(
            study=str(Path(study).resolve()) if study.endswith(".toml") else study,
            data=str(Path(data).resolve()) if data else "",
            out=str(Path(out).resolve()),
            overrides=tuple(_seen_from(notebooks, item) for item in overrides),
            notebooks=notebooks.resolve(),
        )

    @property
    def settings(self) -> Study:
        return studies.load(self.study, self.overrides)

    @property
    def folder(self) -> Path:
        return Path(self.out) / self.settings.name

    def place(self) -> Place:
        """Where the study is run, without its manifest."""
        settings, folder = self.settings, self.folder
        hashes = Hashes(folder / "cache" / "hashes.json")
        return Place(settings, folder, images_folder(settings, folder, self.data), hashes)

    def steps(self) -> list[Step]:
        return steps_of(self.settings, self.notebooks)

    def parameters(self, step: Step) -> dict[str, Any]:
        """What the notebook of `step` is given: paths as a kernel in notebooks/ says them."""
        data = "" if self.settings.synthetic else self.data
        return {
            "study": _relative(self.study, self.notebooks) if self.study.endswith(".toml") else self.study,
            "overrides": list(self.overrides),
            "data": _relative(data, self.notebooks) if data else "",
            "out": _relative(self.out, self.notebooks),
            **({"backbone": step.backbone} if step.backbone else {}),
        }


def steps_of(study: Study, notebooks: Path = NOTEBOOKS) -> list[Step]:
    """The notebooks in the order of their numbers, the training once a backbone; the report last.

    Raises StudyError where there are none.
    """
    files = sorted(notebooks.glob("[0-9][0-9]*_*.ipynb"))
    if not files:
        raise StudyError(f"no notebooks in {notebooks}: install a copy of the repository with pip install --editable")
    steps = []
    for file in files:
        if study.given and file.name[:2] not in EVIDENCE:
            continue
        if not study.outside and file.name[:3] in OUTSIDE:
            continue
        names = study.backbones if file.name.startswith(TEMPLATE) else ("",)
        steps += [Step(file.stem, name, file) for name in names]
    return [*steps, REPORT]


def bring_up_to_date(command: Command, name: str, *, place: Place | None = None, watch: bool = False) -> str:
    """Run the step called `name` if it is stale or missing. Returns what was done in a word: fresh, or "12.3 s".

    `place`: where, if it is known already; `watch`: no other step runs beside it, so show its progress in the terminal and
    measure its energy. Raises RunError where it fails.
    """
    place, steps = place or command.place(), command.steps()
    step = next(step for step in steps if step.id == name)
    with _alone(place.folder, step, watch):
        place = dataclasses.replace(place, manifest=read_manifest(place.folder))
        state = staleness.judge(step, place)
        save_hashes(place)
        if state.name == "fresh":
            return "fresh"
        found, started = staleness.parts(step, place), time.monotonic()
        mark(place.folder, step)
        with energy.measured(alone=watch and step is not REPORT) as kwh:
            _make(step, place, command.parameters(step), steps, watch)
        seconds = time.monotonic() - started
        _finish(step, place, found, seconds, kwh())
    return f"{seconds:.1f} s"


def mark(folder: Path, step: Step) -> None:
    """Note at the step's artifacts that a new run of it has begun; each that it makes again loses the note."""
    mine = {path: entry for path, entry in read_manifest(folder)["artifacts"].items() if step.made(entry)}
    update_manifest(folder, "artifacts", {path: {**entry, "superseded": True} for path, entry in mine.items()})


def save_hashes(place: Place) -> None:
    """Save the hashes that are known now; one writer at a time, as all of a run share the file."""
    with FileLock(place.folder / ".manifest.lock"):
        place.hashes.save()


@contextmanager
def _alone(folder: Path, step: Step, watch: bool) -> Iterator[None]:
    """No step is run twice at once: a worker may still be at one whose run was stopped or taken for dead."""
    lock = FileLock(folder / "cache" / "locks" / f"{step.id}.lock")
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if watch:
            print(f"{step.id} is still running for an earlier command: waiting for it to end", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(step: Step, place: Place, parameters: Mapping[str, Any], steps: list[Step], watch: bool) -> None:
    if step is REPORT:
        return report.write(place.study, place.folder, steps[:-1])
    from lesionkit.workbook import (  # papermill takes two seconds to load: only where a notebook is run
        execution,
        watching,
    )

    target = place.folder / "notebooks" / f"{step.id}.ipynb"
    progress = place.folder / "models" / step.backbone / "progress.json"
    try:
        with watching.watched(step.id, progress) if watch else nullcontext():
            execution.execute(step.source, target, parameters, place.study.for_backbone(step.backbone).threads)
    except execution.NotebookFailed as error:
        raise RunError(f"{step.id} failed: {error}") from error
    made_by = {"notebook": step.notebook, **({"backbone": step.backbone} if step.backbone else {}),
               "study": place.study.fingerprint(), "lesionkit": lesionkit.__version__}  # fmt: skip
    update_manifest(place.folder, "artifacts", {f"notebooks/{target.name}": {"hash": file_hash(target), **made_by}})


def _finish(step: Step, place: Place, found: dict[str, Any], seconds: float, kwh: float | None) -> None:
    """Remove what the step made earlier and no longer makes, and write down what it was made from."""
    manifest = sweep(place.folder, step)
    place.hashes.folders.clear()
    if step is not REPORT:
        found["inputs"] |= staleness.observed(step, manifest)
    if place.study.synthetic and step.number == "01":  # it has just written the images
        found["images"] = staleness.images(step, place)
    made = provenance.environment()
    key = short_hash(json.dumps(made))
    update_manifest(place.folder, "environments", {key: made})
    entry = {"fingerprint": staleness.fingerprint(found), "study": place.study.fingerprint(), "seconds": round(seconds, 1),
             "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"), "environment": key,
             **({} if kwh is None else {"kwh": round(kwh, 9)}), "parts": found}  # fmt: skip
    update_manifest(place.folder, "steps", {step.id: entry})
    save_hashes(place)


def sweep(folder: Path, step: Step) -> dict[str, Any]:
    """Remove what still has the note of `mark`, for the step no longer makes it; returns the manifest."""
    made = read_manifest(folder)["artifacts"]
    left = [path for path, entry in made.items() if step.made(entry) and entry.get("superseded")]
    for path in left:
        (folder / path).unlink(missing_ok=True)
    return cut_manifest(folder, "artifacts", left)


def forget(folder: Path, step: Step) -> None:
    """Remove all that a step has made, as if it had never run."""
    mark(folder, step)
    sweep(folder, step)
    cut_manifest(folder, "steps", [step.id])


def _relative(path: str, notebooks: Path) -> str:
    """A path as a kernel in notebooks/ says it: executed copies then name no folder of this machine."""
    try:
        return Path(os.path.relpath(Path(path).resolve(), notebooks.resolve())).as_posix()
    except ValueError:  # on another drive of a Windows machine
        return Path(path).resolve().as_posix()


def _seen_from(notebooks: Path, item: str) -> str:
    """key=value, where a folder of weights is named as from notebooks/."""
    key, _, value = item.partition("=")
    value = value.strip().strip("'\"")
    if key.strip().rpartition(".")[2] in WEIGHTS and Path(value).is_dir():
        return f"{key}={_relative(value, notebooks)}"
    return item
