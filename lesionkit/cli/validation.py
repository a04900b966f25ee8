"""The command that validates a run on somebody's own images."""

from pathlib import Path
from typing import Annotated

import typer

from lesionkit.cli.shared import BAD_USAGE, FAILED, OwnLabels, OwnMapping, RunFolder, run_at, stop


def validate(
    run: RunFolder,
    images: Annotated[Path, typer.Option("--images", metavar="DIR", help="The folder of your images, and folders in it.")],
    labels: OwnLabels,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for figures, tables and report.")],
    mapping: OwnMapping = "",
) -> None:  # fmt: skip
    """Validate a run on your own images: notebooks 03 and 04, with these as the external set. Images of the run are left out.

    Example: lesionkit validate outputs/full --images DIR --labels CSV --mapping FILE.toml --out validated
    """
    for folder in (run, images):
        if not folder.is_dir():
            stop(f"{folder}: no such folder", BAD_USAGE)
    run_at(run)
    from lesionkit.data.records import DataError
    from lesionkit.evidence.predictions import PredictionError
    from lesionkit.workbook import pipeline, validating  # torch: seconds

    try:
        folder = validating.validate(run, images, labels, out, mapping)
    except (DataError, PredictionError) as error:
        stop(error, BAD_USAGE)
    except (pipeline.RunError, OSError, ValueError) as error:  # a model or a table that the run lacks, a full disk
        stop(error, FAILED)
    print(f"report: {folder / 'report' / 'index.html'}")
