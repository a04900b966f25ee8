"""One backbone measured, in a process of its own: python -m lesionkit.bench.backbone JOB.json RESULT.json"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import CancelFitException, CancelTrainException, CancelValidException
from torch import nn

from lesionkit.bench.clock import Stopwatch, Way, in_turns, now, peak_mb, timed
from lesionkit.data import pixels as store
from lesionkit.data.records import CLASSES
from lesionkit.learning import backbones, inference, machine, networks, precision, training
from lesionkit.learning.augmentation import normalise, to_float
from lesionkit.learning.batches import PlainBatches
from lesionkit.learning.callbacks import Journal
from lesionkit.learning.progress import Progress
from lesionkit.study import Study

EPOCH = 10_015  # images: an epoch as long as with HAM10000, however few files there are
PREDICTED = 64  # images a batch in inference
WORKERS = os.cpu_count()  # processes that decode for plain fastai


class Program:
    """Training and inference as this program does them, and the model alone."""

    def __init__(self, job: dict, study: Study, device: str):
        self.name, self.study, self.device, self.folder = job["backbone"], study, device, Path(job["folder"])
        self.folder.mkdir(exist_ok=True)
        self.index = pd.read_csv(job["index"])
        self.config = {"normalisation": backbones.normalisation(self.name), "study": asdict(study)}
        started = now(device)
        self.pixels = store.build(self.index, Path(job["files"]), Path(job["store"]), *store.Input.of(study))
        self.learner, _ = training.prepare(self.name, self.pixels, self._table(), study, device)
        self.batch = next(iter(self.learner.dls.train))  # (B, 3, size, size), (B, 7)
        self.first_batch_seconds = now(device) - started
        self.used = precision.choose(study.precision, self.learner.model, *self.batch, device)
        self.scaler = torch.amp.GradScaler(torch.device(device).type, enabled=self.used == "fp16")

    def _table(self) -> pd.DataFrame:
        """The images again and again until the epoch is long enough, and two batches for validation."""
        images = max(EPOCH, (2 * WORKERS + 32) * self.study.batch_size)  # room for what is drawn ahead
        parts = {"train": images, "val": 2 * self.study.batch_size}
        rows = [self.index.iloc[np.arange(n) % len(self.index)].assign(split=part) for part, n in parts.items()]
        return pd.concat(rows, ignore_index=True)

    def train(self, steps: int, end: type[Exception] = CancelFitException) -> float:
        """Images a second, with all callbacks of a training; its checkpoint and validation follow where only the epoch ends."""
        watch = Stopwatch(1, steps, end, self.device)
        self.learner.add_cb(watch)
        journal = Journal(self.folder, "bench", self.study)
        progress = Progress(self.folder / "progress.json", self.name)
        others = [progress, *precision.callbacks(self.used, self.device)]
        training.train(self.learner, self.study, journal, 0, others)
        self.learner.remove_cb(watch)
        return steps * self.study.batch_size / watch.elapsed

    def train_model(self, steps: int) -> float:
        """Images a second of the training step on one batch in memory: same network, loss, precision and optimiser."""
        model, loss, optimiser = self.learner.model.train(), self.learner.loss_func, self.learner.opt.opt
        half = precision.KINDS.get(self.used)

        def step(x: torch.Tensor, y: torch.Tensor) -> None:
            with torch.autocast(torch.device(self.device).type, half, enabled=half is not None):
                value = loss(model(x), y)
            self.scaler.scale(value).backward()
            self.scaler.step(optimiser)
            self.scaler.update()
            optimiser.zero_grad()

        return steps * len(self.batch[0]) / timed([self.batch] * (steps + 1), step, steps, self.device)

    def batches(self, steps: int) -> float:
        """Images a second of the training batches, with no model."""
        return steps * self.study.batch_size / timed(self.learner.dls.train, lambda x, y: None, steps, self.device)

    def predict(self, steps: int) -> float:
        ids = list(self.index["image_id"].to_numpy()[np.arange(steps * PREDICTED) % len(self.index)])
        model, started = self.learner.model.eval(), now(self.device)
        inference.predict_rows(model, self.config, self.pixels, ids)
        return len(ids) / (now(self.device) - started)

    @torch.inference_mode()
    def predict_model(self, steps: int) -> float:
        images = np.asarray(self.pixels.images[np.arange(PREDICTED) % len(self.index)])
        x = normalise(to_float(images, self.device), *self.config["normalisation"])
        return steps * PREDICTED / timed([(x,)] * (steps + 1), self.learner.model.eval(), steps, self.device)

    def plain_batches(self, steps: int) -> float:
        """Images a second of the batches of inference, with no model."""
        rows, (mean, std) = np.arange((steps + 1) * PREDICTED) % len(self.index), self.config["normalisation"]
        plain = PlainBatches(self.pixels.images, rows, rows, batch_size=PREDICTED, mean=mean, std=std, device=self.device)
        return steps * PREDICTED / timed(plain, lambda x, y: None, steps, self.device)


class PlainFastai:
    """The same network trained and used by a plain fastai DataBlock, from JPEG files."""

    def __init__(self, program: Program, files: Path):
        from fastai.vision import all as fv  # here: its memory is not the program's

        study, self.device, self.used = program.study, program.device, program.used
        self.batch_size = study.batch_size
        self.paths = [files / path for path in np.resize(program.index["path"], len(program.learner.dls.train.rows))]
        mean_std = backbones.normalisation(program.name)
        block = fv.DataBlock(
            (fv.ImageBlock, fv.CategoryBlock(vocab=list(CLASSES))), get_y=fv.parent_label,
            splitter=fv.IndexSplitter(range(2 * self.batch_size)), item_tfms=fv.Resize(study.size),
            batch_tfms=[*fv.aug_transforms(), fv.Normalize.from_stats(*mean_std)],
        )  # fmt: skip
        loaders = block.dataloaders(self.paths, bs=self.batch_size, num_workers=WORKERS, device=torch.device(self.device))
        model, _ = networks.build(program.name, study.size, drop_rate=study.drop_rate, drop_path_rate=study.drop_path_rate)
        loss = nn.CrossEntropyLoss(label_smoothing=study.label_smoothing)
        self.learner = fv.Learner(loaders, model.to(self.device), loss)

    def train(self, steps: int) -> float:
        watch = Stopwatch(WORKERS + 1, steps, CancelFitException, self.device)
        with self.learner.no_bar(), self.learner.no_logging():
            self.learner.fit(1, cbs=[*precision.callbacks(self.used, self.device), watch])
        return steps * self.batch_size / watch.elapsed

    def predict(self, steps: int) -> float:
        watch = Stopwatch(WORKERS + 1, steps, CancelValidException, self.device)
        files = np.resize(self.paths, (steps + 3 * WORKERS + 2) * PREDICTED)
        loader = self.learner.dls.test_dl(list(files), bs=PREDICTED)
        with self.learner.no_bar():
            self.learner.get_preds(dl=loader, reorder=False, cbs=watch)
        return steps * PREDICTED / watch.elapsed

    def batches(self, steps: int) -> float:
        """Images a second of fastai's training batches, with no model."""
        return steps * self.batch_size / timed(self.learner.dls.train, lambda x, y: None, steps, self.device)


def measure(job: dict) -> dict:
    """Rates a way and round, seconds to the first batch, peak memory in MB (10^6 bytes), and what it ran on."""
    device = machine.default_device()
    machine.keep_memory()  # as `fit` does; the bare model and plain fastai have it too
    study = Study("bench", size=job["size"], batch_size=job["batch"], precision=job["precision"], weights="none", epochs=1)
    program = Program(job, study, device)
    warm = {"train_lesionkit": program.train(4, CancelTrainException)}  # a short epoch, with validation and checkpoint
    ways = ways_of(program)
    warm |= {name: way.turn(way.fewest) for name, way in ways.items() if name not in warm}
    memory = {"peak_mb": peak_mb(), "gpu_peak_mb": torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else 0.0}
    others = ways_of_fastai(PlainFastai(program, Path(job["files"])))
    warm |= {name: way.turn(way.fewest) for name, way in others.items()}
    most = len(program.learner.dls.train) - 2 * WORKERS - 4  # an epoch is not longer
    rates = in_turns(ways | others, warm, job["rounds"], job["seconds"], most)
    gpu = torch.cuda.get_device_name() if device == "cuda" else "Apple GPU" if device == "mps" else ""
    return {"rates": rates, "first_batch_seconds": program.first_batch_seconds, **memory, "device": device, "gpu": gpu,
            "threads": torch.get_num_threads(), "torch": torch.__version__, "used_precision": program.used}  # fmt: skip


def ways_of(program: Program) -> dict[str, Way]:
    """What is measured of lesionkit and of the bare model, by name."""
    batch = program.study.batch_size
    return {
        "train_model": Way(program.train_model, batch, fewest=2),
        "train_lesionkit": Way(program.train, batch),
        "batches": Way(program.batches, batch, share=0.3),
        "predict_model": Way(program.predict_model, PREDICTED, fewest=2, share=0.7),
        "predict_lesionkit": Way(program.predict, PREDICTED, fewest=2, share=0.7),
        "plain_batches": Way(program.plain_batches, PREDICTED, share=0.3),
    }


def ways_of_fastai(plain: PlainFastai) -> dict[str, Way]:
    """What is measured of plain fastai, by name."""
    return {
        "train_fastai": Way(plain.train, plain.batch_size),
        "predict_fastai": Way(plain.predict, PREDICTED, fewest=2, share=0.7),
        "fastai_batches": Way(plain.batches, plain.batch_size, share=0.3),
    }


if __name__ == "__main__":
    asked, result = map(Path, sys.argv[1:])
    result.write_text(json.dumps(measure(json.loads(asked.read_text())), default=float))
