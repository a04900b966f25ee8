"""How a run was made: versions, commit and machine of each step, its data, its hours and its energy."""

import csv
import platform
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import lesionkit
from lesionkit import machine
from lesionkit.study import Study

LIBRARIES = ("torch", "timm", "fastai", "scikit-learn", "numpy", "pandas", "matplotlib", "seaborn", "papermill")


@cache
def environment() -> dict[str, str]:
    """Versions, commit and machine of this process, without names of people, hosts or folders."""
    made = {"lesionkit": lesionkit.__version__, "commit": _commit(), "Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            made[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {key: value for key, value in (made | machine.hardware()).items() if value}


def by_environment(manifest: Mapping[str, Any], steps: Sequence[str]) -> dict[str, list[str]]:
    """The steps by the key of the environment that they were made in; "" for those that do not say."""
    groups: dict[str, list[str]] = {}
    for step in steps:
        groups.setdefault(manifest["steps"].get(step, {}).get("environment", ""), []).append(step)
    return groups


def environments(manifest: Mapping[str, Any], steps: Sequence[str]) -> list[tuple[str, Mapping[str, str]]]:
    """What the steps were made in, each with the steps that say so; the report's own where a step does not."""
    groups = by_environment(manifest, steps)
    unknown = groups.pop("", [])
    known = [(names, manifest["environments"][key]) for key, names in groups.items()]
    if len(known) == 1 and not unknown:
        return [("Environment", known[0][1])]
    found = [(f"Environment of {', '.join(names)}", made) for names, made in known]
    return found or [("Environment of this page; its steps have left no note of theirs", environment())]


def data(study: Study, folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Fingerprints (BLAKE2b) of what the run was made from, and how many images and lesions each side has."""
    images = manifest["steps"].get("01_eda", {}).get("parts", {}).get("images")
    hashes = {f"hash of {name}": manifest["artifacts"].get(f"splits/{name}", {}).get("hash")
              for name in ("index.csv", "split.csv")}  # fmt: skip
    found = {"study": study.fingerprint(), "hash of the images": images, **hashes, **_counts(folder / "splits" / "split.csv")}
    return {key: value for key, value in found.items() if value}


def _counts(split: Path) -> dict[str, str]:
    if not split.exists():
        return {}
    with split.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    sides = {}
    for row in rows:
        sides.setdefault((row["split"], row.get("dataset", "")), []).append(row["lesion_id"])
    return {
        " ".join(filter(None, side)): f"{len(lesions):,} images of {len(set(lesions)):,} lesions"
        for side, lesions in sides.items()
    }


def hours(runs: Sequence[Mapping[str, Any]]) -> str:
    """The time that the last runs of the steps took, in all."""
    seconds = sum(run["seconds"] for run in runs)
    return f"{seconds / 3600:.2f} hours" if seconds else "not known"


def used(runs: Sequence[Mapping[str, Any]]) -> str:
    """The energy of the last runs of the steps, in words; why it is not known where it is not."""
    known = [run["kwh"] for run in runs if run.get("kwh") is not None]
    if not known:
        return ("was not measured: codecarbon (pip install 'lesionkit[energy]') was not there when these steps ran, or they ran "
                "beside others")  # fmt: skip
    part = "" if len(known) == len(runs) else f" in {len(known)} of {len(runs)} steps"
    return f"for the whole machine{part}, as codecarbon measures or estimates it: {sum(known):.3g} kWh"


def _commit() -> str:
    """The last commit that changed the package, and whether files differ from it; empty outside its repository."""

    def git(*words: str) -> str:
        here = Path(lesionkit.__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("log", "-1", "--format=%h", "--abbrev=12", "--", ".")
        return commit + " with changes" * bool(commit and git("status", "--porcelain", "."))
    except (OSError, subprocess.CalledProcessError):
        return ""
