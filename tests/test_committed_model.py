"""The model of outputs/ham224 is the one that gave the predictions beside it, whatever the machine."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesionkit.evidence import ensembles, predictions, resampling
from lesionkit.evidence.mixtures import Mixture
from lesionkit.evidence.predictions import PROBABILITIES
from lesionkit.learning import inference
from lesionkit.workbook.places import saved_study

RUN = Path(__file__).parents[1] / "outputs" / "ham224"
MEMBERS = saved_study(RUN).backbones
SAID = ("balanced_accuracy", "macro_f1", "macro_auc", "melanoma_auc", "melanoma_sensitivity")


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_answers_as_it_did(name, real_data):
    table = predictions.read(RUN / "predictions" / f"{name}.parquet").query("split == 'test'")
    chosen = table.groupby("y_true").head(1)  # an image a class
    files = [real_data / "ham224" / "HAM10000_images" / f"{image_id}.jpg" for image_id in chosen["image_id"]]
    model, config = inference.load(RUN / "models" / name)
    member = model, config, saved_study(RUN).for_backbone(name).tta
    found, errors = inference.predict_with({name: member}, files, Mixture({name: 1.0}))
    assert not errors and set(chosen["model"]) == {name}
    found = found[found["model"] == name][list(PROBABILITIES)].to_numpy()
    np.testing.assert_allclose(found, chosen[list(PROBABILITIES)].to_numpy(), atol=2e-3)


def test_what_the_changelog_says_of_it_are_its_numbers():
    table = predictions.read([RUN / "predictions" / f"{name}.parquet" for name in MEMBERS])
    everything = pd.concat([table, ensembles.mean(table)])
    found = resampling.intervals(resampling.replicate(predictions.by_model(everything, split="test")), SAID)
    text = (RUN.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    for name, rows in found.groupby("model"):
        rows = rows.set_index("metric").loc[list(SAID)]
        cells = " | ".join(f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows.itertuples())
        assert any(name in line and cells in line for line in text.splitlines()), f"{name}: {cells}"


def test_members_score_the_same_images_of_validation_and_test_and_the_run_names_no_folder():
    text = (RUN / "study.json").read_text() + "".join(f.read_text() for f in RUN.glob("models/*/config.json"))
    assert '"weights_dir": ""' in text and '"weights_dir": "/' not in text
    parts = [predictions.read(RUN / "predictions" / f"{name}.parquet") for name in MEMBERS]
    for part in parts:
        assert set(part["split"]) == {"val", "test"} and part["lesion_id"].is_unique
        assert set(part["image_id"]) == set(parts[0]["image_id"])
