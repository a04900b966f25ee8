"""What the commands share: arguments that several take, and how a user's mistake ends one."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from lesionkit.data import IMAGES
from lesionkit.learning.exported import ABOUT
from lesionkit.study import available
from lesionkit.writing import refuse_full

FAILED, BAD_USAGE = 1, 2

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help=f"{', '.join(available())}, or the path of a .toml.")]
Data = Annotated[
    str, typer.Option("--data", metavar="DIR", help="The folder of images; not for phantoms, nor a second time.")
]
Out = Annotated[str, typer.Option("--out", metavar="DIR", help="Where results go: DIR/STUDY/.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE …", help="Settings over the study's, such as epochs=1.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, such as outputs/demo.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, such as outputs/demo, or of an export.")]
ImagePaths = Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files, or folders of them.")]
OwnLabels = Annotated[
    Path, typer.Option("--labels", metavar="CSV", help="The table of your own images: image, label; lesion, patient, … if known.")
]
OwnMapping = Annotated[
    str, typer.Option("--mapping", metavar="NAME|FILE", help="How to read it: derm7pt, pad-ufes-20, bcn20000, or a .toml.")
]


class Stop(Exception):  # noqa: N818
    """Ends a command with a message on stderr and an exit code."""

    def __init__(self, message: object, code: int) -> None:
        super().__init__(str(message))
        self.code = code


def stop(message: object, code: int) -> NoReturn:
    """End the command. Where an error is being handled, `--debug` shows its traceback."""
    raise Stop(message, code)


def images_for(run: Path, images: Sequence[Path]) -> list[Path]:
    """The image files among `images` and in the folders among them; ends the command where there are no models or no image."""
    models_at(run)
    return [file for path in images for file in _image_files(path)]


def new_folder(option: str, folder: Path) -> None:
    """Ends the command where what an option names holds anything."""
    try:
        refuse_full(folder)
    except FileExistsError as error:
        stop(f"{option} {error}", BAD_USAGE)


def run_at(folder: Path) -> None:
    """Ends the command where there is no run; an exported folder is none."""
    models_at(folder)
    if (folder / ABOUT).is_file():
        stop(f"{folder}: an exported folder, which holds models and no more of their run; give the folder of the run, such as "
             "outputs/demo", BAD_USAGE)  # fmt: skip


def models_at(folder: Path) -> None:
    """Ends the command where there is neither a run nor an export."""
    if not (folder / "study.json").is_file():
        stop(f"{folder}: no run of a study there; give its folder, such as outputs/demo", BAD_USAGE)


def done(table: Any, unreadable: Sequence[OSError]) -> str:
    """What was done, in words; names what was left out, and fails where that is everything."""
    for error in unreadable:
        print(f"lesionkit: left out: {error}", file=sys.stderr)
    if table.empty:
        stop("no image could be read", FAILED)
    return f"{table['file'].nunique():,} images, {table['model'].nunique() - 1} models and their ensemble"


def _image_files(path: Path) -> list[Path]:
    if not path.exists():
        stop(f"{path}: no such file or folder", BAD_USAGE)
    found = sorted(f for f in path.rglob("*") if f.suffix.lower() in IMAGES) if path.is_dir() else [path]
    return found or stop(f"{path}: no images there ({', '.join(IMAGES)})", BAD_USAGE)
