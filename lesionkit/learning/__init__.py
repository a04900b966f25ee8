"""Pixels become trained backbones and their predictions."""

import warnings

with warnings.catch_warnings():  # what these say of themselves while they load is nothing that a reader could mend
    warnings.simplefilter("ignore")
    import fastai.callback.core  # noqa: F401
    import timm  # noqa: F401
