"""Pixels: every image is decoded and resized once into one memory-mapped uint8 array.

Training, inference and Grad-CAM all read from this store or call the same `decode`, so that an image looks
the same to a model wherever it meets it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from lesionkit.data.records import PROBLEM_COLUMNS, problem_table

FITS = ("squash", "pad", "crop")
REMEDY = "fetch the file again, or remove it together with its row"
_DECODER = 1  # raise it whenever decode() yields other pixels: stores made before are then rebuilt
_CHUNK = 256  # images between two reports of progress


class UnreadableImage(OSError):
    """An image file that is missing, truncated or no image; the message names the file."""


def decode(path: Path, size: int, fit: str) -> np.ndarray:
    """An image file as uint8 RGB of shape (size, size, 3).

    `fit` brings a frame that is not square to a square: "squash" changes the aspect, "pad" adds black bars
    (black as a dermatoscope's own frame), "crop" keeps the central square. Resampling is always bilinear
    with antialiasing. EXIF orientation is ignored, as torchvision and fastai do: a lesion has no upright
    position, and lesion masks lie on the stored raster. Transparent pixels become black. Raises
    UnreadableImage, also for a truncated file.
    """
    check_fit(fit)
    with opened(path) as image:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 at once; both sides stay >= 2 size for the resampling.
        image.draft(None, (2 * size, 2 * size))
        return to_square(to_rgb(image), size, fit)


def check_fit(fit: str) -> None:
    """Raises ValueError for a `fit` that is none."""
    if fit not in FITS:
        raise ValueError(f"fit must be one of {', '.join(FITS)}, not {fit!r}")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image file, open; what fails within the `with` is raised as UnreadableImage."""
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: unreadable image ({error}); {REMEDY}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB; transparent pixels become black."""
    if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("RGB")


def to_square(image: Image.Image, size: int, fit: str) -> np.ndarray:
    """An RGB image as uint8 (size, size, 3); `fit` as in `decode`."""
    if fit == "pad":
        return np.asarray(ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, color="black"))
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side) if fit == "crop" else None
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=3))


@dataclass(frozen=True)
class Pixels:
    """An open store. `images`: read-only uint8 (n, size, size, 3), a row an id of `image_ids`.

    `failures` lists the images that could not be decoded (their rows are zero). `fingerprint` hashes the
    ids and all pixel values.
    """

    images: np.ndarray
    image_ids: list[str]
    failures: pd.DataFrame
    fingerprint: str

    @classmethod
    def open(cls, folder: Path, size: int, fit: str) -> "Pixels":
        """The store that build() left in `folder`.

        Raises FileNotFoundError where there is none, ValueError where it is damaged.
        """
        array_file, sidecar_file = _files(folder, size, fit)
        if not (array_file.exists() and sidecar_file.exists()):
            raise FileNotFoundError(f"no pixel store {array_file}; build it first")
        try:
            sidecar = json.loads(sidecar_file.read_text())
            images = np.load(array_file, mmap_mode="r")
            ids = sidecar["image_ids"]
            if images.shape != (len(ids), size, size, 3) or images.dtype != np.uint8:
                raise ValueError(f"{images.dtype} {images.shape} for {len(ids)} images")
            failures = pd.DataFrame(sidecar["failures"], columns=list(PROBLEM_COLUMNS))
            return cls(images, ids, failures.astype(problem_table().dtypes), sidecar["fingerprint"])
        except (ValueError, KeyError, EOFError) as error:
            message = f"the pixel store {array_file} is damaged ({error}); delete it and build it again"
            raise ValueError(message) from error

    def rows(self, image_ids: Iterable[str]) -> np.ndarray:
        """The rows (int64) of these images in `images`, in their order.

        Raises KeyError with the first id that is not in the store.
        """
        wanted = pd.Index(list(image_ids), dtype=object)
        rows = pd.Index(self.image_ids, dtype=object).get_indexer(wanted)
        if (rows < 0).any():
            raise KeyError(
                f"image {wanted[rows < 0][0]!r} is not in the pixel store; build it from an index that holds the image"
            )
        return rows.astype(np.int64)


def build(index: pd.DataFrame, root: Path, folder: Path, size: int, fit: str, workers: int | None = None,
          progress: Callable[[int, int], None] | None = None) -> Pixels:  # fmt: skip
    """Decode the images of `index` (its `image_id` and `path` below `root`) into a store in `folder`, and
    open it.

    A store made of the same files (ids, paths, sizes in bytes, times of change) is reused; any other one of
    this size and fit is replaced, since it is a cache. `workers` threads decode (default: one a core);
    `progress(done, total)` is called now and then. Images that cannot be decoded become zero rows and are
    listed in `failures`.
    """
    if index.empty:
        raise ValueError("the index is empty: there are no images to decode")
    twice = index["image_id"].duplicated()
    if twice.any():
        raise ValueError(f"image {index.loc[twice, 'image_id'].iloc[0]!r} has several rows; keep one")
    folder, paths = Path(folder), [Path(root) / path for path in index["path"]]
    sources = _sources(index, paths)
    if (pixels := _reusable(folder, size, fit, sources)) is not None:
        return pixels
    folder.mkdir(parents=True, exist_ok=True)
    array_file, sidecar_file = _files(folder, size, fit)
    temporary = array_file.with_suffix(f".{os.getpid()}.partial")
    try:
        failures, fingerprint = _fill(temporary, index, paths, size, fit, workers, progress)
        sidecar = {
            "size": size,
            "fit": fit,
            "sources": sources,
            "fingerprint": fingerprint,
            "failures": failures,
            "image_ids": index["image_id"].tolist(),
        }
        sidecar_file.unlink(missing_ok=True)  # first: an interruption must not leave it beside another array
        os.replace(temporary, array_file)
        temporary.write_text(json.dumps(sidecar, indent=0))
        os.replace(temporary, sidecar_file)
    finally:
        temporary.unlink(missing_ok=True)
    return Pixels.open(folder, size, fit)


def _files(folder: Path, size: int, fit: str) -> tuple[Path, Path]:
    stem = Path(folder) / f"{size}px_{fit}"
    return stem.with_suffix(".npy"), stem.with_suffix(".json")


def _sources(index: pd.DataFrame, paths: list[Path]) -> str:
    """A hash of what a store is made from: ids, paths, and the sizes and times of the files."""
    digest = hashlib.blake2b(f"decoder {_DECODER}".encode(), digest_size=16)
    for image_id, relative, path in zip(index["image_id"], index["path"], paths):
        stat = path.stat() if path.exists() else None
        digest.update(repr((image_id, relative, stat and (stat.st_size, stat.st_mtime_ns))).encode())
    return digest.hexdigest()


def _reusable(folder: Path, size: int, fit: str, sources: str) -> Pixels | None:
    try:
        pixels = Pixels.open(folder, size, fit)
    except (FileNotFoundError, ValueError):
        return None
    stored = json.loads(_files(folder, size, fit)[1].read_text())["sources"]
    return pixels if stored == sources else None


def _fill(
    file: Path,
    index: pd.DataFrame,
    paths: list[Path],
    size: int,
    fit: str,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[dict], str]:
    """Decode all of `paths` into the .npy `file`; returns the failures and the fingerprint."""
    images = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(len(paths), size, size, 3))
    digest = hashlib.blake2b("\n".join(index["image_id"]).encode(), digest_size=16)
    failures = []

    def load(row: int) -> str | None:
        try:
            images[row] = decode(paths[row], size, fit)
        except UnreadableImage:
            return paths[row].as_posix()

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:  # threads: Pillow works without the GIL
        for start in range(0, len(paths), _CHUNK):
            chunk = range(start, min(start + _CHUNK, len(paths)))
            failures += [_failure(index, row) for row, failed in zip(chunk, pool.map(load, chunk)) if failed]
            digest.update(images[chunk.start : chunk.stop])
            if progress:
                progress(chunk.stop, len(paths))
    images.flush()
    return failures, digest.hexdigest()


def _failure(index: pd.DataFrame, row: int) -> dict:
    return {
        "image_id": index["image_id"].iloc[row],
        "file": index["path"].iloc[row],
        "problem": "unreadable image",
        "remedy": REMEDY,
        "fatal": False,
    }
