"""Probabilities from saved models, for the store and for files."""

import numpy as np
import pytest
import torch
from PIL import Image
from toys import study, toy

from lesionkit.data.records import CLASSES
from lesionkit.learning import inference
from lesionkit.learning.training import fit


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for name in ("baseline_cnn", "test_resnet", "left_over"):
        fit("baseline_cnn" if name == "left_over" else name, *toy(), study(epochs=1), folder / "models" / name, "cpu")
    (folder / "study.json").write_text('{"backbones": ["baseline_cnn", "test_resnet"], "tta": 1, "backbone": {}}')
    return folder


def test_probabilities_are_a_distribution_and_do_not_depend_on_the_batch(run):
    model, config = inference.load(run / "models" / "baseline_cnn", "cpu")
    pixels, _ = toy()
    p = inference.predict(model, config, pixels.images, batch_size=64)
    assert p.shape == (84, 7) and p.dtype == np.float32 and np.allclose(p.sum(1), 1, atol=1e-6)
    assert np.allclose(p, inference.predict(model, config, pixels.images, batch_size=5), atol=1e-5)
    chosen = [pixels.image_ids[i] for i in (50, 3, 3)]
    assert np.allclose(inference.predict_rows(model, config, pixels, chosen), p[[50, 3, 3]], atol=1e-5)


def test_a_training_that_left_mixed_precision_on_changes_no_answer(run):
    model, config = inference.load(run / "models" / "baseline_cnn", "cpu")
    images = toy()[0].images[:8]
    expected = inference.predict(model, config, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert (inference.predict(model, config, images) == expected).all()


def test_test_time_augmentation_makes_the_answer_the_same_for_every_orientation(run):
    model, config = inference.load(run / "models" / "baseline_cnn", "cpu")
    images = toy()[0].images[:4]
    turned = np.rot90(images, axes=(1, 2)).copy()
    assert np.allclose(
        inference.predict(model, config, images, 8), inference.predict(model, config, turned, 8), atol=1e-5
    )


def test_views_are_eight_different_ones():
    x = torch.arange(12.0).view(1, 3, 2, 2)
    assert len(inference.dihedral_views(x, 1)) == 1
    assert len({tuple(v.flatten().tolist()) for v in inference.dihedral_views(x, 8)}) == 8


def test_energy_and_probabilities_follow_from_the_logits():
    logits = np.zeros((2, 1, 7))
    logits[0, 0], logits[1, 0, 4] = np.log(2), np.log(8)  # seven twos, then six ones and an eight
    assert inference.energy(logits) == pytest.approx([(np.log(14) + np.log(14)) / 2])
    expected = np.full(7, (1 / 7 + 1 / 14) / 2)
    expected[4] = (1 / 7 + 8 / 14) / 2
    assert inference.averaged(logits)[0] == pytest.approx(expected)
    far = inference.averaged(np.full((1, 1, 7), 1e4))  # no overflow
    assert far.dtype == np.float32 and far[0] == pytest.approx(np.full(7, 1 / 7))


def test_the_views_of_predict_views_average_to_predict(run):
    model, config = inference.load(run / "models" / "baseline_cnn", "cpu")
    images = toy()[0].images[:5]
    apart = inference.predict_views(model, config, images)
    assert apart.shape == (8, 5, 7) and apart.dtype == np.float32
    assert np.allclose(apart.mean(0), inference.predict(model, config, images, 8), atol=1e-6)
    assert np.allclose(apart[0], inference.predict(model, config, images), atol=1e-6)


def test_no_image_gives_no_row(run):
    model, config = inference.load(run / "models" / "baseline_cnn", "cpu")
    none = np.zeros((0, 32, 32, 3), np.uint8)
    assert inference.predict(model, config, none, 8).shape == (0, 7)
    assert inference.predict_views(model, config, none).shape == (8, 0, 7)
    assert inference.predict_rows(model, config, toy()[0], []).shape == (0, 7)


def test_files_of_any_kind_get_a_row_a_model_and_one_for_their_mean(run, tmp_path):
    files = []
    for i, ending in enumerate((".png", ".jpg")):
        files.append(tmp_path / f"lesion{i}{ending}")
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(files[-1])
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(files[1].read_bytes()[:300])
    table, errors = inference.predict_files(run, [broken, *files], "cpu")
    assert len(errors) == 1 and "broken.jpg" in str(errors[0])
    assert list(table.columns) == ["file", "model", *(f"p_{dx}" for dx in CLASSES), "call"]
    assert table.groupby("file")["model"].apply(list).tolist() == [["baseline_cnn", "test_resnet", "ensemble"]] * 2
    p = table.filter(like="p_").to_numpy().reshape(2, 3, 7)
    assert np.allclose(p.sum(2), 1, atol=1e-5) and np.allclose(p[:, 2], p[:, :2].mean(1), atol=1e-6)
    assert list(table["call"]) == [CLASSES[k] for k in p.reshape(6, 7).argmax(1)]


def test_a_folder_without_a_model_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no study.json.*run the study first"):
        inference.predict_files(tmp_path, [])
    with pytest.raises(FileNotFoundError, match="02_train_backbone"):
        inference.load(tmp_path)
