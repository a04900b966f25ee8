"""Members: one network may be several, each trained by its own settings, and known by its name."""

import shutil

import pytest
from toys import study, toy

from lesionkit.learning import backbones, inference, members, preflight, training

TWO = study(epochs=1, backbones=("baseline_cnn", "again"), backbone={"again": {"network": "baseline_cnn", "seed": 1, "tta": 8}})


def test_a_member_is_its_network_by_its_own_settings(tmp_path):
    one, again = (members.fit(name, *toy(), TWO, tmp_path / "models" / name) for name in TWO.backbones)
    assert one.config["backbone"] == again.config["backbone"] == "baseline_cnn"
    assert (one.config["study"]["seed"], again.config["study"]["seed"]) == (0, 1)
    first, second = (inference.load(trained.folder)[0].state_dict() for trained in (one, again))
    assert any((first[key] != second[key]).any() for key in first)
    for trained, name in ((one, "baseline_cnn"), (again, "again")):
        assert trained.config["fingerprint"] == members.fingerprint(name, *toy(), TWO)
    assert one.config["fingerprint"] == training.fingerprint("baseline_cnn", *toy(), TWO) != again.config["fingerprint"]


def test_members_are_loaded_under_their_names_with_their_views(tmp_path):
    from lesionkit.workbook.artifacts import Run

    Run(TWO, tmp_path, None, "02_train_backbone").save_settings()
    trained = members.fit("again", *toy(), TWO, tmp_path / "models" / "again")
    shutil.copytree(trained.folder, tmp_path / "models" / "baseline_cnn")
    loaded = inference.load_members(tmp_path)
    assert [(name, views) for name, (_, _, views) in loaded.items()] == [("baseline_cnn", 1), ("again", 8)]


def test_a_member_whose_network_timm_does_not_know_is_refused_beforehand(tmp_path):
    preflight.check(TWO, tmp_path)
    with pytest.raises(ValueError, match="no backbone 'nothing'"):
        preflight.check(TWO.changed_for("again", network="nothing"), tmp_path)
    assert backbones.backbone(TWO.network_of("again")).name == "baseline_cnn"
