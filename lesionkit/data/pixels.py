"""Pixels: every image is decoded and resized once into one memory-mapped uint8 array.

Training, inference and Grad-CAM all read from this store or call the same `decode`, so that an image looks
the same to a model wherever it meets it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from PIL import Image

from lesionkit.data import store
from lesionkit.data.records import PROBLEM_COLUMNS, problem_table

FITS = ("squash", "pad", "crop")
UNREADABLE = "unreadable image"  # a problem
REMEDY = "fetch the file again, or remove it together with its row"
_DECODER = 2  # raise it whenever decode() yields other pixels: stores made before are then rebuilt
_CHUNK = 4 * store.BLOCK  # images decoded between two writes: the most that an interruption loses


class UnreadableImage(OSError):
    """An image file that is missing, truncated or no image; the message names the file."""


def decode(path: Path, size: int, fit: str) -> np.ndarray:
    """An image file as uint8 RGB of shape (size, size, 3).

    `fit` brings a frame that is not square to a square: "squash" changes the aspect, "pad" adds black bars
    (black as a dermatoscope's own frame), "crop" keeps the central square. Resampling is always bilinear
    with antialiasing. EXIF orientation is ignored, as torchvision and fastai do: a lesion has no upright
    position, and lesion masks lie on the stored raster. Transparent pixels become black. A JPEG file is
    decoded at once at the smallest of 1/1, 1/2, 1/4 and 1/8 that the resampling need not enlarge: on average
    less than one grey level from the full decoding. Raises UnreadableImage, also for a truncated file.
    """
    check_fit(fit)
    with opened(path) as image:
        drafted = image.draft(None, _inside(*image.size, size) if fit == "pad" else (size, size))
        extent = drafted[1][2:] if drafted else None  # 450 rows at 1/4 lie in 113, but are 112.5
        return to_square(to_rgb(image), size, fit, extent)


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


def to_square(image: Image.Image, size: int, fit: str, extent: tuple[float, float] | None = None) -> np.ndarray:
    """An RGB image as uint8 (size, size, 3); `fit` as in `decode`.

    `extent` is the width and height of the picture in it, from the upper left, in pixels (default: all of it).
    """
    width, height = extent or image.size
    side, left, top = min(width, height), 0.0, 0.0
    if fit == "crop":
        left, top = (width - side) / 2, (height - side) / 2
        width = height = side
    target = _inside(width, height, size) if fit == "pad" else (size, size)
    box = (left, top, left + width, top + height)
    resized = image.resize(target, Image.Resampling.BILINEAR, box=box, reducing_gap=3)
    if target == (size, size):
        return np.asarray(resized)
    square = Image.new("RGB", (size, size), "black")
    square.paste(resized, (round((size - target[0]) / 2), round((size - target[1]) / 2)))
    return np.asarray(square)


def _inside(width: float, height: float, size: int) -> tuple[int, int]:
    """Width and height of a frame of this aspect that just fits into a square of side `size`."""
    longer = max(width, height)
    return max(round(width / longer * size), 1), max(round(height / longer * size), 1)


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
        """The store that build() left in `folder`; its size and a sample of its content are checked.

        Raises FileNotFoundError where there is none, ValueError where it is damaged.
        """
        return cls._of(*store.read(store.Files.of(folder, size, fit), size))

    @classmethod
    def _of(cls, images: np.ndarray, sidecar: dict[str, Any]) -> "Pixels":
        failures = pd.DataFrame(sidecar["failures"], columns=list(PROBLEM_COLUMNS)).astype(problem_table().dtypes)
        return cls(images, sidecar["image_ids"], failures, sidecar["fingerprint"])

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

    def of(self, image_ids: Iterable[str]) -> store.Rows:
        """These images, in their order, read only when they are indexed. Raises what `rows` raises."""
        return store.Rows(self.images, self.rows(image_ids))


def build(index: pd.DataFrame, root: Path, folder: Path, size: int, fit: str, workers: int | None = None,
          progress: Callable[[int, int], None] | None = None) -> Pixels:  # fmt: skip
    """Decode the images of `index` (its `image_id` and `path` below `root`) into a store in `folder`, and
    open it.

    A store made of the same files (ids, paths, sizes in bytes, times of change) is reused; any other one of
    this size and fit is replaced, since it is a cache. A build that was stopped goes on where it was. One process
    builds at a time, also of several machines on a shared folder; the others wait for its store. `workers`
    threads decode (default: one a core); `progress(done, total)` is called now and then. Images that cannot be
    decoded become zero rows and are listed in `failures`. Raises OSError where the store cannot be written.
    """
    if index.empty:
        raise ValueError("the index is empty: there are no images to decode")
    twice = index["image_id"].duplicated()
    if twice.any():
        raise ValueError(f"image {index.loc[twice, 'image_id'].iloc[0]!r} has several rows; keep one")
    paths = [Path(root) / path for path in index["path"]]
    files = store.Files.of(folder, size, fit)
    description = {"size": size, "fit": fit, "sources": _sources(index, paths)}
    if (pixels := _reusable(files, description)) is None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with FileLock(files.lock):
            if (pixels := _reusable(files, description)) is None:  # else another process has just built it
                partial = store.Partial(files, index["image_id"].tolist(), size, description)
                _fill(partial, index, paths, workers, progress)
                partial.finish()
                pixels = Pixels.open(folder, size, fit)
    return pixels


def _sources(index: pd.DataFrame, paths: list[Path]) -> str:
    """A hash of what a store is made from: ids, paths, and the sizes and times of the files."""
    digest = hashlib.blake2b(f"decoder {_DECODER}".encode(), digest_size=16)
    for image_id, relative, path in zip(index["image_id"], index["path"], paths):
        try:
            stat = os.stat(path)
        except OSError:  # it will be among the failures
            stat = None
        digest.update(repr((image_id, relative, stat and (stat.st_size, stat.st_mtime_ns))).encode())
    return digest.hexdigest()


def _reusable(files: store.Files, description: dict[str, Any]) -> Pixels | None:
    try:
        images, sidecar = store.read(files, description["size"])
    except (FileNotFoundError, ValueError):
        return None
    return Pixels._of(images, sidecar) if sidecar["sources"] == description["sources"] else None


def _fill(
    partial: store.Partial,
    index: pd.DataFrame,
    paths: list[Path],
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Decode what is missing in `partial`, a chunk at a time, while the chunk before is being written."""
    size, fit = partial.description["size"], partial.description["fit"]
    progress = progress or (lambda done, total: None)

    def load(row: int, target: np.ndarray) -> bool:
        try:
            target[:] = decode(paths[row], size, fit)
            return True
        except UnreadableImage:
            return False

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool, ThreadPoolExecutor(1) as writer:
        writing = writer.submit(int)  # nothing yet
        for start in range(partial.done, len(paths), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(paths)))
            chunk = np.zeros((len(rows), size, size, 3), np.uint8)
            loaded = pool.map(load, rows, chunk)  # in threads: Pillow works without the GIL
            failures = [_failure(index, row) for row, done in zip(rows, loaded) if not done]
            writing.result()
            writing = writer.submit(partial.append, chunk, failures)
            progress(start, len(paths))
        writing.result()
    progress(len(paths), len(paths))


def _failure(index: pd.DataFrame, row: int) -> dict:
    return {
        "image_id": index["image_id"].iloc[row],
        "file": index["path"].iloc[row],
        "problem": UNREADABLE,
        "remedy": REMEDY,
        "fatal": False,
    }
