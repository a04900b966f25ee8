"""`lesionkit export`: the models of a run as a folder that can be used without the run, and given away."""

import dataclasses
import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lesionkit.data import phantoms
from lesionkit.data.decoding import Input, decode
from lesionkit.learning import conversion, inference
from lesionkit.learning.exported import ABOUT, ENSEMBLE, sha256
from lesionkit.settings import public
from lesionkit.workbook import belonging, describing
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.caveats import with_note
from lesionkit.writing import refuse_full

CHECKED = 16  # images that an ONNX file is compared on


class ExportError(RuntimeError):
    """What keeps a run from being exported. The message says what to do."""


def export(run: Path, to: Path, *, onnx: bool = True, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Write the models of a run and all that is needed to use them to `to`, new or empty; returns its lesionkit.json.

    `lesionkit predict`, `explain` and `app` take the folder as they take a run's. It appears whole or not at all, and names no
    folder and no person. `tell` hears what is being done. Raises ExportError without the packages for ONNX,
    ConversionError for a member whose ONNX file is not exact, FileExistsError where `to` holds anything, FileNotFoundError
    for what the run has not made yet, and Mismatch for what does not belong together.
    """
    if onnx and (missing := conversion.missing()):
        raise ExportError(
            f"{', '.join(missing)}: not installed, and ONNX needs it; pip install 'lesionkit[export]', or leave ONNX out "
            "with --no-onnx"
        )
    opened = Run.of(Path(run), "export")
    belonging.check(opened, tables=True)
    about = describing.about(opened)
    with _appearing(Path(to)) as folder, tempfile.TemporaryDirectory() as spare:
        _write(folder / "study.json", public(dataclasses.asdict(with_note(opened.study, opened.folder))))
        files, what = _images_to_check(opened, Path(spare)) if onnx else ([], "")
        for name in opened.study.backbones:
            tell(f"{name}{', and as ONNX' * onnx}")
            member = _saved(opened, name, folder)
            about["members"][name] |= describing.member(name, member)
            if onnx:
                about["members"][name]["onnx"] = _as_onnx(name, member, folder, files) | {"checked_on": what}
        if (shares := opened.path(*ENSEMBLE.split("/"))).exists():
            shutil.copyfile(shares, folder / ENSEMBLE)
        (folder / "README.md").write_text(describing.readme(opened, about), encoding="utf-8")
        files = filter(Path.is_file, sorted(folder.rglob("*")))
        about["files"] = {file.relative_to(folder).as_posix(): sha256(file) for file in files}
        _write(folder / ABOUT, about)
    return about


@contextmanager
def _appearing(to: Path) -> Iterator[Path]:
    """A folder that becomes `to` at the end, and is gone where something fails.

    Where `to` is there already, and empty, it stays: it may be where somebody works, or a mounted disk.
    """
    to = to.resolve()
    refuse_full(to)
    there = to.exists()
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = (to if there else to.parent) / f".{to.name}.{uuid.uuid4().hex[:12]}.partial"
    partial.mkdir()
    try:
        yield partial
        if there:
            _move_in(partial, to)
        else:
            partial.rename(to)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move_in(partial: Path, to: Path) -> None:
    """All of `partial` into `to`, which holds it alone; lesionkit.json last, for it says that all is there."""
    if others := [path.name for path in to.iterdir() if path != partial]:
        raise FileExistsError(f"{to}: now holds {others[0]}, which was not there before; give a new or an empty folder")
    for path in sorted(partial.iterdir(), key=lambda path: path.name == ABOUT):
        path.rename(to / path.name)


def _saved(run: Run, name: str, folder: Path) -> inference.Member:
    """The member `name`, on the CPU, its weights and config copied."""
    source, target = run.path("models", name), folder / "models" / name
    model, config = inference.load(source, "cpu")
    target.mkdir(parents=True)
    shutil.copyfile(source / "weights.safetensors", target / "weights.safetensors")
    _write(target / "config.json", {**config, "study": public(config["study"])})
    return model, config, run.study.for_backbone(name).tta


def _as_onnx(name: str, member: inference.Member, folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Write `onnx/<name>.onnx` and compare it on `files`; what lesionkit.json says of it."""
    file = folder / "onnx" / f"{name}.onnx"
    file.parent.mkdir(exist_ok=True)
    conversion.to_onnx(name, member, file)
    settings = member[1]["study"]
    images = np.stack([decode(path, *Input.of(settings)) for path in files])
    return {
        "file": file.relative_to(folder).as_posix(),
        "opset": conversion.OPSET,
        "input": {"name": conversion.INPUT, "type": "uint8", "shape": ["n", settings["size"], settings["size"], 3],
                  "scaling": "none: the graph divides by 255, normalises, and averages the views"},
        "output": {"name": conversion.OUTPUT, "type": "float32", "shape": ["n", 7]},
        "largest_difference": conversion.check(name, member, file, images),
    }  # fmt: skip


def _images_to_check(run: Run, spare: Path) -> tuple[list[Path], str]:
    """Up to CHECKED image files, and what they are: of the run's test set, or phantoms drawn in `spare`.

    Noise will not do: a network may answer it with logits so large that single precision says nothing.
    """
    if run.data is not None and run.path("splits", "index.csv").exists():
        split, paths = run.split(), run.index().set_index("image_id")["path"]
        files = [run.data / paths[one] for one in split.loc[split["split"] == "test", "image_id"][:CHECKED]]
        if files and all(file.exists() for file in files):
            return files, f"{len(files)} images of the test set"
    phantoms.write(spare / "phantoms", images=30, size=96)
    files = sorted((spare / "phantoms" / "HAM10000_images").iterdir())[:CHECKED]
    return files, f"{len(files)} synthetic images"


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
