"""The drop and the increase of the dimmed image, by hand and as pytorch-grad-cam has them."""

import numpy as np
import torch
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import nn

from lesionkit.explain.faithfulness import dimmed, scores
from lesionkit.learning.augmentation import normalise, to_float

from .corners import CORNER, MEAN, SIZE, STD, STEPS, corner_map, noise, random_maps, toy


def test_the_drop_and_the_increase_by_hand():
    images = np.full((2, SIZE, SIZE, 3), 255, np.uint8)
    images[1][CORNER[1:]] = 0
    maps = corner_map(2)
    maps[0, :8, :8] = 0.5
    table = scores({"a": toy(images=images)}, {"a": maps}, [2, 0], ["a", "b"], STEPS)[1]
    after = (153 + 178 + 204) / 3 / 255  # half of white, half of (51, 102, 153), in whole numbers
    assert np.allclose(table["drop"], [100 * (1 - after), 0]) and table["increase"].tolist() == [0, 0]
    table = scores({"a": toy(images=images[:1] - 1)}, {"a": 1 - corner_map(1)}, [0], ["a"], STEPS)[1]
    assert table["drop"].tolist() == [0] and table["increase"].tolist() == [1]  # from 1/255 to 0.6


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(32, 7)

    def forward(self, x):
        return 3 * self.head(self.features(x))


def test_drop_and_increase_are_those_of_grad_cam_but_for_rounding():
    model, images, maps = Network().eval(), noise(12), random_maps(12)
    maps[::2] = maps[::2] ** 4
    inputs, targets = normalise(to_float(images), MEAN, STD), np.arange(12) % 7

    def predict(images):
        with torch.no_grad():
            return model(normalise(to_float(images), MEAN, STD)).softmax(1).numpy()

    table = scores({"a": toy(predict=predict, images=images)}, {"a": maps}, targets, range(12), STEPS)[1]
    softmax = [ClassifierOutputSoftmaxTarget(int(k)) for k in targets]
    fallen, risen = (metric()(inputs, maps, softmax, model) for metric in (DropInConfidence, IncreaseInConfidence))
    p = predict(images)[np.arange(12), targets]
    assert np.allclose(table["drop"], 100 * fallen / p, atol=0.5) and table["drop"].max() > 20
    assert table["increase"].tolist() == risen.tolist() and 0 < risen.mean() < 1


def test_the_image_is_dimmed_towards_the_colour_that_normalisation_makes_0():
    images, heat = noise(), random_maps()
    x, dark = (normalise(to_float(part), MEAN, STD) for part in (images, dimmed(images, heat, MEAN)))
    rounding = 0.5 / 255 / torch.tensor(STD).view(1, 3, 1, 1) + 1e-5
    assert ((dark - x * torch.from_numpy(heat)[:, None]).abs() <= rounding).all()
    assert np.array_equal(dimmed(images, np.ones_like(heat), MEAN), images)
    assert (dimmed(images, np.zeros_like(heat), MEAN) == [51, 102, 153]).all()
