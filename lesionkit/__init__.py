"""Skin-lesion classification with deep ensembles: the code behind the numbered notebooks."""

__version__ = "0.1.0"
REPOSITORY = "https://github.com/lesionkit/lesionkit"  # the notebooks' first cells repeat it, and a test compares
