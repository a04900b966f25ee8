"""`lesionkit report`: the page of a run made again, and its PDF."""

import pytest
import typer
from workbook import books

from lesionkit.cli import reporting
from lesionkit.cli.shared import BAD_USAGE, FAILED, Stop
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.page import pdf


@pytest.fixture
def run(tmp_path):
    given = books.write_study(tmp_path)
    run = Run.open(given["study"], "03_ensemble", data=given["data"], out=given["out"])
    run.text("# Found\n\nmuch\n", "found")
    return run.folder


@pytest.fixture
def call(capsys):
    """Call the command alone; returns what it printed."""
    app = typer.Typer()
    app.command()(reporting.report)

    def call(*args):
        app(args=list(map(str, args)), standalone_mode=False)
        return capsys.readouterr().out

    return call


def test_the_page_is_made_from_what_is_there(call, run):
    page = run / "report" / "index.html"
    assert call(run) == f"report: {page}\n" and "much" in page.read_text()
    assert call(run, "--galleries") == f"report: {run / 'report' / 'with_galleries.html'}\n"


def test_the_pdf_lies_beside_it(call, run, monkeypatch):
    asked = []
    monkeypatch.setattr(pdf, "write", lambda page, file: asked.append((page.name, file.name)) or file)
    assert call(run, "--pdf").endswith(f"PDF: {run / 'report' / 'report.pdf'}\n")
    call(run, "--pdf", "--galleries")
    assert asked == [("index.html", "report.pdf"), ("with_galleries.html", "with_galleries.pdf")]


def test_without_a_browser_the_page_stands_and_the_command_fails(call, run, monkeypatch):
    monkeypatch.setattr(pdf, "browser", lambda: (_ for _ in ()).throw(pdf.NoBrowser("no browser")))
    with pytest.raises(Stop, match="no browser") as stopped:
        call(run, "--pdf")
    assert stopped.value.code == FAILED and (run / "report" / "index.html").exists()


def test_a_folder_that_is_no_run_is_refused(call, tmp_path):
    with pytest.raises(Stop, match="no run of a study there") as stopped:
        call(tmp_path)
    assert stopped.value.code == BAD_USAGE and not list(tmp_path.iterdir())


def test_an_exported_folder_is_no_run_and_stays_as_it_is(call, tmp_path):
    for name in ("study.json", "lesionkit.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(Stop, match="an exported folder, which holds models .*; give the folder of the run") as stopped:
        call(tmp_path)
    assert stopped.value.code == BAD_USAGE and len(list(tmp_path.iterdir())) == 2
