"""Folds and controls: every development image is scored once, by a model that has not seen its lesion."""

import pandas as pd
import pytest
from toys import study, toy

from lesionkit.evidence.predictions import PROBABILITIES
from lesionkit.learning import folded, training


def archive():
    """The toy with lesions of one image, and a test part."""
    pixels, table = toy()
    split = ["test" if i % 6 == 0 else part for i, part in enumerate(table["split"])]
    more = {"lesion_id": table["image_id"], "group_id": table["image_id"], "dataset": "toy", "split": split}
    return pixels, table.assign(**more)


def test_every_fold_scores_what_it_left_out_and_the_locked_test_images(tmp_path, monkeypatch):
    pixels, table = archive()
    seen = []
    original = training.fit

    def fit(name, pixels, table, study, folder):
        seen.append(set(table.loc[table["split"].isin(("train", "val")), "image_id"]))
        return original(name, pixels, table, study, folder)

    monkeypatch.setattr(training, "fit", fit)
    versions = folded.every_fold("baseline_cnn", pixels, table, study(epochs=1, folds=3), tmp_path)
    out, test = versions[versions["split"] == "out"], versions[versions["split"] == "test"]
    assert sorted(out["image_id"]) == sorted(table.loc[table["split"] != "test", "image_id"])
    assert (test.groupby("image_id").size() == 3).all() and list(dict.fromkeys(versions["version"])) == [
        "fold1",
        "fold2",
        "fold3",
    ]
    for number, trained_on in enumerate(seen, start=1):
        mine = versions[versions["version"] == f"fold{number}"]
        assert not trained_on & set(mine["image_id"])
    assert versions[list(PROBABILITIES)].sum(axis=1).to_numpy() == pytest.approx(1)
    assert (tmp_path / "fold3" / "weights.safetensors").exists()


def test_a_study_without_folds_trains_nothing(tmp_path):
    pixels, table = archive()
    versions = folded.every_fold("baseline_cnn", pixels, table, study(), tmp_path)
    assert isinstance(versions, pd.DataFrame) and versions.empty and not list(tmp_path.iterdir())
