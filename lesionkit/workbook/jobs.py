"""The jobs of a run on Dask: several at once on this machine, or on the workers of a cluster that exists."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import lesionkit
from lesionkit import sources
from lesionkit.study import StudyError
from lesionkit.workbook import cluster, fold, graph, steps
from lesionkit.workbook.artifacts import SEES_IMAGES
from lesionkit.workbook.graph import Job
from lesionkit.workbook.manifest import read_manifest
from lesionkit.workbook.staleness import Step
from lesionkit.workbook.steps import Command, RunError
from lesionkit.workbook.watching import Board

PATIENCE = 15  # seconds for workers to come, and to see what was just written
NO_WORKER = "no worker is left: waiting for one to come; nothing is lost by stopping here"


def run(command: Command, chosen: list[Step], jobs: int, scheduler: str, force: bool,
        say: Callable[[str], None]) -> None:  # fmt: skip
    """Bring the steps `chosen` up to date on Dask, each as soon as what it waits for is done, the longest chain first.

    scheduler: the address of a cluster; "": `jobs` workers on this machine, for this run. After a failure nothing more is
    begun, what runs is let end, and what is done is kept. Raises RunError for a job that fails, a scheduler or a worker that
    cannot do the work; StudyError where Dask is not installed, or no worker has the GPUs that a step needs.
    """
    manifest = read_manifest(command.folder)
    waiting = graph.jobs_of(chosen, command.settings, manifest)
    with cluster.client_of(command.settings, min(jobs, len(waiting)), scheduler) as client:
        if scheduler:
            _check_workers(client, command, chosen, scheduler)
        largest = max((_gpus(worker) for worker in _workers(client).values()), default=0)
        for job in waiting.values() if largest else ():
            if job.gpus > largest:
                raise StudyError(f"{job.step.id}: processes = {job.gpus}, and no worker has more than {largest} GPUs: "
                                 f"set processes, or start a worker with --resources GPU={job.gpus}")  # fmt: skip
        for step in chosen if force else ():
            steps.mark(command.folder, step)
        board = Board(command.folder / "models", (command.folder / "study.json").stat().st_mtime)
        _Runner(client, command, waiting, graph.urgency(waiting), bool(largest), board, say).run()


@dataclass
class _Runner:
    """Starts a job when there is room for it, and no sooner: one that waits in no worker's queue goes to whichever is free first.

    Dask hands jobs out at once, by what it guesses that they take: of hours that it cannot guess, one worker gets several.
    """

    client: Any
    command: Command
    waiting: dict[str, Job]
    urgency: Mapping[str, float]
    gpus: bool  # whether the cluster has any
    board: Board
    say: Callable[[str], None]
    running: dict[str, tuple[Job, Any]] = field(default_factory=dict)  # with their futures
    placed: dict[str, tuple[str, int]] = field(default_factory=dict)  # of each job that runs, its worker and GPUs there
    done: int = 0
    failure: BaseException | None = None
    asked: float = 0.0  # when, for the workers that there are
    told: bool = False  # that there are none

    def run(self) -> None:
        total = len(self.waiting)
        try:
            while self.running or (self.waiting and not self.failure):
                if not self.failure:
                    self._start()
                self.board.show(self.done, total, self.running)
                time.sleep(0.1)
                for name in [name for name, (_, future) in self.running.items() if future.done()]:
                    self._end(*self.running.pop(name))
        finally:
            self.board.clear()
        if self.failure:
            raise self.failure

    def _start(self) -> None:
        """Start what waits for nothing any more, the most urgent first, while a worker is free."""
        left = self.waiting.keys() | self.running.keys()
        ready = [job for job in self.waiting.values() if not job.waits & left]
        if time.monotonic() < self.asked + (1 if ready else PATIENCE):
            return
        if self.client.status not in ("running", "connecting"):
            raise self._gone()
        self.asked, workers = time.monotonic(), _workers(self.client)
        if not workers and not self.told:
            self.board.clear()
            self.say(NO_WORKER)
        self.told = not workers
        free = {address: [_gpus(worker), worker["nthreads"]] for address, worker in workers.items()}
        for address, gpus in self.placed.values():
            if address in free:
                free[address] = [free[address][0] - gpus, free[address][1] - 1]
        for job in sorted(ready, key=lambda job: -self.urgency[job.name]):
            needs = job.gpus if self.gpus else 0
            fit = [address for address, (gpus, threads) in free.items() if threads > 0 and gpus >= needs]
            if fit:
                best = min(fit, key=lambda address: free[address])  # the fewest GPUs: the others may be needed
                free[best] = [free[best][0] - needs, free[best][1] - 1]
                self.placed[job.name] = best, needs
                self.running[job.name] = (self.waiting.pop(job.name), self._submit(job, needs, best))

    def _submit(self, job: Job, gpus: int, worker: str) -> Any:
        return self.client.submit(
            _work, self.command, lesionkit.__version__, job.step.id, job.fold, key=f"{job.name} {time.time_ns()}", pure=False,
            priority=int(self.urgency[job.name]), resources={"GPU": gpus} if gpus else None,
            workers=[worker], allow_other_workers=True,  # should this one die
        )  # fmt: skip

    def _end(self, job: Job, future: Any) -> None:
        self.board.clear()
        self.placed.pop(job.name, None)
        self.asked = 0.0  # there is room again
        if future.status == "finished":
            self.done += 1
            return self.say(f"{job.name:<42} {future.result()}")
        if self.failure:
            return
        if future.status == "error":
            self.failure = _failure(job, future.exception())
            if self.running:
                self.say(f"{job.name:<42} failed; first what runs is let end: {', '.join(sorted(self.running))}")
        else:  # lost with its scheduler
            self.failure = self._gone(job.name)

    def _gone(self, *names: str) -> RunError:
        running = ", ".join(sorted({*names, *self.running})) or "nothing"
        return RunError(f"the scheduler is gone; {running} was running: the same command goes on from there")


def _failure(job: Job, error: BaseException) -> BaseException:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return RunError(f"{job.name} failed: its worker died again and again, most often for want of memory: "
                        f"try fewer --jobs, or a smaller batch_size")  # fmt: skip
    return error


def _work(command: Command, version: str, name: str, number: int) -> str:
    """In a worker: one job. Returns what was done in a word."""
    if version != lesionkit.__version__:  # in a worker that has come after the others were asked
        raise RunError(f"a worker runs lesionkit {lesionkit.__version__}, this is {version}: install the same on both")
    if number:
        started = time.monotonic()
        fold.train(command, name, number)
        return f"{time.monotonic() - started:.1f} s"
    return steps.bring_up_to_date(command, name)


def _check_workers(client: Any, command: Command, chosen: list[Step], scheduler: str) -> None:
    """Ask each worker, before anything is begun, whether it has this lesionkit and sees the run's folders."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, TimeoutError) as error:
        raise RunError(f"no worker at {scheduler}: start some with `dask worker {scheduler} --nthreads 1`") from error
    needs = [command.notebooks, command.folder]
    if any(step.number in SEES_IMAGES for step in chosen) and command.data and not command.settings.synthetic:
        needs.append(Path(command.data))
    settings = (command.folder / "study.json").read_text()
    try:
        answers = client.run(_problem, _version(), [str(path) for path in needs], settings)
    except Exception as error:  # whatever a worker without this package, or with another Dask, makes of it
        here = f"lesionkit {lesionkit.__version__}"
        raise RunError(f"workers cannot load {here}, install it there too: {error}") from error
    for worker, problem in answers.items():
        if problem:
            raise RunError(f"worker {worker} {problem}")


def _problem(version: str, needs: list[str], settings: str) -> str:
    """In a worker: why it cannot work for this run; empty where it can."""
    if version != _version():
        return f"runs lesionkit {_version()}, this is {version}: install the same on both, and restart the worker"
    for folder in needs:
        if not Path(folder).is_dir():
            return f"sees no folder {folder}: it must be shared, under the same path, by all machines"
    for _ in range(PATIENCE):
        file = Path(needs[1]) / "study.json"
        if file.is_file() and file.read_text() == settings:
            return ""
        time.sleep(1)  # a shared folder may show a change late
    return f"does not see what is written to {needs[1]}: it must be shared by all machines"


@cache
def _version() -> str:
    return f"{lesionkit.__version__} (code {sources.code_hash(sources.PACKAGE.rglob('*.py'))})"


def _workers(client: Any) -> dict[str, Any]:
    """What the scheduler says now; client.scheduler_info returns what the client's own timer may just have noted, without workers."""
    return client.sync(client.scheduler.identity, n_workers=-1)["workers"]


def _gpus(worker: Mapping[str, Any]) -> int:
    return int(worker["resources"].get("GPU", 0))
