"""Mixing by hand."""

import pytest
import torch

from lesionkit.learning.mixing import draw_mixing, mix


def test_mixup_by_hand():
    x, y = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4), torch.eye(7)[:2]
    mixed, labels = mix(x, y, torch.tensor(0.75), torch.tensor([1, 0]), torch.zeros(4, dtype=int))
    assert torch.allclose(mixed[:, 0, 0, 0], torch.tensor([0.25, 0.75])) and labels[0, :2].tolist() == [0.75, 0.25]


def test_cutmix_by_hand():
    x, y = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4), torch.eye(7)[:2]
    mixed, labels = mix(x, y, torch.tensor(0.75), torch.tensor([1, 0]), torch.tensor([0, 2, 2, 4]))
    assert mixed[0, 0].tolist() == [[0, 0, 1, 1]] * 2 + [[0] * 4] * 2 and labels[1, :2].tolist() == [0.25, 0.75]
    assert x[0].max() == 0  # the batch is left as it is


@pytest.mark.parametrize("mixup, cutmix, cut", [(0.4, 0, (0, 0)), (0, 1.0, (0.95, 1)), (0.4, 1.0, (0.35, 0.65))])
def test_what_is_drawn(mixup, cutmix, cut):
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_mixing(8, 32, mixup, cutmix, generator) for _ in range(300)]
    boxes = [tuple(box.tolist()) for _, _, box in drawn]
    assert cut[0] <= sum(any(box) for box in boxes) / 300 <= cut[1]
    for (share, other, _), (upper, left, lower, right) in zip(drawn, boxes):
        assert 0 <= share <= 1 and sorted(other.tolist()) == list(range(8))
        if upper or left or lower or right:
            assert 0 <= upper <= lower <= 32 and 0 <= left <= right <= 32
            assert float(share) == pytest.approx(1 - (lower - upper) * (right - left) / 32**2)
