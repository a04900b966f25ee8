"""`lesionkit data`: folders of images and labels."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lesionkit.cli import fetching
from lesionkit.cli.shared import BAD_USAGE, FAILED, AsJson, stop

app = typer.Typer(no_args_is_help=True, help="Folders of images and labels.")
app.command("fetch")(fetching.fetch)


@app.command("check")
def check(folder: Annotated[Path, typer.Argument(metavar="DIR")], as_json: AsJson = False) -> None:
    """Say what a folder holds, how its counts compare with the official ones, and every problem.

    Example: lesionkit data check DIR
    """
    from lesionkit.data import checking

    if not folder.is_dir():
        stop(f"{folder}: no such folder", BAD_USAGE)
    report = checking.check(folder, progress=_count if sys.stderr.isatty() else None)
    print(json.dumps(report.as_dict(), indent=1) if as_json else report.render(), end="\n" if as_json else "")
    if report.fatal:
        raise typer.Exit(FAILED)


def _count(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done:,} of {total:,} images decoded\033[K", end=end, file=sys.stderr, flush=True)
