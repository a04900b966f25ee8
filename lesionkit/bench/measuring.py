"""The benchmark: this program's images a second against the bare model and against plain fastai, on this machine.

Each backbone is measured in a process of its own, so that its peak memory is its own. `backbone.py` measures;
this file asks, gathers, and says what the rates are bound by.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from lesionkit.bench import files
from lesionkit.learning import backbones
from lesionkit.machine import processor
from lesionkit.settings import RANGES

PRECISIONS = ("auto", "fp32", "bf16")
BOUND_CPU, BOUND_GPU = 0.95, 0.90  # from this share of the bare model's rate on, the model is the bound
TASKS = ("train", "predict")
WAYS = ("model", "lesionkit", "fastai")


class BenchError(RuntimeError):
    """A measurement that failed. The message ends with what its process said last."""


@dataclass(frozen=True)
class Settings:
    """What is measured. Raises ValueError with the name, the value and the range."""

    size: int = 96  # px
    batch: int = 16  # images
    precision: str = "auto"  # auto | fp32 | bf16
    images: int = 256  # JPEG files of 600×450 px
    rounds: int = 3  # the ways take turns that often
    seconds: float = 3.0  # that one turn lasts, about

    def __post_init__(self) -> None:
        ranges = {"size": RANGES["size"], "batch": (2, RANGES["batch_size"][1]), "images": (8, 100_000), "rounds": (1, 100)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"--{name} {getattr(self, name)}: between {low} and {high}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"--precision {self.precision}: one of {', '.join(PRECISIONS)}")


def check(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is no backbone, or one that comes twice."""
    for name in names:
        backbones.backbone(name)
    twice = [name for name in names if list(names).count(name) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice: once is enough")


def bench(
    names: Sequence[str], settings: Settings, tell: Callable[[str], None] = lambda line: None
) -> tuple[pd.DataFrame, list[BenchError]]:
    """A row a backbone: rates in images a second, their ratios, memory, what they are bound by, and the machine.

    Ratios are medians of the rounds' ratios, rates medians of the rounds' rates. `tell` hears what is being measured.
    Backbones that could not be measured have no row; their errors come second. Raises ValueError for a name that is no
    backbone.
    """
    check(names)
    with tempfile.TemporaryDirectory(prefix="lesionkit-bench-") as scratch:
        tell(f"decoding {settings.images} files")
        job = asdict(settings) | {name: str(Path(scratch) / name) for name in ("files", "store", "index", "folder")}
        decoding = _decoding(job)
        rows, errors = [], []
        for i, name in enumerate(names):
            tell(f"{name}, {i + 1} of {len(names)}")
            try:
                rows.append(as_row(name, _measured(job | {"backbone": name}, Path(scratch)), decoding))
            except BenchError as error:
                errors.append(error)
    return pd.DataFrame(rows).assign(**asdict(settings) | _machine()), errors


def _decoding(job: dict) -> dict[str, float]:
    """Leaves the files, their index and the pixel store that the backbones read; returns the rates of decoding."""
    root = Path(job["files"])
    index = files.write_files(root, job["images"])
    index.to_csv(job["index"], index=False)
    sizes = [(root / path).stat().st_size for path in index["path"]]
    rates = files.decode_rates(index, root, Path(job["store"]), job["size"], job["rounds"])
    return rates | {"file_kb": float(np.mean(sizes)) / 1000}


def _measured(job: dict, scratch: Path) -> dict:
    """What `backbone.py` measures, in a process of its own."""
    asked, result = scratch / "job.json", scratch / "result.json"
    asked.write_text(json.dumps(job))
    command = [sys.executable, "-m", "lesionkit.bench.backbone", str(asked), str(result)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["it left no word; too little memory?"])[-1]
        raise BenchError(f"{job['backbone']} could not be measured (exit code {done.returncode}): {last}")
    return json.loads(result.read_text())


def as_row(name: str, measured: dict, decoding: dict[str, float]) -> dict:
    """One row of the table. `measured`: rates a way and round under "rates", and what else the process says of itself."""
    rates = {way: np.array(values) for way, values in measured["rates"].items()}
    row = {"backbone": name, **{way: float(np.median(values)) for way, values in rates.items()}, **decoding}
    for task in TASKS:
        model, ours, fastai = (rates[f"{task}_{way}"] for way in WAYS)
        row |= {f"{task}_to_model": float(np.median(ours / model)), f"{task}_to_fastai": float(np.median(ours / fastai)),
                f"{task}_fastai_to_model": float(np.median(fastai / model))}  # fmt: skip
    row |= {key: value for key, value in measured.items() if key != "rates"}
    return row | bounds(row)


def bounds(row: dict) -> dict[str, str]:
    """What each of the four rates of a row is bound by."""
    on_cpu = row["device"] == "cpu"
    parts = {
        "train": {"making batches": row["batches"]},
        "predict": {"reading the store": row["plain_batches"]},
        "train_fastai": {"decoding files": row["decode_pil"], "making batches": row["fastai_batches"]},
        "predict_fastai": {"decoding files": row["decode_pil"]},
    }
    rest = {"train_fastai": "fastai itself", "predict_fastai": "fastai itself"}  # its Python, and its optimiser in Python
    return {
        f"{way}_bound_by": bound_by(
            row[f"{way}_to_model"], row[f"{way.split('_')[0]}_model"], alone, on_cpu, rest.get(way, "Python overhead")
        )
        for way, alone in parts.items()
    }


def bound_by(
    share: float, model: float, alone: dict[str, float], on_cpu: bool = True, rest: str = "Python overhead"
) -> str:
    """What holds a rate down that is `share` of the bare model's, `model` images a second.

    "the model" from 0.95 on (on a GPU 0.90). Else the first of `alone` (parts and their rates on their own) that takes at least
    half the time an image takes beyond the model's; where none does, the `rest`.
    """
    if share >= (BOUND_CPU if on_cpu else BOUND_GPU):
        return "the model"
    beyond = (1 / share - 1) / model  # seconds an image
    return next((part for part, rate in alone.items() if 1 / rate >= beyond / 2), rest)


def _machine() -> dict[str, str | int]:
    return {"cpu": processor(), "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version(),
            "date": datetime.now().isoformat(timespec="seconds")}  # fmt: skip
