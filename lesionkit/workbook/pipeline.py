"""The steps of a study in their order: what is stale is made, what is fresh is left alone."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lesionkit.study import StudyError
from lesionkit.workbook import graph, staleness
from lesionkit.workbook.artifacts import SEES_IMAGES, Run
from lesionkit.workbook.manifest import read_manifest
from lesionkit.workbook.staleness import Place, State, Step
from lesionkit.workbook.steps import (
    NOTEBOOKS,
    REPORT,
    Command,
    RunError,
    bring_up_to_date,
    mark,
    save_hashes,
    steps_of,
)

__all__ = ["NOTEBOOKS", "RunError", "Step", "run_study", "status", "steps_of"]


def run_study(study: str, *, data: str = "", out: str = "outputs", overrides: Iterable[str] = (), only: Iterable[str] = (),
              force: bool = False, jobs: int = 1, scheduler: str = "", notebooks: Path = NOTEBOOKS,
              say: Callable[[str], None] = print) -> Path:  # fmt: skip
    """Bring a study up to date: run each notebook that is stale or missing, then the report. Returns its folder.

    Paths are relative to where the command is started. `only`: numbers (03) or names of steps; the others are left as they
    are. `force`: run what is fresh too; trained models are reused all the same, for they are known by what made them.
    `jobs`: how many at once on this machine, 0 for as many as fit; 1 is this process and the order of the numbers.
    `scheduler`: the address of a Dask cluster that is to do the work, on a folder that it shares.
    Raises StudyError for what cannot be run as asked, RunError where a step fails or the run is interrupted.
    """
    command = Command.of(study, data, out, overrides, notebooks)
    chosen = _chosen(command.steps(), only)
    jobs = _number(jobs, scheduler, command)
    first = min((step.notebook for step in chosen if step.number in SEES_IMAGES), default="")  # the one to complain
    run = Run.open(command.study, first, data=data, out=out, overrides=command.overrides)
    with _alone(run.folder):
        run.save_settings()
        place = command.place()
        _preflight([step for step in chosen if step.backbone or (step.number == "07" and place.study.candidate)], place, command.notebooks)
        if scheduler or jobs > 1:
            _run_together(command, chosen, place, force, jobs, scheduler, say)
        else:
            _run_in_order(command, chosen, place, force, say)
    return run.folder


def _run_in_order(command: Command, chosen: list[Step], place: Place, force: bool, say: Callable[[str], None]) -> None:
    for step in chosen if force else ():
        mark(place.folder, step)
    for step in chosen:
        try:
            say(f"{step.id:<42} {bring_up_to_date(command, step.id, place=place, watch=True)}")
        except KeyboardInterrupt:
            raise RunError(f"stopped in {step.id}: the same command goes on from there") from None


def _run_together(command: Command, chosen: list[Step], place: Place, force: bool, jobs: int, scheduler: str,
                  say: Callable[[str], None]) -> None:  # fmt: skip
    """Leave alone what is fresh and reads nothing that will be made; the rest goes to Dask, which takes seconds to start."""
    from lesionkit.workbook import jobs as dask_jobs

    place = dataclasses.replace(place, manifest=read_manifest(place.folder))
    stale = {step.id for step in chosen if force or staleness.judge(step, place).name != "fresh"}
    save_hashes(place)
    left = graph.touched(stale, chosen, place.study)
    for step in chosen:
        if step not in left:
            say(f"{step.id:<42} fresh")
    if not left:
        return
    if place.images and place.images.is_dir() and not place.study.synthetic:  # so that no job need look it up
        command = dataclasses.replace(command, data=str(place.images))
    try:
        dask_jobs.run(command, left, jobs, scheduler, force, say)
    except KeyboardInterrupt:
        raise RunError("stopped: the same command goes on from there") from None


def _number(jobs: int, scheduler: str, command: Command) -> int:
    if scheduler and jobs != 1:
        raise StudyError(f"--jobs {jobs} --scheduler {scheduler}: give one; a cluster runs as many jobs as it has threads")
    if jobs == 1:
        return 1
    from lesionkit.workbook import cluster

    return cluster.number(jobs, command.settings)


def status(study: str, *, data: str = "", out: str = "outputs", overrides: Iterable[str] = (),
           notebooks: Path = NOTEBOOKS) -> list[State]:  # fmt: skip
    """How each step stands, against what is on disk now. Writes nothing but its cache of hashes."""
    command = Command.of(study, data, out, overrides, notebooks)
    place = command.place()
    place = dataclasses.replace(place, manifest=read_manifest(place.folder))
    states = [staleness.judge(step, place) for step in command.steps()]
    if place.folder.exists():
        save_hashes(place)
    return states


def _preflight(trainings: list[Step], place: Place, notebooks: Path) -> None:
    """Before hours are spent on the first, see that the last can be trained too."""
    place = dataclasses.replace(place, manifest=read_manifest(place.folder))
    if all(staleness.judge(step, place).name == "fresh" for step in trainings):
        return
    from lesionkit.learning import preflight  # torch: seconds

    try:
        preflight.check(place.study, place.folder / "models", notebooks)
    except (ValueError, RuntimeError, ImportError) as error:
        raise StudyError(str(error)) from error


def _chosen(steps: list[Step], only: Iterable[str]) -> list[Step]:
    wanted = set(only)
    unknown = wanted - {name for step in steps for name in (step.number, step.prefix, step.notebook, step.id)}
    if unknown:
        raise StudyError(f"--only {min(unknown)}: use a number such as 03, or one of {', '.join(s.id for s in steps)}")
    return [s for s in steps if not wanted or wanted & {s.number, s.prefix, s.notebook, s.id} or s is REPORT]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / ".run.lock", timeout=0):
            yield
    except Timeout:
        raise RunError(f"another run is at work in {folder}: wait for it, or use another --out") from None
