"""What has come of a file so far, beside where the whole will be; and the hashes of a whole one."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


class Part:
    """`target`.part, which grows, and `target`.part.json, which says of which version of the file it is."""

    def __init__(self, target: Path):
        self.target = target
        self.file = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes there are."""
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def version(self) -> str:
        """The version as the server named it; "" where it did not, or nothing has come."""
        try:
            return json.loads(self._note.read_text(encoding="utf-8"))["version"]
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def resumable(self, checked: bool, size: int | None) -> int:
        """Bytes to go on from: none where nothing would tell that two versions were spliced, or there are too many.

        All but one where all are there: the last is asked for again, as the answer tells whether the version is this.
        """
        if (self.version or checked) and (size is None or self.size < size):
            return self.size
        if self.version and self.size == size:
            return max(size - 1, 0)
        self.discard()
        return 0

    def begin(self, version: str) -> None:
        """Start anew, with this version."""
        self.discard()
        self._note.write_text(json.dumps({"version": version}), encoding="utf-8")
        self.file.touch()

    def take(self, chunks: Iterable[bytes], start: int) -> Iterator[int]:
        """Write `chunks` from byte `start` on; yields how many bytes there are after each."""
        with self.file.open("r+b") as file:
            file.seek(start)
            for chunk in chunks:
                file.write(chunk)
                yield file.tell()

    def finish(self) -> None:
        """Put the whole file in place."""
        os.replace(self.file, self.target)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget what has come."""
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def digests(file: Path) -> dict[str, str]:
    """SHA-256 and MD5 of a file, in hexadecimal, by `sha256` and `md5`."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
    return {"sha256": sha256.hexdigest(), "md5": md5.hexdigest()}
