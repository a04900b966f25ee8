"""Where the jobs of a run are done: processes of this machine for the time being, or a Dask cluster that exists."""

import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil

from lesionkit.machine import cores as _cores
from lesionkit.study import Study, StudyError
from lesionkit.workbook.steps import RunError

MEMORY = 2.5e9  # bytes that a job may need: a kernel with torch, a model and its optimiser
PATIENCE = 15  # seconds for a scheduler to answer
SELDOM = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s",
          "distributed.admin.system-monitor.interval": "10s"}  # fmt: skip
# Dask's watch over itself, for a dashboard that is not there; at its defaults two jobs cost a tenth of a core while they wait


def number(asked: int, study: Study) -> int:
    """How many jobs at once: as asked, or for 0 as many as this machine has cores (of `threads` each) and memory for."""
    if asked < 0:
        raise StudyError(f"--jobs {asked}: 1, several, or 0 for as many as fit")
    if asked:
        return asked
    return max(1, min(_cores() // max(study.threads, 1), int(psutil.virtual_memory().available / MEMORY)))


@contextmanager
def client_of(study: Study, jobs: int, scheduler: str) -> Iterator[Any]:
    """A client of the cluster at `scheduler`, or of one that is made of this machine for the time being."""
    try:
        import distributed
    except ImportError as error:
        raise StudyError("--jobs and --scheduler need Dask: pip install 'lesionkit[cluster]' "
                         "(in a copy of the repository: pip install -e '.[cluster]')") from error  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        place = scheduler or stack.enter_context(_cluster(study, jobs))
        try:
            client = distributed.Client(place, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise RunError(f"no scheduler at {scheduler}: start one with `dask scheduler`, or correct the address "
                           f"({str(error) or type(error).__name__})") from error  # fmt: skip
        yield stack.enter_context(client)


@contextmanager
def _quiet() -> Iterator[None]:
    """What is lost is told by us, not by Dask's log; Dask sets no number of threads, for we do; and it watches itself less."""
    import dask

    log = logging.getLogger("distributed")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with dask.config.set({"distributed.nanny.pre-spawn-environ": {}, **SELDOM}):
            yield
    finally:
        log.setLevel(before)


def _cluster(study: Study, jobs: int) -> Any:
    """`jobs` processes of one thread each; as many as can be have GPUs, which no other sees."""
    from distributed import Nanny, Scheduler, SpecCluster

    each = max(study.for_backbone(name).processes for name in study.backbones)
    gpus = visible_gpus()
    if gpus and each > len(gpus):
        raise StudyError(f"processes = {each}: this machine shows {len(gpus)} GPUs, and each process needs one; set fewer")
    shares = [gpus[at : at + each] for at in range(0, len(gpus) - each + 1, each)][:jobs]
    shares += [[]] * (jobs - len(shares))
    quiet = {"silence_logs": logging.CRITICAL, "dashboard": False}
    common = {**quiet, "nthreads": 1, "memory_limit": 0, "host": "127.0.0.1"}
    threads = environment(study, jobs)
    workers = {
        i: {"cls": Nanny, "options": {**common, "resources": {"GPU": len(share)} if share else {},
                                      "env": {**threads, **({"CUDA_VISIBLE_DEVICES": ",".join(share)} if gpus else {})}}}
        for i, share in enumerate(shares)
    }  # fmt: skip
    here = {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    return SpecCluster(workers=workers, scheduler={"cls": Scheduler, "options": here}, silence_logs=logging.CRITICAL)


def environment(study: Study, jobs: int) -> dict[str, str]:
    """What jobs beside each other need in their environment, where its user has not set it.

    Threads that spin while they wait would take the cores from the other jobs; and each job takes its share of the cores,
    unless the study says how many threads train.
    """
    wanted = {"OMP_WAIT_POLICY": "PASSIVE"}
    if not study.threads:
        wanted["OMP_NUM_THREADS"] = str(max(1, _cores() // jobs))
    return {key: os.environ.get(key, value) for key, value in wanted.items()}


def visible_gpus() -> list[str]:
    """The CUDA devices that may be used, as in CUDA_VISIBLE_DEVICES; found without torch, which would take seconds."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [] if given.startswith("-") else [name.strip() for name in given.split(",") if name.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=PATIENCE).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]
