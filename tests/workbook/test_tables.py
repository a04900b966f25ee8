"""Intervals in brackets, and what is not defined."""

import re

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


def test_a_notebook_shows_numbers_right_and_text_left_and_lets_names_break():
    table = pd.DataFrame({"model_name": ["a_b<c", "d"], "auc": ["0.652 [0.601, 0.699]", "NA"], "n": [1234.0, None],
                          "p": [0.5, None], "note": [None, "few"]})  # fmt: skip
    text = tables.as_html(table)
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", text)
    assert cells[:5] == ["model_<wbr>name", "auc", "n", "p", "note"]
    assert cells[5:10] == ["a_<wbr>b&lt;c", "0.652 [0.601,&nbsp;0.699]", "1,234", "0.500", ""]
    assert cells[10:] == ["d", "NA", "NA", "NA", "few"]
    assert re.findall(r"\.col(\d) \{\s+text-align: left", text) == ["0", "4"]
    assert text == tables.as_html(table) and "overflow-x: auto" in text


def test_labels_of_rows_are_shown_and_their_numbers_are_not():
    table = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["test", "val"], name="split"))
    assert re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", tables.as_html(table)) == ["split", "n", "test", "1", "val", "2"]
    assert re.findall(r"<td[^>]*>(.*?)</td>", tables.as_html(table.set_axis([5, 7]))) == ["1", "2"]


def test_of_a_long_table_the_first_rows_are_shown():
    assert tables.as_html(pd.DataFrame({"n": range(tables.LONG)})).count("<tr>") == 1 + tables.LONG
    text = tables.as_html(pd.DataFrame({"n": range(1000)}))
    assert text.count("<tr>") == 1 + tables.ROWS and f"The first {tables.ROWS} of 1,000 rows" in text


def test_an_index_that_repeats_a_column_is_shown_once():
    table = pd.DataFrame({"model": ["a", "b"], "split": ["x", "y"], "n": [1, 2]})
    cells = ["model", "split", "n", "a", "x", "1", "b", "y", "2"]
    for index in ("model", ["model"], ["model", "split"]):
        assert re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", tables.as_html(table.set_index(index, drop=False))) == cells


def test_what_must_be_said_of_a_table_is_a_comment_above_it():
    text = tables.latex(pd.DataFrame({"x": [1]}), remark="Leaks:\nsee there")
    assert text.splitlines()[0] == "% Leaks: see there." and tables.latex(pd.DataFrame({"x": [1]})) == text.split("\n", 1)[1]


def test_a_small_number_is_not_shown_as_zero():
    table = pd.DataFrame({"p": [0.00004, 0.0, 0.0006, 0.25], "n": [1, 2, 3, 4]})
    assert tables.shown(table)["p"].tolist() == [0.00004, 0.0, 0.001, 0.25]
    assert [tables.number(value) for value in table["p"]] == ["4e-05", "0.000", "0.001", "0.250"]
    assert ">4e-05<" in tables.as_html(table) and ">0.000<" in tables.as_html(table) and "4e-05 & 1" in tables.latex(table)
