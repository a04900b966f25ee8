"""Several processes train one backbone, a GPU each: fastai with Accelerate.

Each process computes its share of every batch, the gradients are averaged, and all take the same step. As a batch parts into
equal shares, the average is the gradient of the whole batch, so that the weights are those of one process up to rounding,
but for dropout, which each process draws for itself, and for batch norm on a CPU, where it sees its share alone.
"""

import json
import os
import pickle
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback
from IPython import get_ipython
from IPython.display import Markdown, display
from torch import distributed

from lesionkit.data.pixels import Pixels
from lesionkit.learning.machine import default_device
from lesionkit.learning.progress import bar, describe
from lesionkit.study import Study

PROGRAM = ("--module", "lesionkit.learning.distributed")  # what each process runs
OUTPUT = "output.txt"
KILLED = r"rank +: (\d+).*\n +exitcode +: -(?!15\b)(\d+)"  # in torch's report; those that were well it ends with 15
LINES = 25  # of the output, in the error where no process could leave its own
GRACE = 30  # seconds that the processes have to end once they are told
T = TypeVar("T")


class ProcessesFailed(RuntimeError):
    """Processes that train together did not end well. The message holds the error of the first that failed."""


def inside() -> tuple[int, int]:
    """Which process this is, from 0, and how many train together; (0, 1) outside."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def writes() -> bool:
    """Whether this process writes files and shows progress: one of all does."""
    return inside()[0] == 0


def barrier() -> None:
    """Returns when all processes have come here."""
    if inside()[1] > 1:
        distributed.barrier()


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """The rows (n, …), in order, of which each process gives those at rank, rank + count, …; all get the same."""
    if inside()[1] == 1:
        return tensor
    parts: list[torch.Tensor] = of_all(tensor.detach().cpu())
    whole = tensor.new_empty((sum(map(len, parts)), *tensor.shape[1:]))
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part.to(whole.device)
    return whole


def agreed(value: T) -> T:
    """What the first process gave here: for choices that each could make differently."""
    return of_all(value)[0]


def of_all(value: T) -> list[T]:
    """What each process gave here, by rank."""
    if inside()[1] == 1:
        return [value]
    values = [value] * inside()[1]
    distributed.all_gather_object(values, value)
    return values


def trainer(device: str) -> list[Callback]:
    """The callback that averages the gradients of all processes, in a list; an empty list outside."""
    if inside()[1] == 1:
        return []
    from lesionkit.learning.replicas import Replicas  # needs Accelerate

    return [Replicas(device)]


def check(table: pd.DataFrame, study: Study, device: str) -> None:
    """Raises ValueError where `study.processes` cannot train together on the rows of `table` (column split) on `device`."""
    n, batch, images = study.processes, study.batch_size, table["split"].value_counts()
    gpus = {"cuda": torch.cuda.device_count(), "mps": 0}.get(device, n)
    problem = ""
    if batch % n:
        problem = f"batch_size = {batch} does not part into {n} equal shares: set a multiple of {n}"
    elif images.get("train", 0) < batch:
        problem = f"the training images ({images.get('train', 0)}) are fewer than batch_size = {batch}: set a smaller one"
    elif images.get("val", 0) < n:
        problem = f"the validation images ({images.get('val', 0)}) are fewer than the processes: set fewer"
    elif gpus < n:
        problem = f"each needs a CUDA GPU of its own, and the device {device} gives {gpus}: set fewer"
    if problem:
        raise ValueError(f"processes = {n}: {problem}, or processes = 1")


def launch(
    name: str, pixels: Pixels, table: pd.DataFrame, study: Study, folder: Path, device: str | None = None
) -> None:
    """`training.fit` with these arguments in `study.processes` processes of this machine; returns when all have ended.

    They end when this process does. Raises ValueError where they cannot train together (see `check`), ProcessesFailed
    with the error of the first that failed, and ImportError where Accelerate is missing.
    """
    device = device or default_device()
    check(table, study, device)
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"processes = {study.processes} needs Accelerate: pip install 'lesionkit[cluster]', or set processes = 1"
        ) from error
    with tempfile.TemporaryDirectory(prefix="lesionkit-") as temporary:
        job = Path(temporary) / "job.pkl"
        arguments = (name, replace(pixels, images=None), table, study, Path(folder).resolve(), device)
        job.write_bytes(pickle.dumps((_stored(pixels.images, job.parent), arguments)))
        _run(job, study.processes, Path(folder) / "progress.json")


def _stored(images: np.ndarray, folder: Path) -> Path:
    """The .npy file of the images: that of their store, or a copy in `folder` where they are in memory alone."""
    file = getattr(images, "filename", None)
    if file and np.load(file, mmap_mode="r").shape == images.shape:
        return Path(file).resolve()
    np.save(folder / "images.npy", images)
    return folder / "images.npy"


def _run(job: Path, processes: int, progress: Path) -> None:
    options = {
        "num_processes": processes, "num_machines": 1, "machine_rank": 0, "main_process_port": _free_port(),
        "num_cpu_threads_per_process": max(1, torch.get_num_threads() // processes),
        "gpu_ids": "all", "mixed_precision": "no", "dynamo_backend": "no",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    # --multi_gpu on a CPU too: with --cpu Accelerate starts one process alone; `main` says which device it is.
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *words, *PROGRAM, str(job)]
    progress.unlink(missing_ok=True)  # of a training that was stopped
    with (job.parent / OUTPUT).open("w") as log:
        launcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
        try:
            _watch(launcher, progress)
        finally:
            launcher.stdin.close()  # ends those that still run, see _end_with
            try:
                launcher.wait(GRACE)
            except subprocess.TimeoutExpired:
                launcher.kill()
    if launcher.returncode:
        raise ProcessesFailed(f"one of {processes} processes that train together failed:\n{_error(job.parent)}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _error(folder: Path) -> str:
    """What failed: the process that was killed, the earliest error of one that could tell, else the end of the output."""
    output, told = (folder / OUTPUT).read_text(errors="replace"), []
    if killed := re.search(KILLED, output):
        memory = ", as a system ends one where memory runs out" if killed[2] == "9" else ""
        told = [f"process {killed[1]} was ended by signal {killed[2]}{memory}"]
    errors = sorted(folder.glob("error-*.txt"), key=lambda file: file.stat().st_mtime_ns)
    return "\n".join(told + [file.read_text() for file in errors[:1]]) or "\n".join(output.splitlines()[-LINES:])


def _watch(launcher: subprocess.Popen, progress: Path) -> None:
    """Wait, and show the progress that the first process writes: in a notebook one line in place, else in the terminal."""
    handle, shown = None, ""
    while launcher.poll() is None:
        time.sleep(0.2)
        try:
            state = json.loads(progress.read_text())
        except (OSError, ValueError):  # not yet, no longer, or half written
            continue
        line = describe(state)
        if get_ipython() is not None and line != shown:
            text = Markdown(f"{bar(state['share'])} {line}")
            handle = handle or display(text, display_id=True)
            handle.update(text)
        elif sys.stderr.isatty():
            print(f"\r{line}\033[K", end="", file=sys.stderr, flush=True)
        shown = line
    if shown and handle is None and sys.stderr.isatty():
        print(file=sys.stderr)


def main(job: Path) -> None:
    """One of the processes: what `launch` wrote to the file `job`."""
    _end_with(sys.stdin.fileno())
    try:
        from accelerate import PartialState

        from lesionkit.learning import training

        images, (name, pixels, table, study, folder, device) = pickle.loads(job.read_bytes())
        PartialState(cpu=device == "cpu")  # joins the others, and takes its GPU
        training.fit(name, replace(pixels, images=np.load(images, mmap_mode="r")), table, study, folder, device)
        barrier()
        distributed.destroy_process_group()
    except BaseException:
        job.with_name(f"error-{os.environ['RANK']}.txt").write_text(traceback.format_exc())
        raise


def _end_with(pipe: int) -> None:
    """End this process at once when the file descriptor closes: who started it is gone, or wants no more of it."""

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
