"""What cannot be trained is said before anything is."""

import pytest
from toys import study

from lesionkit.learning import networks, preflight
from lesionkit.learning.networks import WeightsError


def test_unknown_backbones_and_missing_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "hub_reachable", lambda name: False)
    with pytest.raises(ValueError, match="no backbone 'resnet51'"):
        preflight.check(study(backbones=("baseline_cnn", "resnet51")), tmp_path)
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        preflight.check(study(backbones=("baseline_cnn", "test_resnet"), weights="imagenet"), tmp_path)
    with pytest.raises(WeightsError, match="no test_resnet.safetensors"):
        preflight.check(study(backbones=("test_resnet",), weights=str(tmp_path)), tmp_path)


def test_what_is_trained_or_may_start_from_nothing_asks_for_no_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "hub_reachable", lambda name: pytest.fail("asked the hub"))
    preflight.check(study(backbones=("baseline_cnn", "test_resnet"), weights="auto"), tmp_path)
    preflight.check(study(backbones=("baseline_cnn",), weights="imagenet"), tmp_path)
    for file in ("config.json", "history.csv", "weights.safetensors"):
        (tmp_path / "test_resnet").mkdir(exist_ok=True)
        (tmp_path / "test_resnet" / file).write_text("{}" if file == "config.json" else "epoch\n1\n")
    preflight.check(study(backbones=("test_resnet",), weights="imagenet"), tmp_path)


def test_folders_of_weights_are_looked_for_from_where_the_notebooks_see_them(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "test_resnet.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    own = study(backbones=("test_resnet",), weights="../weights")
    preflight.check(own, tmp_path, tmp_path / "notebooks")
    with pytest.raises(WeightsError, match="no test_resnet.safetensors"):
        preflight.check(own, tmp_path)  # as seen from here there is none


def test_a_weights_dir_that_is_no_folder_is_refused_rather_than_trained_without(tmp_path):
    mistyped = study(backbones=("test_resnet",), weights="auto", weights_dir="../wieghts")
    with pytest.raises(WeightsError, match="test_resnet: weights_dir is to be .*wieghts, which is no folder"):
        preflight.check(mistyped, tmp_path, tmp_path / "notebooks")
    (tmp_path / "test_resnet").mkdir()
    for file, text in {"config.json": "{}", "history.csv": "epoch\n1\n", "weights.safetensors": ""}.items():
        (tmp_path / "test_resnet" / file).write_text(text)
    with pytest.raises(WeightsError, match="no folder"):  # a trained one would be trained anew, from other weights
        preflight.check(mistyped, tmp_path, tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "wieghts").mkdir()
    preflight.check(mistyped, tmp_path, tmp_path / "notebooks")
