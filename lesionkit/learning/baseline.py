"""The baseline: a small plain network, layer by layer."""

import torch
from torch import nn


class BaselineCNN(nn.Module):
    """A small plain network: what the other six have to beat. 0.66 M parameters.

    Seven 3×3 convolutions, each with batch normalisation and ReLU, in four blocks with a 2×2 max pool between them,
    so that the side falls to an eighth and one output position sees 64 × 64 input pixels:

        24 | pool | 48 48 | pool | 96 96 | pool | 192 192   channels

    Then global average pooling, dropout and a linear layer.
    """

    num_features = 192

    def __init__(self, num_classes: int = 7, drop_rate: float = 0.0):
        super().__init__()
        self.features = nn.Sequential(  # (B, 3, H, W) -> (B, 192, H/8, W/8)
            _conv(3, 24), nn.MaxPool2d(2),
            _conv(24, 48), _conv(48, 48), nn.MaxPool2d(2),
            _conv(48, 96), _conv(96, 96), nn.MaxPool2d(2),
            _conv(96, 192), _conv(192, 192),
        )  # fmt: skip
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(self.num_features, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.features(x).mean((2, 3))  # (B, 192)
        return self.classifier(self.dropout(pooled))  # (B, 7)

    def get_classifier(self) -> nn.Module:
        return self.classifier


def _conv(a: int, b: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
