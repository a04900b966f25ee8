"""Pixels become trained backbones and their predictions."""
