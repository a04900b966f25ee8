"""The command that makes a run's models a folder to give away."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lesionkit.cli.shared import FAILED, RunFolder, new_folder, run_at, stop


def export(
    run: RunFolder, to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new or empty folder.")],
    onnx: Annotated[bool, typer.Option(help="Each member as ONNX too, compared with PyTorch.")] = True,
    push_to_hub: Annotated[str, typer.Option(metavar="OWNER/NAME", help="Upload it too: a repository, private if new.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Upload it into a repository that holds files: models/ and onnx/ there "
                                          "are emptied, files of the same names replaced.")] = False,
) -> None:  # fmt: skip
    """Write the models of a run to a folder that predict, explain and app take alone: weights, model card, thresholds, ONNX.

    Example: lesionkit export outputs/full --to lesion-ensemble
    """
    run_at(run)
    new_folder("--to", to)
    from lesionkit.workbook import hub

    try:
        if push_to_hub:
            hub.ready(push_to_hub, replace=replace)
        _exported(run, to, onnx)
        if push_to_hub:
            print(hub.push(to.resolve(), push_to_hub, replace=replace))
    except hub.HubError as error:
        stop(f"--push-to-hub {push_to_hub}: {error}", FAILED)


def _exported(run: Path, to: Path, onnx: bool) -> None:
    from lesionkit.learning.conversion import ConversionError  # torch: seconds
    from lesionkit.workbook import exporting

    try:
        about = exporting.export(run, to.resolve(), onnx=onnx, tell=lambda line: print(f"exporting: {line}", file=sys.stderr))
    except (exporting.ExportError, ConversionError, OSError, ValueError) as error:  # a member that is not trained, a full disk
        stop(error, FAILED)
    worst = max((one["onnx"]["largest_difference"] for one in about["members"].values() if "onnx" in one), default=None)
    checked = f"; ONNX differs by at most {worst:.0e}" if worst is not None else ""
    print(f"{to}: {len(about['members'])} models and how to use them{checked}")
