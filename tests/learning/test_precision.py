"""Half precision is taken where it is faster and loses nothing."""

import pytest
import torch
from torch import nn

from lesionkit.learning import precision


@pytest.fixture
def trial(monkeypatch):
    """A small model and a batch; bf16 is said to be there, and to be so many times as fast."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 7))
    x, y = torch.randn(16, 3, 4, 4), nn.functional.one_hot(torch.arange(16) % 7, 7).float()

    def times(speed):
        monkeypatch.setattr(precision, "half_precision", lambda device: "bf16")
        monkeypatch.setattr(precision, "seconds", lambda kind, *a: {"fp32": 1.0, "bf16": 1 / speed}[kind])
        return model, x, y, "cpu"

    return times


def test_the_faster_one_is_taken_where_it_loses_nothing(trial):
    assert precision.choose("auto", *trial(1.5)) == "bf16"
    assert precision.choose("auto", *trial(1.05)) == "fp32"  # no clear gain


def test_rounding_that_moves_the_gradient_more_than_another_batch_would_is_a_loss(trial, monkeypatch):
    args, exact = trial(9.0), precision.gradient

    def rough(kind, model, x, y):
        found = exact(kind, model, x, y)
        return found + 10 * found.norm() * torch.ones_like(found) / found.numel() ** 0.5 if kind == "bf16" else found

    monkeypatch.setattr(precision, "gradient", rough)
    assert precision.choose("auto", *args) == "fp32"
    monkeypatch.setattr(precision, "gradient", lambda kind, *a: exact(kind, *a) * (float("inf") if kind == "bf16" else 1))
    assert precision.choose("auto", *args) == "fp32"  # an overflow


def test_a_precision_that_is_named_is_not_tried(monkeypatch):
    monkeypatch.setattr(precision, "half_precision", lambda device: pytest.fail("tried"))
    assert precision.choose("fp16", None, None, None, "cpu") == "fp16"


def test_the_trial_leaves_model_and_random_numbers_alone(trial):
    model, *batch = trial(1.5)
    state, random = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    model.eval()
    precision.choose("auto", model, *batch)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items()) and not model.training
    assert torch.equal(torch.get_rng_state(), random) and all(p.grad is None for p in model.parameters())


def test_a_real_trial_measures_time_and_the_gradient_of_the_loss(trial, monkeypatch):
    model, x, y, _ = trial(1.0)
    monkeypatch.undo()
    assert precision.seconds("fp32", model, x, y) > 0
    no_dropout = nn.Sequential(*(layer for layer in model if not isinstance(layer, nn.Dropout)))
    found = precision.gradient("fp32", no_dropout, x, y)
    loss = nn.functional.cross_entropy(no_dropout.train()(x), y)
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(no_dropout.parameters()))])
    assert found.dtype == torch.float64 and torch.allclose(found, expected.double(), atol=1e-6)
