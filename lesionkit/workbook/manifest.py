"""manifest.json of a run: what made each file, which steps are done, and on which machine and versions."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

from lesionkit.writing import write_atomically


def update_manifest(folder: Path, section: str, entries: dict[str, Any]) -> None:
    """Lay `entries` over a section of manifest.json, one writer at a time."""
    with FileLock(folder / ".manifest.lock"):
        manifest = read_manifest(folder)
        manifest[section] = dict(sorted((manifest[section] | entries).items()))
        write_atomically(folder / "manifest.json", lambda path: path.write_text(json.dumps(manifest, indent=1)))


def cut_manifest(folder: Path, section: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Take entries out of a section of manifest.json, one writer at a time; returns what is left."""
    with FileLock(folder / ".manifest.lock"):
        manifest = read_manifest(folder)
        if gone := manifest[section].keys() & set(names):
            manifest[section] = {name: entry for name, entry in manifest[section].items() if name not in gone}
            write_atomically(folder / "manifest.json", lambda path: path.write_text(json.dumps(manifest, indent=1)))
        return manifest


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """manifest.json: `artifacts` by path, `steps` by name, `environments` of steps by hash; empty where there is none."""
    file = folder / "manifest.json"
    return {"artifacts": {}, "environments": {}, "steps": {}} | (json.loads(file.read_text()) if file.exists() else {})


def file_hash(path: Path) -> str:
    """BLAKE2b of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
