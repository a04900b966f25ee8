"""The files of a pixel store: an array written block by block, and a JSON file beside it that says what it holds.

A build that is stopped at any moment leaves the array so far and a log of what is in it; the next one goes on from
there.
"""

import hashlib
import io
import json
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BLOCK = 64  # rows to a checksum; opening a store reads three blocks


class Files(NamedTuple):
    """Where the parts of one store are. `partial` and `log` are there only while it is unfinished."""

    array: Path
    sidecar: Path
    partial: Path
    log: Path
    lock: Path

    @classmethod
    def of(cls, folder: Path, size: int, *how: str) -> "Files":
        """The files of the store of this size in `folder`; `how`: fit, frame, colours, of which "keep" is not said."""
        stem = "_".join([f"{size}px", *(word for word in how if word != "keep")])
        names = f"{stem}.npy", f"{stem}.json", f"{stem}.partial", f"{stem}.partial.log", f".{stem}.lock"
        return cls(*(Path(folder) / name for name in names))


@dataclass(frozen=True)
class Rows:
    """Rows of a store as an array (n, size, size, 3) that stays on disk: an index of rows gives an array in memory."""

    images: np.ndarray
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.rows), *self.images.shape[1:]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        return self.images[self.rows[key]]


def read(files: Files, size: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The read-only, memory-mapped array (n, size, size, 3) of a finished store, and its sidecar.

    The first, the middle and the last block are checked against their checksums. Raises FileNotFoundError where
    there is no store, ValueError where it is damaged.
    """
    if not (files.array.exists() and files.sidecar.exists()):
        raise FileNotFoundError(f"no pixel store {files.array}; build it first")
    try:
        sidecar = json.loads(files.sidecar.read_text())
        images = np.load(files.array, mmap_mode="r")
        count, expected = len(sidecar["image_ids"]), images.offset + images.nbytes
        if images.shape != (count, size, size, 3) or images.dtype != np.uint8:
            raise ValueError(f"{images.dtype} {images.shape} for {count} images")
        if (found := files.array.stat().st_size) != expected:
            raise ValueError(f"{found:,} bytes instead of {expected:,}")
        if missing := {"sources", "fingerprint", "failures"} - sidecar.keys():
            raise ValueError(f"{files.sidecar.name} lacks {', '.join(sorted(missing))}")
        _check(images, sidecar["checksums"])
        return images, sidecar
    except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise ValueError(f"the pixel store {files.array} is damaged ({error}); delete it and build it again") from error


def _check(images: np.ndarray, checksums: list[int]) -> None:
    """Raises ValueError for the first of the blocks looked at that is not as it was written."""
    count = math.ceil(len(images) / BLOCK)
    if len(checksums) != count:
        raise ValueError(f"{len(checksums)} checksums for {count} blocks")
    for i in sorted({0, count // 2, count - 1}):
        if zlib.crc32(images[i * BLOCK : (i + 1) * BLOCK]) != checksums[i]:
            raise ValueError(f"the block at image {i * BLOCK:,} is not what was written")


class Partial:
    """A store being written: `done` of its rows are in the file, from this build or from one that was stopped.

    One process at a time may hold it. `description` goes into the sidecar as it is; if it is not that of what an
    earlier build left, this one starts anew.
    """

    def __init__(self, files: Files, image_ids: list[str], size: int, description: dict[str, Any]) -> None:
        self.files, self.image_ids, self.description = files, image_ids, description
        self.done, self.checksums, self.failures = 0, [], []
        self._row_bytes = size * size * 3
        self._header = _npy_header((len(image_ids), size, size, 3))
        self._digest = hashlib.blake2b("\n".join(image_ids).encode(), digest_size=16)
        with self._saying_what_to_do():
            self._take_up(_lines(files.log))

    def append(self, rows: np.ndarray, failures: list[dict[str, Any]]) -> None:
        """Write the next rows (n, size, size, 3), uint8; n is a multiple of BLOCK but at the end.

        Raises OSError, for instance where the disk is full; what was written before stays.
        """
        entry = {"rows": len(rows), "checksums": _checksums(rows, self._row_bytes), "failures": failures}
        with self._saying_what_to_do():
            with self.files.partial.open("ab") as file:
                file.write(rows)
            with self.files.log.open("a") as log:
                log.write(json.dumps(entry) + "\n")
        self._count(rows, entry)

    def finish(self) -> None:
        """Put the array and its sidecar in place of any other store of this size and fit."""
        array, sidecar, partial, log, _ = self.files
        content = self.description | {
            "fingerprint": self._digest.hexdigest(),
            "failures": self.failures,
            "checksums": self.checksums,
            "image_ids": self.image_ids,
        }
        with self._saying_what_to_do():
            with partial.open("rb") as file:
                os.fsync(file)  # or a power cut may leave holes where opening does not look
            _write(sidecar.with_suffix(".json.partial"), json.dumps(content, indent=0))
            sidecar.unlink(missing_ok=True)  # first: an interruption must not leave it beside another array
            os.replace(partial, array)
            os.replace(sidecar.with_suffix(".json.partial"), sidecar)
            log.unlink()

    def _take_up(self, entries: list[dict[str, Any]]) -> None:
        """Count in the rows of an earlier build, as far as they are whole and of the same images; drop the rest."""
        partial, kept = self.files.partial, [self.description]
        if entries[:1] == kept and partial.exists():
            with partial.open("rb") as file:
                for entry in entries[1:] if file.read(len(self._header)) == self._header else []:
                    rows = file.read(entry["rows"] * self._row_bytes)
                    if _checksums(rows, self._row_bytes) != entry["checksums"]:
                        break
                    self._count(rows, entry)
                    kept.append(entry)
        if self.done:
            os.truncate(partial, len(self._header) + self.done * self._row_bytes)
        else:
            partial.write_bytes(self._header)
        _write(self.files.log, "".join(json.dumps(entry) + "\n" for entry in kept))

    def _count(self, rows: np.ndarray | bytes, entry: dict[str, Any]) -> None:
        self._digest.update(rows)
        self.done += entry["rows"]
        self.checksums += entry["checksums"]
        self.failures += entry["failures"]

    @contextmanager
    def _saying_what_to_do(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            missing = (len(self.image_ids) - self.done) * self._row_bytes / 1e6
            message = (
                f"the pixel store {self.files.array} could not be written ({error.strerror}) after {self.done:,} of "
                f"{len(self.image_ids):,} images; make room for {missing:,.0f} MB and start again: it goes on there"
            )
            raise OSError(error.errno, message) from error


def _npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _checksums(rows: np.ndarray | bytes, row_bytes: int) -> list[int]:
    view = memoryview(rows).cast("B")
    return [zlib.crc32(view[i : i + BLOCK * row_bytes]) for i in range(0, len(view), BLOCK * row_bytes)]


def _lines(log: Path) -> list[dict[str, Any]]:
    """The entries of a log, without a last one that was cut short; none if there is no log."""
    entries = []
    for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


def _write(file: Path, text: str) -> None:
    """Write `file` at once or not at all."""
    temporary = file.with_name(file.name + ".new")
    temporary.write_text(text)
    os.replace(temporary, file)
