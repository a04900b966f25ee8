"""The folder of a run or of `lesionkit export`, as whoever uses its models meets it: are they still the exported ones?"""

import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lesionkit.evidence.mixtures import Mixture

ABOUT = "lesionkit.json"
FORMAT = 3  # of ABOUT, that is written and read
ENSEMBLE = "models/ensemble.csv"  # the members' shares and temperatures, where they are fitted
NEEDED = ("study.json", "models/")  # what predictions come from; model card and ONNX files may be changed or left out
AGAIN = "copy or download the exported folder again"


def sha256(file: Path) -> str:
    """As `sha256sum` and the Hugging Face Hub show it."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sha256_of(numbers: Mapping[str, Any]) -> str:
    """Of what JSON holds, wherever it stands and however it is laid out."""
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def read(folder: Path) -> dict[str, Any]:
    """The lesionkit.json of an exported folder. Raises ValueError for one that another version has written."""
    file = Path(folder) / ABOUT
    about = json.loads(file.read_text(encoding="utf-8"))
    if about.get("format") != FORMAT:
        raise ValueError(f"{file} has format {about.get('format')}, and this lesionkit reads format {FORMAT}: export the run "
                         "again with it, or use the lesionkit that exported it")  # fmt: skip
    return about


def study(folder: Path) -> dict[str, Any]:
    """The settings of the study that made a run. Raises FileNotFoundError where none did, ValueError as `check`."""
    file = Path(folder) / "study.json"
    if not file.exists():
        raise FileNotFoundError(
            f"no study.json in {folder}: give the folder of a run, such as outputs/demo, or run the study first"
        )
    check(folder)
    return json.loads(file.read_text())


def mixture(folder: Path) -> "Mixture":
    """What the ensemble is of the members of a run, whose models are checked already.

    Raises FileNotFoundError where that is not fitted yet, ValueError where it was fitted for other members.
    """
    from lesionkit.evidence.mixtures import Mixture  # pandas: --help does without

    settings, file = json.loads((Path(folder) / "study.json").read_text()), Path(folder) / ENSEMBLE
    if settings.get("ensemble", "mean") == "mean":
        return Mixture.equal(settings["backbones"])
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: it holds the members' shares in the ensemble; run notebook 03_ensemble")
    with file.open(newline="", encoding="utf-8") as rows:
        fitted = list(csv.DictReader(rows))
    found = {row["model"]: float(row["share"]) for row in fitted}
    if {*found} != {*settings["backbones"]}:
        raise ValueError(
            f"{file} is of {', '.join(found)}, and the study has {', '.join(settings['backbones'])}: run notebook 03_ensemble again"
        )
    return Mixture(found, {row["model"]: float(row.get("temperature", 1)) for row in fitted})


def check(folder: Path) -> None:
    """Raises ValueError for a folder without models of its own, and where what answers come from is not as it was exported.

    That is the files of the models, and the numbers of their ensemble. The folder of a run, which has no lesionkit.json,
    is taken as it is.
    """
    folder = Path(folder)
    if json.loads((folder / "study.json").read_text(encoding="utf-8")).get("given"):
        raise ValueError(f"{folder} holds what evaluate or validate made of predictions, and no models: give the folder of a run "
                         "that has trained some, such as outputs/demo")  # fmt: skip
    if not (folder / ABOUT).exists():
        return
    about = read(folder)
    for name, expected in about["files"].items():
        if name.startswith(NEEDED):
            _compare(folder / name, expected)
    if sha256_of(about["ensemble"]) != about["ensemble_sha256"]:
        raise ValueError(f"{folder / ABOUT}: the numbers of the ensemble are not those that were exported; {AGAIN}")


def _compare(file: Path, expected: str) -> None:
    if not file.is_file():
        raise ValueError(f"{file} is missing: {AGAIN}")
    if (found := sha256(file)) != expected:
        raise ValueError(f"{file} is not the file that was exported: its SHA-256 is {found[:12]}…, and {ABOUT} says "
                         f"{expected[:12]}…; {AGAIN}")  # fmt: skip
