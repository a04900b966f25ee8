"""The command `lesionkit`. Thin: each command checks its arguments and calls the library, loaded only then."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import lesionkit
from lesionkit.study import SEVEN, StudyError, available

FAILED, BAD_USAGE = 1, 2
REPEATED = {"--only": r"^\d", "--set": r"^[^-].*="}  # options that take several values, and what these look like
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A research workbook for skin-lesion classification: run studies, see how they stand, use their models.",
)
data_app = typer.Typer(no_args_is_help=True, help="Folders of images and labels.")
app.add_typer(data_app, name="data")

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help=f"{', '.join(available())}, or the path of a .toml.")]
Data = Annotated[
    str, typer.Option("--data", metavar="DIR", help="The folder of images; not for phantoms, nor a second time.")
]
Out = Annotated[str, typer.Option("--out", metavar="DIR", help="Where results go: DIR/STUDY/.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE …", help="Settings over the study's, such as epochs=1.")
]
Only = Annotated[
    list[str], typer.Option("--only", metavar="STEP …", help="Only these: numbers (03) or names as in status.")
]
Force = Annotated[bool, typer.Option("--force", help="Run what is fresh too; trained models are still reused.")]
Jobs = Annotated[int, typer.Option("--jobs", metavar="N", help="Jobs at once on this machine; 0: as many as fit.")]
Scheduler = Annotated[
    str, typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster that shares this folder: let it do the work.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, such as outputs/demo.")]
ImagePaths = Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files, or folders of them.")]
OutFile = Annotated[Path, typer.Option("--out", metavar="FILE", help="The CSV to write.")]


@app.callback()
def _lesionkit(version: Annotated[bool, typer.Option("--version", help="Show the version and leave.", is_eager=True,
                                                     callback=lambda asked: _version(asked))] = False) -> None:  # fmt: skip
    pass


@app.command()
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
        _stop(error, FAILED)
    print(f"report: {folder / 'report' / 'index.html'}")


@app.command()
def status(study: StudyName, data: Data = "", out: Out = "outputs", overrides: Set = ()) -> None:
    """Say which steps of a study are fresh, stale or missing, and why. Runs nothing."""
    from lesionkit.workbook import pipeline

    for state in pipeline.status(study, data=data, out=out, overrides=overrides):
        print(f"{state.step.id:<42} {state.name:<8} {'; '.join(state.why)}".rstrip())


@data_app.command("check")
def check(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Say what a folder holds, how its counts compare with the official ones, and every problem."""
    from lesionkit.data import checking

    if not folder.is_dir():
        _stop(f"{folder}: no such folder", BAD_USAGE)
    report = checking.check(folder, progress=_count if sys.stderr.isatty() else None)
    print(report.render(), end="")
    if report.fatal:
        raise typer.Exit(FAILED)


@app.command()
def predict(run: RunFolder, images: ImagePaths, out: OutFile) -> None:
    """Write a CSV with seven probabilities and the call, a row an image and model: each of the run's, and their ensemble."""
    files = _images_for(run, images)
    if not out.parent.is_dir():
        _stop(f"--out {out}: no such folder {out.parent}", BAD_USAGE)
    from lesionkit.learning import inference  # torch: seconds
    from lesionkit.workbook.artifacts import write_atomically

    try:
        table, unreadable = inference.predict_files(run, files)
    except (OSError, ValueError) as error:  # a member that is not trained, or has other classes
        _stop(error, FAILED)
    done = _done(table, unreadable)
    write_atomically(out, lambda path: table.to_csv(path, index=False))
    print(f"{out}: {done}")


@app.command()
def explain(
    run: RunFolder, images: ImagePaths, out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    method: Annotated[str, typer.Option(metavar="NAME", help="gradcam, gradcam++, layercam, hirescam, eigencam, scorecam.")]
    = "gradcam",
) -> None:  # fmt: skip
    """Draw where each model of a run finds evidence for the ensemble's call: a PNG an image, and probabilities.csv."""
    files = _images_for(run, images)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        _stop(f"--out {out}: is not empty; give a new or an empty folder, for nothing is overwritten", BAD_USAGE)
    from lesionkit.workbook import explaining  # torch: seconds

    if method not in explaining.METHODS:
        _stop(f"--method {method}: use one of {', '.join(explaining.METHODS)}", BAD_USAGE)
    try:
        table, unreadable = explaining.explain_files(run, files, out, method)
    except (OSError, ValueError) as error:  # as in predict
        _stop(error, FAILED)
    print(f"{out}: {_done(table, unreadable)}")


@app.command()
def evaluate(
    tables: Annotated[
        list[Path], typer.Argument(metavar="PREDICTIONS…", help="Parquet or CSV: image_id, p_akiec … p_vasc.")
    ],
    labels: Annotated[
        Path, typer.Option("--labels", metavar="CSV", help="image_id, dx; lesion_id, split, … if known.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for figures, tables and report.")],
) -> None:
    """Evaluate anybody's predictions as those of a study: notebooks 03 and 04c, and all of 04 where there are external images."""
    from lesionkit.evidence.predictions import PredictionError
    from lesionkit.workbook import evaluation, pipeline

    try:
        folder = evaluation.evaluate(tables, labels, out)
    except PredictionError as error:
        _stop(error, BAD_USAGE)
    except pipeline.RunError as error:
        _stop(error, FAILED)
    print(f"report: {folder / 'report' / 'index.html'}")


@app.command()
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
        _stop(f"--out {out}: no such folder {out.parent}", BAD_USAGE)
    from lesionkit.bench import measuring, tables  # torch: seconds
    from lesionkit.workbook.artifacts import write_atomically

    try:
        settings = measuring.Settings(size, batch, precision, images, rounds)
        table, errors = measuring.bench(names or SEVEN, settings, tell=lambda line: print(f"measuring: {line}", file=sys.stderr))
    except ValueError as error:
        _stop(error, BAD_USAGE)
    for error in errors:
        print(f"lesionkit: {error}", file=sys.stderr)
    if not table.empty:
        print(tables.text(table))
        if out:
            write_atomically(out, lambda path: table.to_csv(path, index=False))
    if errors:
        raise typer.Exit(FAILED)


def main(args: Sequence[str] | None = None) -> None:
    """The entry point. Exit codes: 0 done, 1 failed, 2 bad usage; a user's mistake shows a message, not a traceback."""
    try:
        app(args=_spread(sys.argv[1:] if args is None else args), prog_name="lesionkit")
    except StudyError as error:
        _stop(error, BAD_USAGE)
    except OSError as error:  # a full disk, a folder that cannot be written
        _stop(error, FAILED)


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


def _images_for(run: Path, images: Sequence[Path]) -> list[Path]:
    if not (run / "study.json").is_file():
        _stop(f"{run}: no run of a study there; give its folder, such as outputs/demo", BAD_USAGE)
    return [file for path in images for file in _image_files(path)]


def _done(table: Any, unreadable: Sequence[OSError]) -> str:
    """What was done, in words; names what was left out, and fails where that is everything."""
    for error in unreadable:
        print(f"lesionkit: left out: {error}", file=sys.stderr)
    if table.empty:
        _stop("no image could be read", FAILED)
    return f"{table['file'].nunique():,} images, {table['model'].nunique() - 1} models and their ensemble"


def _image_files(path: Path) -> list[Path]:
    if not path.exists():
        _stop(f"{path}: no such file or folder", BAD_USAGE)
    found = sorted(f for f in path.rglob("*") if f.suffix.lower() in IMAGES) if path.is_dir() else [path]
    return found or _stop(f"{path}: no images there ({', '.join(IMAGES)})", BAD_USAGE)


def _count(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done:,} of {total:,} images decoded\033[K", end=end, file=sys.stderr, flush=True)


def _version(asked: bool) -> None:
    if asked:
        print(f"lesionkit {lesionkit.__version__}")
        raise typer.Exit


def _stop(message: object, code: int) -> NoReturn:
    print(f"lesionkit: {message}", file=sys.stderr)
    sys.exit(code)
