"""fit(): reuse, resume to the bit, early stopping, unfreezing, and nothing global left changed."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from toys import study, toy

from lesionkit.learning import callbacks, networks, training
from lesionkit.learning.callbacks import Journal, plateaus, validation_scores
from lesionkit.learning.training import fit

SMALL = "test_resnet"
ORIGINAL_TRAIN = training.train


def weights(folder):
    return load_file(folder / "weights.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Stop(KeyboardInterrupt):  # not an Exception, as a kill would be
    pass


@pytest.mark.parametrize(
    "name, settings", [("baseline_cnn", {}), (SMALL, {"schedule": "plateau", "mixup": 0.2, "drop_rate": 0.5}),
                          ("baseline_cnn", {"average": 0.9, "cutmix": 1.0, "oklab": 0.5, "fourier": 0.5, "policy": "trivial"})]
)
def test_a_run_stopped_after_an_epoch_ends_as_if_it_had_not_been(tmp_path, monkeypatch, name, settings):
    pixels, table = toy()
    whole = fit(name, pixels, table, study(**settings), tmp_path / "whole", "cpu")
    original = Journal.after_epoch

    def stop_in_the_second(self):
        original(self)
        if self.epoch == 1:
            raise Stop

    monkeypatch.setattr(Journal, "after_epoch", stop_in_the_second)
    with pytest.raises(Stop):
        fit(name, pixels, table, study(**settings), tmp_path / "parts", "cpu")
    monkeypatch.setattr(Journal, "after_epoch", original)
    assert not (tmp_path / "parts" / "config.json").exists()
    torch.rand(7)  # whatever else happens to the global generator in between
    parts = fit(name, pixels, table, study(**settings), tmp_path / "parts", "cpu")
    assert same(weights(whole.folder), weights(parts.folder))
    columns = ["epoch", "train_loss", "valid_loss", "balanced_accuracy", "lr"]
    pd.testing.assert_frame_equal(whole.history[columns], parts.history[columns])
    assert len(parts.history) == 3


def test_a_run_stopped_while_it_was_written_up_is_finished_by_the_next(tmp_path, monkeypatch):
    pixels, table = toy()
    original = training.save

    def stop_at_the_end(path, write):
        if path.name == "config.json":
            raise Stop
        original(path, write)

    monkeypatch.setattr(training, "save", stop_at_the_end)
    with pytest.raises(Stop):
        fit("baseline_cnn", pixels, table, study(epochs=1), tmp_path / "parts", "cpu")
    monkeypatch.setattr(training, "save", original)
    parts = fit("baseline_cnn", pixels, table, study(epochs=1), tmp_path / "parts", "cpu")
    whole = fit("baseline_cnn", pixels, table, study(epochs=1), tmp_path / "whole", "cpu")
    assert same(weights(parts.folder), weights(whole.folder)) and len(parts.history) == 1


def test_a_finished_training_is_reused_and_another_setting_trains_again(tmp_path, monkeypatch):
    pixels, table = toy()
    first = fit("baseline_cnn", pixels, table, study(epochs=1), tmp_path, "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(training, "train", lambda *a: pytest.fail("trained again"))
        again = fit("baseline_cnn", pixels, table, study(epochs=1, backbones=("baseline_cnn", SMALL)), tmp_path, "cpu")
    assert again.config == first.config
    assert (
        fit("baseline_cnn", pixels, table, study(epochs=1, lr=1e-4), tmp_path, "cpu").config["fingerprint"]
        != first.config["fingerprint"]
    )


def test_the_fingerprint_knows_the_split_and_the_pixels_but_not_the_test_set():
    pixels, table = toy()
    made = training.fingerprint("baseline_cnn", pixels, table, study())
    moved = table.assign(split=table["split"].replace({"train": "val", "val": "train"}))
    assert made != training.fingerprint("baseline_cnn", pixels, moved, study())
    assert made != training.fingerprint("baseline_cnn", toy(seed=1)[0], table, study())
    assert made == training.fingerprint("baseline_cnn", pixels, table.sample(frac=1, random_state=0), study(tta=8))


def test_it_learns_and_keeps_the_best_epoch(tmp_path):
    pixels, table = toy()
    done = fit("baseline_cnn", pixels, table, study(epochs=8, lr=3e-3, colour=0.0), tmp_path, "cpu")
    scores = done.history["balanced_accuracy"]
    assert scores.max() > 0.8  # chance is 1/7
    assert done.config["best_epoch"] == scores.idxmax() + 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "history.csv", "weights.safetensors"]


def test_training_stops_when_validation_gets_no_better(tmp_path, monkeypatch):
    scores = iter([0.5, 0.4, 0.45, 0.9])
    monkeypatch.setattr(
        callbacks, "validation_scores", lambda y, p: {"balanced_accuracy": next(scores), "macro_auc": 0.5}
    )
    pixels, table = toy()
    done = fit("baseline_cnn", pixels, table, study(epochs=10, patience=2), tmp_path, "cpu")
    assert list(done.history["balanced_accuracy"]) == [0.5, 0.4, 0.45] and done.config["best_epoch"] == 1


def test_the_study_says_which_score_chooses_the_epoch(tmp_path, monkeypatch):
    scores = iter([(0.5, 0.6), (0.4, 0.8), (0.45, 0.7)])
    monkeypatch.setattr(
        callbacks, "validation_scores", lambda y, p: dict(zip(("balanced_accuracy", "macro_auc"), next(scores)))
    )
    pixels, table = toy()
    done = fit("baseline_cnn", pixels, table, study(epochs=3, chosen_by="macro_auc"), tmp_path, "cpu")
    assert done.config["best_epoch"] == 2 and done.config["best_balanced_accuracy"] == 0.4


def test_pretrained_weights_are_frozen_below_the_head_at_first(tmp_path, monkeypatch):
    torch.manual_seed(0)
    start, _ = networks.build(SMALL, 32, "none")
    body = {k: v.clone() for k, v in start.state_dict().items() if not k.startswith("fc.")}
    save_file({k: v.contiguous() for k, v in start.state_dict().items() if not k.startswith("fc.")} | {
        "fc.weight": torch.zeros(1000, start.num_features), "fc.bias": torch.zeros(1000)}, tmp_path / f"{SMALL}.safetensors")  # fmt: skip
    pixels, table = toy()
    settings = {"weights": str(tmp_path), "frozen_epochs": 1}
    one = fit(SMALL, pixels, table, study(epochs=1, **settings), tmp_path / "one", "cpu")
    scores = iter([0.1, 0.2, 0.3])  # so that the last epoch is the one that is kept
    monkeypatch.setattr(
        callbacks, "validation_scores", lambda y, p: {"balanced_accuracy": next(scores), "macro_auc": 0.5}
    )
    three = fit(SMALL, pixels, table, study(epochs=3, patience=9, lr=3e-3, **settings), tmp_path / "three", "cpu")
    assert one.config["weights"] == f"{SMALL}.safetensors"
    learned = [k for k in body if body[k].ndim > 1]  # fastai trains norms from the first epoch
    assert all(torch.equal(weights(one.folder)[k], body[k]) for k in learned)
    assert three.config["best_epoch"] == 3
    assert not any(torch.equal(weights(three.folder)[k], body[k]) for k in learned)


def test_what_was_found_at_the_start_holds_when_a_run_goes_on(tmp_path, monkeypatch):
    """Weights that `auto` found then and a precision that was faster then: another answer now would train another model."""
    torch.manual_seed(0)
    start, _ = networks.build(SMALL, 32, "none")
    named = {k: v.contiguous() for k, v in start.state_dict().items() if not k.startswith("fc.")}
    named |= {"fc.weight": torch.zeros(1000, start.num_features), "fc.bias": torch.zeros(1000)}
    monkeypatch.setattr(networks, "hub_reachable", lambda name: False)
    monkeypatch.setattr(training, "_weights", lambda name, settings: "auto")
    monkeypatch.setattr(training.precision, "choose", lambda *a: "bf16")
    save_file(named, tmp_path / f"{SMALL}.safetensors")
    settings = study(epochs=3, weights="auto", weights_dir=str(tmp_path), precision="auto", patience=9)
    whole = fit(SMALL, *toy(), settings, tmp_path / "whole", "cpu")
    epoch = Journal.after_epoch

    def stop_in_the_first(self):
        epoch(self)
        raise Stop

    monkeypatch.setattr(Journal, "after_epoch", stop_in_the_first)
    with pytest.raises(Stop):
        fit(SMALL, *toy(), settings, tmp_path / "parts", "cpu")
    monkeypatch.setattr(Journal, "after_epoch", epoch)
    (tmp_path / f"{SMALL}.safetensors").unlink()
    monkeypatch.setattr(training.precision, "choose", lambda *a: "fp32")
    parts = fit(SMALL, *toy(), settings, tmp_path / "parts", "cpu")
    assert same(weights(whole.folder), weights(parts.folder))
    assert parts.config["weights"] == f"{SMALL}.safetensors" and parts.config["made_with"]["precision"] == "bf16"


def test_position_embeddings_and_norms_do_not_decay():
    model, _ = networks.build("vit_tiny_patch16_224", 32)
    (decays, kept) = training._decay_groups(model, pretrained=False)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {"pos_embed", "cls_token", "norm.weight", "head.bias"} <= {names[id(p)] for p in kept}
    assert "blocks.0.attn.qkv.weight" in {names[id(p)] for p in decays} and len(decays) + len(kept) == len(names)


def test_the_study_says_with_how_many_threads_a_model_is_trained(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "train", lambda *a: (seen.append(torch.get_num_threads()), ORIGINAL_TRAIN(*a)))
    before = torch.get_num_threads()
    done = fit("baseline_cnn", *toy(), study(epochs=1, threads=3), tmp_path, "cpu")
    assert seen == [3] and torch.get_num_threads() == before and done.config["made_with"]["threads"] == 3


def test_who_trains_the_same_model_is_waited_for_and_then_reused(tmp_path, monkeypatch):
    other = fit("baseline_cnn", *toy(), study(epochs=1), tmp_path / "other", "cpu")
    monkeypatch.setattr(training, "train", lambda *a: pytest.fail("trained again"))
    with ThreadPoolExecutor(1) as thread:
        with FileLock(tmp_path / ".model.lock"):  # as another process holds it that trains here
            waiting = thread.submit(fit, "baseline_cnn", *toy(), study(epochs=1), tmp_path / "model", "cpu")
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            shutil.copytree(other.folder, tmp_path / "model", dirs_exist_ok=True)
        assert waiting.result().config == other.config


def test_the_global_generator_is_left_as_it_was(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit("baseline_cnn", *toy(), study(epochs=1), tmp_path, "cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_bf16_trains_to_nearly_the_same_loss(tmp_path):
    losses = [
        fit("baseline_cnn", *toy(), study(precision=p), tmp_path / p, "cpu").history["train_loss"]
        for p in ("fp32", "bf16")
    ]
    assert np.allclose(*losses, rtol=0.05)  # bf16 keeps eight bits


def test_a_step_that_is_interrupted_leaves_no_mixed_precision_behind(tmp_path, monkeypatch):
    def interrupted(self, *a, **k):
        assert torch.is_autocast_enabled("cpu")
        raise Stop

    whole = fit("baseline_cnn", *toy(), study(precision="bf16"), tmp_path / "whole", "cpu")
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(training.AdjustedCrossEntropy, "forward", interrupted)
        fit("baseline_cnn", *toy(), study(precision="bf16"), tmp_path / "again", "cpu")
    assert not torch.is_autocast_enabled("cpu")
    again = fit("baseline_cnn", *toy(), study(precision="bf16"), tmp_path / "again", "cpu")
    assert same(weights(whole.folder), weights(again.folder))  # not from weights that were cast in the interrupted step


def test_plateaus_by_hand():
    assert plateaus([], 2) == 0
    assert plateaus([3, 2, 1], 2) == 0
    assert plateaus([3, 4, 5], 2) == 1
    assert plateaus([3, 4, 5, 6, 7], 2) == 2
    assert plateaus([3, 4, 2, 5, 6], 2) == 1


def test_validation_scores_average_over_the_classes_that_are_there():
    y = torch.tensor([0, 0, 1, 1])
    p = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    p = torch.cat([p, torch.zeros(4, 5)], 1)
    assert validation_scores(y, p) == {"balanced_accuracy": 0.75, "macro_auc": 0.75}


def test_compiling_is_asked_for_once_and_leaves_the_names_of_the_weights(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model: compiled.append(type(model).__name__))
    plain = fit("baseline_cnn", *toy(), study(epochs=1), tmp_path / "plain", "cpu")
    assert not compiled
    done = fit("baseline_cnn", *toy(), study(epochs=1, compile=True), tmp_path / "compiled", "cpu")
    assert compiled == ["BaselineCNN"] and weights(done.folder).keys() == weights(plain.folder).keys()


@pytest.mark.slow
def test_a_compiled_model_trains_to_the_same_loss(tmp_path):
    settings = {"epochs": 2, "drop_rate": 0.0}
    plain, compiled = (
        fit("baseline_cnn", *toy(), study(compile=on, **settings), tmp_path / str(on), "cpu").history["train_loss"]
        for on in (False, True)
    )
    assert np.allclose(plain, compiled, rtol=1e-3)  # float32, in another order
