"""Notebooks are run, here or on a cluster, and what they make is kept in `outputs/`, with what it was made from."""
