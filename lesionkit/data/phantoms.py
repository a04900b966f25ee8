"""Synthetic dermoscopy on disk, in the official layouts: an internal archive, an external one, masks of both.

They let the whole study run where no real image is at hand, and support no claim about skin.
"""

import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lesionkit.data.phantom_drawing import draw_lesion, paint
from lesionkit.data.phantom_photographs import ARCHIVES, ARTEFACTS, nudged, photograph
from lesionkit.data.records import CLASSES

VERSION = 3  # of the generator: raise it with any change that changes a byte
MARKER = "phantoms.json"
FEWEST = 30  # images with which both archives still hold every class
COPIES = 3  # near-duplicates planted in each archive
LESIONS = 3  # fewest of a class in the internal archive: one each for training, validation and test

# HAM10000's prevalences, softened: df and vasc are 1 % of the real archive.
INTERNAL = {"akiec": 0.09, "bcc": 0.12, "bkl": 0.155, "df": 0.065, "mel": 0.165, "nv": 0.34, "vasc": 0.065}
EXTERNAL = {"akiec": 0.12, "bcc": 0.20, "bkl": 0.11, "df": 0.05, "mel": 0.24, "nv": 0.23, "vasc": 0.05}
MULTIPLICITY = (0.62, 0.22, 0.1, 0.06)  # share of lesions with 1, 2, 3, 4 images
AGES = {"akiec": 66, "bcc": 67, "bkl": 64, "df": 52, "mel": 61, "nv": 46, "vasc": 50}  # means, years
SITES = {
    "back": "posterior torso",
    "lower extremity": "lower extremity",
    "trunk": "",
    "face": "head/neck",
    "upper extremity": "upper extremity",
    "abdomen": "anterior torso",
    "chest": "anterior torso",
    "foot": "lower extremity",
    "scalp": "head/neck",
    "unknown": "",
}  # HAM10000's site: ISIC 2019's
SITE_SHARES = (0.22, 0.2, 0.1, 0.11, 0.12, 0.1, 0.04, 0.04, 0.04, 0.03)
CONFIRMED = {
    "akiec": ("histo",),
    "bcc": ("histo",),
    "bkl": ("histo", "consensus", "confocal"),
    "df": ("histo", "consensus"),
    "mel": ("histo",),
    "vasc": ("histo", "consensus"),
    "nv": ("histo", "follow_up", "follow_up", "consensus"),
}
PARTS = {"HAM": "phantom_clinic", "ROS": "phantom_practice"}  # looks of the internal archive: what its metadata call them
ISIC_LABELS = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")


def write(folder: Path, images: int = 600, size: int = 96, seed: int = 0) -> None:
    """Writes synthetic archives under `folder`, or leaves them if they are there from the same parameters.

    images: internal ones, at least 30; the external archive holds their bytes and a third as many of its own.
    size: side of the square images, pixels, at least 32. seed: 0 or more; the same one gives the same bytes.

    Writes HAM10000_images/ and HAM10000_metadata.csv (of two sources, where the release has four); ISIC_2019_Training_Input/,
    …_GroundTruth.csv and …_Metadata.csv; masks/ISIC_#######_segmentation.png (0 or 255, exact) for every image; of what is no
    skin, `artefacts/<corners, hair, ink or ruler>/ISIC_#######_segmentation.png` for each image that has it; and a small JSON
    that names the parameters. The folder appears whole or not at all. Raises ValueError for too few images or pixels,
    FileExistsError if the folder holds anything else.
    """
    folder = Path(folder)
    if images < FEWEST or size < 32:
        raise ValueError(f"images={images}, size={size}: phantoms need at least {FEWEST} images of 32 pixels")
    made_by = {"generator": __name__, "version": VERSION, "images": images, "size": size, "seed": seed}
    if _there(folder, made_by):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        new = Path(scratch) / folder.name
        _fill(new, plan(images, seed), size, seed)
        (new / MARKER).write_text(json.dumps(made_by, indent=2) + "\n", encoding="utf-8")
        try:
            new.rename(folder)
        except OSError:  # another process was faster, or something else appeared there
            if not _there(folder, made_by):
                raise


def _there(folder: Path, made_by: dict) -> bool:
    """Whether `folder` holds these phantoms; removes it when empty, since a rename puts it in place."""
    if not folder.exists():
        return False
    marker = folder / MARKER
    if marker.is_file():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found == made_by:
            return True
        wrong = ", ".join(
            f"{key}={found.get(key)}, not {value}" for key, value in made_by.items() if found.get(key) != value
        )
        raise FileExistsError(f"{folder} holds other phantoms ({wrong}): delete the folder or name another")
    if not folder.is_dir() or any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty and holds no phantoms: name another folder")
    folder.rmdir()
    return False


def plan(images: int, seed: int) -> pd.DataFrame:
    """What will be written, a row an image, before a pixel is drawn.

    Columns: image_id, file (without ending), lesion_id ("" where none is given), dx, label (ISIC 2019's),
    archive, look (of ARCHIVES: who took it, of the internal one either of two), lesion and view (keys: with the seed they
    determine the pixels), nudge (pixels; not 0 in a near-duplicate: the same view under new ids), age, sex, localization, dx_type.
    """
    rng = np.random.default_rng([seed, 0])
    others = round(images / 3)
    inside = _lesions(_counts(images - COPIES, INTERNAL, LESIONS), ["HAM", "HAM", "ROS"], 0, rng).assign(archive="HAM")
    outside = _lesions(_counts(others - COPIES, EXTERNAL, 1), ["BCN", "BCN", "MSK"], len(inside), rng)
    first = inside.drop_duplicates("lesion")
    twins = first[first["dx"].isin(["bkl", "mel", "nv"])].sample(COPIES, random_state=rng)
    copies = first.drop(twins.index).sample(COPIES, random_state=rng)
    inside = pd.concat([inside, twins.assign(nudge=1, alias=-1 - np.arange(COPIES))])
    copies = copies.assign(nudge=-1, alias=-1 - np.arange(COPIES), archive="BCN")  # the look stays
    outside = pd.concat([outside, copies])
    return pd.concat([_name(inside, 24306, rng), _name(outside, 53453, rng)], ignore_index=True)


def _counts(images: int, prevalence: dict[str, float], least: int) -> dict[str, int]:
    """Images a class: `least` for each, the rest by prevalence (largest remainders)."""
    rest = images - least * len(CLASSES)
    share = rest * np.array([prevalence[dx] for dx in CLASSES])
    whole = np.floor(share).astype(int)
    whole[np.argsort(whole - share, kind="stable")[: rest - whole.sum()]] += 1
    return {dx: int(count) + least for dx, count in zip(CLASSES, whole)}


def _lesions(counts: dict[str, int], archives: list[str], key: int, rng: np.random.Generator) -> pd.DataFrame:
    """A row an image: lesions of one to four images until each class has its count; keys start at `key`."""
    rows = []
    for dx, left in counts.items():
        start = key
        while left:
            still = max(LESIONS - 1 - (key - start), 0)  # lesions that the class needs after this one
            lesion = _lesion(dx, str(rng.choice(archives)), key, rng)
            views = min(1 + int(rng.choice(4, p=MULTIPLICITY)), max(left - still, 1))
            views = 1 if lesion["unnamed"] else views  # without an id, nothing would keep siblings together
            rows += [lesion] * views
            left, key = left - views, key + 1
    table = pd.DataFrame(rows)
    view = table.groupby("lesion").cumcount()
    return table.assign(view=view, nudge=0, alias=table["lesion"], look=table["archive"])


def _lesion(dx: str, archive: str, key: int, rng: np.random.Generator) -> dict:
    """Metadata of one lesion: 3 % have no age, 2 % no sex, 3 % no site (13 % in ISIC 2019's words)."""
    age = int(np.clip(5 * np.round(rng.normal(AGES[dx], 14) / 5), 0, 85))
    label = str(rng.choice(["AK", "SCC"], p=[0.4, 0.6])) if dx == "akiec" else dx.upper()
    unnamed = archive == "MSK" and bool(rng.random() < 0.6)
    return {
        "lesion": key,
        "dx": dx,
        "label": label,
        "archive": archive,
        "unnamed": unnamed,
        "age": float(age) if rng.random() > 0.03 else np.nan,
        "sex": str(rng.choice(["male", "female", "unknown"], p=[0.53, 0.45, 0.02])),
        "localization": str(rng.choice(list(SITES), p=SITE_SHARES)),
        "dx_type": str(rng.choice(CONFIRMED[dx])),
    }


def _name(table: pd.DataFrame, first: int, rng: np.random.Generator) -> pd.DataFrame:
    """Ids in random order, so that they tell nothing; MSK's are low numbers, half of them `_downsampled`."""
    msk = (table["archive"] == "MSK").to_numpy()
    numbers = np.where(msk, 10, first) + rng.permutation(len(table))
    names = [f"ISIC_{number:07d}" for number in numbers]
    shrunk = msk & (rng.random(len(table)) < 0.5)
    order = pd.Series(rng.permutation(table["alias"].nunique()), index=table["alias"].unique())
    prefix = table["archive"].map({"HAM": "HAM_", "BCN": "BCN_", "MSK": "MSK4_"})
    lesion_id = (prefix + table["alias"].map(order).map("{:07d}".format)).mask(table["unnamed"], "")
    files = [name + "_downsampled" * bool(small) for name, small in zip(names, shrunk)]
    return table.assign(image_id=names, file=files, lesion_id=lesion_id).drop(columns=["alias", "unnamed"])


def _fill(folder: Path, table: pd.DataFrame, size: int, seed: int) -> None:
    """Draws all images of the plan and writes the tables; `folder` is new."""
    for name in ("HAM10000_images", "ISIC_2019_Training_Input", "masks", *(f"artefacts/{kind}" for kind in ARTEFACTS)):
        (folder / name).mkdir(parents=True)
    lesions = [rows for _, rows in table.groupby("lesion")]
    with ThreadPoolExecutor(4) as pool:  # NumPy and Pillow release the lock; no order is assumed
        list(pool.map(_draw, repeat(folder), lesions, repeat(size), repeat(seed)))
    inside = table[table["archive"] == "HAM"]
    ham = inside[["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]].assign(dataset=inside["look"].map(PARTS))
    _csv(ham, folder / "HAM10000_metadata.csv")
    isic = table.sort_values("image_id")
    labels = pd.DataFrame({label: (isic["label"] == label).astype(float) for label in ISIC_LABELS})
    labels.insert(0, "image", isic["file"])
    _csv(labels, folder / "ISIC_2019_Training_GroundTruth.csv")
    patients = pd.DataFrame(
        {
            "image": isic["file"],
            "age_approx": isic["age"],
            "anatom_site_general": isic["localization"].map(SITES),
            "lesion_id": isic["lesion_id"],
            "sex": isic["sex"].replace("unknown", ""),
        }
    )
    _csv(patients, folder / "ISIC_2019_Training_Metadata.csv")


def _csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def _draw(folder: Path, rows: pd.DataFrame, size: int, seed: int) -> None:
    """Paints one lesion, writes its pictures and masks; a near-duplicate is a view moved and re-encoded."""
    key = int(rows["lesion"].iloc[0])
    rng = np.random.default_rng([seed, 1, key])
    archive = ARCHIVES[rows["look"].iloc[0]]
    rgb, lesion = paint(draw_lesion(rows["dx"].iloc[0], rng), archive.scale, size, rng)
    for row in rows.itertuples():
        view, pen = (np.random.default_rng([seed, part, key, row.view]) for part in (2, 3))
        picture, mask, artefacts = photograph(rgb, lesion, archive, size, view, pen)
        path = folder / "ISIC_2019_Training_Input" / f"{row.file}.jpg"
        Image.fromarray(nudged(picture, row.nudge)).save(path, quality=archive.quality - 7 * abs(row.nudge))
        if row.archive == "HAM":
            shutil.copyfile(path, folder / "HAM10000_images" / path.name)
        for where, region in {"masks": mask, **{f"artefacts/{kind}": part for kind, part in artefacts.items()}}.items():
            outline = Image.fromarray(nudged(region, row.nudge).astype(np.uint8) * 255)
            outline.save(folder / where / f"{row.image_id}_segmentation.png", compress_level=1)
