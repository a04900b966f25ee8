"""What the pixel store promises, measured on a folder of images.

    python tests/benchmarks/first_batch.py FOLDER --size 64 --few 2000 --many 10015

Printed: how often an image was decoded while two backbones asked for the store; seconds from the start of
`pixels.build` to the first training batch inside `fit`, of a first and of a second backbone (wanted: less than 2);
and the peak memory of a training of 60 batches, each in a process of its own, on few and on many images (wanted:
less than 300 MB apart), as the system counts it (with the pages of the store that were read) and without file pages.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from lesionkit.data import IMAGES, decoding, pixels
from lesionkit.data.records import CLASSES
from lesionkit.learning import training
from lesionkit.learning.callbacks import Journal
from lesionkit.study import Study

BACKBONES = ("baseline_cnn", "mobilenetv3_large_100")
BATCHES, LONGEST, MOST_GROWTH = 60, 2.0, 300  # batches, seconds, MB


class Enough(Exception):
    """Seen what there was to see: ends a training."""


def index_of(folder: Path, count: int) -> pd.DataFrame:
    """The first `count` images below `folder`, each id once, with classes in turn: no label matters here."""
    files = {file.stem: file for file in sorted(folder.rglob("*")) if file.suffix.lower() in IMAGES}
    if not files:
        sys.exit(f"{folder}: no images there")
    paths = [file.relative_to(folder).as_posix() for file in list(files.values())[:count]]
    split = np.where(np.arange(len(paths)) % 5 == 0, "val", "train")
    return pd.DataFrame({"image_id": list(files)[:count], "path": paths, "dx": np.resize(CLASSES, len(paths)), "split": split})


def until_batch(number: int, backbone: str, index: pd.DataFrame, folder: Path, scratch: Path, size: int, precision: str) -> float:
    """Seconds from the start of build() until `fit` has its batch `number` (1: the first) in hand."""
    times = []

    def before_batch(journal: Journal) -> None:
        times.append(time.perf_counter())

    def after_batch(journal: Journal) -> None:
        if len(times) == number:
            raise Enough("the batch was there")  # fastai reads the text

    Journal.before_batch, Journal.after_batch = before_batch, after_batch
    started = time.perf_counter()
    try:
        store = pixels.build(index, folder, scratch / f"store{len(index)}", size, "squash")
        study = Study("first", size=size, weights="none", epochs=1, precision=precision)
        training.fit(backbone, store, index, study, scratch / backbone)
    except Enough:
        return times[-1] - started
    raise SystemExit(f"the epoch has fewer than {number} batches: give more images")


def decodes(index: pd.DataFrame, folder: Path, scratch: Path, size: int, precision: str) -> tuple[Counter, list[float]]:
    """How often each file was decoded while both backbones began to train, and the seconds to each one's first batch."""
    counts: Counter = Counter()
    original = decoding.decode

    def counted(path: Path, *more) -> np.ndarray:
        counts[path] += 1
        return original(path, *more)

    decoding.decode = counted
    try:
        return counts, [until_batch(1, name, index, folder, scratch, size, precision) for name in BACKBONES]
    finally:
        decoding.decode = original


def memory(index: pd.DataFrame, folder: Path, scratch: Path, size: int, precision: str) -> dict[str, float]:
    """Peak MB of this process over a training of 60 batches from a store that exists: in all, and without file pages."""
    anonymous, stop = [], threading.Event()

    def sample() -> None:
        while not stop.wait(0.02):
            anonymous.append(_status("RssAnon"))

    thread = threading.Thread(target=sample)
    thread.start()
    until_batch(BATCHES, BACKBONES[1], index, folder, scratch, size, precision)
    stop.set()
    thread.join()
    return {"all": _status("VmHWM"), "anonymous": max(anonymous)}


def _status(field: str) -> float:
    """A field of /proc/self/status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) * 1024 / 1e6


def in_own_process(count: int, folder: Path, scratch: Path, size: int, precision: str) -> dict[str, float]:
    command = [sys.executable, __file__, str(folder), "--size", str(size), "--many", str(count), "--precision", precision,
               "--memory", str(scratch)]  # fmt: skip
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1])


def report(asked: argparse.Namespace, scratch: Path) -> None:
    index = index_of(asked.folder, asked.many)
    counts, seconds = decodes(index, asked.folder, scratch, asked.size, asked.precision)
    print(f"{len(index):,} images: {len(counts):,} decoded, at most {max(counts.values())} times each, by {len(BACKBONES)} backbones")
    print(f"first batch of {BACKBONES[0]}, store missing: {seconds[0]:.1f} s")
    print(f"first batch of {BACKBONES[1]}, store there: {seconds[1]:.2f} s (wanted: < {LONGEST:g})")
    pixels.build(index_of(asked.folder, asked.few), asked.folder, scratch / f"store{asked.few}", asked.size, "squash")
    few, many = (in_own_process(count, asked.folder, scratch, asked.size, asked.precision) for count in (asked.few, len(index)))
    for kind in few:
        print(f"peak memory, {kind}: {few[kind]:,.0f} MB with {asked.few:,} images, {many[kind]:,.0f} MB with {len(index):,}: "
              f"{many[kind] - few[kind]:+,.0f} MB (wanted: < {MOST_GROWTH})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in {"size": 64, "few": 2000, "many": 10_015}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", default="auto", help="auto tries out before the first batch which is faster")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)  # the scratch folder: a process of its own
    asked = parser.parse_args()
    if asked.memory:
        print(json.dumps(memory(index_of(asked.folder, asked.many), asked.folder, asked.memory, asked.size, asked.precision)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        report(asked, Path(scratch))


if __name__ == "__main__":
    main()
