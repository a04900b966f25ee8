"""Skin-lesion classification with deep ensembles: the code behind the numbered notebooks."""

import warnings

__version__ = "0.1.0"

# What libraries say of themselves while they load is nothing that a reader could mend.
warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
warnings.filterwarnings("ignore", "IProgress not found")
