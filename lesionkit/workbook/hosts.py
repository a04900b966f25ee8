"""Colab and Kaggle: which of them this is, where attached images lie, and where results are kept."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path("/")
VARIABLES = {  # of the environment; Kaggle builds on Colab's image, so it is asked for first
    "Kaggle": ("KAGGLE_KERNEL_RUN_TYPE", "KAGGLE_URL_BASE"),
    "Colab": ("COLAB_RELEASE_TAG", "COLAB_GPU"),
}
KEPT = "../outputs"  # the notebooks' parameter `out` where nobody has set it
DATA_SETS = ("kaggle/input/*", "kaggle/input/datasets/*/*", "content/*", "content/drive/MyDrive/*")
SESSIONS = ("kaggle/input/*", "kaggle/input/notebooks/*/*", "kaggle/input/datasets/*/*")  # left by a session, or uploaded
BROUGHT = ".brought"  # in a run's folder: which session it is a copy of
NO_RESULTS = ("study.json", "data.txt", "cache")  # what is in a run's folder before a notebook has made anything
NO_DATA_SETS = ("competitions", "datasets", "drive", "models", "notebooks")  # folders of folders
LABELS = re.compile(r"ham10000_metadata.*|(isic.?201[89].*training_)?groundtruth\.csv", re.IGNORECASE)
DEEP = 3  # levels of folders below a data set's that may hold its labels
LINKS = "lesionkit_images_"  # begins the names of folders of links
OUTLINES = "HAM10000_segmentations_lesion_tschandl"
ATTACH = {
    "Kaggle": "attach HAM10000 and ISIC 2019 (Add Input), or ",
    "Colab": "put HAM10000 and ISIC 2019 into folders of /content or of a mounted Drive, or ",
}
GPU = {"Kaggle": "Settings → Accelerator", "Colab": "Runtime → Change runtime type"}
DRIVE = "mount a Drive before this cell: from google.colab import drive; drive.mount('/content/drive')"


def where() -> str:
    """Kaggle, Colab, or "" for any other machine."""
    return next((host for host, names in VARIABLES.items() if any(name in os.environ for name in names)), "")


def results(out: str) -> Path:
    """The folder `out`. On a host a notebook's default is where files are kept, unless the repository lies about it."""
    if out != KEPT or not where() or Path(out).with_name("notebooks").is_dir():
        return Path(out).resolve()
    colab = _drive() / "lesionkit" if _drive().is_dir() else ROOT / "content"
    return {"Kaggle": ROOT / "kaggle/working", "Colab": colab}[where()] / "outputs"


def images() -> Path | None:
    """A folder with a link to each attached data set, under its own name; None where there is none, or this is no host."""
    found = attached()
    if not found:
        return None
    content = hashlib.blake2b(str(sorted(found.items())).encode(), digest_size=8).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"{LINKS}{content}"  # what is attached later makes another
    folder.mkdir(exist_ok=True)
    for name, target in found.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(target)
    return folder


def are_links(folder: Path) -> bool:
    """Whether a folder is one that `images` has made; it is good for one session."""
    return folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith(LINKS)


def attach() -> str:
    """How images are attached to this host; "" where it is none."""
    return ATTACH.get(where(), "")


def attached() -> dict[str, Path]:
    """Folders, by name, with labels of HAM10000 or ISIC 2019 somewhere below, and Tschandl's outlines of the lesions."""
    found: dict[str, Path] = {}
    for folder in _folders(DATA_SETS):
        if folder.name in NO_DATA_SETS or folder.resolve() in found.values():  # Kaggle may show one under two names
            continue
        if _has_labels(folder):
            found[f"{folder.parent.name}_{folder.name}" if folder.name in found else folder.name] = folder.resolve()
        if (folder / OUTLINES).is_dir():
            found[OUTLINES] = (folder / OUTLINES).resolve()
    return found


def cache(folder: Path) -> Path:
    """Where a run decodes pixels to: in its folder; on a host on the session's disk, for what is kept there is small or slow."""
    if not where():
        return folder / "cache"
    return Path(tempfile.gettempdir()) / "lesionkit_cache" / folder.as_posix().strip("/").replace("/", "_")


def bring(folder: Path) -> Path | None:
    """Copy to `folder`, if it holds no results yet, what an earlier session has left in an attached folder of its last two
    names.

    Of several the one with the longest manifest, and without its cache. Settings that a notebook wrote meanwhile give
    way to those of the copy. Returns the folder that was copied; None where nothing was.
    """
    earlier = _session(folder)
    here = list(folder.iterdir()) if folder.is_dir() else []
    if earlier is None or any(file.name not in NO_RESULTS and file.name[0] != "." for file in here):
        return None
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for file in earlier.rglob("*"):
        parts = file.relative_to(earlier).parts
        if file.is_file() and parts[0] != "cache" and not parts[-1].startswith("."):
            partial.joinpath(*parts).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, partial.joinpath(*parts))  # without its mode: what is attached cannot be written
    (partial / BROUGHT).write_text(str(earlier))
    for file in here:
        if file.name != "study.json":  # where images are in this session is known better here
            file.replace(partial / file.name)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return earlier


def unused(folder: Path) -> Path | None:
    """The attached session that `bring` would copy if `folder` held no results, and has not copied."""
    earlier = _session(folder)
    known = (folder / BROUGHT).read_text() if (folder / BROUGHT).exists() else ""
    return earlier if earlier and str(earlier) != known else None


def introduce(notebook: str, folder: Path, images: Path | None, earlier: Path | None) -> Iterator[str]:
    """Lines that say where a notebook finds itself: its results, images and GPU; none on a machine that is no host."""
    if not (host := where()):
        return
    yield f"{host}: results in {folder}" + (f", begun as a copy of {earlier}" if earlier else "")
    if other := unused(folder):
        yield f"Not used, as there are results here already: {other}. To go on from it, remove {folder} and start again"
    if host == "Colab" and _drive() not in folder.parents:
        yield f"They end with the session. To keep them, {DRIVE}"
    if images:
        places = [link.resolve() for link in sorted(images.iterdir())] if are_links(images) else [images]
        yield f"Images: {', '.join(map(str, places))}"
    if notebook.startswith("02") and not _has_gpu():
        yield f"No GPU, so training is slow. To switch one on: {GPU[host]}"


def _session(folder: Path) -> Path | None:
    """Of the attached folders with results of the last two names of `folder` the one with the longest manifest."""
    ends = "/".join(folder.parts[-2:])
    places = _folders(f"{session}/{ends}" for session in SESSIONS)
    found = [place for place in places if (place / "manifest.json").is_file()]
    return max(found, key=lambda place: (place / "manifest.json").stat().st_size, default=None)


def _has_gpu() -> bool:
    import torch  # seconds, but where a backbone is trained it is loaded anyway

    return torch.cuda.is_available()


def _drive() -> Path:
    return ROOT / "content/drive/MyDrive"


def _folders(patterns: Iterable[str]) -> Iterator[Path]:
    if where():
        yield from (folder for pattern in patterns for folder in sorted(ROOT.glob(pattern)) if folder.is_dir())


def _has_labels(folder: Path) -> bool:
    return any(LABELS.fullmatch(file.name) for level in range(DEEP) for file in folder.glob("*/" * level + "*"))
