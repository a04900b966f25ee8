"""The page of the API: pdoc renders the package and its guides."""

import re
import warnings

import pytest

from lesionkit.guides import GUIDES


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The folder of the page, and what was warned of while it was made."""
    pdoc = pytest.importorskip("pdoc")
    folder = tmp_path_factory.mktemp("api")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc("lesionkit", output_directory=folder)
    return folder, [str(one.message) for one in caught]


@pytest.mark.slow
def test_the_page_is_made_without_a_warning_of_ours(page):
    said = [text for text in page[1] if re.search("lesionkit|include|import", text)]  # others are of other packages' annotations
    assert not said
    assert {"index.html", "lesionkit.html"} <= {file.name for file in page[0].iterdir()}
    assert "lesionkit.evidence.weighted" in (page[0] / "lesionkit" / "evidence" / "calibration.html").read_text()


@pytest.mark.slow
def test_the_page_holds_every_guide_with_its_code(page):
    shown = (page[0] / "lesionkit" / "guides.html").read_text(encoding="utf-8")
    titles = [guide.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for guide in GUIDES]
    assert all(f">{title.replace(chr(39), '&#39;')}<" in shown or f">{title}<" in shown for title in titles)
    assert shown.count('class="pdoc-code codehilite"') >= sum(guide.read_text(encoding="utf-8").count("\n```\n") for guide in GUIDES) - 1


@pytest.mark.slow
def test_links_within_the_page_lead_somewhere(page):
    read = {file: re.sub("<script.*?</script>", "", file.read_text(encoding="utf-8"), flags=re.S) for file in page[0].rglob("*.html")}
    ids = {file: {"", *re.findall(r'id="([^"]+)"', text)} for file, text in read.items()}
    broken = []
    for file, text in read.items():
        for href in set(re.findall(r'<a[^>]* href="([^"]+)"', text)):
            path, _, anchor = href.partition("#")
            target = (file.parent / path).resolve() if path else file
            if not href.startswith("http") and anchor not in ids.get(target, ()):
                broken.append(f"{file.relative_to(page[0])}: {href}")
    assert not broken, "a guide is shown on a page with the others: name a file in backticks instead of linking it"
