"""What happens in training beside the steps: seeds, unfreezing, scores, checkpoints, early stopping."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.learner import Learner
from safetensors.torch import save_file
from sklearn import metrics as sk
from torch import nn

from lesionkit.learning import distributed
from lesionkit.learning.averaging import Averaging
from lesionkit.study import Study

PLATEAU_RATE = 0.3  # the plateau schedule multiplies the rate by this


class Epochs(Callback):
    """What each epoch starts with: its random numbers, what is unfrozen, and the rate of the plateau schedule."""

    order = 75  # after fastai's SkipToEpoch

    def __init__(self, study: Study, rates: np.ndarray, journal: "Journal"):
        self.study, self.rates, self.past = study, rates, journal

    def before_epoch(self) -> None:
        rank, count = distributed.inside()  # no two processes drop the same
        torch.manual_seed((self.study.seed * 1_000_003 + self.epoch) * count + rank)  # dropout's; undone by fit
        self.dls.train.epoch = self.epoch
        groups = len(self.opt.param_lists)
        if groups > 2:  # pretrained: the head first, then the upper half, then all
            stage = self.epoch // self.study.frozen_epochs if self.study.frozen_epochs else 2
            self.opt.freeze_to(max(0, groups - 2 * (stage + 1)))
        if self.study.schedule == "plateau":
            factor = PLATEAU_RATE ** plateaus(
                [row["valid_loss"] for row in self.past.history], max(1, self.study.patience // 3)
            )
            self.opt.set_hyper("lr", list(self.rates * factor))


def plateaus(losses: list[float], patience: int) -> int:
    """How often `patience` epochs in a row brought no lower loss (the count starts again after each)."""
    best, waited, times = float("inf"), 0, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == patience:
            waited, times = 0, times + 1
    return times


class Journal(Callback):
    """Scores each epoch on validation, keeps the best weights and a checkpoint, stops early. Its state is its history.

    The best epoch has the highest score, the study's `chosen_by`, over the classes that validation holds; of equals, the first.
    """

    order = 80

    def __init__(self, folder: Path, fingerprint: str, study: Study):
        self.folder, self.fingerprint, self.patience, self.chosen_by = folder, fingerprint, study.patience, study.chosen_by
        self.history: list[dict[str, Any]] = []
        self.logits: list[torch.Tensor] = []
        self.last, self.best = folder / "last.pt", folder / "best.safetensors"
        self.average: Averaging | None = None  # whose weights are kept, where a study averages them
        self.chosen: dict[str, str] = {}  # what was found at the start and holds to the end: weights, precision

    def checkpoint(self, device: str) -> dict[str, Any] | None:
        """What the last epoch of the same training has left; None where there is none."""
        if not self.last.exists():
            return None
        state = torch.load(self.last, map_location=device, weights_only=True)
        return state if state["fingerprint"] == self.fingerprint else None

    def resume(self, learner: Learner, state: dict[str, Any]) -> int:
        """Load a checkpoint; returns the epoch to go on with."""
        learner.model.load_state_dict(state["model"])
        learner.opt.opt.load_state_dict(state["optimiser"])
        if self.average:
            self.average.load(state["average"])
        self.history = state["history"]
        return len(self.history)

    def best_epoch(self) -> int:
        return int(np.argmax([row[self.chosen_by] for row in self.history]))

    def stale_for(self) -> int:
        """Epochs since the best one."""
        return len(self.history) - 1 - self.best_epoch() if self.history else 0

    def before_epoch(self) -> None:
        self.started, self.losses, self.logits, self.truth, self.train_seconds = time.monotonic(), [], [], [], 0.0

    def after_batch(self) -> None:
        if self.training:
            self.losses.append(self.loss.detach())
        else:
            self.logits.append(self.pred.float().cpu())
            self.truth.append(self.yb[0].cpu())

    def after_train(self) -> None:
        self.train_seconds = time.monotonic() - self.started

    def after_epoch(self) -> None:
        if not self.logits:
            return  # skipped on resuming
        logits, y = (distributed.gathered(torch.cat(parts)) for parts in (self.logits, self.truth))
        images = len(self.dls.train) * self.dls.train.batch_size
        self.history.append({
            "epoch": self.epoch + 1, "train_loss": float(distributed.gathered(torch.stack(self.losses)).mean()),
            "valid_loss": float(nn.functional.cross_entropy(logits, y)), **validation_scores(y, logits.softmax(1)),
            "lr": float(self.opt.hypers[-1]["lr"]), "images_per_second": images / self.train_seconds,
            "seconds": time.monotonic() - self.started,
        })  # fmt: skip
        if distributed.writes():
            self._save()
        if self.stale_for() >= self.patience:
            raise CancelFitException

    def _save(self) -> None:
        """The weights if they are the best so far, and a checkpoint."""
        if self.best_epoch() == self.epoch:
            kept = self.average.average.module if self.average else self.model
            save(self.best, lambda path: save_file(_contiguous(kept), path))
        state = {"average": self.average and self.average.state(), "fingerprint": self.fingerprint, "chosen": self.chosen,
                 "history": self.history, "model": self.model.state_dict(), "optimiser": _plain(self.opt.opt.state_dict())}  # fmt: skip
        save(self.last, lambda path: torch.save(state, path))


def validation_scores(y: torch.Tensor, p: torch.Tensor) -> dict[str, float]:
    """Balanced accuracy and macro one-vs-rest AUC over the classes that are there. For the choice of an epoch, not for reports."""
    y, p = y.numpy(), p.numpy()
    present = np.unique(y)
    recalls = sk.recall_score(y, p.argmax(1), labels=present, average=None, zero_division=0)
    aucs = [sk.roc_auc_score(y == k, p[:, k]) for k in present if len(present) > 1]
    return {"balanced_accuracy": float(recalls.mean()), "macro_auc": float(np.mean(aucs)) if aucs else float("nan")}


def _plain(optimiser: dict) -> dict:
    """The state with Python's numbers for NumPy's, which the schedule leaves and a safe load refuses."""
    groups = [
        {k: v.item() if isinstance(v, np.generic) else v for k, v in g.items()} for g in optimiser["param_groups"]
    ]
    return optimiser | {"param_groups": groups}


def _contiguous(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.contiguous().clone() for key, value in model.state_dict().items()}


def save(path: Path, write: Callable[[Path], Any]) -> None:
    """A file that appears whole or not at all: `write(temporary path)`, then a rename."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    write(temporary)
    os.replace(temporary, path)
