import re
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from workbook import books

from lesionkit.workbook import pipeline, report
from lesionkit.workbook.artifacts import Run, read_manifest, update_manifest


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a run in which notebook 03 has made one thing of each kind and 01 has not been run."""
    given = books.write_study(tmp_path_factory.mktemp("report"))
    run = Run.open(given["study"], "03_ensemble", data=given["data"], out=given["out"])
    board = {
        "model": ["<i>a</i>", "b"],
        "n": [3, 12],
        "macro_auc": [0.51234, None],
        "p_value": [1e-7, 0.0],
        "size_px": [64, None],
    }
    run.table(pd.DataFrame(board), "leaderboard")
    run.figure(Figure().subplots(), "roc")
    run.text("# Card\n\n<script>alert(1)</script>\n\n| a | b |\n|---|--:|\n| x | 1 |\n", "card")
    executed = run.path("notebooks", "03_ensemble.ipynb")
    executed.parent.mkdir()
    executed.write_text((given["notebooks"] / "03_ensemble.ipynb").read_text())
    update_manifest(run.folder, "steps", {"03_ensemble": {"seconds": 12.34, "finished": "2026-01-01T00:00:00+00:00"}})
    return report.write(run.study, run.folder, pipeline.steps_of(run.study, given["notebooks"])[:-1])


def test_every_link_of_the_page_leads_to_a_file_or_a_section(page):
    html = page.read_text()
    links = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert (
        "../figures/03_roc.png" in links
        and "../tables/03_leaderboard.tex" in links
        and "../figures/03_roc.pdf" in links
    )
    for link in links:
        assert f'id="{link[1:]}"' in html if link.startswith("#") else (page.parent / link).is_file(), link


def test_nothing_is_fetched_and_nothing_is_run(page):
    for file in page.parent.rglob("*.html"):
        assert "<script" not in file.read_text()
        assert not re.search(r'<(?:img|link|iframe)[^>]+(?:src|href)="https?:', file.read_text())


def test_tables_have_three_decimals_to_the_right_and_are_escaped(page):
    html = page.read_text()
    assert "<td>&lt;i&gt;a&lt;/i&gt;</td>" in html
    assert '<td class="number">12</td>' in html and '<td class="number">0.512</td>' in html
    assert '<td class="number">1.0e-07</td>' in html and '<td class="number">0.000</td>' in html
    assert '<td class="number">–</td>' in html and '<td class="number">64</td>' in html
    assert '<th class="number">macro auc</th>' in html and "<th>model</th>" in html


def test_markdown_is_rendered_without_its_html(page):
    html = page.read_text()
    assert "<h1>Card</h1>" in html and "&lt;script&gt;" in html and re.search(r"<td[^>]*>1</td>", html)


def test_the_page_says_what_ran_and_what_did_not(page):
    html = page.read_text()
    assert html.count("This notebook has not been run.") == 4
    assert "About ensemble" in html and "About train_backbone: resnet50" in html
    assert '<td class="number">12.3</td>' in html and "not a medical device" in html
    assert "Synthetic images" not in html


def test_the_page_and_the_notebooks_are_in_the_manifest(page):
    made = [
        path for path, entry in read_manifest(page.parents[1])["artifacts"].items() if entry["notebook"] == "report"
    ]
    assert made == ["report/index.html", "report/notebooks/03_ensemble.html"]


def test_a_notebook_that_has_not_changed_is_not_converted_again(page, monkeypatch):
    monkeypatch.setattr(report, "_notebook_html", lambda notebook: pytest.fail("converted again"))
    run = page.parents[1]
    step = pipeline.Step("03_ensemble", source=Path(run.parents[1] / "notebooks" / "03_ensemble.ipynb"))
    assert report._notebook_pages(run, read_manifest(run), [step]) == [
        run / "report" / "notebooks" / "03_ensemble.html"
    ]


def test_a_long_table_is_cut_and_says_so(tmp_path):
    pd.DataFrame({"n": range(100)}).to_csv(tmp_path / "long.csv", index=False)
    html, note = report.table_html(tmp_path / "long.csv")
    assert html.count("<tr>") == 1 + report.ROWS and note == "60 of 100 rows; the CSV holds all"


def test_an_empty_table_says_so(tmp_path):
    pd.DataFrame({"file": [], "problem": []}).to_csv(tmp_path / "empty.csv", index=False)
    assert report.table_html(tmp_path / "empty.csv")[1] == "no rows"
