"""What an experiment tracker is told of a training, if the study names one: TensorBoard, Weights & Biases, MLflow, trackio.

It is told the numbers of history.csv, epoch by epoch, and the study's settings: no image, no prediction, no weight, no folder of
the machine. The callbacks for single trackers that fastai has do not serve: they log images unless told not to and other losses
than history.csv has, and need fastai's Recorder, which waits for the GPU at every step and, where processes train together, for a
Recorder in each.
"""

import importlib
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastai.callback.core import Callback
from filelock import FileLock

from lesionkit.settings import public
from lesionkit.study import Study

PROJECT = "lesionkit"  # project, or experiment, at the tracker
REMEMBERED = "tracked.json"  # in the folder of a model while it trains: the tracker's own name of the run, and what it knows
PATIENCE = 60  # seconds for the tracker to answer
AT_HOME = {  # of W&B: the machine's load and make, its user, its programs and their code are not sent; 0.19.10 knows all of them
    "disable_git": True, "disable_code": True, "x_disable_meta": True, "x_disable_machine_info": True, "x_disable_stats": True,
    "x_save_requirements": False,
}  # fmt: skip
MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}


@dataclass(frozen=True)
class Training:
    """A training as a tracker is told of it."""

    name: str  # study/backbone
    root: Path  # folder of the study's run, for what a tracker keeps on disk
    settings: Mapping[str, Any]  # text, numbers, bools
    id: str  # the tracker's name of the run that goes on; "": a new one
    told: int  # epochs that the tracker knows already


@dataclass(frozen=True)
class Sink:
    """An open run of a tracker."""

    id: str  # what to go on with after a stop
    log: Callable[[int, dict[str, float]], None]  # epoch, from 1, and its numbers by name
    close: Callable[[], None]


def check(name: str) -> None:
    """Raises ImportError, with the line that installs it, where the tracker `name` is missing. "" is no tracker."""
    try:
        if name:
            importlib.import_module(MODULES[name])
    except ImportError as error:
        raise ImportError(f"tracking = {name}: pip install 'lesionkit[{name}]', or set tracking = \"\" ({error})") from error


def trackers(study: Study, folder: Path, history: list[dict[str, Any]]) -> list[Callback]:
    """The callback for the tracker that the study names, in a list; an empty list where it names none.

    study: as the backbone is trained. folder: the model's, `models/<backbone>/` in that of the run. history: the rows of the epochs
    that are done, to which the training adds. Raises ImportError where the tracker is missing.
    """
    check(study.tracking)
    return [Tracker(study, Path(folder), history)] if study.tracking else []


class Tracker(Callback):
    """Tells a tracker of each epoch. Where it fails, or does not answer, that is said once and the training goes on alone."""

    order = 95  # the journal has written its row

    def __init__(self, study: Study, folder: Path, history: list[dict[str, Any]]):
        self.label, self.history, self.file = study.tracking, history, folder / REMEMBERED
        known = json.loads(self.file.read_text()) if history and self.file.exists() else {}
        number, self.told = known.get(self.label, ("", 0))
        self.sink = self._ask(OPEN[self.label], _described(study, folder.resolve(), number, self.told))

    def after_epoch(self) -> None:
        """Tell what is new in the history: nothing while a training that goes on skips what it has done."""
        for row in self.history[self.told :] if self.sink else ():
            numbers = {key: float(value) for key, value in row.items() if key != "epoch"}
            self._ask(self.sink.log, row["epoch"], numbers)
            if not self.sink:
                return
            self.told = row["epoch"]
            self._remember()

    def after_fit(self) -> None:
        """End the run at the tracker."""
        if self.sink:
            self._ask(self.sink.close)
        self.file.unlink(missing_ok=True)

    def _remember(self) -> None:
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps({self.label: (self.sink.id, self.told)}))
        os.replace(partial, self.file)

    def _ask(self, what: Callable, *args: Any) -> Any:
        try:
            return within(PATIENCE, what, *args)
        except Exception as error:  # whatever it is, it is not worth a training
            reason = f"no answer in {PATIENCE} s" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            warnings.warn(f"tracking = {self.label} has failed ({reason}): the training goes on without it, and its history.csv "
                          "will have every epoch")  # fmt: skip
            self.sink = None


def within(seconds: float, what: Callable, *args: Any) -> Any:
    """What `what(*args)` returns or raises; TimeoutError, leaving it to itself, where that takes more than `seconds`."""
    answer: Future = Future()

    def work() -> None:
        try:
            answer.set_result(what(*args))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return answer.result(seconds)


def _described(study: Study, folder: Path, number: str, told: int) -> Training:
    root = next((parent.parent for parent in folder.parents if parent.name == "models"), folder.parent)
    inside = folder.relative_to(root / "models") if root / "models" in folder.parents else folder.name
    plain = {key: value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
             for key, value in public(asdict(study)).items()}  # fmt: skip
    return Training(f"{study.name}/{Path(inside).as_posix()}", root, plain, number, told)


def _tensorboard(training: Training) -> Sink:
    from torch.utils.tensorboard import SummaryWriter

    folder = training.root / "tensorboard" / training.name.partition("/")[2]
    writer = SummaryWriter(folder, purge_step=training.told + 1)  # hides what an earlier training left in the folder
    if not training.told:
        rows = "\n".join(f"| {key} | {value} |" for key, value in training.settings.items())
        writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}", 0)

    def log(epoch: int, numbers: dict[str, float]) -> None:
        for key, value in numbers.items():
            writer.add_scalar(key, value, epoch)
        writer.flush()

    return Sink(folder.name, log, writer.close)


def _wandb(training: Training) -> Sink:
    import wandb

    quiet = wandb.Settings(silent=True, console="off", **AT_HOME)
    run = wandb.init(project=PROJECT, name=training.name, id=training.id or None, resume="allow" if training.id else None,
                     dir=training.root, config=dict(training.settings), reinit="create_new", settings=quiet)  # fmt: skip
    return Sink(run.id, lambda epoch, numbers: run.log(numbers, step=epoch), run.finish)


def _mlflow(training: Training) -> Sink:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(training.root / 'mlflow.db').as_posix()}")
    with FileLock(training.root / ".mlflow.lock"):  # jobs that begin at once would each make the experiment
        found = client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else client.create_experiment(PROJECT)
    number = training.id or client.create_run(experiment, run_name=training.name).info.run_id
    if not training.id:
        client.log_batch(number, params=[Param(key, str(value)) for key, value in training.settings.items()])

    def log(epoch: int, numbers: dict[str, float]) -> None:
        now = int(time.time() * 1000)
        client.log_batch(number, metrics=[Metric(key, value, now, epoch) for key, value in numbers.items()])

    return Sink(number, log, lambda: client.set_terminated(number))


def _trackio(training: Training) -> Sink:
    import trackio

    run = trackio.init(PROJECT, training.name, config=dict(training.settings), resume="must" if training.id else "never",
                       embed=False, auto_log_gpu=False, auto_log_cpu=False)  # fmt: skip
    return Sink(training.name, lambda epoch, numbers: run.log(numbers, step=epoch), run.finish)


OPEN: dict[str, Callable[[Training], Sink]] = {
    "tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow, "trackio": _trackio,
}  # fmt: skip
