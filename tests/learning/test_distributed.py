"""Processes that train together: the same samples, gradients, choices and weights as one process, and one that writes."""

import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import two_processes
from safetensors.torch import load_file, save_file
from timm.layers import convert_sync_batchnorm
from torch import nn
from toys import study, toy

from lesionkit.learning import distributed, networks, training
from lesionkit.learning.augmentation import Augmentation
from lesionkit.learning.batches import PlainBatches, TrainingBatches

NAME = "test_convnext"  # has no batch norm, which the CPU cannot take over processes
SAME = ["epoch", "train_loss", "valid_loss", "balanced_accuracy", "macro_auc", "lr"]  # of the history: no times
# Sums of float32 in another order differ by some 2^-24 of the gradient, and so do AdamW's steps, of at most lr = 1e-3,
# wherever a gradient is well above rounding. Twelve steps differ by 6e-8 here; a wrong gradient, by 1e-3.
ROUNDING = 1e-5


def settings(weights, **more):
    """Nothing that is left to chance or to the clock; pretrained, so that groups are frozen at first."""
    sure = {"drop_rate": 0.0, "drop_path_rate": 0.0, "precision": "fp32"}
    return study(weights=str(weights), epochs=4, patience=9, mixup=0.2, **sure, **more)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, _ = networks.build(NAME, 32, "none")
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    state |= {"head.fc.weight": torch.zeros(1000, model.num_features), "head.fc.bias": torch.zeros(1000)}
    save_file(state, folder / f"{NAME}.safetensors")
    return folder


@pytest.fixture(scope="module")
def failed(weights, tmp_path_factory):
    """Two processes whose second fails after two epochs: the model's folder, what they noted, and the error."""
    folder, notes = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("notes")
    pixels, table = toy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "PROGRAM", (two_processes.__file__,))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("NOTES", str(notes))
        with pytest.raises(distributed.ProcessesFailed) as raised:
            distributed.launch(NAME, pixels, table, settings(weights, processes=2), folder, "cpu")
    return folder, notes, str(raised.value)


def noted(failed):
    return [torch.load(failed[1] / f"{rank}.pt") for rank in range(2)]


def test_a_process_that_fails_ends_all_and_its_error_is_told(failed):
    folder, _, error = failed
    assert "out of paper" in error and "2 processes" in error
    assert not (folder / "config.json").exists()


def test_rows_are_gathered_in_order_whatever_their_number(failed):
    for note in noted(failed):
        assert torch.equal(note["gathered"], torch.arange(21.0).view(7, 3))


def test_all_take_the_choice_of_the_first(failed):
    assert [note["agreed"] for note in noted(failed)] == [0, 0]


def test_the_gradient_is_that_of_the_whole_batch_in_both_processes(failed):
    model, x, y = two_processes.batch_and_model()
    nn.functional.cross_entropy(model(x), y).backward()
    for note in noted(failed):
        assert torch.allclose(note["gradient"], model.linear.weight.grad, atol=1e-7)


def test_the_averages_of_norms_are_those_of_the_first_process_when_it_validates(failed):
    first, second = noted(failed)
    assert not torch.equal(first["trained_mean"], second["trained_mean"])  # each has seen its own share
    assert torch.equal(first["valid_mean"], first["trained_mean"])
    assert torch.equal(second["valid_mean"], first["trained_mean"])


def test_one_process_writes(failed):
    first, second = ((failed[1] / f"{rank}.written").read_text().splitlines() for rank in range(2))
    assert {"last.pt", "progress.json"} <= set(first) and not second


def test_all_see_the_same_scores(failed):
    histories = [json.loads((failed[1] / f"{rank}.json").read_text()) for rank in range(2)]
    assert [len(history) for history in histories] == [2, 2]
    for one, other in zip(*histories):
        assert {key: one[key] for key in SAME} == {key: other[key] for key in SAME}


def test_what_failed_goes_on_and_ends_with_the_weights_of_one_process(failed, weights, tmp_path):
    pixels, table = toy()
    one = training.fit(NAME, pixels, table, settings(weights), tmp_path / "one", "cpu")
    assert (failed[0] / "last.pt").exists()
    two = training.fit(NAME, pixels, table, settings(weights, processes=2), failed[0], "cpu")
    start = load_file(weights / f"{NAME}.safetensors")
    a, b = (load_file(done.folder / "weights.safetensors") for done in (one, two))
    assert one.config["best_epoch"] == two.config["best_epoch"] >= 3  # all groups have been trained
    assert all(torch.allclose(a[key], b[key], rtol=0, atol=ROUNDING) for key in a)
    assert max((a[key] - start[key]).abs().max() for key in a if "head.fc" not in key) > 50 * ROUNDING
    pd.testing.assert_frame_equal(one.history[SAME], two.history[SAME], rtol=1e-4)
    assert not {"last.pt", "progress.json"} & {file.name for file in two.folder.iterdir()}


def test_a_batch_norm_over_processes_keeps_the_parameters_that_the_optimiser_has_and_the_activation():
    model = timm.create_model("test_efficientnet", num_classes=7).eval()
    x, parameters = torch.rand(2, 3, 32, 32), list(model.parameters())
    before = model(x)
    changed = convert_sync_batchnorm(model)
    assert any(isinstance(layer, nn.SyncBatchNorm) for layer in changed.modules())
    assert all(a is b for a, b in zip(changed.parameters(), parameters, strict=True))
    assert torch.allclose(changed(x), before, atol=1e-6)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_the_shares_of_a_batch_are_the_batch_of_one_process(mixup):
    pixels, _ = toy()
    make = partial(
        TrainingBatches, pixels.images, np.arange(40), np.arange(40) % 7, size=32, batch_size=12, mean=(0.5,) * 3,
        std=(0.2,) * 3, augmentation=Augmentation(), balance=1.0, mixup=mixup, seed=3, device="cpu",
    )  # fmt: skip
    shares = [list(make(share=(rank, 3))) for rank in range(3)]
    for whole, *parts in zip(make(), *shares, strict=True):
        for k in range(2):
            together = torch.stack([part[k] for part in parts], 1).flatten(0, 1)
            assert torch.allclose(together, whole[k], atol=1e-6)


def test_the_shares_of_validation_are_all_of_it():
    pixels, _ = toy()
    make = partial(PlainBatches, pixels.images, np.arange(11), np.arange(11) % 7, batch_size=4, mean=(0.0,) * 3,
                   std=(1.0,) * 3, device="cpu")  # fmt: skip
    x = torch.cat([x for x, _ in make()])
    for rank in range(2):
        assert torch.equal(torch.cat([x for x, _ in make(share=(rank, 2))]), x[rank::2])


def test_outside_there_is_one_process_and_nothing_to_gather():
    x = torch.rand(3, 2)
    assert distributed.inside() == (0, 1) and distributed.writes() and distributed.trainer("cpu") == []
    assert distributed.gathered(x) is x and distributed.agreed(x) is x
    distributed.barrier()  # nobody to wait for


@pytest.mark.parametrize(
    "change, device, message",
    [
        ({"batch_size": 7}, "cpu", "processes = 2: batch_size = 7 does not part into 2 equal shares: set a multiple of 2"),
        ({"batch_size": 64}, "cpu", r"training images \(42\) are fewer than batch_size = 64"),
        ({"batch_size": 42, "processes": 42}, "mps", "the device mps gives 0"),
        ({}, "cuda", "the device cuda gives 1"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(change, device, message, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    pixels, table = toy()
    with pytest.raises(ValueError, match=message):
        distributed.launch(NAME, pixels, table, study(**{"processes": 2} | change), tmp_path, device)


def test_fewer_validation_images_than_processes_are_refused():
    _, table = toy()
    with pytest.raises(ValueError, match=r"validation images \(1\) are fewer"):
        distributed.check(table[:43], study(processes=2), "cpu")


def test_a_missing_accelerate_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"pip install 'lesionkit\[cluster\]'"):
        distributed.launch(NAME, *toy(), study(processes=2), tmp_path, "cpu")


def test_images_in_memory_are_stored_and_a_store_is_reused(tmp_path):
    images = toy()[0].images
    file = distributed._stored(images, tmp_path)
    assert np.array_equal(np.load(file), images)
    store = np.load(file, mmap_mode="r")
    (tmp_path / "other").mkdir()
    assert distributed._stored(store, tmp_path / "other") == file.resolve()
    assert np.array_equal(np.load(distributed._stored(store[3:], tmp_path / "other")), images[3:])


def test_the_error_tells_who_was_killed_and_what_the_first_that_failed_said(tmp_path):
    report = "  rank      : {} (local_rank: {})\n  exitcode  : -{} (pid: 7)  (SIG)\n"
    ended = report.format(0, 0, 15)
    (tmp_path / "output.txt").write_text("\n".join(map(str, range(99))))
    assert distributed._error(tmp_path).splitlines() == [str(i) for i in range(74, 99)]
    for rank, at in ((0, 2), (1, 1)):
        (tmp_path / f"error-{rank}.txt").write_text(f"of {rank}")
        os.utime(tmp_path / f"error-{rank}.txt", (at, at))
    (tmp_path / "output.txt").write_text(ended)
    assert distributed._error(tmp_path) == "of 1"
    (tmp_path / "output.txt").write_text(ended + "Root Cause\n" + report.format(3, 3, 9))
    assert distributed._error(tmp_path) == "process 3 was ended by signal 9, as a system ends one where memory runs out\nof 1"


def test_a_process_ends_with_the_one_that_started_it():
    code = "import time; from lesionkit.learning import distributed as d; d._end_with(0); print('up', flush=True); time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n" and process.poll() is None
        process.stdin.close()
        assert process.wait(30) == 1
