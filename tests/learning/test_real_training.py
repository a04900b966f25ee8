"""One short training on real images, from the release's files to a table of predictions."""

import numpy as np
import pytest

from lesionkit.data import duplicates, pixels, readers, splits
from lesionkit.data.records import CLASSES
from lesionkit.evidence import metrics, predictions
from lesionkit.learning import inference
from lesionkit.learning.training import fit
from lesionkit.study import Study


def test_a_short_training_on_real_images_beats_chance(real_data, tmp_path):
    root = real_data / "isic84"
    index, problems = readers.read(root, "ham10000")
    assert len(index) == 10_015 and problems.empty
    lesions = index.drop_duplicates("lesion_id").groupby("dx").head(60)["lesion_id"]
    index = index[index["lesion_id"].isin(lesions)].reset_index(
        drop=True
    )  # whole lesions, rare classes nearly as often
    store = pixels.build(index, root, tmp_path, 32, "squash")
    assert store.failures.empty
    pairs = duplicates.near_duplicates(store.images, index["image_id"])
    table = splits.split(index, pairs).merge(index[["image_id", "dataset", "dx"]])
    splits.assert_disjoint(table)
    study = Study(name="short", size=32, epochs=8, lr=3e-3, weights="none", colour=0.1)
    trained = fit("baseline_cnn", store, table, study, tmp_path / "model", "cpu")
    model, config = inference.load(trained.folder, "cpu")
    test = table[table["split"] == "test"]
    scored = predictions.build(test, inference.predict_rows(model, config, store, test["image_id"]), "baseline_cnn")
    scores = metrics.overall(predictions.targets(scored), predictions.probabilities(scored))
    assert scores["macro_auc"] > 0.65 and scores["balanced_accuracy"] > 1.5 / len(CLASSES)
    assert np.isfinite(list(scores.values())).all()
    assert scores["balanced_accuracy"] == pytest.approx(
        metrics.per_class(predictions.targets(scored), predictions.probabilities(scored))["recall"].mean()
    )
