"""Intervals in brackets, and what is not defined."""

import pandas as pd

from lesionkit.workbook import tables


def test_intervals_go_into_the_column_before_them():
    table = pd.DataFrame({"model": ["a_b"], "value": [0.65249], "low": [0.601], "high": [0.6994], "note": [""]})
    shown = tables.shown(table)
    assert list(shown) == ["model", "value", "note"] and shown["value"].tolist() == ["0.652 [0.601, 0.699]"]
    assert list(table) == ["model", "value", "low", "high", "note"]
    latex = tables.latex(table)
    assert r"a\_b & 0.652 [0.601, 0.699]" in latex and r"\toprule" in latex


def test_several_intervals_and_one_that_is_not_defined():
    nan = float("nan")
    table = pd.DataFrame({"coverage": [0.9, nan], "low": [0.8, nan], "high": [1.0, nan],
                          "size": [1.5, 2.0], "size_low": [1.4, nan], "size_high": [1.6, nan]})  # fmt: skip
    shown = tables.shown(table, 1)
    assert shown["coverage"].tolist() == ["0.9 [0.8, 1.0]", "NA"]
    assert shown["size"].tolist() == ["1.5 [1.4, 1.6]", "2.0"]


def test_a_table_without_intervals_is_only_rounded():
    table = pd.DataFrame({"n": [3], "slow": [0.12345]})
    pd.testing.assert_frame_equal(tables.shown(table), pd.DataFrame({"n": [3], "slow": [0.123]}))
