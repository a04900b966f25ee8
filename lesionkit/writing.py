"""Files that are whole or not there."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def refuse_full(folder: Path) -> None:
    """Raises FileExistsError for a file, and for a folder that holds anything."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise FileExistsError(f"{folder}: is not empty; give a new or an empty folder, for nothing is overwritten")


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a temporary file of the same ending beside `path`, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.partial.{path.name}")  # machines may share the folder, and a pid
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
