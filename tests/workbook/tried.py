"""A run to try, with models that nobody has trained, what notebooks leave of it, and files that get no answer."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from evidence import tables as drawn
from explain.saved import photographs, saved_run
from PIL import Image
from scipy.special import softmax

from lesionkit.data.records import CLASSES
from lesionkit.evidence import calibration, conformal, ensembles, melanoma, predictions
from lesionkit.workbook.app.answers import MEGABYTES
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.places import saved_study

SIZES = {"baseline_cnn": 32, "test_resnet": 64}
COUNTS = {"val": 140, "test": 70, "external": 70}


def tried_run(folder: Path) -> Path:
    """Its predictions are drawn: one model is surer than the other; two images a lesion."""
    saved_run(folder, SIZES, tta=8, phantoms=9)
    n, rng = sum(COUNTS.values()), np.random.default_rng(0)
    y = np.arange(n) % 7
    rows = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "lesion_id": [f"l{k // 14}_{k % 7}" for k in range(n)],
                         "dataset": "toy", "split": np.repeat(list(COUNTS), list(COUNTS.values())), "dx": np.take(CLASSES, y)})  # fmt: skip
    p = [softmax(rng.normal(0, 1, (n, 7)) + sure * np.eye(7)[y], axis=1) for sure in (2, 1)]
    return recorded(folder, rows, [predictions.build(rows, one, name) for one, name in zip(p, SIZES)])


def recorded(folder: Path, rows: pd.DataFrame, members: list[pd.DataFrame]) -> Path:
    """The split, the models and their predictions, written and entered in the manifest as notebooks 01, 02 and 03 do."""
    Run.of(folder, "01_eda").save_csv(rows, "splits", "split.csv")
    for table in members:
        predicted(folder, table)
    run = Run.of(folder, "03_ensemble")
    run.save_predictions(ensembles.mean(run.predictions()), "ensembles")
    return folder


def predicted(folder: Path, table: pd.DataFrame, **settings) -> None:
    """Predictions of one model, by notebook 02; settings: those of the study that it was given, where they are not the run's."""
    name, run = table["model"].iloc[0], Run.of(folder, "02_train_backbone")
    run.suffix, run.study = name, dataclasses.replace(run.study, **settings)
    run.split()
    run.record(*(run.path("models", name, file) for file in ("weights.safetensors", "config.json")))
    run.save_predictions(table, name)


def fitted_on(folder: Path, *notebooks: str) -> Path:
    """The tables that notebooks 03b and 03c fit on what is there."""
    for notebook in notebooks or ("03b_melanoma", "03c_calibration"):
        run = Run.of(folder, notebook)
        scored = run.scored()
        if notebook == "03b_melanoma":
            run.table(melanoma.operating_points(scored, count=100), "operating_points")
        else:
            run.table(calibration.summary(scored, ["test"], count=100), "calibration")
            run.table(conformal.summary(scored[scored["model"] == "ensemble"], ["test"], count=100), "conformal")
    return folder


def evaluated(folder: Path, **counts: int) -> Path:
    """Predictions that were drawn, two images a lesion, of as many of each split, and the tables that are fitted on them."""
    counts = counts or {"val": 80, "test": 60}
    rows = pd.concat([drawn.rows(n, k, split, split[0].upper()) for k, (split, n) in enumerate(counts.items(), 1)], ignore_index=True)
    members = [drawn.table(name, rows, seed) for seed, name in enumerate(saved_study(folder).backbones)]
    return fitted_on(recorded(folder, rows.rename(columns={"y_true": "dx"}), members))


def bad_files(folder: Path) -> dict[Path, str]:
    """Each with words that are said of it."""
    [sound] = photographs(folder, "sound.jpg")
    (folder / "notes.txt").write_text("no image")
    (folder / "renamed.jpg").write_text("no image")
    (folder / "cut.jpg").write_bytes(sound.read_bytes()[:700])
    Image.new("L", (10_000, 6_000)).save(folder / "large.png")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    Image.new("RGB", (8, 8)).save(folder / "format.gif")
    (folder / "format.gif").rename(folder / "format.png")
    with (folder / "heavy.png").open("wb") as file:
        file.truncate(MEGABYTES * 2**20 + 1)
    said = {"notes.txt": "no image of a kind", "renamed.jpg": "holds none", "cut.jpg": "broken or incomplete",
            "large.png": "50 megapixels", "bomb.png": "50 megapixels", "format.png": "holds none", "heavy.png": "20 MB"}  # fmt: skip
    return {folder / name: words for name, words in said.items()}
