"""What is said of one image file: probabilities, a conformal set, whether the models know its like, and their maps."""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from PIL import Image

from lesionkit.data import IMAGES
from lesionkit.data.decoding import opened, to_rgb
from lesionkit.data.records import CLASSES
from lesionkit.evidence import conformal, openset, predictions, scaling
from lesionkit.evidence.mixtures import Mixture
from lesionkit.explain.files import explained
from lesionkit.learning import exported, inference
from lesionkit.learning.exported import ABOUT
from lesionkit.study import Study
from lesionkit.workbook import belonging, fitted
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.caveats import with_note
from lesionkit.workbook.explaining import note_of, panel
from lesionkit.workbook.places import saved_study

MEGABYTES, MEGAPIXELS = 20, 50  # the largest file that is taken, and the largest image
PREVIEW = 480  # px, the longer side


class Refused(Exception):  # noqa: N818
    """A file that gets no answer. The message is for whoever gave it, and names no path."""


class Answer(NamedTuple):
    """What is said of one image."""

    table: pd.DataFrame  # a row a member and, last, the `ensemble`: model, p_akiec … p_vasc, call
    calibrated: np.ndarray  # (7,) the ensemble's, temperature-scaled
    chosen: list[str]  # the classes of the conformal set
    unlike: bool
    preview: bytes  # JPEG
    panel: bytes  # PNG


class Models(NamedTuple):
    """The members of a run or an export, opened once, and what validation says of their ensemble."""

    study: Study
    members: dict[str, inference.Member]
    mixture: Mixture
    reference: fitted.Reference

    @classmethod
    def open(cls, folder: Path, device: str | None = None) -> "Models":
        """The models of a run, or of an exported folder. Raises FileNotFoundError for what is not there, ValueError for what
        does not belong together or was not fitted."""
        folder = Path(folder)
        study = with_note(saved_study(folder), folder)
        found = fitted.saved_reference(folder) if (folder / ABOUT).exists() else _reference(folder)
        return cls(study, inference.load_members(folder, device), exported.mixture(folder), found)

    def answer(self, file: Path) -> Answer:
        """Raises Refused where the file is none of IMAGES, too large, broken, or incomplete."""
        check(file)
        table, unreadable = inference.predict_with(self.members, [file], self.mixture)
        if unreadable:
            raise Refused("This image is broken or incomplete, and cannot be read to its end. Try the original file.")
        p = predictions.probabilities(table)  # (members + 1, 7)
        found = next(explained(self.members, [file], [int(p[-1].argmax())], shares=self.mixture.shares))
        figure = panel(found, dict(zip(table["model"], table["call"])), p[-1], note=note_of(self.study))
        return Answer(
            table.drop(columns="file"),
            scaling.scaled(p[-1:], self.reference.temperature)[0],
            list(np.array(CLASSES)[conformal.sets(p[-1:], self.reference.limits)[0]]),
            bool(openset.disagreement(p[:-1, None])[0] > self.reference.disagreement),
            _preview(file),
            _png(figure),
        )


def _reference(folder: Path) -> fitted.Reference:
    run = Run.of(folder, "app")
    belonging.check(run)
    if (found := fitted.reference(run)) is None:
        raise ValueError(f"{folder}: {fitted.UNFITTED}")
    return found


def check(file: Path) -> None:
    """Raises Refused for a file that is none of IMAGES by its name and its first bytes, or too large."""
    if file.suffix.lower() not in IMAGES:
        raise Refused(f"This is no image of a kind that is read here: {', '.join(IMAGES)}.")
    kinds = Image.registered_extensions()
    try:
        if file.stat().st_size > MEGABYTES * 2**20:
            raise Refused(f"This file is larger than {MEGABYTES} MB. Save the image smaller: the models see few pixels of it.")
        with Image.open(file, formats=sorted({kinds[suffix] for suffix in IMAGES})) as image:
            pixels = image.width * image.height
    except Image.DecompressionBombError:
        pixels = np.inf
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # OSError: also gone, since it was answered elsewhere
        raise Refused("This file is named as an image but holds none that can be read.") from error
    if pixels > MEGAPIXELS * 1e6:
        raise Refused(f"This image has more than {MEGAPIXELS} megapixels. Save it smaller: the models see few of them.")


def _preview(file: Path) -> bytes:
    with opened(file) as image:
        image.draft("RGB", (PREVIEW, PREVIEW))
        small = to_rgb(image)
    small.thumbnail((PREVIEW, PREVIEW))
    small.save(buffer := BytesIO(), "JPEG", quality=90)
    return buffer.getvalue()


def _png(figure: plt.Figure) -> bytes:
    figure.savefig(buffer := BytesIO(), format="png", bbox_inches="tight", dpi=200)
    plt.close(figure)
    return buffer.getvalue()
