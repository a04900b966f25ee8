"""The command that makes the report of a run to send."""

from typing import Annotated

import typer

from lesionkit.cli.shared import FAILED, RunFolder, run_at, stop


def report(
    run: RunFolder,
    pdf: Annotated[bool, typer.Option("--pdf", help="As PDF too, printed by Chromium, Chrome or Edge.")] = False,
    galleries: Annotated[
        bool, typer.Option("--galleries", help="A page of its own with the figures that show skin: mind their licence.")
    ] = False,
) -> None:
    """Make the page of a run again from what lies in its folder. Runs no notebook.

    Example: lesionkit report outputs/demo --pdf
    """
    run_at(run)
    from lesionkit.workbook import report as pages
    from lesionkit.workbook import steps
    from lesionkit.workbook.page import pdf as printing
    from lesionkit.workbook.places import saved_study

    study = saved_study(run)
    page = pages.write(study, run, steps.steps_of(study)[:-1], galleries=galleries)
    print(f"report: {page}")
    if pdf:
        try:
            print(f"PDF: {printing.write(page, page.with_name('with_galleries.pdf' if galleries else 'report.pdf'))}")
        except printing.NoBrowser as error:
            stop(error, FAILED)
