"""Axes-level figures: `plot_x(data, *, ax=None) -> Axes`. Nothing is shown, saved or drawn at random here."""
