"""The folder that `lesionkit export` leaves, as whoever uses it meets it: are its models still the exported ones?"""

import hashlib
import json
from pathlib import Path

ABOUT = "lesionkit.json"
NEEDED = ("study.json", "models/")  # what predictions come from; model card and ONNX files may be changed or left out


def sha256(file: Path) -> str:
    """As `sha256sum` and the Hugging Face Hub show it."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def check(folder: Path) -> None:
    """Raises ValueError for a file that predictions come from and that is not as it was exported.

    Does nothing in the folder of a run, which has no lesionkit.json.
    """
    about = Path(folder) / ABOUT
    if not about.exists():
        return
    files = json.loads(about.read_text(encoding="utf-8"))["files"]
    for name in (name for name in files if name.startswith(NEEDED)):
        file = Path(folder) / name
        if not file.is_file():
            raise ValueError(f"{file} is missing: copy or download the exported folder again")
        if (found := sha256(file)) != files[name]:
            raise ValueError(
                f"{file} is not the file that was exported: its SHA-256 is {found[:12]}…, and {ABOUT} says "
                f"{files[name][:12]}…; copy or download the exported folder again"
            )
