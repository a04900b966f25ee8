"""Image files for the benchmark, and how fast they are decoded."""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lesionkit.data import decoding, phantoms, pixels

FRAME, QUALITY = (600, 450), 95  # of HAM10000's frames; its own files are larger, about 270 KB
NOISE = 6.3  # grey levels: with it a file of quality 95 has about 110 KB
DRAWN = 128  # px, the phantoms before they are enlarged


def write_files(folder: Path, images: int, seed: int = 0) -> pd.DataFrame:
    """Write `images` JPEG files of 600×450 px below `folder`, a folder a class: phantoms, enlarged, with a sensor's noise of their own.

    Returns the index: image_id, dx, path below `folder`. The same seed gives the same pixels.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "phantoms"
        phantoms.write(source, phantoms.FEWEST, DRAWN, seed)
        labels = pd.read_csv(source / "HAM10000_metadata.csv")
        frames = [_enlarged(source / "HAM10000_images" / f"{name}.jpg") for name in labels["image_id"]]
    order = np.arange(images) % len(frames)
    index = pd.DataFrame({"image_id": [f"image{i:05d}" for i in range(images)], "dx": labels["dx"].to_numpy()[order]})
    index["path"] = index["dx"] + "/" + index["image_id"] + ".jpg"
    for dx in index["dx"].unique():
        (folder / dx).mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(index["path"]):
        noise = np.random.default_rng([seed, i]).normal(0, NOISE, frames[0].shape)
        picture = (frames[order[i]] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / path, quality=QUALITY)
    return index


def _enlarged(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize(FRAME, Image.Resampling.BICUBIC), np.float32)


def decode_rates(index: pd.DataFrame, root: Path, store: Path, size: int, rounds: int) -> dict[str, float]:
    """Images a second decoded as the store decodes them, with PIL's open and resize in as many threads, and into a new store.

    In turns; leaves a pixel store at `store`. decode_to_pil is the median of the rounds' ratios.
    """
    paths, rates = [root / path for path in index["path"]], []
    for i in range(rounds):
        folder = store.with_name(f"{store.name}{i}") if i else store
        ours = _seconds(lambda: _each(paths, lambda path: decoding.decode(path, size, "squash")))
        pil = _seconds(lambda: _each(paths, lambda path: _opened_and_resized(path, size)))
        built = _seconds(lambda folder=folder: pixels.build(index, root, folder, size, "squash"))
        rates.append(len(paths) / np.array([ours, pil, built]))
    ours, pil, built = np.array(rates).T
    names = {"decode": ours, "decode_pil": pil, "decode_to_pil": ours / pil, "store": built}
    return {name: float(np.median(values)) for name, values in names.items()}


def _opened_and_resized(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size)))


def _each(paths: list[Path], load: Callable[[Path], np.ndarray]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(load, paths):
            pass


def _seconds(function: Callable) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
