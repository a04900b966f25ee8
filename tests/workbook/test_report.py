import base64
import dataclasses
import io
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageChops
from workbook import books

from lesionkit import study as studies
from lesionkit.workbook import pipeline, report
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.manifest import read_manifest, update_manifest
from lesionkit.workbook.places import saved_study

CARD = (
    "---\nlanguage: en\n---\n\n# Card\n\n<script>alert(1)</script>\n\n| a | b |\n|---|--:|\n| x | 1 |\n\n"
    "See `03_leaderboard`, `03_roc`.\n"
)
MADE = {"lesionkit": "0.0", "processor": "an abacus"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in which notebook 03 has made one thing of each kind, and 01 has not been run."""
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
    run.figure(Figure().subplots(), "skin", gallery=True)
    run.text(CARD, "card")
    executed = run.path("notebooks", "03_ensemble.ipynb")
    executed.parent.mkdir()
    executed.write_text((given["notebooks"] / "03_ensemble.ipynb").read_text())
    split = pd.DataFrame({"image_id": list("abc"), "lesion_id": list("xxy"), "split": "test", "dataset": "ham10000"})
    run.save_csv(split, "splits", "split.csv")
    update_manifest(run.folder, "environments", {"e": MADE})
    done = {"seconds": 12.34, "finished": "2026-01-01T00:00:00+00:00", "environment": "e", "kwh": 0.25}
    update_manifest(run.folder, "steps", {"03_ensemble": done})
    run.steps = pipeline.steps_of(run.study, given["notebooks"])[:-1]
    return run


@pytest.fixture(scope="module")
def page(run):
    return report.write(run.study, run.folder, run.steps)


def test_all_that_is_shown_is_inside_and_links_that_lead_out_say_so(page):
    html = page.read_text()
    assert all(source.startswith("data:image/") for source in re.findall(r'\bsrc="([^"]+)"', html))
    assert "url(" not in html and "<link" not in html and "@import" not in html
    outside = re.sub(r'<(span|p) class="(?:links )?beside">.*?</\1>', "", html, flags=re.DOTALL)
    for link in re.findall(r'href="([^"]+)"', outside):
        assert f'id="{link[1:]}"' in html if link.startswith("#") else link.startswith("data:"), link
    beside = [link for link in re.findall(r'href="([^"]+)"', html) if link[0] != "#" and not link.startswith("data:")]
    assert {"../tables/03_leaderboard.tex", "../figures/03_roc.pdf", "notebooks/03_ensemble.html"} <= set(beside)
    assert all((page.parent / link).is_file() for link in beside)


def test_ids_are_unique_and_names_in_texts_lead_to_what_they_name(page):
    html = page.read_text()
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert '<a href="#03_leaderboard"><code>03_leaderboard</code></a>' in html and "<code>03_roc</code>" in html


def test_no_id_of_the_committed_results_is_there_twice_and_each_link_leads_to_one(tmp_path, monkeypatch):
    """Notebooks and tables of one name: 03c_calibration, 04c_subgroups, 05b_faithfulness, 05c_sanity, 05d_shortcuts."""
    monkeypatch.setattr(report, "_picture", lambda file: {"source": "data:,", "width": 1, "height": 1})
    shutil.copytree(Path(__file__).parents[2] / "outputs" / "isic84", tmp_path / "isic84")
    study = studies.load("isic84")
    html = report.write(study, tmp_path / "isic84", pipeline.steps_of(study)[:-1]).read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)) > 100 and {"03c_calibration", "step-03c_calibration"} <= set(ids)
    assert {link for link in re.findall(r'href="#([^"]+)"', html)} <= set(ids)
    contents = html.split("<nav")[1].split("</nav>")[0]
    assert not re.findall(r'href="#\d', contents) and 'href="#step-03c_calibration"' in contents
    assert '<a href="#03c_calibration"><code>03c_calibration</code></a>' in html


def test_a_figure_is_inside_to_the_pixel_and_a_table_to_the_byte(page, run):
    html = page.read_text()
    source = base64.b64decode(re.search(r'src="data:image/webp;base64,([^"]+)"', html)[1])
    inside, saved = Image.open(io.BytesIO(source)), Image.open(run.path("figures", "03_roc.png"))
    assert not ImageChops.difference(inside.convert("RGB"), saved.convert("RGB")).getbbox()
    csv = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="03_leaderboard.csv"', html)[1]
    assert base64.b64decode(csv) == run.path("tables", "03_leaderboard.csv").read_bytes()


def test_galleries_are_in_no_page_but_the_one_that_is_asked_for(page, run):
    html, before = page.read_text(), read_manifest(run.folder)
    assert 'id="figure-03_skin"' not in html and "Galleries are not in it" in html
    other = report.write(run.study, run.folder, run.steps, galleries=True)
    assert other != page and page.read_text() == html and read_manifest(run.folder) == before
    assert 'id="figure-03_skin"' in other.read_text() and "Galleries are not in it" not in other.read_text()
    other.unlink()


def test_nothing_is_fetched_and_no_script_but_the_page_s_own_may_run(page):
    html = page.read_text()
    assert html.count("<script") == 1 and "default-src 'none'" in html and "script-src 'sha256-" in html
    for file in (page.parent / "notebooks").glob("*.html"):
        assert "<script" not in file.read_text()
        assert not re.search(r'<(?:img|link|iframe)[^>]+(?:src|href)="https?:', file.read_text())


def test_cells_and_texts_are_escaped(page):
    html = page.read_text()
    assert "<td>&lt;i&gt;a&lt;/i&gt;</td>" in html
    assert "<h3>Card</h3>" in html and "&lt;script&gt;" in html and re.search(r"<td[^>]*>1</td>", html)


def test_the_page_says_what_ran_and_what_did_not(page):
    html = page.read_text()
    assert html.count("This notebook has not been run.") == 4
    assert "About ensemble" in html and "About train_backbone: resnet50" in html
    assert '<td class="number">12.3</td>' in html and "not a medical device" in html
    assert "Synthetic images" not in html


def test_the_page_says_how_it_was_made(page, run):
    made = page.read_text().split('id="made"')[1]
    assert "took 0.00 hours in all" in made and "0.25 kWh" in made
    assert "<caption" not in made and "an abacus" in made
    split = read_manifest(run.folder)["artifacts"]["splits/split.csv"]["hash"]
    assert split in made and "3 images of 2 lesions" in made and run.study.fingerprint() in made


def test_the_page_names_no_folder_of_the_machine(run, tmp_path):
    own = {"a": {"weights": "/home/somebody/weights", "lr": 0.1}}
    study = dataclasses.replace(run.study, weights_dir="../../somebody/weights", masks="/home/somebody/masks", backbone=own)
    html = report.write(study, tmp_path, run.steps).read_text()
    assert "somebody" not in html and "…/masks" in html and "a weights …/weights; lr 0.1" in html


def test_the_page_begins_with_the_findings_the_leaderboard_and_the_card_of_notebook_06(page, run, tmp_path):
    folder = tmp_path / "run"
    for name, text in {"06_findings.md": "- **Found.** `03_roc`", "06_model_card.md": CARD, "06_leaderboard.csv":
                       "model,weights,macro_f1_in,macro_f1_in_low,macro_f1_in_high\na,none,0.5,0.4,0.6\n"}.items():  # fmt: skip
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        (folder / "tables" / name).write_text(text)
    html = report.write(run.study, folder, run.steps).read_text()
    summary, card = html.split('id="summary"')[1].split('id="model-card"')
    assert "<strong>Found.</strong>" in summary and "0.500 <small>[0.400, 0.600]</small>" in summary and "weights" not in summary
    assert "<h3>Card</h3>" in card and "language: en" not in html
    file = re.search(r'href="data:text/markdown;charset=utf-8;base64,([^"]+)" download="README.md"', html)[1]
    assert base64.b64decode(file).decode() == CARD


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


def test_the_study_of_a_run_is_read_back_whole(run):
    assert saved_study(run.folder) == run.study
    file = run.path("study.json")
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | {"of_another_version": 1}))
    assert saved_study(run.folder).fingerprint() == run.study.fingerprint()
    file.write_text(before)
