"""What each step of a study waits for, and which to start first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lesionkit.study import Study
from lesionkit.workbook.staleness import Step

# The numbers, with their letters, of the notebooks whose results a notebook reads; one that is not here waits for all with a
# smaller number, and for the one of its own number without a letter. A test holds this against what notebooks have read.
WAITS = {
    "01": (),
    "02": ("01",),
    "02b": ("01", "02"),
    "03": ("01", "02"),
    "03b": ("01", "02", "03"),
    "03c": ("01", "02", "03"),
    "04": ("01", "02", "03"),
    "04b": ("01", "02", "03"),
    "04c": ("01", "02", "03"),
    "05": ("01", "02"),
    "05b": ("01", "02"),
    "05c": ("01", "02"),
    "05d": ("01", "02"),
    "07": ("01", "02"),
}
OF_THE_FIRST = ("02b", "07")  # train the study's first backbone again, and need of 02 what it has made of that alone
ON_A_GPU = ("02", "05", "07")  # numbers: train or explain models
UNKNOWN = 60.0  # seconds of a step that has not been run yet


@dataclass(frozen=True)
class Job:
    """One job of a run: a step, or the training of one fold that a step will find done."""

    step: Step
    waits: frozenset[str]  # names of jobs
    fold: int = 0  # 0: the step
    gpus: int = 0  # that it needs where there are any
    seconds: float = UNKNOWN  # that the step took last time

    @property
    def name(self) -> str:
        return f"{self.step.id} fold {self.fold}" if self.fold else self.step.id


def waits_for(step: Step, steps: Sequence[Step], study: Study) -> list[Step]:
    """The steps among `steps` that must be done before `step` can begin."""
    if step.source is None:  # the report shows all
        return [other for other in steps if other.source]
    if step.prefix in WAITS:
        first = study.backbones[0] if step.prefix in OF_THE_FIRST else ""
        named = [other for other in steps if other.prefix in WAITS[step.prefix]]
        return [other for other in named if not first or other.backbone in ("", first)]
    notebooks = [other for other in steps if other.source and other.prefix != step.prefix]
    return [other for other in notebooks if other.number < step.number or other.prefix == step.number]


def jobs_of(steps: Sequence[Step], study: Study, manifest: Mapping[str, Any]) -> dict[str, Job]:
    """The jobs that make `steps`, by name. Folds are jobs of their own, before the step that reads them."""
    jobs = []
    for step in steps:
        waits = frozenset(other.id for other in waits_for(step, steps, study))
        trained = step.backbone or (study.backbones[0] if step.prefix in OF_THE_FIRST else "")
        own = study.for_backbone(trained) if trained else study
        gpus = (own.processes if trained else 1) if step.number in ON_A_GPU else 0
        seconds = manifest["steps"].get(step.id, {}).get("seconds", UNKNOWN)
        folds = range(1, own.folds + 1) if step.backbone else ()
        parts = [Job(step, waits, fold, gpus, seconds) for fold in folds]
        jobs += [*parts, Job(step, waits | {part.name for part in parts}, 0, gpus, seconds)]
    return {job.name: job for job in jobs}


def urgency(jobs: Mapping[str, Job]) -> dict[str, float]:
    """Seconds from the start of each job to the end of the longest chain of those that wait for it: the most go first."""
    found: dict[str, float] = {}

    def of(name: str) -> float:
        if name not in found:
            after = [of(other) for other, job in jobs.items() if name in job.waits]
            found[name] = jobs[name].seconds + max(after, default=0.0)
        return found[name]

    return {name: of(name) for name in jobs}


def touched(stale: set[str], steps: Sequence[Step], study: Study) -> list[Step]:
    """Of `steps`, in their order, those that are stale and those that wait for such: what they read may change."""
    found: list[Step] = []
    for step in steps:
        before = waits_for(step, steps, study)
        if step.id in stale or any(other in found for other in before):
            found.append(step)
    return found
