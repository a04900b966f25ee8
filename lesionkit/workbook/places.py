"""Where a run has its images, and which study made it."""

import json
from pathlib import Path

from lesionkit import study as studies
from lesionkit.data.phantoms import VERSION as PHANTOMS
from lesionkit.study import Study
from lesionkit.workbook import hosts
from lesionkit.writing import write_atomically

KNOWN = "data.txt"  # in a run's folder: where its images were last time; stays on this machine


class MissingInput(FileNotFoundError):
    """Something that an earlier notebook makes is not there yet. The message says which to run."""


def images_folder(study: Study, folder: Path, data: str) -> Path | None:
    """Where the images of a run are: `data`, where they were last time, or attached to a host; of phantoms, in the run.

    None: not known. Raises StudyError where `data` is no folder. One that was there last time may be gone: most
    notebooks need no image.
    """
    if study.given:
        return folder  # nothing looks there
    if study.synthetic:
        return folder / "data" / f"phantoms_v{PHANTOMS}_{study.phantoms}x{study.phantom_size}px_seed{study.seed}"
    if data and not Path(data).is_dir():
        raise studies.StudyError(f"no folder {data}: give the folder of images with --data DIR")
    if data:
        return Path(data).resolve()
    known = Path((folder / KNOWN).read_text().strip()) if (folder / KNOWN).exists() else None
    return known if known and known.is_dir() else hosts.images() or known


def remember(folder: Path, images: Path) -> None:
    """Write down where the images of the run in `folder` are, if it is not written yet: jobs that run at once all say the same."""
    file, text = folder / KNOWN, f"{images}\n"
    if not file.exists() or file.read_text() != text:
        write_atomically(file, lambda path: path.write_text(text))


def saved_study(folder: Path) -> Study:
    """The study that made the run in `folder`, from its study.json; settings that this version no longer has are left out.

    Raises MissingInput where there is none.
    """
    file = Path(folder) / "study.json"
    if not file.exists():
        raise MissingInput(f"{folder}: no run of a study there; give its folder, such as outputs/demo")
    settings = json.loads(file.read_text())
    known = {key: settings[key] for key in Study.__dataclass_fields__ if key in settings}
    return Study(**{key: tuple(value) if isinstance(value, list) else value for key, value in known.items()})
