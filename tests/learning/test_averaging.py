"""The average of the weights: by hand, and in a training."""

import torch
from safetensors.torch import load_file
from torch import nn
from toys import study, toy

from lesionkit.learning.averaging import Averaging
from lesionkit.learning.training import fit


class Learn:
    def __init__(self, model):
        self.model = model


def test_the_average_by_hand_and_it_is_validated_in_place_of_the_model():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    averaging = Averaging(model, 0.5)
    averaging.learn = Learn(model)
    averaging.after_step()  # the first: the weights themselves
    for value in (2.0, 4.0):
        nn.init.constant_(model.weight, value)
        averaging.after_step()
    # decays (1 + 2) / (10 + 2) = 0.25 and (1 + 3) / (10 + 3) = 4/13, both below 0.5
    expected = 4 / 13 * (0.25 * 1 + 0.75 * 2) + 9 / 13 * 4
    averaging.before_validate()
    assert torch.isclose(averaging.learn.model.weight, torch.tensor(expected)).all() and not averaging.learn.model.training
    averaging.after_validate()
    assert averaging.learn.model is model and model.weight == 4.0
    other = Averaging(nn.Linear(1, 1, bias=False), 0.5)
    other.load(averaging.state())
    assert other.steps == 3 and torch.equal(other.average.module.weight, averaging.average.module.weight)


def test_the_average_is_what_is_kept(tmp_path):
    pixels, table = toy()
    plain, averaged = (fit("baseline_cnn", pixels, table, study(average=value), tmp_path / str(value), "cpu") for value in (0.0, 0.99))
    one, other = (load_file(done.folder / "weights.safetensors") for done in (plain, averaged))
    assert one.keys() == other.keys() and not all(torch.equal(one[key], other[key]) for key in one)
    assert (plain.history["train_loss"] == averaged.history["train_loss"]).all()  # what is trained is the same
