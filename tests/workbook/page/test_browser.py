"""The page in a real browser: it sorts, enlarges, fits, and prints."""

import pandas as pd
import pytest
from matplotlib.figure import Figure
from workbook import books

from lesionkit.workbook import pipeline, report
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.page import pdf

NARROW, WIDE = 390, 1400


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    given = books.write_study(tmp_path_factory.mktemp("page"))
    run = Run.open(given["study"], "03_ensemble", data=given["data"], out=given["out"])
    columns = {f"a_rather_long_name_{k}": [0.1, 0.2, 0.3] for k in range(20)}
    run.table(pd.DataFrame({"model": ["m10", "m9", "m2"], "value": [0.5, None, -0.7], **columns}), "board")
    for name in ("first", "second"):
        run.figure(Figure(figsize=(8, 5)).subplots(), name)
    return report.write(run.study, run.folder, pipeline.steps_of(run.study, given["notebooks"])[:-1])


@pytest.fixture(scope="module")
def chromium(program):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def window(chromium, page):
    """Opens the page in a window of a width; it must neither ask for anything nor complain."""
    opened, said = [], []

    def window(width, file=page):
        opened.append(chromium.new_page(viewport={"width": width, "height": 800}))
        opened[-1].on("request", lambda request: said.append(request.url) if request.url[:5] not in ("file:", "data:") else None)
        opened[-1].on("console", lambda message: said.append(message.text))
        opened[-1].on("pageerror", lambda error: said.append(str(error)))
        opened[-1].goto(file.as_uri())
        return opened[-1]

    yield window
    for one in opened:
        one.close()
    assert said == []


def test_a_click_sorts_up_then_down_then_as_it_was_and_gaps_stay_below(window):
    page = window(WIDE)
    table, cells = page.locator("[id='03_board']"), lambda k: page.locator(f"[id='03_board'] td:nth-child({k})").all_inner_texts()
    model, value = table.locator("th button").nth(0), table.locator("th button").nth(1)
    value.click()
    assert cells(2) == ["-0.700", "0.500", "–"] and table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
    value.click()
    assert cells(2) == ["0.500", "-0.700", "–"] and table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
    value.click()
    assert cells(1) == ["m10", "m9", "m2"] and table.locator("th").nth(1).get_attribute("aria-sort") is None
    model.focus()
    page.keyboard.press("Enter")
    assert cells(1) == ["m2", "m9", "m10"]


def test_a_figure_enlarges_by_mouse_and_by_keys(window):
    page = window(WIDE)
    first, dialog = page.locator("#figure-03_first button"), page.locator("dialog")
    assert not dialog.is_visible()
    small = first.locator("img").bounding_box()["width"]
    first.click()
    assert dialog.is_visible() and dialog.locator("img").bounding_box()["width"] > small
    page.keyboard.press("ArrowRight")
    assert dialog.locator("b").inner_text() == "03 second"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    page.keyboard.press("Enter")  # the focus is back on the figure
    assert dialog.locator("b").inner_text() == "03 first"


@pytest.mark.parametrize("width", [NARROW, 900, WIDE])
def test_nothing_but_the_boxes_of_tables_scrolls_sideways(window, width):
    assert window(width).evaluate("document.documentElement.scrollWidth") <= width


def test_away_from_its_folder_the_page_hides_what_leads_there(window, page, tmp_path):
    assert window(WIDE).locator(".beside").first.is_visible()
    (tmp_path / "index.html").write_bytes(page.read_bytes())
    assert not window(WIDE, tmp_path / "index.html").locator(".beside").first.is_visible()


def test_the_page_prints(program, page, tmp_path):
    assert pdf.write(page, tmp_path / "page.pdf").read_bytes()[:5] == b"%PDF-"
    assert [file.name for file in tmp_path.iterdir()] == ["page.pdf"]


def test_without_a_browser_it_is_said_what_to_install(monkeypatch, page, tmp_path):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    monkeypatch.setattr(pdf, "PLACES", ())
    with pytest.raises(pdf.NoBrowser, match="install Chromium, Chrome or Edge"):
        pdf.write(page, tmp_path / "page.pdf")


def test_a_browser_that_does_not_print_is_named_with_what_it_said(monkeypatch, page, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(pdf.shutil, "which", lambda name: str(broken))
    with pytest.raises(pdf.NoBrowser, match="broken did not print: no display; open .* and print it there"):
        pdf.write(page, tmp_path / "page.pdf")
    assert not (tmp_path / "page.pdf").exists()


def test_a_browser_that_crashes_as_it_writes_has_not_printed(monkeypatch, page, tmp_path):
    crashed = tmp_path / "crashed"
    crashed.write_text('#!/bin/sh\nfor word; do case $word in --print-to-pdf=*) echo %PDF-1.4 half > "${word#*=}";; esac; done\nexit 9\n')
    crashed.chmod(0o755)
    (tmp_path / "page.pdf").write_text("of last time")
    monkeypatch.setattr(pdf.shutil, "which", lambda name: str(crashed))
    with pytest.raises(pdf.NoBrowser, match="crashed did not print: it ended with 9; open"):
        pdf.write(page, tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_text() == "of last time" and len(list(tmp_path.iterdir())) == 2
