"""The model of outputs/ham224 is the one that gave the predictions beside it, whatever the machine."""

from pathlib import Path

import numpy as np
import pytest

from lesionkit.evidence import predictions
from lesionkit.evidence.predictions import PROBABILITIES
from lesionkit.learning import inference
from lesionkit.workbook.places import saved_study

RUN = Path(__file__).parents[1] / "outputs" / "ham224"
MEMBERS = saved_study(RUN).backbones


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_answers_as_it_did(name, real_data):
    table = predictions.read(RUN / "predictions" / f"{name}.parquet").query("split == 'test'")
    chosen = table.groupby("y_true").head(1)  # an image a class
    files = [real_data / "ham224" / "HAM10000_images" / f"{image_id}.jpg" for image_id in chosen["image_id"]]
    model, config = inference.load(RUN / "models" / name)
    member = model, config, saved_study(RUN).for_backbone(name).tta
    found, errors = inference.predict_with({name: member}, files, {name: 1.0})
    assert not errors and set(chosen["model"]) == {name}
    found = found[found["model"] == name][list(PROBABILITIES)].to_numpy()
    np.testing.assert_allclose(found, chosen[list(PROBABILITIES)].to_numpy(), atol=2e-3)


def test_the_images_that_are_scored_are_no_image_of_training_and_the_run_names_no_folder():
    text = (RUN / "study.json").read_text() + "".join(f.read_text() for f in RUN.glob("models/*/config.json"))
    assert '"weights_dir": ""' in text and '"weights_dir": "/' not in text
    parts = [predictions.read(RUN / "predictions" / f"{name}.parquet") for name in MEMBERS]
    for part in parts:
        assert set(part["split"]) == {"val", "test"} and part["lesion_id"].is_unique
        assert set(part["image_id"]) == set(parts[0]["image_id"])
