"""fit(): one backbone trained, its best epoch kept, resumable after any crash."""

import hashlib
import json
import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from filelock import FileLock
from torch import nn

from lesionkit import sources
from lesionkit.data.pixels import Pixels
from lesionkit.data.records import CLASSES
from lesionkit.learning import backbones, distributed, machine, networks, precision
from lesionkit.learning.augmentation import Augmentation
from lesionkit.learning.averaging import Averaging
from lesionkit.learning.batches import PlainBatches, TrainingBatches
from lesionkit.learning.callbacks import Epochs, Journal, save
from lesionkit.learning.losses import AdjustedCrossEntropy
from lesionkit.learning.progress import Progress
from lesionkit.study import Study

TRAINED_BY = ("training.py", "averaging.py", "augmentation.py", "callbacks.py", "batches.py", "disturbing.py", "losses.py", "mixing.py",
              "baseline.py", "networks.py", "precision.py")
# a change of these makes trained models stale

# The fields of a study that decide the weights; a change of another one trains nothing anew.
SETTINGS = (
    "seed", "size", "fit", "frame", "colours", "epochs", "batch_size", "lr", "weight_decay", "drop_rate", "drop_path_rate",
    "label_smoothing", "mixup", "balance", "schedule", "frozen_epochs", "patience", "precision", "flips", "rotation", "crop", "colour",
    "cutmix", "adjust", "average", "depth_rate", "chosen_by", "oklab", "policy", "fourier", "hair", "blur", "discs", "processes",
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder, what made it, and a row an epoch."""

    folder: Path
    config: dict[str, Any]
    history: pd.DataFrame


def fit(
    name: str, pixels: Pixels, table: pd.DataFrame, study: Study, folder: Path, device: str | None = None
) -> Trained:
    """Train backbone `name` on the images that `table` (image_id, dx, split) calls train; choose the epoch on val.

    Leaves weights.safetensors (the best epoch), history.csv and config.json in `folder`. Where these exist for the same
    pixels, split, settings and training code they are reused; a run that was stopped goes on from its last epoch and ends as
    if it had not been (on CPU, to the bit). No other rows of `table` are looked at.
    """
    study, folder, device = study.for_backbone(name), Path(folder), device or machine.default_device()
    table = table[table["split"].isin(("train", "val"))]
    made_from = fingerprint(name, pixels, table, study)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if (done := finished(folder)) and done.config["fingerprint"] == made_from:
            return done
        if study.processes > 1 and distributed.inside() == (0, 1):
            distributed.launch(name, pixels, table, study, folder, device)
            return finished(folder)
        machine.keep_memory()
        with machine.randomness(device), machine.threads(study.threads):
            torch.manual_seed(study.seed)
            journal = Journal(folder, made_from, study)
            learner = _fit(name, pixels, table, study, journal, device)
        return _finish(folder, name, study, made_from, journal, device, learner.model)


def _fit(name: str, pixels: Pixels, table: pd.DataFrame, study: Study, journal: Journal, device: str) -> Learner:
    before = journal.checkpoint(device)
    learner, used = prepare(name, pixels, table, study, device, before and before["chosen"]["weights"])
    chosen = before["chosen"]["precision"] if before else distributed.agreed(_precision(learner, study, device))
    journal.chosen = {"weights": used, "precision": chosen}
    journal.average = Averaging(learner.model, study.average) if study.average else None
    start = journal.resume(learner, before) if before else 0
    if study.compile:
        learner.model.compile()
    shown = [Progress(journal.folder / "progress.json", name)] if distributed.writes() else []
    train(learner, study, journal, start, [*shown, *distributed.trainer(device), *precision.callbacks(chosen, device)])
    return learner


def prepare(name: str, pixels: Pixels, table: pd.DataFrame, study: Study, device: str,
            started_from: str | None = None) -> tuple[Learner, str]:  # fmt: skip
    """The Learner that `fit` trains, and the name of its initial weights. `study` is that of the backbone.

    started_from: the weights that a training which now goes on had at its start; they are then not loaded.
    """
    model, used = networks.build(name, study.size, "none" if started_from else study.weights, weights_dir=study.weights_dir,
                                 drop_rate=study.drop_rate, drop_path_rate=study.drop_path_rate)  # fmt: skip
    used = started_from or used
    model = model.to(device, memory_format=torch.channels_last)
    return _learner(model, _loaders(name, pixels, table, study, device), study, pretrained=used != "none"), used


def _precision(learner: Learner, study: Study, device: str) -> str:
    if study.precision != "auto":
        return study.precision
    return precision.choose("auto", learner.model, *next(iter(learner.dls.train)), device)


def _loaders(name: str, pixels: Pixels, table: pd.DataFrame, study: Study, device: str) -> DataLoaders:
    mean, std = backbones.normalisation(name)
    common = {"batch_size": study.batch_size, "mean": mean, "std": std, "device": device, "share": distributed.inside()}
    rows = {part: pixels.rows(group["image_id"]) for part, group in table.groupby("split")}
    y = {part: targets(group) for part, group in table.groupby("split")}
    train = TrainingBatches(pixels.images, rows["train"], y["train"], size=study.size, augmentation=Augmentation.of(study),
                            balance=study.balance, mixup=study.mixup, cutmix=study.cutmix, seed=study.seed, **common)  # fmt: skip
    valid = PlainBatches(pixels.images, rows["val"], y["val"], **common)
    return DataLoaders(train, valid, device=torch.device(device))


def targets(table: pd.DataFrame) -> np.ndarray:
    """Class numbers (n,) of the column dx, in the order of CLASSES."""
    return pd.Categorical(table["dx"], categories=list(CLASSES)).codes.astype(np.int64)


def _learner(model: nn.Module, loaders: DataLoaders, study: Study, pretrained: bool) -> Learner:
    loss = AdjustedCrossEntropy(loaders.train.y, study.adjust, study.label_smoothing)
    optimiser = partial(OptimWrapper, opt=partial(torch.optim.AdamW, fused=True))
    groups = partial(_decay_groups, pretrained=pretrained)
    learner = Learner(
        loaders, model, loss, optimiser, lr=study.lr, splitter=groups, default_cbs=False, cbs=TrainEvalCallback
    )
    learner.create_opt()
    return learner


def _decay_groups(model: nn.Module, pretrained: bool) -> list[list[nn.Parameter]]:
    """The backbone's groups, each parted into what decays and what does not: norms, biases, and what timm exempts
    (position embeddings, class tokens)."""
    exempt = getattr(model, "no_weight_decay", set)()
    kept = {id(p) for name, p in model.named_parameters() if p.ndim <= 1 or name in exempt}
    groups = networks.parameter_groups(model, pretrained)
    return [[p for p in group if (id(p) not in kept) == decays] for group in groups for decays in (True, False)]


def train(learner: Learner, study: Study, journal: Journal, start: int, others: list[Callback]) -> None:
    if start >= study.epochs or journal.stale_for() >= study.patience:
        return  # stopped after its last epoch, before it was written up
    depth = len(learner.opt.param_lists) // 2
    rates = np.array([study.lr * study.depth_rate ** (depth - 1 - i // 2) for i in range(2 * depth)])
    decay = [study.weight_decay if i % 2 == 0 else 0.0 for i in range(2 * depth)]
    callbacks: list[Callback] = [Epochs(study, rates, journal), journal, *filter(None, [journal.average]), *others]
    if study.schedule == "one_cycle":  # fastai's own, with the rates of our groups
        callbacks.append(ParamScheduler({"lr": combined_cos(0.25, rates / 25, rates, rates / 1e5)}))
    try:
        learner.fit(study.epochs, lr=list(rates), wd=decay, cbs=callbacks, start_epoch=start)
    finally:
        precision.leave(others)


def _finish(
    folder: Path, name: str, study: Study, made_from: str, journal: Journal, device: str, model: nn.Module
) -> Trained:
    distributed.barrier()
    if not distributed.writes():
        return finished(folder)
    best = journal.history[journal.best_epoch()]
    config = {
        "backbone": name, "weights": journal.chosen["weights"], "classes": list(CLASSES),
        "parameters": sum(p.numel() for p in model.parameters()),
        "normalisation": backbones.normalisation(name), "best_epoch": best["epoch"],
        "best_balanced_accuracy": best["balanced_accuracy"], "fingerprint": made_from, "study": asdict(study),
        "made_with": {"torch": torch.__version__, "timm": timm.__version__, "device": device, "machine": platform.machine(),
                      "precision": journal.chosen["precision"], "threads": study.threads or torch.get_num_threads()},
    }  # fmt: skip
    pd.DataFrame(journal.history).to_csv(folder / "history.csv", index=False)
    if journal.best.exists():  # else a run that was stopped right here has moved it
        (folder / "config.json").unlink(missing_ok=True)  # of an earlier training: never beside these weights
        os.replace(journal.best, folder / "weights.safetensors")
    text = json.dumps(config, indent=1)
    save(folder / "config.json", lambda path: path.write_text(text))  # last: says that all is there
    journal.last.unlink(missing_ok=True)
    return finished(folder)


def finished(folder: Path) -> Trained | None:
    """The training that `folder` holds complete, or None."""
    if not all((folder / file).exists() for file in ("config.json", "history.csv", "weights.safetensors")):
        return None
    return Trained(folder, json.loads((folder / "config.json").read_text()), pd.read_csv(folder / "history.csv"))


def fingerprint(name: str, pixels: Pixels, table: pd.DataFrame, study: Study) -> str:
    """A hash of all that decides the weights: pixels, training and validation rows, settings, training code."""
    rows = table.sort_values("image_id")[["image_id", "dx", "split"]].to_csv(index=False)
    settings = {key: getattr(study, key) for key in SETTINGS}
    code = sources.code_hash(Path(__file__).with_name(file) for file in TRAINED_BY)
    built = repr((name, CLASSES, backbones.normalisation(name)))
    parts = [built, pixels.fingerprint, rows, json.dumps(settings, sort_keys=True), code, _weights(name, study)]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _weights(name: str, study: Study) -> str:
    """What training starts from: the word of the study, or the content of the file, wherever the folder lies."""
    if file := networks.weights_file(name, study.weights, study.weights_dir):
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    return study.weights


def _alone(folder: Path) -> AbstractContextManager:
    """Whoever else trains in `folder` is waited for. Processes that train together have the lock of who started them."""
    if distributed.inside() != (0, 1):
        return nullcontext()
    return FileLock(folder.with_name(f".{folder.name}.lock"))
