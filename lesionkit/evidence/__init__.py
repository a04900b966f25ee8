"""Predictions become claims. Reads prediction tables only: no model, no GPU, no torch."""
