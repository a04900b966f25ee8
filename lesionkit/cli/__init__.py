"""The command `lesionkit`. Thin: each command checks its arguments and calls the library, loaded only then."""

import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import lesionkit
from lesionkit.cli import data, exporting, models, reporting, studies, validation
from lesionkit.cli.shared import BAD_USAGE, FAILED, Stop
from lesionkit.study import StudyError

REPEATED = {"--only": r"^\d", "--set": r"^[^-].*="}  # options that take several values, and what these look like
DEBUG = "--debug"

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A research workbook for skin-lesion classification: run studies, see how they stand, use their models.",
)
for command in (studies.run, studies.status, reporting.report, validation.validate, studies.evaluate, models.predict,
                models.explain, models.app, exporting.export, studies.bench):  # fmt: skip
    app.command()(command)
app.add_typer(data.app, name="data")


@app.callback()
def _lesionkit(
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.", is_eager=True,
                                          callback=lambda asked: _version(asked))] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show where an error arose; anywhere on the line.")] = False,
) -> None:  # fmt: skip
    pass


def main(args: Sequence[str] | None = None) -> None:
    """The entry point. Exit codes: 0 done, 1 failed, 2 bad usage; a user's mistake shows a message, not a traceback."""
    args = sys.argv[1:] if args is None else args
    try:
        app(args=_spread([arg for arg in args if arg != DEBUG]), prog_name="lesionkit")
    except (Stop, StudyError, OSError) as error:  # OSError: a full disk, a folder that cannot be written
        if DEBUG in args:
            traceback.print_exc()
        print(f"lesionkit: {error}", file=sys.stderr)
        sys.exit(error.code if isinstance(error, Stop) else BAD_USAGE if isinstance(error, StudyError) else FAILED)


def _spread(args: Sequence[str]) -> list[str]:
    """`--only 03 04` as `--only 03 --only 04`, and `--set a=1 b=2` likewise."""
    spread, option = [], ""
    for arg in args:
        if option and spread[-1] != option and re.search(REPEATED[option], arg):
            spread.append(option)
        if arg.startswith("-"):
            option = arg if arg in REPEATED else ""
        spread.append(arg)
    return spread


def _version(asked: bool) -> None:
    if asked:
        print(f"lesionkit {lesionkit.__version__}")
        raise typer.Exit
