"""The loss of a training."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lesionkit.data.records import CLASSES


class AdjustedCrossEntropy(nn.Module):
    """Cross-entropy of logits (n, 7) to which `adjust` times the log of each class's share in training is added.

    What the model then answers, without the addition, is as if the classes were equally frequent. adjust 1 is balanced
    softmax (Ren et al., NeurIPS 2020), any value the logit-adjusted loss of Menon et al., ICLR 2021; 0 is plain. It goes with
    images drawn as they come (balance 0). y: the training labels (n,), of which a class may be missing; targets are class
    numbers (n,) or probabilities (n, 7).
    """

    def __init__(self, y: np.ndarray, adjust: float = 0.0, label_smoothing: float = 0.0):
        super().__init__()
        self.label_smoothing, self.adjust = label_smoothing, adjust
        shares = np.bincount(y, minlength=len(CLASSES)) / len(y)
        self.register_buffer("logs", torch.from_numpy(np.log(np.maximum(shares, 1 / len(y)))).float())

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.adjust:
            logits = logits + self.adjust * self.logs.to(logits.device)
        return F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)
