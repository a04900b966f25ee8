"""What a run is doing, for a person at a terminal: what trainings leave in their files progress.json."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def watched(label: str, progress: Path) -> Iterator[None]:
    """Meanwhile, show in the terminal what training leaves in the file `progress`, or how long it has taken.

    A line that is rewritten in a terminal; a line an epoch elsewhere.
    """
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(label, progress, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch(label: str, progress: Path, done: threading.Event) -> None:
    started, terminal, epoch = time.time(), sys.stderr.isatty(), 1
    while not done.wait(0.5):
        state = _state(progress, started)
        if terminal:
            line = _line(state) if state else f"{time.time() - started:.0f} s"
            print(f"\r{label}: {line}\033[K", end="", file=sys.stderr, flush=True)
        elif state and state["epoch"] > epoch:
            epoch = state["epoch"]
            print(f"{label}: {_line(state)}", file=sys.stderr, flush=True)
    if terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


class Board:
    """Many jobs at once: in a terminal one line that is rewritten, elsewhere a line an epoch of each training.

    models: the run's folder of models; since: the time of change of a file there before which no progress counts.
    """

    def __init__(self, models: Path, since: float):
        self.models, self.since, self.epochs = models, since, {}
        self.terminal = sys.stderr.isatty()

    def show(self, done: int, total: int, running: Collection[str]) -> None:
        """Show how many of `total` jobs are done, which are running, and how far trainings are."""
        states = self._states()
        if self.terminal:
            trainings = ", ".join(f"{name} {state['epoch']}/{state['epochs']}" for name, state in states.items())
            left = _clock(max((state["seconds_left"] for state in states.values()), default=0))
            epochs = f"epochs: {trainings}, {left} left; " if states else ""
            text = f"{done} of {total} done; {epochs}running: {', '.join(sorted(running))}"
            print(f"\r{text[: shutil.get_terminal_size().columns - 1]}\033[K", end="", file=sys.stderr, flush=True)
            return
        for name, state in states.items():
            if state["epoch"] > self.epochs.setdefault(name, 1):
                self.epochs[name] = state["epoch"]
                print(f"{name}: {_line(state)}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, for another to be printed."""
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _states(self) -> dict[str, dict[str, Any]]:
        files = {file.parent.relative_to(self.models).as_posix(): file for file in self.models.rglob("progress.json")}
        found = {name: _state(file, self.since) for name, file in sorted(files.items())}
        return {name: state for name, state in found.items() if state}


def _state(progress: Path, started: float) -> dict[str, Any] | None:
    """What training says of itself; None before it has begun, or while the file is being written."""
    try:
        return json.loads(progress.read_text()) if progress.stat().st_mtime > started else None
    except (OSError, ValueError):
        return None


def _line(state: Mapping[str, Any]) -> str:
    return (f"epoch {state['epoch']} of {state['epochs']}, {state['images_per_second']:.0f} images/s, "
            f"{_clock(state['seconds_left'])} left")  # fmt: skip


def _clock(seconds: float) -> str:
    return "{}:{:02d}".format(*divmod(int(seconds), 60))
