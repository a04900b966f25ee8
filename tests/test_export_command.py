"""`lesionkit export` as it is typed: what it refuses, in which order, and what it says."""

import os

import pytest
import typer

from lesionkit.cli import exporting as command
from lesionkit.cli.shared import BAD_USAGE, FAILED, Stop
from lesionkit.workbook import hub


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call it with these words in a folder that holds `run` and `full`."""
    app = typer.Typer()
    app.command()(command.export)
    for name in ("run/study.json", "full/mine.txt", "export/study.json", "export/lesionkit.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"name": "toy", "backbones": []}')
    monkeypatch.chdir(tmp_path)
    return lambda *words: app(args=words, standalone_mode=False)


@pytest.fixture
def exported(monkeypatch):
    """In place of `exporting.export`, which loads torch; what it was given."""
    seen = []

    def export(run, to, *, onnx, tell):
        seen.append((str(run), str(to), onnx))
        tell("resnet50")
        return {"members": {"resnet50": {"onnx": {"largest_difference": 3.2e-6}} if onnx else {}}}

    from lesionkit.workbook import exporting

    monkeypatch.setattr(exporting, "export", export)
    return seen


def test_it_says_what_it_does_and_what_came_out(call, exported, capsys):
    call("run", "--to", "new")
    assert capsys.readouterr() == ("new: 1 models and how to use them; ONNX differs by at most 3e-06\n", "exporting: resnet50\n")
    call("run", "--to", "new", "--no-onnx")
    assert capsys.readouterr().out == "new: 1 models and how to use them\n"
    assert exported == [("run", os.path.abspath("new"), True), ("run", os.path.abspath("new"), False)]


@pytest.mark.parametrize("words, message", [
    (("nowhere", "--to", "new"), "nowhere: no run of a study there"), (("run", "--to", "full"), "full: is not empty"),
    (("run", "--to", "full/mine.txt"), "nothing is overwritten"), (("export", "--to", "new"), "export: an exported folder"),
])  # fmt: skip
def test_bad_usage_stops_before_anything_is_done(call, exported, words, message):
    with pytest.raises(Stop, match=message) as stopped:
        call(*words)
    assert stopped.value.code == BAD_USAGE and not exported


def test_the_hub_is_asked_before_and_given_the_folder_after(call, exported, monkeypatch, capsys):
    order = []
    monkeypatch.setattr(hub, "ready", lambda repo, replace: order.append((repo, replace, len(exported))))
    monkeypatch.setattr(hub, "push", lambda folder, repo, replace: order.append((str(folder), repo, replace, len(exported))) or "at hub")
    new = os.path.abspath("new")
    for more, replace in ((), False), (("--replace",), True):
        call("run", "--to", "new", "--push-to-hub", "o/n", *more)
        assert order == [("o/n", replace, len(exported) - 1), (new, "o/n", replace, len(exported))]
        assert capsys.readouterr().out.endswith("at hub\n")
        order.clear()


def test_without_a_token_nothing_is_exported(call, exported, monkeypatch):
    def ready(repo, replace):
        raise hub.HubError(hub.NO_TOKEN)

    monkeypatch.setattr(hub, "ready", ready)
    with pytest.raises(Stop, match="--push-to-hub o/n: no Hugging Face token: log in with") as stopped:
        call("run", "--to", "new", "--push-to-hub", "o/n")
    assert stopped.value.code == FAILED and not exported


def test_what_the_run_has_not_made_yet_is_a_message(call):
    with pytest.raises(Stop, match="03b_operating_points.csv is missing: run notebook 03b_melanoma first") as stopped:
        call("run", "--to", "new", "--no-onnx")
    assert stopped.value.code == FAILED
