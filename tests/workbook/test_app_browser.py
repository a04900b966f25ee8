"""The page in a browser: an image in, a picture and seven probabilities out; what is no image refused; nothing kept or sent."""

import os
import re
import subprocess
import sys

import pytest
from explain.saved import photographs
from workbook.tried import bad_files, tried_run

from lesionkit.workbook.app import server

COMMAND = "import typer; from lesionkit.cli import models; typer.run(models.app)"
ANSWER, REFUSAL, BY_BROWSER = ".lk-p", ".lk-warning", ".toast-body"


@pytest.fixture
def place(tmp_path):
    """Where the command runs, and where it may keep what it needs for the time being."""
    for name in ("here", "temporary", "images"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def url(place):
    """The address of the page, served by the command itself; it is ended as a job is, and leaves nothing."""
    try:
        server._require_gradio()
    except ImportError as error:
        pytest.skip(str(error))
    run, environment = tried_run(place / "run"), {**os.environ, "TMPDIR": str(place / "temporary"), "OMP_NUM_THREADS": "1"}
    with (place / "errors").open("w+") as errors:
        process = subprocess.Popen([sys.executable, "-c", COMMAND, str(run)], cwd=place / "here", env=environment, text=True,
                                   stdout=subprocess.PIPE, stderr=errors)  # fmt: skip
        found = re.match("http://127.0.0.1:[0-9]+/", process.stdout.readline())
        assert found, errors.seek(0) or errors.read()
        yield found.group()
        process.terminate()
        assert process.wait(30) == 0
        errors.seek(0)
        assert "Traceback" not in errors.read()
    assert not list((place / "temporary").iterdir()) and not list((place / "here").iterdir())


@pytest.fixture
def browser(url, program):
    """A page of the browser that shows the application, and every address that it has asked for."""
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    with api.sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = window.new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        page.wait_for_selector("input[type=file]", state="attached")
        yield page
        window.close()


@pytest.mark.slow
def test_an_image_is_answered_others_are_refused_and_nothing_is_kept_or_sent(browser, url, place):
    [image] = photographs(place / "images", "lesion.jpg")
    browser.set_input_files("input[type=file]", image)
    browser.wait_for_selector(ANSWER)
    shown = [float(text) for text in browser.locator(ANSWER).all_inner_texts()]
    assert len(shown) == 7 and sum(shown) == pytest.approx(1, abs=0.04)
    widths = browser.evaluate("[...document.querySelectorAll('.lk img')].map(image => image.complete && image.naturalWidth)")
    assert len(widths) == 2 and widths[0] == 64 and widths[1] > 800  # the image itself, and the panel of maps
    assert "no medical device" in browser.locator(".lk-banner").inner_text()
    for file, words in bad_files(place / "images").items():
        said = {"notes.txt": (BY_BROWSER, "Invalid file type"), "heavy.png": (BY_BROWSER, "maximum allowed size")}
        where, words = said.get(file.name, (REFUSAL, words))
        browser.set_input_files("input[type=file]", file)
        browser.locator(where, has_text=words).first.wait_for()
        assert "Traceback" not in browser.content()
    browser.locator("button.thumbnail-lg").nth(4).click()
    browser.wait_for_selector(ANSWER)
    kept = [file for file in (place / "temporary").rglob("*") if file.is_file() and file.stat().st_size]
    assert sorted({file.name for file in kept}) == ["akiec.png", "bcc.png", "bkl.png", "df.png", "mel.png", "nv.png", "vasc.png"]
    assert browser.asked and all(one.startswith((url, "data:", "blob:")) for one in browser.asked)
