"""Skin-lesion classification with deep ensembles: the code behind the numbered notebooks."""

__version__ = "0.1.0"
