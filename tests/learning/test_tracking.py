"""Trackers: what they are told, what they change (nothing), and what becomes of a training whose tracker fails."""

import dataclasses
import subprocess
import sys
import time
import types
from contextlib import contextmanager

import numpy as np
import pytest
from toys import study, toy

from lesionkit.learning import preflight, tracking, training
from lesionkit.learning.callbacks import Journal
from lesionkit.learning.training import fit
from lesionkit.settings import CHOICES
from lesionkit.study import StudyError, load

NUMBERS = ["train_loss", "valid_loss", "balanced_accuracy", "macro_auc", "lr", "images_per_second", "seconds"]


def trained(root, name="tensorboard", **settings):
    """The toy, trained as in a study's run below `root`."""
    return fit("baseline_cnn", *toy(), study(tracking=name, **settings), root / "models" / "baseline_cnn", "cpu")


def board(root):
    """What TensorBoard shows of the run: all tags by kind, and the scalars as (epochs, values)."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(root / "tensorboard" / "baseline_cnn"))
    events.Reload()
    found = {tag: ([e.step for e in events.Scalars(tag)], [e.value for e in events.Scalars(tag)]) for tag in events.Tags()["scalars"]}
    return events.Tags(), found


def same_files(one, other):
    return (one.folder / "weights.safetensors").read_bytes() == (other.folder / "weights.safetensors").read_bytes()


@contextmanager
def stopped_after(epochs):
    """The training in it is stopped as by a kill."""
    original = Journal.after_epoch

    def stop(self):
        original(self)
        if self.epoch + 1 == epochs:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "after_epoch", stop)
        yield


def test_tensorboard_shows_what_history_csv_holds_and_no_image(tmp_path):
    done = trained(tmp_path, epochs=2)
    tags, scalars = board(tmp_path)
    assert sorted(scalars) == sorted(NUMBERS)
    for name, (epochs, values) in scalars.items():
        assert epochs == [1, 2] and np.allclose(values, done.history[name], rtol=1e-6, equal_nan=True)
    assert tags["tensors"] == ["settings/text_summary"]
    assert not (tags["images"] or tags["graph"] or tags["histograms"] or tags["audio"])


def test_weights_are_the_same_to_the_bit_and_the_model_no_other(tmp_path, monkeypatch):
    with_, without = trained(tmp_path / "with", epochs=2), trained(tmp_path / "without", "", epochs=2)
    columns = [name for name in NUMBERS if "second" not in name]
    assert same_files(with_, without) and with_.history[columns].equals(without.history[columns])
    assert with_.config["fingerprint"] == without.config["fingerprint"]
    assert sorted(p.name for p in with_.folder.iterdir()) == ["config.json", "history.csv", "weights.safetensors"]
    monkeypatch.setattr(training, "train", lambda *a: pytest.fail("trained again"))
    trained(tmp_path / "without", epochs=2)  # is reused


def test_it_is_off_and_nothing_of_it_is_loaded_unless_asked_for():
    assert load("demo").tracking == "" and tracking.trackers(study(), "anywhere", []) == []
    program = (
        "import sys, timm.utils; before = {*sys.modules}; import lesionkit.learning.training as _; "  # timm loads wandb where it is
        f"print({{*{[*tracking.MODULES.values()]}}} & ({{*sys.modules}} - before))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def test_an_unknown_tracker_is_refused_with_the_list():
    with pytest.raises(StudyError, match='tracking = \'comet\': one of tensorboard, wandb, mlflow, trackio, ""'):
        load("demo", ["tracking=comet"])
    assert {*CHOICES["tracking"]} == {"", *tracking.MODULES} and tracking.OPEN.keys() == tracking.MODULES.keys()


def test_a_missing_package_stops_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    line = r"tracking = wandb: pip install 'lesionkit\[wandb\]', or set tracking = \"\""
    with pytest.raises(ImportError, match=line):
        trained(tmp_path, "wandb")
    assert not list(tmp_path.rglob("last.pt"))
    trained(tmp_path, "", epochs=1)
    only = dataclasses.replace(study(tracking="wandb"), backbones=("baseline_cnn",))
    preflight.check(only, tmp_path / "models")  # what is trained needs no tracker
    with pytest.raises(ImportError, match=line):
        preflight.check(only, tmp_path / "nothing")


def test_a_training_that_goes_on_goes_on_in_the_same_run(tmp_path):
    with stopped_after(2):
        trained(tmp_path)
    assert (tmp_path / "models" / "baseline_cnn" / tracking.REMEMBERED).exists()
    done = trained(tmp_path)
    epochs, values = board(tmp_path)[1]["valid_loss"]
    assert epochs == [1, 2, 3] and np.allclose(values, done.history["valid_loss"])


def test_a_training_that_was_not_tracked_at_first_is_told_from_its_first_epoch(tmp_path):
    with stopped_after(2):
        trained(tmp_path, "")
    trained(tmp_path)
    assert board(tmp_path)[1]["valid_loss"][0] == [1, 2, 3]


def test_another_training_in_the_same_folder_is_shown_instead(tmp_path):
    trained(tmp_path, epochs=3)
    done = trained(tmp_path, epochs=1, lr=1e-4)
    epochs, values = board(tmp_path)[1]["train_loss"]
    assert epochs == [1] and np.allclose(values, done.history["train_loss"])


def test_folds_and_controls_are_runs_of_their_own(tmp_path):
    def named(*parts):
        return tracking._described(study(), tmp_path.joinpath("demo", *parts), "", 0)

    assert named("models", "resnet50").name == "toy/resnet50"
    assert named("models", "resnet50", "fold2").name == "toy/resnet50/fold2"
    assert named("models", "controls", "leak_A").root == tmp_path / "demo"
    assert (named("elsewhere").name, named("elsewhere").root) == ("toy/elsewhere", tmp_path / "demo")


def test_no_tracker_is_told_of_a_folder_of_the_machine(tmp_path):
    own = {"resnet50": {"weights": "/home/anna/nets"}}
    told = study(weights="/home/anna/nets", weights_dir="../../anna/nets", masks="/home/anna/masks", mapping="C:\\anna\\own.toml",
                 external="anna/own.csv", backbone=own)  # fmt: skip
    settings = tracking._described(told, tmp_path, "", 0).settings
    assert "anna" not in " ".join(map(str, settings.values())) and settings["external"] == "…/own.csv" and settings["lr"] == 1e-3


@pytest.mark.parametrize("where", ["open", "log", "close"])
@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_tracker_that_fails_is_named_once_and_the_training_ends_as_without(tmp_path, monkeypatch, where, how):
    def refuse(*_):
        if how == "hangs":
            time.sleep(2)
        raise ConnectionError("no route to host")

    def opened(_):
        return refuse() if where == "open" else tracking.Sink("1", *(refuse if where == at else print for at in ("log", "close")))

    monkeypatch.setitem(tracking.OPEN, "tensorboard", opened)
    monkeypatch.setattr(tracking, "PATIENCE", 60 if how == "fails" else 0.2)
    with pytest.warns(UserWarning, match="tracking = tensorboard") as told:
        done = trained(tmp_path, epochs=2)
    said = [str(one.message) for one in told if "tracking" in str(one.message)]
    assert len(said) == 1 and ("no route to host" in said[0] if how == "fails" else "no answer in 0.2 s" in said[0])
    assert len(done.history) == 2 and same_files(done, trained(tmp_path / "without", "", epochs=2))


def test_wandb_is_given_numbers_and_settings_only(tmp_path, monkeypatch):
    calls = {"log": []}
    run = types.SimpleNamespace(
        id="abc", log=lambda numbers, step: calls["log"].append((step, numbers)), finish=lambda: calls.update(finished=True)
    )
    def settings(*, silent, console, disable_git, disable_code, x_disable_meta, x_disable_machine_info, x_disable_stats,
                 x_save_requirements):  # of wandb 0.19.10 and 0.31.0, which refuse names that they do not know  # fmt: skip
        return locals()

    fake = types.SimpleNamespace(Settings=settings, init=lambda **given: calls.update(given) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    done = trained(tmp_path, "wandb", epochs=2)
    assert calls["name"] == "toy/baseline_cnn" and calls["resume"] is None and calls["finished"]
    assert calls["settings"].pop("console") == "off" and calls["settings"].pop("x_save_requirements") is False
    assert all(calls["settings"].values())
    assert [step for step, _ in calls["log"]] == [1, 2]
    assert [numbers for _, numbers in calls["log"]] == done.history.drop(columns="epoch").to_dict("records")
    assert all(isinstance(value, (str, int, float)) for value in calls["config"].values()) and calls["config"]["lr"] == 1e-3


def test_wandb_offline_leaves_its_run_beside_the_models(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    trained(tmp_path, "wandb", epochs=1)
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 1


def test_mlflow_holds_the_history_in_one_run_also_after_a_stop(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with stopped_after(2):
        trained(tmp_path, "mlflow")
    done = trained(tmp_path, "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("lesionkit").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params["lr"]) == ("toy/baseline_cnn", "FINISHED", "0.001")
    found = client.get_metric_history(run.info.run_id, "valid_loss")
    assert [m.step for m in found] == [1, 2, 3] and np.allclose([m.value for m in found], done.history["valid_loss"])
    assert not (tmp_path / "mlruns").exists()


def test_an_mlflow_server_that_is_away_costs_one_warning(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.warns(UserWarning, match="tracking = mlflow has failed") as told:
        assert len(trained(tmp_path, "mlflow", epochs=2).history) == 2
    assert sum("tracking" in str(one.message) for one in told) == 1


def test_trackio_holds_the_history_in_one_run_also_after_a_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is loaded, here for the first time
    storage = pytest.importorskip("trackio.sqlite_storage").SQLiteStorage
    with stopped_after(2):
        trained(tmp_path, "trackio")
    done = trained(tmp_path, "trackio")
    (run,) = storage.get_run_records("lesionkit")
    rows = storage.get_logs("lesionkit", run["name"], run_id=run["id"])
    assert run["name"] == "toy/baseline_cnn" and [row["step"] for row in rows] == [1, 2, 3]
    assert [row["valid_loss"] for row in rows] == list(done.history["valid_loss"])
