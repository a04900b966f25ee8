"""The program of two processes that train together, for tests: each leaves in the folder NOTES what it sees of the other."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import SGD
from torch import nn

from lesionkit.learning import distributed, training
from lesionkit.learning.callbacks import Journal


class Both(nn.Module):
    """A linear map, and a norm that takes no part in the output."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 7), nn.BatchNorm1d(3)

    def forward(self, x):
        self.norm(x)
        return self.linear(x)


def batch_and_model():
    generator = torch.Generator().manual_seed(0)
    model = Both()
    nn.init.uniform_(model.linear.weight, generator=generator)
    nn.init.zeros_(model.linear.bias)
    return model, torch.rand(8, 3, generator=generator), torch.arange(8) % 7


class Watch(Callback):
    """Notes the gradient before the step, and the averages after training and in validation."""

    def __init__(self):
        self.seen = {}

    def before_step(self):
        self.seen["gradient"] = self.learn.model.module.linear.weight.grad.clone()

    def after_train(self):
        self.seen["trained_mean"] = self.learn.model.module.norm.running_mean.clone()

    def after_validate(self):
        self.seen["valid_mean"] = self.learn.model.norm.running_mean.clone()


def one_step() -> dict:
    model, x, y = batch_and_model()
    rank, count = distributed.inside()
    share, watch = [(x[rank::count], y[rank::count])], Watch()
    valid = share * (1 + rank)  # the processes need not make as many passes
    learner = Learner(DataLoaders(share, valid, device=torch.device("cpu")), model, nn.CrossEntropyLoss(), SGD,
                      default_cbs=False, cbs=[TrainEvalCallback, watch])  # fmt: skip
    learner.fit(1, lr=0.1, cbs=distributed.trainer("cpu"))
    return watch.seen


def main(job: Path, notes: Path) -> None:
    """One of two processes: notes what it sees of the others, then trains as `job` says; the second fails after two epochs."""
    rank, original, fit = int(os.environ["RANK"]), Journal.after_epoch, training.fit

    def fail_in_the_second(self):
        original(self)
        (notes / f"{rank}.json").write_text(json.dumps(self.history))
        if self.epoch == 1:
            distributed.barrier()  # the first has written its checkpoint
            if rank:
                raise RuntimeError("out of paper")

    def noting(name, pixels, table, study, folder, device):
        rows = torch.arange(21.0).view(7, 3)[rank::2]
        torch.save({"gathered": distributed.gathered(rows), "agreed": distributed.agreed(rank), **one_step()}, notes / f"{rank}.pt")
        sys.addaudithook(partial(note_writing, folder, (notes / f"{rank}.written").open("w", buffering=1)))
        return fit(name, pixels, table, study, folder, device)

    Journal.after_epoch, training.fit = fail_in_the_second, noting
    distributed.main(job)


def note_writing(folder: Path, log, event: str, arguments: tuple) -> None:
    """An audit hook: the names of files in `folder` that this process writes, renames to or removes."""
    file = arguments[event == "os.rename"] if event in ("open", "os.rename", "os.remove") else None
    reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if isinstance(file, (str, Path)) and Path(file).parent == folder and not reads:
        log.write(f"{Path(file).name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(os.environ["NOTES"]))
