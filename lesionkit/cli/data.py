"""`lesionkit data`: folders of images and labels."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lesionkit.cli import fetching
from lesionkit.cli.shared import BAD_USAGE, FAILED, AsJson, OwnLabels, OwnMapping, stop

app = typer.Typer(no_args_is_help=True, help="Folders of images and labels.")
app.command("fetch")(fetching.fetch)


@app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR")], labels: OwnLabels = None, mapping: OwnMapping = "", as_json: AsJson = False
) -> None:  # fmt: skip
    """Say what a folder holds, how its counts compare with the official ones, and every problem.

    With --labels, of your own images: a table that is not understood gets a mapping to fill in.

    Examples: lesionkit data check DIR · lesionkit data check DIR --labels CSV --mapping FILE.toml
    """
    from lesionkit.data import checking
    from lesionkit.data.records import DataError

    if not folder.is_dir():
        stop(f"{folder}: no such folder", BAD_USAGE)
    if mapping and not labels:
        stop(f"--mapping {mapping}: says how to read a table; give it with --labels CSV", BAD_USAGE)
    progress = _count if sys.stderr.isatty() else None
    try:
        report = checking.check_own(folder, labels, mapping, progress=progress) if labels else checking.check(folder, progress=progress)
    except DataError as error:  # a mapping that is none
        stop(error, BAD_USAGE)
    print(json.dumps(report.as_dict(), indent=1) if as_json else report.render(), end="\n" if as_json else "")
    if report.fatal:
        raise typer.Exit(FAILED)


def _count(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done:,} of {total:,} images decoded\033[K", end=end, file=sys.stderr, flush=True)
