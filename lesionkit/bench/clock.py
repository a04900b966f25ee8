"""Clocks of the benchmark: what is timed from where to where, in which turns, and the peak of memory."""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from fastai.callback.core import Callback


class Stopwatch(Callback):
    """Times `steps` batches after `skip` others, then raises `end`: neither the start nor an empty queue is timed."""

    order = 1000  # last

    def __init__(self, skip: int, steps: int, end: type[Exception], device: str):
        self.skip, self.steps, self.end, self.on = skip, steps, end, device
        self.seen, self.elapsed = 0, None

    def after_batch(self) -> None:
        self.seen += 1
        if self.seen == self.skip:
            self.started = now(self.on)
        elif self.seen == self.skip + self.steps:
            self.elapsed = now(self.on) - self.started
            raise self.end


def now(device: str) -> float:
    """Seconds on a clock that is read when the device has done all that it was given."""
    if torch.device(device).type != "cpu":
        getattr(torch, torch.device(device).type).synchronize()
    return time.perf_counter()


def timed(batches: Iterable, work: Callable, steps: int, device: str) -> float:
    """Seconds for `work(*batch)` on `steps` batches, after one that is not timed."""
    for i, batch in zip(range(steps + 1), batches):
        work(*batch)
        if i == 0:
            started = now(device)
    return now(device) - started


class Way(NamedTuple):
    """One thing to time: `turn(steps)` gives its rate over as many batches."""

    turn: Callable[[int], float]
    batch: int  # images
    fewest: int = 4  # batches in a turn
    share: float = 1.0  # of the seconds that a turn lasts


def in_turns(ways: dict[str, Way], warm: dict[str, float], rounds: int, seconds: float, most: int) -> dict[str, list[float]]:
    """The rates of each way, one a round. A turn lasts about `seconds` at the rate of the warm-up, and `most` batches at most."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds):
        for name in list(ways)[:: 1 if i % 2 == 0 else -1]:  # back and forth: what drifts is shared out
            way = ways[name]
            steps = int(seconds * way.share * warm[name] / way.batch)
            rates[name].append(way.turn(min(max(steps, way.fewest), most)))
    return rates


def peak_mb() -> float:
    """The most memory that this process has held, MB. Not getrusage where /proc is: that counts the parent's before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6  # kB, of 1024 bytes
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
