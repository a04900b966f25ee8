"""Commands that use the models of a run on images."""

from pathlib import Path
from typing import Annotated

import typer

from lesionkit.cli.shared import (
    BAD_USAGE,
    FAILED,
    ImagePaths,
    ModelFolder,
    done,
    images_for,
    models_at,
    new_folder,
    stop,
)


def predict(
    run: ModelFolder, images: ImagePaths, out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The CSV to write.")]
) -> None:  # fmt: skip
    """Write a CSV with seven probabilities and the call, a row an image and model: each of the run's, and their ensemble.

    Example: lesionkit predict outputs/full IMAGE_OR_FOLDER --out calls.csv
    """
    files = images_for(run, images)
    if not out.parent.is_dir():
        stop(f"--out {out}: no such folder {out.parent}", BAD_USAGE)
    from lesionkit.learning import inference  # torch: seconds
    from lesionkit.writing import write_atomically

    try:
        table, unreadable = inference.predict_files(run, files)
    except (OSError, ValueError) as error:  # a member that is not trained, or has other classes
        stop(error, FAILED)
    said = done(table, unreadable)
    write_atomically(out, lambda path: table.to_csv(path, index=False))
    print(f"{out}: {said}")


def explain(
    run: ModelFolder, images: ImagePaths, out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    method: Annotated[str, typer.Option(metavar="NAME", help="gradcam, gradcam++, layercam, hirescam, eigencam, scorecam.")]
    = "gradcam",
) -> None:  # fmt: skip
    """Draw where each model of a run finds evidence for the ensemble's call: a PNG an image, and probabilities.csv.

    Example: lesionkit explain outputs/full IMAGE_OR_FOLDER --out panels --method layercam
    """
    files = images_for(run, images)
    new_folder("--out", out)
    from lesionkit.workbook import explaining  # torch: seconds

    if method not in explaining.METHODS:
        stop(f"--method {method}: use one of {', '.join(explaining.METHODS)}", BAD_USAGE)
    try:
        table, unreadable = explaining.explain_files(run, files, out, method)
    except (OSError, ValueError) as error:  # as in predict
        stop(error, FAILED)
    print(f"{out}: {done(table, unreadable)}")


def app(
    run: ModelFolder,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: the first free one from 7860.")] = 0,
) -> None:  # fmt: skip
    """Serve a page on this machine to try the models of a run or an export: drop an image, see what they say of it. Nothing is kept.

    Example: lesionkit app outputs/demo
    """
    models_at(run)
    from lesionkit.workbook.app import server  # torch: seconds

    try:
        server.serve(run, host, port)
    except (ImportError, OSError, ValueError) as error:  # no Gradio; a member that is not trained; a port that is taken
        stop(error, FAILED)
