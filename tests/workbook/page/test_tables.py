"""CSV as HTML: what is shown of it, and how."""

import pandas as pd

from lesionkit.workbook.page.tables import PAPER, ROWS, table_html


def shown(folder, columns, **more):
    pd.DataFrame(columns).to_csv(folder / "table.csv", index=False)
    return table_html(folder / "table.csv", **more)


def test_numbers_have_three_decimals_and_stand_to_the_right(tmp_path):
    columns = {"model": ["a", "b"], "macro_auc": [0.51234, None], "p": [1e-7, 0.0], "size_px": [64, None], "n": [3, 12]}
    html = shown(tmp_path, columns).html
    for cell in ("0.512", "–", "1.0e-07", "0.000", "64", "12"):
        assert f'<td class="number">{cell}</td>' in html, cell
    assert '<th class="number">macro auc</th>' in html and "<th>model</th>" in html


def test_an_interval_stands_in_brackets_behind_its_value(tmp_path):
    columns = {"x": [0.5, 0.7], "x_low": [0.4, None], "x_high": [0.6, None], "n": [2, 3], "low": [1, 2], "high": [3, 4]}
    html = shown(tmp_path, columns).html
    assert html.count("<th ") == 2
    assert '<td class="number">0.500 <small>[0.400, 0.600]</small></td>' in html and '<td class="number">0.700</td>' in html
    assert '<td class="number">2 <small>[1, 3]</small></td>' in html


def test_bounds_behind_a_text_stay_columns(tmp_path):
    html = shown(tmp_path, {"age": ["old"], "low": [60.5], "high": [80.5]}).html
    assert "<td>old</td>" in html and '<td class="number">60.500</td>' in html


def test_of_a_leaderboard_chosen_metrics_are_shown(tmp_path):
    columns = {"model": ["a"], "weights": ["none"], "f1_in": [0.5], "f1_in_low": [0.4], "f1_in_high": [0.6], "auc_in": [0.9]}
    html = shown(tmp_path, columns, metrics=("f1",)).html
    assert "<td>a</td>" in html and "0.500 <small>[0.400, 0.600]</small>" in html and "none" not in html and "0.900" not in html


def test_a_long_table_is_cut_and_says_so(tmp_path):
    table = shown(tmp_path, {"n": range(ROWS + 40)})
    assert table.html.count("<tr>") == 1 + ROWS and table.note == "2,000 of 2,040 rows; the CSV holds all" and table.long
    assert not shown(tmp_path, {"n": range(PAPER)}).long


def test_an_empty_table_says_so(tmp_path):
    assert shown(tmp_path, {"file": [], "problem": []}).note == "no rows"


def test_only_what_is_written_as_a_number_is_one(tmp_path):
    for texts in (["1_2", "3"], ["nan", "1"], ["\N{ARABIC-INDIC DIGIT ONE}", "1"], ["0x1", "1"], ["1e", "2"], [" 1", "2"]):
        html = shown(tmp_path, {"id": texts}).html
        assert "number" not in html and f"<td>{texts[0]}</td>" in html, texts
    html = shown(tmp_path, {"x": ["1e-7", "-.5", "+2.", "inf"]}).html
    assert [cell for cell in ("1.0e-07", "-0.500", "2.000", "inf") if f'<td class="number">{cell}</td>' not in html] == []
