"""The model of one fold, trained in a process of its own: `python -m lesionkit.workbook.fold JSON`, from notebooks/."""

import json
import os
import subprocess
import sys
import threading
import time

from lesionkit.workbook.steps import TEMPLATE, Command, RunError


def train(command: Command, step: str, fold: int) -> None:
    """Train the model of `fold` for a step of notebook 02, which will find it done. Raises RunError where it fails."""
    parameters = command.parameters(next(one for one in command.steps() if one.id == step))
    given = json.dumps({**parameters, "fold": fold, "parent": os.getpid()})
    line = [sys.executable, "-m", "lesionkit.workbook.fold", given]
    done = subprocess.run(line, cwd=command.notebooks, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = done.stderr.strip().splitlines() if done.returncode > 0 else []  # killed, it could only tell its progress
        said = said or [f"ended with {done.returncode}, most often for want of memory"]
        raise RunError(f"{step} fold {fold} failed: {said[-1]}")


def main(given: str) -> None:
    """In the process: what notebook 02 does before it trains, then the training of one fold."""
    settings = json.loads(given)
    threading.Thread(target=_leave_with, args=(settings.pop("parent"),), daemon=True).start()
    from lesionkit.data import pixels
    from lesionkit.learning import folded
    from lesionkit.workbook.artifacts import Run

    fold, backbone, study = (settings.pop(key) for key in ("fold", "backbone", "study"))
    run = Run.open(study, f"{TEMPLATE}train_backbone", **settings, suffix=backbone)
    own = run.study.for_backbone(backbone)
    store = pixels.build(run.index(), run.data, run.path("cache"), *pixels.Input.of(own))
    folded.train_fold(backbone, store, run.split(), run.study, run.path("models", backbone), fold)


def _leave_with(parent: int) -> None:
    """End with the worker: without it nobody would stop this process."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
