"""`lesionkit explain`: what each member of a run looks at in somebody's own images, a figure an image."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from lesionkit.data.decoding import UnreadableImage
from lesionkit.data.records import CLASSES
from lesionkit.evidence.predictions import probabilities
from lesionkit.explain.cams import METHODS
from lesionkit.explain.files import Explanation, explained
from lesionkit.learning import exported, inference
from lesionkit.plots.explanations import plot_cam_panel
from lesionkit.study import Study
from lesionkit.workbook.caveats import caveat, with_note
from lesionkit.workbook.places import saved_study
from lesionkit.writing import write_atomically


def explain_files(run: Path, files: Sequence[Path], out: Path, method: str = "gradcam",
                  device: str | None = None) -> tuple[pd.DataFrame, list[UnreadableImage]]:  # fmt: skip
    """Write `out/<stem>.png` for each file and out/probabilities.csv; returns what `inference.predict_with` returns.

    A panel shows the image, the map of each member and of the ensemble for the class that the ensemble calls, how far
    the members' maps disagree, and the ensemble's probabilities. Probabilities are those of `predict_files`, with the
    study's `tta`; maps are of one view. A file given twice is explained once. `out` is made, or is empty; nothing is
    written where no file can be read. Raises ValueError for a `method` that is none of METHODS, and what
    `load_members`, `exported.mixture`, `cam_maps` and writing raise.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: use one of {', '.join(METHODS)}")
    members = inference.load_members(run, device)
    mixture = exported.mixture(run)
    table, unreadable = inference.predict_with(members, list(dict.fromkeys(files)), mixture)
    if table.empty:
        return table, unreadable
    calls = table.pivot(index="file", columns="model", values="call").loc[table["file"].unique()]
    readable = [Path(file) for file in calls.index]
    p = probabilities(table[table["model"] == "ensemble"])  # (n, 7)
    note, names = note_of(with_note(saved_study(run), run)), figure_names(readable)
    out.mkdir(parents=True, exist_ok=True)
    for i, found in enumerate(explained(members, readable, p.argmax(1), method, mixture.shares)):
        figure = panel(found, calls.iloc[i], p[i], title="/".join(readable[i].parts[-2:]), note=note)
        write_atomically(out / names[i], lambda path: figure.savefig(path, bbox_inches="tight", dpi=200))
        plt.close(figure)
    write_atomically(out / "probabilities.csv", lambda path: table.to_csv(path, index=False))
    return table, unreadable


def figure_names(files: Sequence[Path]) -> list[str]:
    """`<stem>.png` of each file; of several with the same stem the later ones are `<stem>_2.png`, `<stem>_3.png`, …

    Upper and lower case count as the same, as some file systems have it, and no name is given twice.
    """
    taken: set[str] = set()
    own = {file.stem.casefold() for file in files}
    names = []
    for stem in (file.stem for file in files):
        name, number = stem, 2
        while name.casefold() in taken or (name != stem and name.casefold() in own):
            name, number = f"{stem}_{number}", number + 1
        taken.add(name.casefold())
        names.append(f"{name}.png")
    return names


def panel(found: Explanation, calls: Mapping[str, str], p: np.ndarray, *, title: str = "", note: str = "") -> plt.Figure:
    """The panel of one image: what each model and the `ensemble` call it, and p (7,), the ensemble's probabilities."""
    ax = plot_cam_panel(
        [found.image],
        {name: [values] for name, values in found.maps.items()},
        rows=[f"{CLASSES[p.argmax()]}\np = {p.max():.2f}"],
        calls={name: [calls[name]] for name in found.maps},
        disagreement=[found.disagreement],
        probabilities=p[None],
    )
    ax.set_title(title, loc="left", fontsize=9)
    if note:
        ax.figure.text(0.995, -0.01, note, ha="right", va="top", fontsize=7, color="0.4")  # below all else
    return ax.figure


def note_of(study: Study) -> str:
    """What must be said of the models of a study; empty where nothing must."""
    return f"Models of study {study.name}. {caveat(study)}" if caveat(study) else ""
