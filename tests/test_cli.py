import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lesionkit.learning
import lesionkit.workbook
from lesionkit import cli
from lesionkit.data import phantoms
from lesionkit.workbook import pipeline
from lesionkit.workbook.staleness import State, Step


@pytest.fixture
def call(capsys):
    """Call the command; returns its exit code, stdout and stderr."""

    def call(*args):
        with pytest.raises(SystemExit) as left:
            cli.main(args)
        return (left.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def given(monkeypatch, tmp_path):
    """What the command passes on to the pipeline."""
    seen = {}
    monkeypatch.setattr(pipeline, "run_study", lambda study, **more: seen.update(study=study, **more) or tmp_path)
    return seen


def test_the_version_and_help_are_quick(call):
    assert call("--version") == (0, f"lesionkit {lesionkit.__version__}\n", "")
    code, out, _ = call("--help")
    assert code == 0 and all(word in out for word in ("run", "status", "predict", "explain", "data"))
    heavy = "import sys, lesionkit.cli; print([m for m in ('torch', 'pandas', 'papermill', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout == "[]\n"


def test_run_passes_on_what_is_asked(call, given, tmp_path):
    code, out, _ = call("run", "demo")
    assert code == 0 and out == f"report: {tmp_path / 'report' / 'index.html'}\n"
    assert given == {"study": "demo", "data": "", "out": "outputs", "overrides": [], "only": [], "force": False,
                     "jobs": 1, "scheduler": ""}  # fmt: skip
    call("run", "isic84", "--data", "D", "--out", "O", "--set", "epochs=1", "lr=2", "--only", "03", "04", "--force", "--jobs", "3")
    assert given == {
        "study": "isic84",
        "data": "D",
        "out": "O",
        "overrides": ["epochs=1", "lr=2"],
        "only": ["03", "04"],
        "force": True,
        "jobs": 3,
        "scheduler": "",
    }
    call("run", "full", "--scheduler", "tcp://host:8786")
    assert (given["jobs"], given["scheduler"]) == (1, "tcp://host:8786")


@pytest.mark.parametrize(("args", "spread"), [
    ("--only 03 04", "--only 03 --only 04"), ("--only 03 demo", "--only 03 demo"), ("--only 03 --force 04", "--only 03 --force 04"),
    ("--set a=1 b=2 demo", "--set a=1 --set b=2 demo"), ("--set a=-1 --only 03", "--set a=-1 --only 03"), ("--set", "--set"),
    ("--out 03 04", "--out 03 04"),
])  # fmt: skip
def test_an_option_takes_several_values(args, spread):
    assert cli._spread(args.split()) == spread.split()


@pytest.mark.parametrize("args", [
    ("run", "dmo"), ("run", "demo", "--set", "epoch=1"), ("run", "demo", "--set", "epochs"), ("run", "demo", "--only", "77"),
    ("run", "full", "--data", "nowhere"), ("status", "full", "--data", "nowhere"), ("status", "dmo"), ("run", "demo", "--frce"), ("run",),
    ("data", "check", "nowhere"), ("predict", "nowhere", "a.jpg", "--out", "x.csv"), ("predict",), ("dance",), (),
])  # fmt: skip
def test_bad_usage_is_2_with_a_message_and_nothing_written(call, args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*args)
    assert code == 2 and "Traceback" not in err
    assert err or not args  # a bare `lesionkit` shows its help
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_is_1_with_the_message_on_stderr(call, monkeypatch):
    def fail(study, **more):
        raise pipeline.RunError("03_ensemble failed: cell In [3] raised ValueError: no")

    monkeypatch.setattr(pipeline, "run_study", fail)
    assert call("run", "demo") == (1, "", "lesionkit: 03_ensemble failed: cell In [3] raised ValueError: no\n")


def test_a_full_disk_is_1_without_a_traceback(call, monkeypatch):
    def full(study, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline, "run_study", full)
    code, _, err = call("run", "demo")
    assert code == 1 and err == "lesionkit: [Errno 28] No space left on device\n"


def test_status_says_what_is_stale_and_why(call, monkeypatch):
    states = [
        State(Step("01_eda"), "fresh"),
        State(Step("03_ensemble"), "stale", ("epochs = 4, now 5", "the notebook changed")),
    ]
    monkeypatch.setattr(pipeline, "status", lambda study, **more: states)
    code, out, _ = call("status", "demo")
    assert code == 0 and [line.split(maxsplit=2) for line in out.splitlines()] == [
        ["01_eda", "fresh"], ["03_ensemble", "stale", "epochs = 4, now 5; the notebook changed"]]  # fmt: skip


def test_data_check_is_0_for_good_data_and_1_for_none(call, tmp_path):
    phantoms.write(tmp_path / "good", images=30, size=32)
    code, out, _ = call("data", "check", str(tmp_path / "good"))
    assert code == 0 and "HAM10000" in out and "ISIC 2019" in out
    (tmp_path / "empty").mkdir()
    code, out, _ = call("data", "check", str(tmp_path / "empty"))
    assert code == 1 and "empty folder" in out


@pytest.fixture
def inference(monkeypatch):
    """In place of the module that loads torch, which takes seconds."""
    module = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "lesionkit.learning.inference", module)
    monkeypatch.setattr(lesionkit.learning, "inference", module, raising=False)
    return module


def test_predict_takes_files_and_folders(call, tmp_path, inference):
    def predicted(run, files):
        return pd.DataFrame(
            {"file": [str(file) for file in files for _ in "me"], "model": ["m", "ensemble"] * len(files)}
        ), []

    inference.predict_files = predicted
    for name in ("run/study.json", "images/b.JPG", "images/deep/a.png", "images/notes.txt", "one.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    where = [str(tmp_path / name) for name in ("run", "one.jpg", "images")]
    code, out, _ = call("predict", *where, "--out", str(tmp_path / "x.csv"))
    assert code == 0 and "3 images, 1 models and their ensemble" in out
    files = pd.read_csv(tmp_path / "x.csv")["file"].unique()
    assert list(files) == [str(tmp_path / name) for name in ("one.jpg", "images/b.JPG", "images/deep/a.png")]
    assert call("predict", where[0], str(tmp_path / "no.jpg"), "--out", str(tmp_path / "x.csv"))[0] == 2
    assert call("predict", where[0], str(tmp_path / "run"), "--out", str(tmp_path / "x.csv"))[0] == 2
    assert call("predict", *where, "--out", str(tmp_path / "nowhere" / "x.csv"))[0] == 2


def test_predict_names_images_that_cannot_be_read_and_goes_on_with_the_others(call, tmp_path, inference):
    def all_but_the_first(run, files):
        table = pd.DataFrame({"file": map(str, files[1:]), "model": "ensemble"})
        return table, [OSError(f"{files[0]}: unreadable image")]

    inference.predict_files = all_but_the_first
    for name in ("study.json", "broken.jpg", "sound.jpg"):
        (tmp_path / name).touch()
    where = [str(tmp_path), str(tmp_path / "broken.jpg")]
    code, _, err = call("predict", *where, "--out", str(tmp_path / "x.csv"))
    assert code == 1 and "broken.jpg: unreadable image" in err and not (tmp_path / "x.csv").exists()
    code, out, err = call("predict", *where, str(tmp_path / "sound.jpg"), "--out", str(tmp_path / "x.csv"))
    assert code == 0 and "broken.jpg" in err and "1 images" in out and len(pd.read_csv(tmp_path / "x.csv")) == 1


def test_help_says_which_commands_take_an_export_and_the_others_refuse_it(call, tmp_path):
    for name in ("study.json", "lesionkit.json"):
        (tmp_path / name).write_text("{}")
    taking = {"predict": True, "explain": True, "app": True, "report": False, "validate": False, "export": False}
    assert {name: "or of an export" in " ".join(call(name, "--help")[1].split()) for name in taking} == taking
    code, _, error = call("validate", str(tmp_path), "--images", str(tmp_path), "--labels", "x.csv", "--out", str(tmp_path / "out"))
    assert code == 2 and "an exported folder" in error and len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def explaining(monkeypatch, tmp_path):
    """In place of the module that loads torch and draws; `given`: what the command passes on. We are in a run's folder."""
    module = types.SimpleNamespace(METHODS=("gradcam", "layercam"), given=[], unreadable=[])

    def explain_files(run, files, out, method):
        module.given.append((run, files, out, method))
        found = [str(file) for file in files if not any(str(file) in str(error) for error in module.unreadable)]
        return pd.DataFrame({"file": np.repeat(found, 2), "model": ["m", "ensemble"] * len(found)}), module.unreadable

    module.explain_files = explain_files
    monkeypatch.setitem(sys.modules, "lesionkit.workbook.explaining", module)
    monkeypatch.setattr(lesionkit.workbook, "explaining", module, raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("study.json", "one.jpg", "images/b.JPG", "images/deep/a.png", "full/x.txt", "none/notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("empty").mkdir()
    return module


def test_explain_takes_files_and_folders_and_a_new_or_empty_folder(call, explaining):
    code, out, _ = call("explain", ".", "one.jpg", "images", "--out", "deep/new")
    assert code == 0 and out == f"{Path('deep/new')}: 3 images, 1 models and their ensemble\n"
    assert call("explain", ".", "one.jpg", "--out", "empty", "--method", "layercam")[0] == 0
    files = [Path("one.jpg"), Path("images/b.JPG"), Path("images/deep/a.png")]
    assert explaining.given == [
        (Path("."), files, Path("deep/new"), "gradcam"), (Path("."), files[:1], Path("empty"), "layercam")]  # fmt: skip


@pytest.mark.parametrize("args, message", [
    ("images one.jpg --out new", "no run of a study"), (". two.jpg --out new", "no such file or folder"),
    (". none --out new", "no images there"), (". one.jpg --out full", "full: is not empty; give a new or an empty"),
    (". one.jpg --out one.jpg", "one.jpg: is not empty"), (". one.jpg", "--out"), (". --out new", "IMAGE"),
    (". one.jpg --out new --method gradcan", "gradcan: use one of gradcam, layercam"),
])  # fmt: skip
def test_explain_refuses_what_it_cannot_use_and_touches_nothing(call, explaining, args, message):
    before = sorted(Path().rglob("*"))
    code, _, error = call("explain", *args.split())
    assert code == 2 and message in error and not explaining.given and sorted(Path().rglob("*")) == before


def test_explain_names_images_that_cannot_be_read_and_fails_where_none_can(call, explaining):
    explaining.unreadable = [OSError("one.jpg: unreadable image")]
    code, out, error = call("explain", ".", "one.jpg", "images", "--out", "new")
    assert code == 0 and "2 images" in out and error == "lesionkit: left out: one.jpg: unreadable image\n"
    code, out, error = call("explain", ".", "one.jpg", "--out", "new")
    assert code == 1 and not out and error.endswith("no image could be read\n")


def test_explain_says_what_failed(call, explaining):
    for error in (FileNotFoundError("no trained model in models/m"), ValueError("no layer")):
        explaining.explain_files = lambda *_, error=error: (_ for _ in ()).throw(error)
        assert call("explain", ".", "one.jpg", "--out", "new") == (1, "", f"lesionkit: {error}\n")


def test_evaluate_names_what_it_cannot_use(call, tmp_path):
    (tmp_path / "p.csv").write_text("image_id,p_mel\na,1\n")
    (tmp_path / "y.csv").write_text("image_id,dx\na,mel\n")
    mine, truth, out = (str(tmp_path / name) for name in ("p.csv", "y.csv", "out"))
    code, _, error = call("evaluate", mine, "--labels", truth, "--out", out)
    assert code == 2 and "missing column p_akiec" in error
    assert call("evaluate", mine)[0] == 2  # no labels


def test_json_holds_what_is_printed(call, monkeypatch, tmp_path):
    states = [State(Step("03_ensemble"), "stale", ("epochs = 4, now 5",))]
    monkeypatch.setattr(pipeline, "status", lambda study, **more: states)
    assert json.loads(call("status", "demo", "--json")[1]) == [
        {"step": "03_ensemble", "state": "stale", "why": ["epochs = 4, now 5"]}]  # fmt: skip
    phantoms.write(tmp_path / "good", images=30, size=32)
    code, out, _ = call("data", "check", str(tmp_path / "good"), "--json")
    report = json.loads(out)
    assert code == 0 and not report["fatal"] and [one["dataset"] for one in report["datasets"]] == ["ham10000", "isic2019"]
    assert all(sum(one["labels"].values()) == one["images"] for one in report["datasets"])


@pytest.mark.parametrize("args", [("--debug", "run", "dmo"), ("run", "dmo", "--debug")])
def test_debug_shows_where_an_error_arose(call, args):
    code, _, err = call(*args)
    assert code == 2 and "Traceback" in err and err.splitlines()[-1].startswith("lesionkit: ")
