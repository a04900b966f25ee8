"""The steps of a study in their order: what is stale is made, what is fresh is left alone."""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import lesionkit
from lesionkit import study as studies
from lesionkit.study import Study, StudyError
from lesionkit.workbook import report, staleness
from lesionkit.workbook.artifacts import (
    SEES_IMAGES,
    Run,
    file_hash,
    images_folder,
    read_manifest,
    update_manifest,
    write_atomically,
)
from lesionkit.workbook.hashes import Hashes
from lesionkit.workbook.staleness import Place, State, Step

NOTEBOOKS = Path(lesionkit.__file__).parents[1] / "notebooks"
TEMPLATE = "02_"  # runs once a backbone
EVIDENCE = ("03", "04")  # need predictions only
PATHS = ("weights", "weights_dir")  # settings that may be folders
REPORT = Step("report")


class RunError(RuntimeError):
    """A run that could not end. The message says at which step, why, and how to go on."""


def run_study(study: str, *, data: str = "", out: str = "outputs", overrides: Iterable[str] = (), only: Iterable[str] = (),
              force: bool = False, notebooks: Path = NOTEBOOKS, say: Callable[[str], None] = print) -> Path:  # fmt: skip
    """Bring a study up to date: run, in order, each notebook that is stale or missing, then the report. Returns its folder.

    Paths are relative to where the command is started. `only`: numbers (03) or names of steps; the others are left as they
    are. `force`: run what is fresh too; trained models are reused all the same, for they are known by what made them.
    Raises StudyError for what cannot be run as asked, RunError where a step fails or the run is interrupted.
    """
    overrides = [_seen_from(notebooks, item) for item in overrides]
    steps = steps_of(studies.load(study, overrides), notebooks)
    chosen = _chosen(steps, only)
    first = min((step.notebook for step in chosen if step.number in SEES_IMAGES), default="")  # the one to complain
    run = Run.open(study, first, data=data, out=out, overrides=overrides)
    given = {"study": _relative(study, notebooks) if study.endswith(".toml") else study, "overrides": overrides,
             "data": _relative(data, notebooks) if data and not run.study.synthetic else "",
             "out": _relative(out, notebooks)}  # fmt: skip
    images, hashes = run.data, Hashes(run.folder / "cache" / "hashes.json")
    place = Place(run.study, run.folder, images, hashes)
    with _alone(run.folder):
        run.save_settings()
        _preflight([step for step in chosen if step.backbone], place)
        for step in chosen:
            try:
                _bring_up_to_date(step, place, given, force, steps, say)
            except KeyboardInterrupt:
                raise RunError(f"stopped in {step.id}: the same command goes on from there") from None
    return run.folder


def status(study: str, *, data: str = "", out: str = "outputs", overrides: Iterable[str] = (),
           notebooks: Path = NOTEBOOKS) -> list[State]:  # fmt: skip
    """How each step stands, against what is on disk now. Writes nothing but its cache of hashes."""
    settings = studies.load(study, [_seen_from(notebooks, item) for item in overrides])
    folder = Path(out).resolve() / settings.name
    place = Place(settings, folder, images_folder(settings, folder, data), Hashes(folder / "cache" / "hashes.json"))
    place = dataclasses.replace(place, manifest=read_manifest(folder))
    states = [staleness.judge(step, place) for step in steps_of(settings, notebooks)]
    if folder.exists():
        place.hashes.save()
    return states


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
        names = study.backbones if file.name.startswith(TEMPLATE) else ("",)
        steps += [Step(file.stem, name, file) for name in names]
    return [*steps, REPORT]


def _preflight(trainings: list[Step], place: Place) -> None:
    """Before hours are spent on the first, see that the last can be trained too."""
    place = dataclasses.replace(place, manifest=read_manifest(place.folder))
    if all(staleness.judge(step, place).name == "fresh" for step in trainings):
        return
    from lesionkit.learning import preflight  # torch: seconds

    try:
        preflight.check(place.study, place.folder / "models")
    except (ValueError, RuntimeError) as error:
        raise StudyError(str(error)) from error


def _chosen(steps: list[Step], only: Iterable[str]) -> list[Step]:
    wanted = set(only)
    unknown = wanted - {name for step in steps for name in (step.number, step.prefix, step.notebook, step.id)}
    if unknown:
        raise StudyError(f"--only {min(unknown)}: use a number such as 03, or one of {', '.join(s.id for s in steps)}")
    return [s for s in steps if not wanted or wanted & {s.number, s.prefix, s.notebook, s.id} or s is REPORT]


def _bring_up_to_date(step: Step, place: Place, given: Mapping[str, Any], force: bool, steps: list[Step],
                      say: Callable[[str], None]) -> None:  # fmt: skip
    place = dataclasses.replace(place, manifest=read_manifest(place.folder))
    state = staleness.judge(step, place)
    place.hashes.save()
    if state.name == "fresh" and not force:
        return say(f"{step.id:<42} fresh")
    found, started = staleness.parts(step, place), time.monotonic()
    _mark(place.folder, step)
    _make(step, place, given, steps)
    _finish(step, place, found, time.monotonic() - started)
    say(f"{step.id:<42} {time.monotonic() - started:.1f} s")


def _make(step: Step, place: Place, given: Mapping[str, Any], steps: list[Step]) -> None:
    if step is REPORT:
        return report.write(place.study, place.folder, steps[:-1])
    from lesionkit.workbook import execution  # papermill takes two seconds to load: only where a notebook is run

    parameters = {**given, **({"backbone": step.backbone} if step.backbone else {})}
    target = place.folder / "notebooks" / f"{step.id}.ipynb"
    try:
        with execution.watched(step.id, place.folder / "models" / step.backbone / "progress.json"):
            execution.execute(step.source, target, parameters)
    except execution.NotebookFailed as error:
        raise RunError(f"{step.id} failed: {error}") from error
    made_by = {"notebook": step.notebook, **({"backbone": step.backbone} if step.backbone else {}),
               "study": place.study.fingerprint(), "lesionkit": lesionkit.__version__}  # fmt: skip
    update_manifest(place.folder, "artifacts", {f"notebooks/{target.name}": {"hash": file_hash(target), **made_by}})


def _mark(folder: Path, step: Step) -> None:
    """Note at the step's artifacts that a new run of it has begun; each that it makes again loses the note."""
    mine = {path: entry for path, entry in read_manifest(folder)["artifacts"].items() if step.made(entry)}
    update_manifest(folder, "artifacts", {path: {**entry, "superseded": True} for path, entry in mine.items()})


def _finish(step: Step, place: Place, found: dict[str, Any], seconds: float) -> None:
    """Remove what the step made earlier and no longer makes, and write down what it was made from."""
    manifest = _sweep(place.folder, step)
    place.hashes.folders.clear()
    if step is not REPORT:
        found["inputs"] |= staleness.observed(step, manifest)
    if place.study.synthetic and step.number == "01":  # it has just written the images
        found["images"] = staleness.images(step, place)
    entry = {"fingerprint": staleness.fingerprint(found), "study": place.study.fingerprint(), "seconds": round(seconds, 1),
             "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"), "parts": found}  # fmt: skip
    update_manifest(place.folder, "steps", {step.id: entry})
    place.hashes.save()


def _sweep(folder: Path, step: Step) -> dict[str, Any]:
    with FileLock(folder / ".manifest.lock"):
        manifest = read_manifest(folder)
        left = [path for path, entry in manifest["artifacts"].items() if step.made(entry) and entry.get("superseded")]
        for path in left:
            (folder / path).unlink(missing_ok=True)
            del manifest["artifacts"][path]
        if left:
            write_atomically(folder / "manifest.json", lambda file: file.write_text(json.dumps(manifest, indent=1)))
    return manifest


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / ".run.lock", timeout=0):
            yield
    except Timeout:
        raise RunError(f"another run is at work in {folder}: wait for it, or use another --out") from None


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
    if key.strip().rpartition(".")[2] in PATHS and Path(value).is_dir():
        return f"{key}={_relative(value, notebooks)}"
    return item
