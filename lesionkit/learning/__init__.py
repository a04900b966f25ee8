"""Pixels become trained backbones and their predictions."""

import warnings

# What torchvision, fastai and tqdm say of themselves while they load is nothing that a reader could mend.
warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
warnings.filterwarnings("ignore", "IProgress not found")  # tqdm then draws its bars as text
