"""Pixels become trained backbones and their predictions."""

import warnings

# What torchvision and fastai say of themselves while they load is nothing that a reader could mend.
warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
