"""The steps of a study whose cost depends on the number of images, each measured in its own process, for `scale.py`."""

import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil

from lesionkit.bench import files as jpegs
from lesionkit.data import duplicates, listing, pixels, readers, splits
from lesionkit.workbook.hashes import Hashes

COUNTS = (1250, 2500, 5000, 10_000)
SIZE, BATCH, EPOCHS, TRAINED = 224, 32, 30, 0.7  # px, images, epochs, share of the images that is trained on
BACKBONE, BATCHES = "mobilenetv3_large_100", 8  # batches that are timed
FRAMES = 64  # files of 600×450 px, taken again and again
MODELS, RESAMPLES = 9, 2000
LEAST = 1e6  # bytes; less is not told from nothing

Work = Callable[[], float]  # does the step and gives its seconds


class Place(NamedTuple):
    """The images, and a folder for what is made of them: index.csv and frames.csv there list files."""

    folder: Path
    scratch: Path

    def listed(self, name: str, n: int) -> pd.DataFrame:
        return pd.read_csv(self.scratch / f"{name}.csv").head(n)


def prepare(place: Place) -> int:
    """Leaves index.csv and frames.csv in the scratch folder; returns how many images there are."""
    index, _ = readers.read(place.folder, "isic2019")
    index.sample(frac=1, random_state=0).to_csv(place.scratch / "index.csv", index=False)
    files = jpegs.write_files(place.scratch / "frames", FRAMES)
    many = files.iloc[np.arange(max(COUNTS)) % len(files)]
    many.assign(image_id=[f"image{i}" for i in range(len(many))]).to_csv(place.scratch / "frames.csv", index=False)
    return len(index)


def small_files(n: int, place: Place) -> Path:
    """A folder in the layout of ISIC 2019 that holds n images, as links, and their rows of its tables."""
    root, index = place.scratch / f"isic{n}", place.listed("index", n)
    if not root.exists():
        (root / "ISIC_2019_Training_Input").mkdir(parents=True)
        for path in map(place.folder.joinpath, index["path"]):
            (root / "ISIC_2019_Training_Input" / path.name).symlink_to(path)
        for file in listing.list_folder(place.folder).named(r"isic.?2019_training_(?:groundtruth|metadata)\.csv"):
            table = pd.read_csv(place.folder / file, dtype="str")
            table[listing.image_ids(table["image"]).isin(index["image_id"])].to_csv(root / Path(file).name, index=False)
    return root


def frames(n: int, place: Place) -> Path:
    """A folder of n links to files of 600×450 px."""
    root = place.scratch / f"frames{n}"
    if not root.exists():
        root.mkdir()
        for i, path in enumerate(place.listed("frames", n)["path"]):
            (root / f"{i}.jpg").symlink_to(place.scratch / "frames" / path)
    return root


# ---- the steps: each takes in what it needs for n images, and gives the work that is measured


def clocked(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def reading(n: int, place: Place) -> Work:
    root = small_files(n, place)
    return partial(clocked, lambda: readers.read(root, "isic2019"))


def hashing(files: Callable[[int, Place], Path], n: int, place: Place) -> Work:
    root = files(n, place)
    return partial(clocked, lambda: Hashes(place.scratch / "no such file").of_folder(root))


def store(listed: str, n: int, place: Place) -> Work:
    index, number = place.listed(listed, n), count()
    root = place.folder if listed == "index" else place.scratch / listed
    name = place.scratch / f"store of {listed} {n}"  # a new one each time, for one that is there is reused
    return partial(clocked, lambda: pixels.build(index, root, name / str(next(number)), SIZE, "squash"))


def built(n: int, place: Place) -> tuple[pd.DataFrame, pixels.Pixels]:
    """The first n images and the store that `store` has left of them."""
    index = place.listed("index", n)
    return index, pixels.build(index, place.folder, place.scratch / f"store of index {n}" / "0", SIZE, "squash")


def searching(n: int, place: Place) -> Work:
    index, there = built(n, place)
    ids = index["image_id"]
    return partial(clocked, lambda: duplicates.near_duplicates(there.of(ids), ids))  # as notebook 01


def splitting(n: int, place: Place) -> Work:
    index = place.listed("index", n)
    drawn = np.random.default_rng(0).choice(index["image_id"], (n // 25, 2))  # about as many as near-duplicates
    pairs = pd.DataFrame(drawn, columns=["image_a", "image_b"])
    return partial(clocked, lambda: splits.assert_disjoint(splits.split(index, pairs)))


def resampling(n: int, place: Place) -> Work:
    from bootstrap import tables  # the benchmark beside this one

    from lesionkit.evidence import resampling

    scored = tables(n, MODELS, 0)
    return partial(clocked, lambda: resampling.intervals(resampling.replicate(scored, RESAMPLES)))


def training(n: int, place: Place) -> Work:
    """Seconds of all epochs from those of a few batches, in the precision that `fit` would choose. No validation."""
    import torch  # here: its memory is not that of every step

    from lesionkit.bench import clock
    from lesionkit.learning import machine, precision, training
    from lesionkit.study import Study

    index, there = built(n, place)
    index["split"] = np.where(np.arange(n) < TRAINED * n, "train", "val")
    device, study = machine.default_device(), Study("scale", size=SIZE, batch_size=BATCH, weights="none")

    def work() -> float:
        machine.keep_memory()
        learner, _ = training.prepare(BACKBONE, there, index, study, device)
        kind = precision.KINDS.get(precision.choose("auto", learner.model, *next(iter(learner.dls.train)), device))

        def step(x: torch.Tensor, y: torch.Tensor) -> None:
            with torch.autocast(torch.device(device).type, kind, enabled=kind is not None):
                loss = learner.loss_func(learner.model(x), y)
            loss.backward()
            learner.opt.step()
            learner.opt.zero_grad()

        learner.model.train()
        seconds = clock.timed(learner.dls.train, step, BATCHES, device)
        return seconds / (BATCHES * BATCH) * EPOCHS * TRAINED * n

    return work


class Step(NamedTuple):
    prepare: Callable[[int, Place], Work]
    order: int = 1  # the highest power of n in its seconds: 2 where all pairs are compared
    memory_order: int = 1  # in its memory: 0 where what differs is noise of the allocator, as the pixels stay on disk
    needs: tuple[str, ...] = ()  # modules that only it loads


STEPS = {
    "index": Step(reading),
    "hash, own files": Step(partial(hashing, small_files)),
    "hash, 600×450 px": Step(partial(hashing, frames)),
    "store, own files": Step(partial(store, "index")),
    "store, 600×450 px": Step(partial(store, "frames")),
    "near-duplicates": Step(searching, order=2),
    "split": Step(splitting),
    f"intervals, {MODELS} models": Step(resampling, needs=("bootstrap",)),
    f"training, {EPOCHS} epochs": Step(training, memory_order=0, needs=("lesionkit.bench.backbone",)),
}


def in_own_process(name: str, n: int, place: Place) -> dict[str, float]:
    """seconds and memory (bytes) of a step. Ends the program where it fails."""
    done = subprocess.run([sys.executable, __file__, name, str(n), *map(str, place)], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it left no word; too little memory?"])[-1]
        sys.exit(f"{name}, {n:,} images: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def measured(step: Step, n: int, place: Place) -> dict[str, float]:
    """Seconds (the fewest of up to three runs where one is short), and the peak of memory beyond the imports'."""
    for module in step.needs:
        importlib.import_module(module)
    before, seen, stop = anonymous(), [LEAST], threading.Event()
    work = step.prepare(n, place)

    def watch() -> None:
        while not stop.wait(0.005):
            seen.append(anonymous() - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    times = [work()]
    while len(times) < 3 and sum(times) < 1:
        times.append(work())
    stop.set()
    thread.join()
    return {"seconds": min(times), "memory": max(*seen, anonymous() - before)}


def anonymous() -> int:
    """Bytes of this process without file pages, where the system tells them apart."""
    memory = psutil.Process().memory_info()
    return memory.rss - getattr(memory, "shared", 0)


if __name__ == "__main__":
    asked, images, folder, scratch = sys.argv[1:]
    print(json.dumps(measured(STEPS[asked], int(images), Place(Path(folder), Path(scratch)))))
