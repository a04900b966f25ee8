"""Probabilities from saved models, for the store and for files."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from toys import study, toy

from lesionkit.data.records import CLASSES
from lesionkit.evidence.mixtures import Mixture
from lesionkit.learning import inference
from lesionkit.learning.networks import build
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


def test_sixteen_views_are_the_eight_and_those_of_the_centre_larger():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    disc = (torch.hypot(x, y) < 0.5).float().expand(1, 3, 32, 32)
    views = inference.dihedral_views(disc, 16)
    assert len(views) == 16 and all(torch.equal(a, b) for a, b in zip(views, inference.dihedral_views(disc, 8)))
    assert {v.shape for v in views} == {disc.shape}
    assert float(views[8].mean()) == pytest.approx(float(disc.mean()) / inference.ZOOM**2, rel=0.02)
    assert torch.allclose(views[9], views[8].rot90(1, (2, 3)))


def test_energy_and_probabilities_follow_from_the_logits():
    logits = np.zeros((2, 1, 7))
    logits[0, 0], logits[1, 0, 4] = np.log(2), np.log(8)  # seven twos, then six ones and an eight
    assert inference.energy(logits) == pytest.approx([(np.log(14) + np.log(14)) / 2])
    expected = np.full(7, (1 / 7 + 1 / 14) / 2)
    expected[4] = (1 / 7 + 8 / 14) / 2
    assert inference.averaged(logits)[0] == pytest.approx(expected)
    far = inference.averaged(np.full((1, 1, 7), 1e4))  # no overflow
    assert far.dtype == np.float32 and far[0] == pytest.approx(np.full(7, 1 / 7))


def test_members_together_answer_as_each_alone(run):
    members = [(*inference.load(run / "models" / name, "cpu"), views) for name, views in (("baseline_cnn", 8), ("test_resnet", 1))]
    images = toy()[0].images[:13]
    together = inference.logits_of_members(members, images, batch_size=16)  # two images a batch, and one that is left
    for logits, (model, config, views) in zip(together, members):
        assert logits.shape == (views, 13, 7)
        assert np.allclose(logits, inference.predict_logits(model, config, images, views), atol=1e-5)  # float32, other batches


def test_views_in_one_batch_answer_as_view_by_view(run):
    model, config = inference.load(run / "models" / "baseline_cnn", "cpu")
    images = toy()[0].images[:3]
    logits = inference.predict_logits(model, config, images, 8)
    turned = [np.rot90(images, k, axes=(1, 2)) for k in range(4)]
    for k, view in enumerate([*turned, *(one[:, :, ::-1] for one in turned)]):
        assert np.allclose(logits[k], inference.predict_logits(model, config, view.copy())[0], atol=1e-5)


def test_no_image_gives_no_row(run):
    model, config = inference.load(run / "models" / "baseline_cnn", "cpu")
    none = np.zeros((0, 32, 32, 3), np.uint8)
    assert inference.predict(model, config, none, 8).shape == (0, 7)
    assert inference.predict_logits(model, config, none, 8).shape == (8, 0, 7)
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


def test_a_weighted_ensemble_needs_its_shares_and_takes_them(run, tmp_path):
    copy, file = tmp_path / "run", tmp_path / "one.png"
    shutil.copytree(run, copy)
    settings = json.loads((copy / "study.json").read_text())
    (copy / "study.json").write_text(json.dumps({**settings, "ensemble": "weighted"}))
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(file)
    with pytest.raises(FileNotFoundError, match="ensemble.csv is missing.*run notebook 03_ensemble"):
        inference.predict_files(copy, [file], "cpu")
    pd.DataFrame({"model": ["test_resnet", "baseline_cnn"], "share": [0.9, 0.1]}).to_csv(copy / "models" / "ensemble.csv", index=False)
    p = inference.predict_files(copy, [file], "cpu")[0].set_index("model").filter(like="p_")
    assert np.allclose(p.loc["ensemble"], 0.1 * p.loc["baseline_cnn"] + 0.9 * p.loc["test_resnet"], atol=1e-6)
    Mixture({"test_resnet": 0.9, "baseline_cnn": 0.1}, {"test_resnet": 0.5}).table().to_csv(copy / "models" / "ensemble.csv", index=False)
    found = inference.predict_files(copy, [file], "cpu")[0].set_index("model").filter(like="p_")
    sure = p.loc["test_resnet"] ** 2 / (p.loc["test_resnet"] ** 2).sum()
    assert np.allclose(found.loc["ensemble"], 0.1 * p.loc["baseline_cnn"] + 0.9 * sure, atol=1e-6)
    assert found.drop("ensemble").equals(p.drop("ensemble"))  # a member's own answer is its own


def test_a_file_is_decoded_once_for_all_members_of_a_size_and_chunks_change_nothing(run, tmp_path, monkeypatch):
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for i, file in enumerate(files):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(file)
    whole, _ = inference.predict_files(run, files, "cpu")
    seen, decode = [], inference.decode
    monkeypatch.setattr(inference, "decode", lambda file, *how: (seen.append(file), decode(file, *how))[1])
    monkeypatch.setattr(inference, "CHUNK", 2)
    apart, _ = inference.predict_files(run, files, "cpu")
    assert sorted(seen) == files
    assert apart.drop(columns=apart.filter(like="p_")).equals(whole.drop(columns=whole.filter(like="p_")))
    assert np.allclose(apart.filter(like="p_"), whole.filter(like="p_"), atol=1e-6)


@pytest.mark.parametrize("name", ["baseline_cnn", "test_resnet", "test_vit", "test_convnext", "test_efficientnet", "densenet121"])
def test_a_loaded_model_is_the_saved_one_and_nothing_was_drawn_for_it(name, tmp_path):
    torch.manual_seed(1)
    saved, _ = build(name, 64)
    save_file(saved.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"backbone": name, "classes": CLASSES, "study": {"size": 64}}))
    before = torch.get_rng_state()
    loaded, _ = inference.load(tmp_path, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    for ours, theirs in ((saved.state_dict(), loaded.state_dict()), (dict(saved.named_buffers()), dict(loaded.named_buffers()))):
        assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_folder_without_a_model_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no study.json.*run the study first"):
        inference.predict_files(tmp_path, [])
    with pytest.raises(FileNotFoundError, match="02_train_backbone"):
        inference.load(tmp_path)
