"""Progress that a person can see: in a terminal, in JupyterLab, and as one table in an executed notebook."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from fastai.callback.core import Callback
from IPython import get_ipython
from IPython.display import Markdown, display

from lesionkit.learning import tracking

COLUMNS = ("epoch", "train_loss", "valid_loss", "balanced_accuracy", "macro_auc", "images_per_second", "seconds")


class Progress(Callback):
    """Shows the epochs done, images a second and the time left; leaves the same in `file` for whoever watches from outside.
    A tracker, where the study names one, is told of each epoch.

    In a notebook one table is updated in place, so the executed copy holds its last state and nothing else.
    """

    order = 90

    def __init__(self, file: Path, name: str):
        self.file, self.label = file, name
        self.handle, self.shown = None, 0.0

    def before_fit(self) -> None:
        self.learn.add_cbs(tracking.trackers(self.epochs.study, self.file.parent, self.journal.history))
        self.started, self.batches = time.monotonic(), 0
        self.total = self.n_epoch * len(self.dls.train)

    def after_batch(self) -> None:
        if not self.training:
            return
        self.batches += 1
        if time.monotonic() - self.shown > 0.5:
            self._show(self._state())

    def after_epoch(self) -> None:
        if self.batches:  # none yet where a resumed run skips what it has done
            self._show(self._state(), keep=True)

    def after_fit(self) -> None:
        self.file.unlink(missing_ok=True)
        if self.handle:  # the bar goes, the table stays
            minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
            self.handle.update(Markdown(f"{self.label}: trained in {minutes}:{seconds:02d}\n\n{self._table()}"))
        if self.handle is None and sys.stderr.isatty():
            print(file=sys.stderr)

    def _table(self) -> str:
        return history_table(self.journal.history)

    def _state(self) -> dict[str, Any]:
        elapsed = time.monotonic() - self.started
        done = self.epoch * len(self.dls.train) + min(self.iter + 1, len(self.dls.train))
        rate = self.batches / elapsed  # validation included, so that the time left is honest
        return {
            "backbone": self.label, "epoch": self.epoch + 1, "epochs": self.n_epoch,
            "share": done / self.total, "images_per_second": rate * self.dls.train.batch_size,
            "seconds_left": (self.total - done) / rate if rate else float("nan"),
        }  # fmt: skip

    def _show(self, state: dict[str, Any], keep: bool = False) -> None:
        self.shown = time.monotonic()
        self.file.write_text(json.dumps(state))
        line = describe(state)
        if get_ipython() is not None:
            text = Markdown(f"{bar(state['share'])} {line}\n\n{self._table()}")
            self.handle = self.handle or display(text, display_id=True)
            self.handle.update(text)
        elif sys.stderr.isatty():
            print(f"\r{line}\033[K", end="", file=sys.stderr, flush=True)
        elif keep:
            print(line, file=sys.stderr, flush=True)


def describe(state: dict[str, Any]) -> str:
    """One line: which backbone, which epoch, images a second, time left."""
    minutes, seconds = divmod(int(state["seconds_left"]), 60)
    return (f"{state['backbone']}: epoch {state['epoch']} of {state['epochs']}, "
            f"{state['images_per_second']:.0f} images/s, {minutes}:{seconds:02d} left")  # fmt: skip


def bar(share: float) -> str:
    """What is done of 0..1 as a bar; in HTML, which Markdown may hold."""
    return f'<progress max="1" value="{share:.3f}"></progress>'


def history_table(history: list[dict[str, Any]]) -> str:
    """The epochs as a Markdown table; empty before the first has ended."""
    if not history:
        return ""
    rows = ["| " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |", "|--:" * len(COLUMNS) + "|"]
    for row in history:
        cells = [f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for name in COLUMNS]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)
