"""A run to try, with models that nobody has trained, and files that get no answer."""

from pathlib import Path

import numpy as np
import pandas as pd
from explain.saved import photographs, saved_run
from PIL import Image
from scipy.special import softmax

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions
from lesionkit.workbook.app.answers import MEGABYTES

SIZES = {"baseline_cnn": 32, "test_resnet": 64}
COUNTS = {"val": 140, "test": 70, "external": 70}


def tried_run(folder: Path) -> Path:
    """Its predictions are drawn: one model is surer than the other; two images a lesion."""
    saved_run(folder, SIZES, tta=8, phantoms=9)
    n, rng = sum(COUNTS.values()), np.random.default_rng(0)
    y = np.arange(n) % 7
    rows = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "lesion_id": [f"l{k // 14}_{k % 7}" for k in range(n)],
                         "dataset": "toy", "split": np.repeat(list(COUNTS), list(COUNTS.values())), "dx": np.take(CLASSES, y)})  # fmt: skip
    for sure, name in zip((2, 1), SIZES):
        p = softmax(rng.normal(0, 1, (n, 7)) + sure * np.eye(7)[y], axis=1)
        predictions.write(predictions.build(rows, p, name), folder / "predictions" / f"{name}.parquet")
    return folder


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
