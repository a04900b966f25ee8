"""The candidates of notebook 07: a backbone trained with one change, and what it answers."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd

from lesionkit import sources
from lesionkit.data import shifts
from lesionkit.data.pixels import Pixels
from lesionkit.evidence.robustness import ARCHIVE, SEVERAL
from lesionkit.learning import extras, inference, members, shifted, training
from lesionkit.study import Study

KINDS = ("candidates", "shifted")  # folders of predictions: as the images are, and validation under shifts
DRAWN = {  # by training with a setting: what of the shifts it draws itself, or nearly
    "crop": ("zoom in", "off centre"), "colour": ("colour cast", "exposure"), "oklab": ("colour cast", "exposure"),
    "fourier": ("colour cast", "exposure"), "policy": ("off centre", "exposure", "blur"), "hair": ("hair",), "blur": ("blur",),
    "discs": ("frame",),
}  # fmt: skip


def fit_and_score(
    name: str, pixels: Pixels, split: pd.DataFrame, images: Path, index: pd.DataFrame, settings: Study, folder: Path, kept: Path,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """Train candidate `name`, a study of one backbone, in `folder`, and return what it answers, a table each of KINDS.

    "candidates": predictions of the validation, test and external images, as model `name`; "shifted": of the validation
    images under each shift in one view (`shifted.under_shifts`), and, with `leave_archive_out`, what `without_archives`
    returns. Their attrs hold `made_from`, and `cost`: epochs that were run, seconds in all. Tables that lie in
    `kept/KIND/NAME.parquet`, of the same pixels, split, settings and code, are returned without a training: the weights need
    not be kept. What only answers otherwise, such as with more views, takes the weights of a candidate beside `folder` that
    was trained alike, and the baseline those of notebook 02, in the folder above these. images: the folder that the paths of
    `index` (image_id, path) are below. seed: of the shifts, the same for all candidates, whatever that of their training.
    """
    rows = split[split["split"].isin(("val", "test", "external"))]
    made_from = _made_from(pixels, split, settings, seed)
    files = {kind: kept / kind / f"{name}.parquet" for kind in KINDS}
    if all(file.exists() for file in files.values()):
        found = {kind: pd.read_parquet(file) for kind, file in files.items()}
        if all(table.attrs.get("made_from") == made_from for table in found.values()):
            return found
    trained = members.fit(settings.backbones[0], pixels, split, settings, _trained_alike(pixels, split, settings, folder) or folder)
    model, config = inference.load(trained.folder)
    logits = inference.logits_of_rows(model, config, pixels, rows["image_id"], settings.tta)
    val = rows[rows["split"] == "val"]
    paths = [images / path for path in index.set_index("image_id").loc[val["image_id"], "path"]]
    under = shifted.under_shifts(model, config, val, paths, seed)  # fourteen times: one view
    cost = {"epochs": len(trained.history), "seconds": round(float(trained.history["seconds"].sum()), 3)}
    if settings.leave_archive_out:
        under = pd.concat([under, without_archives(pixels, split, settings, folder)], ignore_index=True)
    found = {"candidates": extras.as_table(rows, logits, name), "shifted": under.assign(model=name)}
    for table in found.values():
        table.attrs = {"made_from": made_from, "cost": cost}
    return found


def without_archives(pixels: Pixels, split: pd.DataFrame, settings: Study, folder: Path) -> pd.DataFrame:
    """Of each source of the internal images, what is answered by a training without its images, nor any near-duplicate of them.

    The predictions of its training and validation images, as those of a shift "without SOURCE"; columns as of
    `shifted.under_shifts`. No row where all are of one source.
    """
    learnt, parts = split[split["split"].isin(("train", "val"))], []
    for source in sorted(learnt["source"].unique()) if learnt["source"].nunique() > 1 else ():
        held = learnt[learnt["source"] == source]
        rest = learnt[~learnt["group_id"].isin(held["group_id"])]
        trained = members.fit(settings.backbones[0], pixels, rest, settings, folder / f"without_{source}")
        model, config = inference.load(trained.folder)
        logits = inference.logits_of_rows(model, config, pixels, held["image_id"], settings.tta)
        answers = extras.as_table(held.assign(split="val"), logits, config["backbone"])
        parts.append(answers.assign(shift=f"{ARCHIVE}{source}", severity=0))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def joined(found: Mapping[str, Mapping[str, pd.DataFrame]], kind: str) -> pd.DataFrame:
    """The tables of one of KINDS of all candidates, one below the other."""
    return pd.concat([tables[kind] for tables in found.values()], ignore_index=True) if found else pd.DataFrame()


def drawn_by(study: Study) -> dict[str, tuple[str, ...]]:
    """The shifts that each candidate's training draws by what it changes."""
    return {name: tuple(dict.fromkeys(shift for key in own for shift in DRAWN.get(key, ()))) for name, own in study.candidate.items()}


def but_for_seed(study: Study) -> dict[str, str]:
    """The baseline and each candidate: the first of them that has the same settings but for the seed, itself where there is none."""
    first: dict[str, str] = {}
    settings = {name: dataclasses.replace(study.as_candidate(name), seed=0) for name in ("baseline", *study.candidate)}
    return {name: first.setdefault(own.fingerprint(), name) for name, own in settings.items()}


def with_shifts(shifted: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The table of `shifted.under_shifts` with the set of shifts that each image is under, in column `shifts`."""
    under = {}
    for name, image_id in set(zip(shifted["shift"], shifted["image_id"])):
        if name in SEVERAL:  # as `under_shifts` and `shifts.several` draw them: their code is part of what made the answers, and stays
            rng = np.random.default_rng(crc32(f"{seed} {name} {image_id} drawn".encode()))
            chosen = rng.choice(len(shifts.SHIFTS), shifts.TOGETHER, replace=False)
            under[name, image_id] = frozenset(list(shifts.SHIFTS)[at] for at in chosen)
    own = [under.get(key, {key[0]} & shifts.SHIFTS.keys()) for key in zip(shifted["shift"], shifted["image_id"])]
    return shifted.assign(shifts=own)


def costs(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a candidate: model, epochs, seconds of training, relative (to the first). tables: as of `fit_and_score`, by name."""
    found = pd.DataFrame([{"model": name, **table.attrs["cost"]} for name, table in tables.items()], columns=["model", "epochs", "seconds"])
    return found.assign(relative=found["seconds"] / found["seconds"].head(1).sum())


def _trained_alike(pixels: Pixels, split: pd.DataFrame, settings: Study, folder: Path) -> Path | None:
    wanted = _trained_from(pixels, split, settings)
    done = map(training.finished, sorted([*folder.parent.glob("*/"), *folder.parents[1].glob("*/")]))
    return next((other.folder for other in done if other and other.config["fingerprint"] == wanted), None)


def _trained_from(pixels: Pixels, split: pd.DataFrame, settings: Study) -> str:
    return members.fingerprint(settings.backbones[0], pixels, split[split["split"].isin(("train", "val"))], settings)


def _made_from(pixels: Pixels, split: pd.DataFrame, settings: Study, seed: int) -> str:
    """All that decides what a candidate answers; the seed of the shifts where it is not the training's."""
    trained = _trained_from(pixels, split, settings)
    code = sources.code_hash([Path(shifts.__file__), Path(shifted.__file__)])
    asked = split.loc[split["split"] != "train", ["image_id", "lesion_id", "group_id", "dx", "split"]].sort_values("image_id")
    sources_of = split[["image_id", "source"]].to_csv(index=False) if settings.leave_archive_out else ""
    drawn = f" {seed}" if seed != settings.seed else ""
    made_from = f"{trained} {code} {settings.tta}{drawn}\n{asked.to_csv(index=False)}{sources_of}"
    return hashlib.blake2b(made_from.encode(), digest_size=16).hexdigest()
