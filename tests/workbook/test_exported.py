"""An exported folder as its user meets it: it says of an image what its run says, a change of it is found, and it is whole."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from explain.saved import photographs, saved_run
from workbook.tried import SIZES, evaluated

from lesionkit.learning import inference
from lesionkit.workbook import exporting, provenance
from lesionkit.workbook.app.answers import Models
from lesionkit.workbook.manifest import update_manifest


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return evaluated(saved_run(tmp_path_factory.mktemp("run"), SIZES, tta=8, phantoms=9))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("exported")
    exporting.export(run, to, onnx=False)
    return to


def test_the_page_says_the_same_of_an_export_as_of_its_run(run, exported, tmp_path):
    of_run, of_export = Models.open(run, "cpu"), Models.open(exported, "cpu")
    one, other = of_run.reference, of_export.reference
    assert (one.temperature, one.disagreement) == (other.temperature, other.disagreement) and np.isfinite(one.disagreement)
    assert np.array_equal(one.limits, other.limits)
    pd.testing.assert_frame_equal(one.splits, other.splits)
    [image] = photographs(tmp_path, "a.png")
    one, other = of_run.answer(image), of_export.answer(image)
    pd.testing.assert_frame_equal(one.table, other.table)
    assert np.array_equal(one.calibrated, other.calibrated) and (one.chosen, one.unlike) == (other.chosen, other.unlike)


def test_of_one_member_alone_nothing_is_unlike_in_the_export_too(tmp_path):
    run = evaluated(saved_run(tmp_path / "run", {"test_resnet": 64}, phantoms=9))
    assert exporting.export(run, tmp_path / "to", onnx=False)["ensemble"]["unlike"]["disagreement"] is None
    assert Models.open(tmp_path / "to", "cpu").reference.disagreement == np.inf


def test_without_validation_there_is_no_threshold_and_the_file_says_null(tmp_path):
    run = evaluated(saved_run(tmp_path / "run", SIZES, phantoms=9), test=60)
    ensemble = exporting.export(run, tmp_path / "to", onnx=False)["ensemble"]
    assert ensemble["temperature"] is None and {point["threshold"] for point in ensemble["melanoma_thresholds"]} == {None}
    assert ensemble["conformal"]["marginal"] is None and set(ensemble["conformal"]["class_conditional"].values()) == {None}
    assert "no validation images" in (tmp_path / "to" / "README.md").read_text()
    for folder in (run, tmp_path / "to"):
        with pytest.raises(ValueError, match="no validation image.*take a run with validation images"):
            Models.open(folder, "cpu")


@pytest.fixture
def changed(exported, tmp_path):
    """A copy of the export with another lesionkit.json."""

    def changed(change):
        shutil.copytree(exported, tmp_path / "changed")
        about = json.loads((tmp_path / "changed" / "lesionkit.json").read_text())
        change(about)
        (tmp_path / "changed" / "lesionkit.json").write_text(json.dumps(about))
        return tmp_path / "changed"

    return changed


def test_a_changed_number_is_found(changed):
    folder = changed(lambda about: about["ensemble"].update(temperature=1.0))
    with pytest.raises(ValueError, match="numbers of the ensemble are not those that were exported; copy or download"):
        Models.open(folder, "cpu")


@pytest.mark.parametrize("version", [None, 1, 2, 4])
def test_another_format_is_named_with_what_to_do(changed, version):
    folder = changed(lambda about: (about.clear(), about.update(format=version)))
    for use in (inference.load_members, Models.open):
        with pytest.raises(ValueError, match=f"lesionkit.json has format {version}, and this lesionkit reads format 3: export"):
            use(folder, "cpu")


def test_it_says_where_it_was_trained_and_where_exported(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    update_manifest(copy, "environments", {"k": {"torch": "0.9", "GPU": "another"}})
    update_manifest(copy, "steps", {"02_train_backbone_test_resnet": {"environment": "k"}})
    about = exporting.export(copy, tmp_path / "to", onnx=False)
    assert about["trained_with"] == [{"steps": ["02_train_backbone_test_resnet"], "environment": {"torch": "0.9", "GPU": "another"}}]
    assert about["exported_with"] == provenance.environment() and "made_with" not in about


def test_nothing_is_overwritten_and_what_fails_leaves_nothing(run, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        exporting.export(run, tmp_path / "full", onnx=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(exporting.describing, "readme", lambda *args: 1 / 0)
    for to in ("empty", "new"):
        with pytest.raises(ZeroDivisionError):
            exporting.export(run, tmp_path / to, onnx=False)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "full", "mine.txt"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path / "empty")
    exporting.export(run, Path(), onnx=False)
    assert "lesionkit.json" in os.listdir()  # the folder is the one where we are, and not another of its name
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == ["README.md", "lesionkit.json", "models", "study.json"]


def test_an_empty_folder_that_cannot_be_replaced_is_filled(run, tmp_path, monkeypatch):
    """As a mounted disk is."""
    (tmp_path / "disk").mkdir()
    before = (tmp_path / "disk").stat().st_ino
    monkeypatch.setattr(Path, "rmdir", lambda self: (_ for _ in ()).throw(OSError(16, "Device or resource busy")))
    moved = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, to: moved.append(Path(to).name) or rename(self, to))
    exporting.export(run, tmp_path / "disk", onnx=False)
    assert (tmp_path / "disk").stat().st_ino == before and moved[-1] == "lesionkit.json"
    assert sorted(os.listdir(tmp_path / "disk")) == ["README.md", "lesionkit.json", "models", "study.json"]


def test_a_folder_that_is_filled_meanwhile_is_left_to_whoever_did(run, tmp_path):
    (tmp_path / "to").mkdir()
    with pytest.raises(FileExistsError, match="now holds theirs.txt"):
        exporting.export(run, tmp_path / "to", onnx=False, tell=lambda line: (tmp_path / "to" / "theirs.txt").touch())
    assert os.listdir(tmp_path / "to") == ["theirs.txt"]
