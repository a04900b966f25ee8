import json
import sys
import time

import pytest
from jupyter_client.kernelspec import KernelSpec
from workbook import books

from lesionkit.workbook import execution, watching

GIVEN = {"study": "mine", "data": "", "out": "elsewhere", "overrides": ["epochs=1"]}


def notebook(folder, *cells):
    """A notebook with its parameters and `cells` only: no run is opened."""
    path = books.write_notebook(folder / "notebooks", "03_ensemble", list(cells))
    book = json.loads(path.read_text())
    del book["cells"][2]
    path.write_text(json.dumps(book))
    return path


def test_a_notebook_runs_in_its_folder_with_its_parameters_and_this_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as where the environment was not activated
    said = "print(json.dumps([sys.executable, os.getcwd(), study, overrides, os.environ['OMP_NUM_THREADS']]))"
    source = notebook(tmp_path, "import sys, os, json", said)
    target = tmp_path / "out" / "03_ensemble.ipynb"
    execution.execute(source, target, GIVEN, threads=3)
    book = json.loads(target.read_text())
    assert json.loads("".join(book["cells"][-1]["outputs"][0]["text"])) == [
        sys.executable, str(source.parent), "mine", ["epochs=1"], "3"]  # fmt: skip
    assert book["metadata"]["papermill"]["input_path"] == "03_ensemble.ipynb"
    assert [file.name for file in target.parent.iterdir()] == ["03_ensemble.ipynb"]


def test_a_failed_notebook_is_kept_beside_the_last_good_one(tmp_path):
    source = notebook(tmp_path, "import os", "raise KeyError('no such thing')", "os.never()")
    target = tmp_path / "out" / "03_ensemble.ipynb"
    target.parent.mkdir()
    target.write_text("the last good one")
    with pytest.raises(
        execution.NotebookFailed, match=r"In \[4\] raised KeyError: 'no such thing'\n.*03_ensemble.failed.ipynb"
    ):
        execution.execute(source, target, GIVEN)
    assert target.read_text() == "the last good one"
    assert sorted(file.name for file in target.parent.iterdir()) == ["03_ensemble.failed.ipynb", "03_ensemble.ipynb"]


def test_a_kernel_that_dies_is_said_to_have_died(tmp_path):
    source = notebook(tmp_path, "import os", "os._exit(1)")
    with pytest.raises(execution.NotebookFailed, match="kernel died"):
        execution.execute(source, tmp_path / "out" / "03_ensemble.ipynb", GIVEN)


@pytest.mark.parametrize("dead", [1, 5])
def test_a_kernel_that_does_not_start_is_started_again_a_few_times(tmp_path, monkeypatch, dead):
    starts, real = [], execution.ThisPython.kernel_spec.fget

    def spec(self):
        starts.append(self)
        return KernelSpec(argv=["false", "{connection_file}"]) if len(set(starts)) <= dead else real(self)

    monkeypatch.setattr(execution.ThisPython, "kernel_spec", property(spec))
    target = tmp_path / "out" / "03_ensemble.ipynb"
    if dead == 1:
        execution.execute(notebook(tmp_path, "import os"), target, GIVEN)
        assert target.exists()
    else:
        with pytest.raises(execution.NotebookFailed, match="kernel did not start: Kernel died"):
            execution.execute(notebook(tmp_path, "import os"), target, GIVEN)
    assert len(set(starts)) == {1: 2, 5: execution.STARTS}[dead]
    assert not list(target.parent.glob(".partial*"))


def test_many_trainings_are_shown_in_one_line_of_a_terminal_and_a_line_an_epoch_elsewhere(tmp_path, capsys, monkeypatch):
    for name, epoch in {"resnet50/fold1": 2, "vit": 1}.items():
        (tmp_path / name).mkdir(parents=True)
        state = {"epochs": 9, "epoch": epoch, "images_per_second": 41.6, "seconds_left": 75}
        (tmp_path / name / "progress.json").write_text(json.dumps(state))
    board = watching.Board(tmp_path, 0.0)
    for _ in range(2):
        board.show(1, 7, ["b", "a"])
    assert capsys.readouterr().err == "resnet50/fold1: epoch 2 of 9, 42 images/s, 1:15 left\n"
    board.terminal = True
    board.show(1, 7, ["b", "a"])
    board.clear()
    assert capsys.readouterr().err == (
        "\r1 of 7 done; epochs: resnet50/fold1 2/9, vit 1/9, 1:15 left; running: a, b\033[K\r\033[K")  # fmt: skip
    monkeypatch.setenv("COLUMNS", "12")
    board.show(1, 7, [])
    assert capsys.readouterr().err == "\r1 of 7 done\033[K"[:12] + "\033[K"
    board = watching.Board(tmp_path, time.time() + 1)  # files of an earlier run
    board.terminal = False
    board.show(1, 7, [])
    assert capsys.readouterr().err == ""


def test_training_is_watched_from_outside_a_line_an_epoch(tmp_path, capsys):
    file, state = tmp_path / "progress.json", {"epochs": 3, "images_per_second": 41.6, "seconds_left": 75}
    file.write_text(json.dumps(state | {"epoch": 3}))  # left by a run that was killed
    time.sleep(0.05)
    with watching.watched("02_x", file):
        for epoch in (1, 2, 2):
            time.sleep(0.6)
            file.write_text(json.dumps(state | {"epoch": epoch}))
        time.sleep(0.6)
    assert capsys.readouterr().err == "02_x: epoch 2 of 3, 42 images/s, 1:15 left\n"
