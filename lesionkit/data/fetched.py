"""`fetched.json` in a folder: what was fetched of which release, and whether all of it is still there as it came.

Release -> source -> file -> `from`, `when`, `by_hand`, `bytes`, `sha256`, `md5`; `compared`, a key of COMPARED; and
`contents`, bytes and CRC-32 by path, once it is unpacked.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lesionkit.data import unpacking
from lesionkit.data.unpacking import Contents, listed
from lesionkit.writing import write_atomically

RECORD = "fetched.json"
COMPARED = {  # with what is published, in words
    "md5": "MD5 as published",
    "no hash": "no hash is published: its SHA-256 is noted",
    "not yet": "not compared: {host} did not answer",
}

Entry = dict[str, Any]


class FetchError(Exception):
    """A release that is not fetched: what happened, and how to go on, also by hand."""


def read(folder: Path, release: str, host: str) -> dict[str, Entry]:
    """The entries of a release from a source, by the files' names. Raises FetchError for a record that is damaged."""
    return _read(folder / RECORD).get(release, {}).get(host, {})


def note(folder: Path, release: str, host: str, name: str, entry: Entry) -> None:
    """Put an entry into the record, in place of any that it had of this file."""
    record = _read(folder / RECORD)
    record.setdefault(release, {}).setdefault(host, {})[name] = entry
    write_atomically(folder / RECORD, lambda path: path.write_text(json.dumps(record, indent=1), encoding="utf-8"))


def written(contents: Contents) -> dict[str, str]:
    """Contents as an entry has them."""
    return {path: f"{size} {crc:08x}" for path, (size, crc) in contents.items()}


def whole(folder: Path, name: str, entry: Entry | None, progress: Callable[[str, int, int | None], None]) -> bool:
    """Whether what an entry says is all there. Raises FetchError where something differs from what came."""
    if entry is None or "contents" not in entry:
        return False
    missing, differing = unpacking.compare(
        folder, _contents(entry), lambda done, total: progress(f"checking {name}", done, total)
    )
    if differing:
        raise FetchError(
            f"{listed(differing)}: in {folder} and other than fetched on {entry['when'][:10]}. Move or delete what is "
            "there: nothing is overwritten. The same command then fetches it again"
        )
    return not missing


def _read(file: Path) -> dict[str, dict[str, dict[str, Entry]]]:
    """The record, every entry of it sound; empty where there is none."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        for entry in (entry for hosts in record.values() for files in hosts.values() for entry in files.values()):
            _check(entry)
        return record
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        raise FetchError(
            f"{file} cannot be read ({type(error).__name__}: {error}). Delete it: what is there is then compared anew"
        ) from error


def _check(entry: Entry) -> None:
    for key, kind in (("when", str), ("by_hand", bool), ("bytes", int), ("sha256", str), ("md5", str)):
        if not isinstance(entry[key], kind):
            raise TypeError(f"{key} is {entry[key]!r}")
    COMPARED[entry.get("compared", "no hash")]
    _contents(entry)


def _contents(entry: Entry) -> Contents:
    pairs = ((path, text.split()) for path, text in entry.get("contents", {}).items())
    return {path: (int(size), int(crc, 16)) for path, (size, crc) in pairs}
