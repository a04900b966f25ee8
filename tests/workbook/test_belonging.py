"""Models, predictions and fitted numbers of a run that do not belong together are not exported, and the page does not open them."""

import json
import shutil

import pytest
from evidence import tables as drawn
from explain.saved import saved_run
from workbook.tried import SIZES, evaluated, fitted_on, predicted

from lesionkit.evidence import ensembles, predictions
from lesionkit.workbook import exporting
from lesionkit.workbook.app.answers import Models
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.belonging import Mismatch
from lesionkit.workbook.manifest import read_manifest, update_manifest
from lesionkit.workbook.staleness import Step
from lesionkit.workbook.steps import mark

NAME = "test_resnet"
AGAIN = f"run notebook 02_train_backbone with backbone={NAME} again"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return evaluated(saved_run(tmp_path_factory.mktemp("run"), SIZES, phantoms=9))


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def settings(run, **changes):
    file = run / "study.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def by_the_pipeline(run):
    """Notebooks 02 were not opened by hand."""
    made_with = read_manifest(run)["artifacts"][f"predictions/{NAME}.parquet"]["study"]
    done = {f"02_train_backbone_{name}": {"study": made_with, "parts": {"parameters": {"tta": 1}}} for name in SIZES}
    update_manifest(run, "steps", done)


def drawn_again(run, **given):
    """Other predictions of one model."""
    table = predictions.read(run / "predictions" / f"{NAME}.parquet")
    predicted(run, drawn.table(NAME, table, seed=9), **given)


def ensembles_again(run):
    opened = Run.of(run, "03_ensemble")
    opened.save_predictions(ensembles.mean(opened.predictions()), "ensembles")


def other_weights(run):
    file = run / "models" / NAME / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def refused(run, message, app=True):
    """By the export, and by the page where it uses what is wrong."""
    with pytest.raises(Mismatch, match=message):
        exporting.export(run, run.with_name("to"), onnx=False)
    assert not run.with_name("to").exists()
    if app:
        with pytest.raises(Mismatch, match=message):
            Models.open(run, "cpu")
    else:
        Models.open(run, "cpu")


def test_what_belongs_together_is_taken(run):
    exporting.export(run, run.with_name("to"), onnx=False)
    Models.open(run, "cpu")


def test_settings_that_the_predictions_were_not_made_with(run):
    """As `lesionkit run S --set tta=8 --only 03` leaves them."""
    by_the_pipeline(run)
    settings(run, tta=8)
    refused(run, r"baseline_cnn.parquet was made with tta = 1, and study.json has tta = 8: run notebook 02")
    settings(run, tta=1, epochs=9)  # which is of no matter to what was trained before
    exporting.export(run, run.with_name("to"), onnx=False)


def test_a_notebook_that_was_opened_by_hand_with_other_settings(run):
    drawn_again(run, tta=8)
    refused(run, f"{NAME}.parquet was made with an unknown number of views, and study.json has tta = 1: {AGAIN}")


def test_weights_that_have_changed(run):
    other_weights(run)
    refused(run, f"models/{NAME}/weights.safetensors is not what the last complete run of its notebook has left: {AGAIN}")


def test_a_training_whose_notebook_was_stopped_before_it_predicted(run):
    other_weights(run)
    opened = Run.of(run, "02_train_backbone")
    opened.suffix = NAME
    opened.record(run / "models" / NAME / "weights.safetensors")
    refused(run, f"{NAME}.parquet is of other weights than .*{AGAIN}")


def test_a_step_that_did_not_end(run):
    mark(run, Step("02_train_backbone", NAME))
    refused(run, "is not what the last complete run")


def test_tables_of_other_predictions(run):
    drawn_again(run)
    refused(run, f"03b_operating_points.csv was made from another predictions/{NAME}.parquet.*notebook 03b_melanoma", app=False)
    fitted_on(run, "03b_melanoma")
    refused(run, "03c_calibration.csv was made from another .*run notebook 03c_calibration again", app=False)
    fitted_on(run)
    refused(run, "ensembles.parquet was made from another .*run notebook 03_ensemble again", app=False)
    ensembles_again(run)
    fitted_on(run)
    exporting.export(run, run.with_name("to"), onnx=False)


def test_tables_of_more_models_than_the_study_has_now(run):
    by_the_pipeline(run)
    settings(run, backbones=["baseline_cnn"])
    refused(run, "was made from other models than those of study.json: run notebook 03b_melanoma", app=False)


def test_files_that_the_manifest_does_not_know(run):
    (run / "manifest.json").unlink()
    refused(run, "manifest.json does not say how models/baseline_cnn/weights.safetensors was made")


def test_a_folder_of_an_evaluation_has_no_models(run):
    settings(run, given=True)
    for use in (Models.open, lambda folder: exporting.export(folder, run.with_name("to"), onnx=False)):
        with pytest.raises(ValueError, match="holds what evaluate or validate made of predictions, and no models: give the folder"):
            use(run)
