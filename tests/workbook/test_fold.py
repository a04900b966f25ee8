import json
import os
import subprocess
import sys

import pytest
from workbook import books

from lesionkit.data import pixels
from lesionkit.learning import folded
from lesionkit.workbook import fold
from lesionkit.workbook.steps import Command, RunError

STEP = "02_train_backbone_resnet50"


@pytest.fixture
def command(tmp_path):
    """A toy study with folds, whose notebook 01 has run."""
    given = books.write_study(tmp_path, "[backbone.resnet50]\nfolds = 3\nsize = 48\n")
    splits = tmp_path / "outputs" / "toy" / "splits"
    splits.mkdir(parents=True)
    for name in ("index", "split"):
        (splits / f"{name}.csv").write_text(f"image_id,lesion_id,{name}\n007,1,x\n")
    return Command.of(given["study"], given["data"], given["out"], (), given["notebooks"])


def given(command, parent):
    step = next(step for step in command.steps() if step.id == STEP)
    return json.dumps({**command.parameters(step), "fold": 2, "parent": parent})


def test_a_fold_is_trained_as_its_notebook_would(command, monkeypatch):
    seen = {}
    monkeypatch.setattr(pixels, "build", lambda index, data, cache, size, *how: ("store", list(index["image_id"]), size))
    names = ("name", "store", "split", "study", "folder", "fold")
    monkeypatch.setattr(folded, "train_fold", lambda *args: seen.update(zip(names, args)))
    monkeypatch.chdir(command.notebooks)
    fold.main(given(command, os.getppid()))
    assert (seen["name"], seen["fold"], seen["store"]) == ("resnet50", 2, ("store", ["007"], 48))
    assert list(seen["split"]["split"]) == ["x"] and seen["study"] == command.settings
    assert seen["folder"] == command.folder / "models" / "resnet50"


def test_a_fold_that_fails_says_why(command):
    (command.folder / "splits" / "index.csv").unlink()
    with pytest.raises(RunError, match=rf"{STEP} fold 2 failed: .*index.csv is missing: run notebook 01_eda first"):
        fold.train(command, STEP, 2)


def test_a_fold_ends_with_its_worker(command):
    asked = [sys.executable, "-m", "lesionkit.workbook.fold", given(command, parent=1)]
    done = subprocess.run(asked, cwd=command.notebooks, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
