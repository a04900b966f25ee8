"""What files hold, as hashes; no file that has not changed is read twice."""

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lesionkit.data.listing import walk
from lesionkit.workbook.manifest import file_hash
from lesionkit.writing import write_atomically

MANY = 5000  # files that take long enough to say so


class Hashes:
    """Content hashes of files, remembered by size and time of change, so that nothing unchanged is read twice."""

    def __init__(self, file: Path):
        self.file, self.changed, self.folders = file, False, {}
        try:
            self.known: dict[str, list] = json.loads(file.read_text())
        except (OSError, ValueError):  # a cache: lost at no harm
            self.known = {}

    def of(self, path: Path | str) -> str | None:
        """The hash of a file's bytes; None where there is no file."""
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            return None
        size, time, value = self.known.get(str(path), (None, None, ""))
        if (size, time) != (stat.st_size, stat.st_mtime_ns):
            value = file_hash(Path(path))
            self.known[str(path)], self.changed = [stat.st_size, stat.st_mtime_ns, value], True
        return value

    def of_folder(self, folder: Path | None) -> str | None:
        """One hash of names and contents of all files below; None where there is no folder. Looked up once a step."""
        if folder is None or not folder.is_dir():
            return None
        if folder not in self.folders:
            below = walk(folder, unlisted=None)
            files = sorted(os.path.join(folder, prefix, name) for prefix, names in below for name in names)
            if (new := sum(file not in self.known for file in files)) > MANY:
                print(f"reading {new:,} new files in {folder} once, to know when they change", file=sys.stderr)
                with ThreadPoolExecutor() as pool:  # hashing releases Python's lock
                    list(pool.map(self.of, files))
            start = len(str(folder))
            self.folders[folder] = short_hash("\n".join(f"{file[start:]} {self.of(file)}" for file in files))
        return self.folders[folder]

    def save(self) -> None:
        if self.changed:
            write_atomically(self.file, lambda path: path.write_text(json.dumps(self.known)))
            self.changed = False


def short_hash(text: str) -> str:
    """16 hexadecimal digits of BLAKE2b."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
