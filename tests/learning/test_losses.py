"""The adjusted loss by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lesionkit.learning.losses import AdjustedCrossEntropy

Y = np.array([0] * 6 + [1] * 3 + [2])  # four classes are missing


def test_zero_is_plain_cross_entropy():
    z, y = torch.randn(5, 7), torch.arange(5)
    assert torch.equal(AdjustedCrossEntropy(Y, 0.0, 0.1)(z, y), F.cross_entropy(z, y, label_smoothing=0.1))


def test_balanced_softmax_by_hand():
    z = torch.zeros(1, 7)
    found = AdjustedCrossEntropy(Y, 1.0)(z, torch.tensor([2]))
    shares = np.array([0.6, 0.3, 0.1] + [0.1] * 4)  # a missing class counts as one image
    assert float(found) == pytest.approx(-np.log(0.1 / shares.sum()))


def test_its_optimum_is_what_equally_frequent_classes_would_give():
    """Two classes, 9 to 1, and an input that says nothing: the plain loss is least at 0.9, the adjusted one at a half."""
    y = torch.tensor([0] * 9 + [1])
    for adjust, expected in ((0.0, 0.9), (1.0, 0.5)):
        z = torch.zeros(2, requires_grad=True)
        loss, optimiser = AdjustedCrossEntropy(y.numpy(), adjust), torch.optim.LBFGS([z], max_iter=100)

        def step():
            optimiser.zero_grad()
            value = loss(torch.cat([z, torch.full((5,), -30.0)]).expand(10, 7), y)
            value.backward()
            return value

        optimiser.step(step)
        assert float(z.softmax(0)[0].detach()) == pytest.approx(expected, abs=1e-3)
