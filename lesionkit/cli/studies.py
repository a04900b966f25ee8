"""Commands that run and judge whole studies."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lesionkit.cli.shared import BAD_USAGE, FAILED, AsJson, Data, Out, Set, StudyName, stop
from lesionkit.settings import SEVEN

Only = Annotated[
    list[str], typer.Option("--only", metavar="STEP …", help="Only these: numbers (03) or names as in status.")
]
Force = Annotated[bool, typer.Option("--force", help="Run what is fresh too; trained models are still reused.")]
Jobs = Annotated[int, typer.Option("--jobs", metavar="N", help="Jobs at once on this machine; 0: as many as fit.")]
Scheduler = Annotated[
    str, typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster that shares this folder: let it do the work.")
]


def run(
    study: StudyName, data: Data = "", out: Out = "outputs", overrides: Set = (), only: Only = (), force: Force = False,
    jobs: Jobs = 1, scheduler: Scheduler = "",
) -> None:  # fmt: skip
    """Run the notebooks of a study that are stale or missing, then make its report.

    Examples: lesionkit run demo · lesionkit run isic84 --data DIR --set epochs=1 · lesionkit run demo --only 03 04 --force
    · lesionkit run full --jobs 4 · lesionkit run full --scheduler tcp://HOST:8786
    """
    from lesionkit.workbook import pipeline

    try:
        folder = pipeline.run_study(study, data=data, out=out, overrides=overrides, only=only, force=force, jobs=jobs,
                                    scheduler=scheduler)  # fmt: skip
    except pipeline.RunError as error:
        stop(error, FAILED)
    print(f"report: {folder / 'report' / 'index.html'}")


def status(study: StudyName, data: Data = "", out: Out = "outputs", overrides: Set = (), as_json: AsJson = False) -> None:
    """Say which steps of a study are fresh, stale or missing, and why. Runs nothing.

    Examples: lesionkit status demo · lesionkit status full --json
    """
    from lesionkit.workbook import pipeline

    states = pipeline.status(study, data=data, out=out, overrides=overrides)
    if as_json:
        print(json.dumps([{"step": state.step.id, "state": state.name, "why": state.why} for state in states], indent=1))
        return
    for state in states:
        print(f"{state.step.id:<42} {state.name:<8} {'; '.join(state.why)}".rstrip())


def evaluate(
    tables: Annotated[
        list[Path], typer.Argument(metavar="PREDICTIONS…", help="Parquet or CSV: image_id, p_akiec … p_vasc.")
    ],
    labels: Annotated[
        Path, typer.Option("--labels", metavar="CSV", help="image_id, dx; lesion_id, split, … if known.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for figures, tables and report.")],
) -> None:
    """Evaluate anybody's predictions as those of a study: notebooks 03 and 04c, and all of 04 where there are external images.

    Example: lesionkit evaluate PREDICTIONS.csv --labels LABELS.csv --out DIR
    """
    from lesionkit.evidence.predictions import PredictionError
    from lesionkit.workbook import evaluation, pipeline

    try:
        folder = evaluation.evaluate(tables, labels, out)
    except PredictionError as error:
        stop(error, BAD_USAGE)
    except pipeline.RunError as error:
        stop(error, FAILED)
    print(f"report: {folder / 'report' / 'index.html'}")


def bench(
    names: Annotated[list[str], typer.Argument(metavar="BACKBONE…", show_default=False, help="timm names; default: the seven.")] = (),
    size: Annotated[int, typer.Option(metavar="PX", help="Side of the images that the networks see.")] = 96,
    batch: Annotated[int, typer.Option(metavar="N", help="Images a batch.")] = 16,
    precision: Annotated[str, typer.Option(metavar="NAME", help="auto, fp32 or bf16.")] = "auto",
    images: Annotated[int, typer.Option(metavar="N", help="JPEG files to decode.")] = 256,
    rounds: Annotated[int, typer.Option(metavar="N", help="Turns of each way; medians are shown.")] = 3,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.csv", help="Write all numbers there too.")] = None,
) -> None:  # fmt: skip
    """Measure images a second on this machine: lesionkit, the bare model, and plain fastai. Leave the machine alone meanwhile.

    Example: lesionkit bench resnet50 mobilenetv3_large_100 --out bench.csv
    """
    if out and not out.parent.is_dir():
        stop(f"--out {out}: no such folder {out.parent}", BAD_USAGE)
    from lesionkit.bench import measuring, tables  # torch: seconds
    from lesionkit.writing import write_atomically

    try:
        settings = measuring.Settings(size, batch, precision, images, rounds)
        table, errors = measuring.bench(names or SEVEN, settings, tell=lambda line: print(f"measuring: {line}", file=sys.stderr))
    except ValueError as error:
        stop(error, BAD_USAGE)
    for error in errors:
        print(f"lesionkit: {error}", file=sys.stderr)
    if not table.empty:
        print(tables.text(table))
        if out:
            write_atomically(out, lambda path: table.to_csv(path, index=False))
    if errors:
        raise typer.Exit(FAILED)
