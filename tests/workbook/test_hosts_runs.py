"""On Colab and Kaggle, imitated: where results go, what is brought from an earlier session, and what a run says."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from workbook import books

from lesionkit.data import readers
from lesionkit.study import StudyError
from lesionkit.workbook import execution, hosts, pipeline
from lesionkit.workbook.artifacts import Run

from .attached import COLAB, KAGGLE, kmader

# ---- results


def test_results_go_where_the_host_keeps_them(host, tmp_path):
    assert hosts.results("../outputs") == Path("../outputs").resolve()
    working = host(KAGGLE)
    assert hosts.results("../outputs") == tmp_path / "kaggle/working/outputs"
    assert hosts.results("elsewhere") == working / "elsewhere"  # what somebody asks for is done


def test_colab_keeps_results_on_a_mounted_drive(host, tmp_path):
    host(COLAB)
    assert hosts.results("../outputs") == tmp_path / "content/outputs"
    (tmp_path / "content/drive/MyDrive").mkdir(parents=True)
    assert hosts.results("../outputs") == tmp_path / "content/drive/MyDrive/lesionkit/outputs"


def test_a_notebook_of_a_clone_on_a_host_writes_beside_it_as_the_batch_run_does(host, monkeypatch):
    clone = host(KAGGLE) / "lesionkit"
    (clone / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(clone / "notebooks")
    assert hosts.results("../outputs") == clone / "outputs"


def attach_session(folder: Path, artifacts: int) -> Path:
    """What a session leaves: results, decoded pixels and locks; read-only, as an attached folder is."""
    for name, text in (("splits/split.csv", "kept"), ("cache/images.npy", "large"), (".manifest.lock", ""),
                       ("models/resnet50/weights.safetensors", "kept")):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o444)
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {f"{n}.csv": {"hash": ""} for n in range(artifacts)}}))
    return folder


@pytest.mark.parametrize("at", ["one", "notebooks/me/one", "datasets/me/one"])
def test_results_of_an_earlier_session_are_copied_without_the_pixels_and_can_be_written(host, tmp_path, at):
    folder = host(KAGGLE) / "outputs" / "demo"
    attach_session(tmp_path / "kaggle/input/zero/outputs/demo", artifacts=1)
    attach_session(tmp_path / "kaggle/input/other/outputs/full", artifacts=9)
    newest = attach_session(tmp_path / "kaggle/input" / at / "outputs/demo", artifacts=2)
    assert hosts.bring(folder) == newest
    copied = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert copied == [".brought", "manifest.json", "models/resnet50/weights.safetensors", "splits/split.csv"]
    assert (folder / "splits/split.csv").stat().st_mode & 0o200
    (folder / "splits/split.csv").write_text("mine")
    assert hosts.bring(folder) is None and (folder / "splits/split.csv").read_text() == "mine"  # never over what is there


def test_a_folder_that_holds_settings_alone_makes_way_for_an_earlier_session(host, tmp_path, capsys):
    """A notebook that was opened before the session was attached has written study.json, and no result."""
    host(KAGGLE)
    (tmp_path / "mine").mkdir()
    folder = opened(tmp_path, data=str(tmp_path / "mine"), overrides=["epochs=9"]).folder
    earlier = attach_session(tmp_path / "kaggle/input/one/outputs/toy", artifacts=2)
    (earlier / "study.json").write_text((folder / "study.json").read_text().replace('"epochs": 9', '"epochs": 4'))
    (earlier / "data.txt").write_text("/elsewhere")
    run = opened(tmp_path, "03_ensemble")
    assert f"begun as a copy of {earlier}" in capsys.readouterr().out and (folder / "splits/split.csv").read_text() == "kept"
    assert Run.of(folder, "x").study.epochs == 4 and run.data == tmp_path / "mine"
    opened(tmp_path, "03_ensemble")
    assert "Not used" not in capsys.readouterr().out  # it is what the folder was copied from
    longer = attach_session(tmp_path / "kaggle/input/two/outputs/toy", artifacts=9)
    opened(tmp_path, "03_ensemble")
    assert f"Not used, as there are results here already: {longer}." in capsys.readouterr().out


def test_nothing_is_brought_to_a_machine_that_is_no_host(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "ROOT", tmp_path)
    attach_session(tmp_path / "kaggle/input/one/outputs/demo", artifacts=1)
    kmader(tmp_path / "kaggle/input/ham")
    assert hosts.bring(tmp_path / "outputs" / "demo") is None and hosts.images() is None
    assert not list(hosts.introduce("02_train_backbone", tmp_path / "outputs" / "demo", tmp_path, None))


@pytest.mark.parametrize("variable", [KAGGLE, COLAB])
def test_decoded_pixels_stay_on_the_session_s_disk(host, tmp_path, variable):
    (tmp_path / "study").mkdir()
    given = books.write_study(tmp_path / "study")
    out = str(tmp_path / "study/outputs")
    assert Run.open(given["study"], "03_ensemble", out=out).path("cache") == tmp_path / "study/outputs/toy/cache"
    host(variable)
    there = Run.open(given["study"], "03_ensemble", out=out).path("cache", "x")
    assert there.is_relative_to(tmp_path / "tmp") and there.name == "x"
    assert there != Run.open(given["study"], "03_ensemble", out=f"{out}2").path("cache", "x")


# ---- runs


def opened(tmp_path, notebook="01_eda", **more):
    if not (tmp_path / "study").exists():
        (tmp_path / "study").mkdir()
        books.write_study(tmp_path / "study")
    return Run.open(str(tmp_path / "study" / "toy.toml"), notebook, **more)


def test_a_run_on_kaggle_finds_its_images_and_says_where_everything_is(host, tmp_path, capsys):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/ham")
    run = opened(tmp_path)
    assert run.folder == tmp_path / "kaggle/working/outputs/toy" and len(readers.read(run.data, "ham10000")[0]) == 4
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Kaggle: results in {run.folder}", f"Images: {tmp_path / 'kaggle/input/ham'}"]
    opened(tmp_path, data=str(run.data))  # as jobs beside each other are told
    assert not (run.folder / "data.txt").exists()  # the links are made anew in each session


def test_a_run_keeps_to_the_folder_of_images_that_it_was_given(host, tmp_path, capsys):
    host(KAGGLE)
    kmader(tmp_path / "kaggle/input/ham")
    given = tmp_path / "mine"
    given.mkdir()
    assert opened(tmp_path, data=str(given)).data == given
    assert opened(tmp_path).data == given and f"Images: {given}" in capsys.readouterr().out
    given.rmdir()
    assert opened(tmp_path).data == hosts.images()  # another session


def test_images_that_are_not_attached_are_asked_for_in_the_host_s_words(host, tmp_path):
    host(KAGGLE)
    with pytest.raises(StudyError, match="Add Input"):
        opened(tmp_path)
    assert opened(tmp_path, "03_ensemble").data is None


def test_colab_says_that_its_disk_ends_with_the_session(host, tmp_path, capsys):
    host(COLAB)
    opened(tmp_path, "03_ensemble")
    assert "drive.mount" in capsys.readouterr().out
    (tmp_path / "content/drive/MyDrive").mkdir(parents=True)
    opened(tmp_path, "03_ensemble")
    assert "drive.mount" not in capsys.readouterr().out


@pytest.mark.parametrize("variable, where", [(KAGGLE, "Settings → Accelerator"), (COLAB, "Runtime → Change runtime type")])
def test_training_without_a_gpu_says_how_one_is_switched_on(host, tmp_path, monkeypatch, capsys, variable, where):
    host(variable)
    kmader(tmp_path / "kaggle/input/ham")
    for cuda, notebook, expected in ((False, "02_train_backbone", True), (True, "02_train_backbone", False), (False, "03_ensemble", False)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        opened(tmp_path, notebook)
        assert (where in capsys.readouterr().out) == expected


def test_a_study_of_one_session_is_gone_on_with_on_the_next(host, tmp_path, capsys, monkeypatch):
    """A whole toy study, run on one Kaggle session and gone on with on the next, which runs what has changed meanwhile."""
    working, ran = host(KAGGLE), []

    def execute(source, target, parameters, threads):
        ran.append(target.stem)
        books.run_here(source, target, parameters)

    monkeypatch.setattr(execution, "execute", execute)
    given = books.write_study(tmp_path) | {"out": "outputs", "data": "", "say": lambda line: None}
    kmader(tmp_path / "kaggle/input/ham")
    (tmp_path / "kaggle/input/ham/labels.csv").write_text("image_id,dx,note\na,mel,\nb,nv,\n")
    cells = [cell.replace('"labels.csv"', '"ham" / "labels.csv"') for cell in books.CELLS["01_eda"]]
    books.write_notebook(given["notebooks"], "01_eda", cells)
    folder = pipeline.run_study(**given)
    assert folder == working / "outputs/toy" and len(ran) == 5
    shutil.move(working / "outputs", tmp_path / "kaggle/input/notebooks/me/first/outputs")
    shutil.rmtree(tmp_path / "tmp")  # the links, and what was decoded
    (tmp_path / "tmp").mkdir()
    ran.clear()
    capsys.readouterr()
    pipeline.run_study(**given)
    assert not ran and f"begun as a copy of {tmp_path / 'kaggle/input/notebooks/me/first/outputs/toy'}" in capsys.readouterr().out
    pipeline.run_study(**given, overrides=["resamples=150"])
    assert ran == ["03_ensemble", "06_report"]
    assert (folder / "report" / "index.html").exists()
