"""Pixels: every image is decoded and resized once into one memory-mapped uint8 array.

Training, inference and Grad-CAM all read from this store or call the same `decode`, so that an image looks
the same to a model wherever it meets it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from lesionkit import sources
from lesionkit.data import store
from lesionkit.data.decoding import REMEDY, Input, UnreadableImage, decode
from lesionkit.data.records import PROBLEM_COLUMNS, problem_table

UNREADABLE = "unreadable image"  # a problem
_DECODER = f"from {decode.__module__} import {decode.__name__}"  # other code of it may give other pixels
_CHUNK = 4 * store.BLOCK  # images decoded between two writes: the most that an interruption loses


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
    def open(cls, folder: Path, size: int, *how: str) -> "Pixels":
        """The store that build() left in `folder`; size and `how` (fit, frame, colours) as there.

        Its size and a sample of its content are checked.

        Raises FileNotFoundError where there is none, ValueError where it is damaged.
        """
        return cls._of(*store.read(store.Files.of(folder, size, *how), size))

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


def build(index: pd.DataFrame, root: Path, folder: Path, size: int, *how: str, workers: int | None = None,
          progress: Callable[[int, int], None] | None = None) -> Pixels:  # fmt: skip
    """Decode the images of `index` (its `image_id` and `path` below `root`) into a store in `folder`, and
    open it. size and `how` (fit, frame, colours) as for `decode`: `*Input.of(study)`.

    A store made of the same files (ids, paths, sizes in bytes, times of change) by the same code is reused; any
    other one of this size and fit is replaced, since it is a cache. A build that was stopped goes on where it was. One process
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
    seen = Input(size, *how)
    files = store.Files.of(folder, *seen)
    description = {**seen._asdict(), "sources": _sources(index, paths)}
    if (pixels := _reusable(files, description)) is None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with FileLock(files.lock):
            if (pixels := _reusable(files, description)) is None:  # else another process has just built it
                partial = store.Partial(files, index["image_id"].tolist(), size, description)
                _fill(partial, index, paths, workers, progress)
                partial.finish()
                pixels = Pixels.open(folder, *seen)
    return pixels


def _sources(index: pd.DataFrame, paths: list[Path]) -> str:
    """A hash of what a store is made from: ids, paths, the sizes and times of the files, and the code that decodes them."""
    code = sources.code_hash(sources.modules_used(_DECODER))
    digest = hashlib.blake2b(f"decoder {code}".encode(), digest_size=16)
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
    seen = Input.of(partial.description)
    progress = progress or (lambda done, total: None)

    def load(row: int, target: np.ndarray) -> bool:
        try:
            target[:] = decode(paths[row], *seen)
            return True
        except UnreadableImage:
            return False

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool, ThreadPoolExecutor(1) as writer:
        writing = writer.submit(int)  # nothing yet
        for start in range(partial.done, len(paths), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(paths)))
            chunk = np.zeros((len(rows), seen.size, seen.size, 3), np.uint8)
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
