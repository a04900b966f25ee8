"""What must be said wherever results of a study are shown: of its images, and of its models."""

import dataclasses
from pathlib import Path

import pandas as pd

from lesionkit.data import mapping
from lesionkit.study import Study

SYNTHETIC = "Synthetic images (phantoms): not evidence about skin"
LEAKY = "Split by image: lesions stand on both sides, and internal figures are inflated"
NOTE = "splits", "note.csv"  # of a run: what the mapping of its own images says must be said


def caveat(study: Study, folder: Path | None = None) -> str:
    """What must stand in every figure of a study whose run is in `folder`; empty where nothing must."""
    study = study if folder is None else with_note(study, folder)
    images = _joined(study.note, mapping.load(study.mapping).note if study.mapping in mapping.available() else "")
    return _joined(images, SYNTHETIC if study.synthetic else LEAKY if study.split == "image_leaky" else "")


def with_note(study: Study, folder: Path) -> Study:
    """The study with what notebook 01 has found in the mapping of its images, which may be out of reach since."""
    file = Path(folder).joinpath(*NOTE)
    found = pd.read_csv(file, dtype=str)["note"].tolist() if file.exists() else []
    return dataclasses.replace(study, note=_joined(study.note, *found))


def _joined(*notes: str) -> str:
    """One after the other, and none twice."""
    said = ""
    for note in notes:
        said = said if not note or note in said else f"{said.rstrip('.')}. {note}" if said else note
    return said
