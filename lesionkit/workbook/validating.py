"""`lesionkit validate`: a run's models on somebody's own images, as an external set beside the run's validation and test.

Images of the run are taken out first, as notebook 01 takes HAM10000 out of ISIC 2019. Thresholds, temperatures and all else
that is fitted come from the run's own validation predictions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lesionkit.data import duplicates, frames, own, pixels, readers, splits
from lesionkit.data.decoding import Input
from lesionkit.data.files import AMBIGUOUS
from lesionkit.data.matching import NO_CLASS, NO_IMAGE, SEVERAL_ROWS
from lesionkit.data.own import NO_LABEL, Own
from lesionkit.data.pixels import UNREADABLE, Pixels
from lesionkit.data.records import DataError, problem_table
from lesionkit.evidence import predictions
from lesionkit.learning import extras, inference
from lesionkit.workbook import evaluation, hosts
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.caveats import SYNTHETIC
from lesionkit.workbook.hashes import short_hash
from lesionkit.workbook.manifest import file_hash
from lesionkit.writing import write_atomically

LEFT_OUT = AMBIGUOUS, NO_LABEL, NO_CLASS, SEVERAL_ROWS, NO_IMAGE, UNREADABLE
STEPS = {"image id": "id of an image of the run", "lesion id": "lesion of the run",
         "near-duplicate": "looks like an image of the run"}  # fmt: skip
NOT_LOOKED_FOR = "looks like an image of the run: not looked for, as its pixels and images are not there"
NOT_ALL = "not compared with {} of the run's {} images, as these cannot be read"
Answers = tuple[pd.DataFrame, pd.DataFrame]  # predictions of the images, and of the framed ones without their frame


@dataclass(frozen=True)
class Outside:
    """The external set: its rows of the index, the whole split table, what was left out, counted and named."""

    index: pd.DataFrame  # of the external images, and whether they are `framed`
    split: pd.DataFrame  # of the run's images and of these
    removed: pd.DataFrame  # step, removed, remaining
    problems: pd.DataFrame
    unseen: str = ""  # what could not be compared with the run's images


def validate(run: Path, images: Path, table: Path, out: Path, mapping: str = "",
             say: Callable[[str], None] = print) -> Path:  # fmt: skip
    """Predict the images below `images` with the members of the run, and run notebooks 03 and 04 on them; returns `out`.

    table, mapping: as of `own.recognise`. Predictions are kept in the cache of `out` and made anew only where a model,
    an image or its row has changed. splits/external_set.csv counts what was left out, splits/exclusions.csv names it. Raises DataError
    for a table or images that cannot be used, PredictionError for `out` or predictions that cannot, FileNotFoundError and
    ValueError where the run lacks something, and RunError where a notebook fails.
    """
    out, images, trained = evaluation.usable(out), Path(images), Run.of(run, "validate")
    configs = {name: inference.config_of(trained.path("models", name)) for name in trained.study.backbones}
    known = trained.predictions()
    found = own.recognise(images, table, mapping)
    readers.usable(found.reading)
    evaluation.claim(out)
    cache = hosts.cache(out)

    def store(settings: Any) -> Pixels:
        return pixels.build(found.reading.index, images, cache, *Input.of(settings))

    outside = _apart(trained, found, images, store(trained.study), cache / "run")
    say(_told(found, outside))
    parts = []
    for name, config in configs.items():
        seen = store(config["study"])
        parts.append(_answers(trained, name, seen, outside, images, cache / "predictions" / name))
        say(f"predicted by {name}")
    scored, cropped = (pd.concat(tables, ignore_index=True) for tables in zip(*parts))
    table, index = _with_inside(trained, known, scored, outside)
    tables = {"split": outside.split, "index": index, "external_set": outside.removed, "exclusions": outside.problems}
    return evaluation.judge(out, table, tables, _settings(trained, found, outside), say, cropped)


def _apart(trained: Run, found: Own, images: Path, store: Pixels, cache: Path) -> Outside:
    """What is left of the images once those of the run and the unreadable ones are out, and what is alike counts as one."""
    index = found.reading.index
    readable = index[~index["image_id"].isin(store.failures["image_id"])]
    inside = trained.split()
    inside = inside[inside["split"] != "external"]
    twins, unseen = _twins(trained, inside["image_id"], store, readable["image_id"], cache)
    external, steps = splits.external_set(readable, inside, twins)
    problems = pd.concat([found.reading.problems, store.failures, _gone(readable, external, twins)], ignore_index=True)
    removed = _counted(found.rows, problems, steps, unseen)
    if external.empty:
        raise DataError(f"{found.reading.record.title}: no image is left.\n{removed.to_string(index=False)}", problems)
    alike = duplicates.near_duplicates(store.of(external["image_id"]), external["image_id"])
    leaky = trained.study.split == "image_leaky"
    split = splits.study_table(inside[splits.COLUMNS], inside, external, alike, leaky=leaky)
    framed = frames.framed_files([images / path for path in external["path"]])
    return Outside(external.assign(framed=framed), split, removed, problems, unseen)


def _twins(trained: Run, inside: pd.Series, store: Pixels, readable: pd.Series,
           cache: Path) -> tuple[pd.DataFrame | None, str]:  # fmt: skip
    """Pairs of an image of the run and one of these that look alike, and what must be said of those not compared.

    An image that cannot be read is black in a store, and black images are like no other. None: no image was compared.
    """
    theirs = _pixels_of(trained, inside, cache)
    if theirs is None:
        return None, NOT_LOOKED_FOR
    seen = inside[inside.isin(theirs.image_ids) & ~inside.isin(theirs.failures["image_id"])]
    if seen.empty:
        return None, NOT_LOOKED_FOR
    pairs = duplicates.near_duplicates(theirs.of(seen), seen, store.of(readable), readable)
    return pairs, NOT_ALL.format(f"{len(inside) - len(seen):,}", f"{len(inside):,}") if len(seen) < len(inside) else ""


def _pixels_of(trained: Run, image_ids: pd.Series, cache: Path) -> Pixels | None:
    """The pixels of the run's images: from its store, or decoded again where its folder of images is known."""
    seen = Input.of(trained.study)
    try:
        kept = Pixels.open(trained.path("cache"), *seen)
    except (FileNotFoundError, ValueError):
        kept = None
    if trained.data is None or not trained.data.is_dir() or (kept and image_ids.isin(kept.image_ids).all()):
        return kept
    index = trained.index()
    return pixels.build(index[index["image_id"].isin(image_ids)], trained.data, cache, *seen)


def _gone(readable: pd.DataFrame, external: pd.DataFrame, twins: pd.DataFrame | None) -> pd.DataFrame:
    """The problem of images that are the run's own, or of their lesions."""
    rows = readable[~readable["image_id"].isin(external["image_id"])]
    twin = {} if twins is None else twins.drop_duplicates("image_b").set_index("image_b")["image_a"]  # the surest
    why = {one: f"it looks like {twin[one]} of the run" for one in rows["image_id"] if one in twin}
    remedies = [f"Left out: {why.get(one, 'the run has it, or its lesion')}." for one in rows["image_id"]]
    return problem_table("image of the run", remedies, image_id=rows["image_id"], file=rows["path"])


def _counted(rows: int, problems: pd.DataFrame, steps: pd.DataFrame, unseen: str) -> pd.DataFrame:
    """step, removed, remaining: from the table's rows to the external images; last, what could not be looked for."""
    kinds = problems["problem"][problems["problem"].isin(LEFT_OUT)].value_counts()
    counts, left = [("rows of the table", 0, rows)], rows
    for kind in LEFT_OUT:
        if kind in kinds:
            left -= int(kinds[kind])
            counts.append((kind, int(kinds[kind]), left))
    found = pd.concat([pd.DataFrame(counts, columns=steps.columns), steps.iloc[1:]], ignore_index=True)
    if unseen == NOT_LOOKED_FOR:
        return found.replace({"step": STEPS | {"near-duplicate": NOT_LOOKED_FOR}})
    last = [(unseen, 0, int(steps["remaining"].iloc[-1]))] if unseen else []
    return pd.concat([found.replace({"step": STEPS}), pd.DataFrame(last, columns=steps.columns)], ignore_index=True)


def _answers(trained: Run, name: str, store: Pixels, outside: Outside, images: Path, cache: Path) -> Answers:
    """What a member predicts for the external images, from the cache where nothing has changed."""
    rows = outside.split[outside.split["split"] == "external"].merge(outside.index[["image_id", "path", "framed"]])
    views, weights = trained.study.for_backbone(name).tta, trained.path("models", name, "weights.safetensors")
    made_from = short_hash(f"{file_hash(weights)} {store.fingerprint} {views} {rows.to_csv()}")
    files = [cache / f"{made_from}{kind}.parquet" for kind in ("", "_unframed")]
    if not all(file.exists() for file in files):
        model, config = inference.load(weights.parent)
        framed = rows[rows["framed"]].reset_index(drop=True)
        tables = (extras.scored(model, config, store, rows, views)[0],
                  extras.unframed(model, config, framed, [images / path for path in framed["path"]], views))  # fmt: skip
        for old in cache.glob("*.parquet"):
            old.unlink()
        for file, table in zip(files, tables):
            write_atomically(file, lambda path: table.assign(model=name).to_parquet(path, index=False))
    return tuple(pd.read_parquet(file) for file in files)


def _with_inside(trained: Run, known: pd.DataFrame, scored: pd.DataFrame,
                 outside: Outside) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Predictions and index of the run's validation and test images and of the external ones."""
    inside = known[known["split"].isin(("val", "test"))]
    table = pd.concat([part[part["model"] == name] for name in trained.study.backbones for part in (inside, scored)])
    index = trained.index()
    index = index[index["image_id"].isin(outside.split["image_id"])]
    both = pd.concat([index, outside.index.drop(columns="framed")], ignore_index=True)
    return predictions.check(table.reset_index(drop=True)), both


def _settings(trained: Run, found: Own, outside: Outside) -> dict[str, Any]:
    """Of the study that holds the results. What must be said of the images, and of the models, is said in every figure."""
    study, record = trained.study, found.reading.record
    said = [record.note, f"Models of study {study.name}. {SYNTHETIC}" if study.synthetic else ""]  # a leaking split says so itself
    return {"title": f"{study.name} on {len(outside.index):,} images of {record.title}", "note": ". ".join(filter(None, said)),
            "seed": study.seed, "resamples": study.resamples, "split": study.split}  # fmt: skip


def _told(found: Own, outside: Outside) -> str:
    """The counts in a line."""
    lost = [f"{n:,} {step}" for step, n in outside.removed[["step", "removed"]].itertuples(index=False) if n]
    named = f"; left out: {', '.join(lost)} (splits/exclusions.csv names them)" if lost else "; nothing left out"
    named += f"; {outside.unseen}" if outside.unseen else ""
    lesions = outside.index["lesion_id"].nunique()
    return f"{found.rows:,} rows, {len(outside.index):,} external images of {lesions:,} lesions{named}"
