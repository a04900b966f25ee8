"""`lesionkit evaluate`: the notebooks of the evidence on anybody's predictions. No image and no model is needed."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import pandas as pd

from lesionkit.data import splits
from lesionkit.data.listing import from_one_hot
from lesionkit.data.records import CLASSES, LABELS, TEXT
from lesionkit.evidence import predictions
from lesionkit.evidence.predictions import PROBABILITIES, PredictionError
from lesionkit.workbook import pipeline, steps
from lesionkit.workbook.artifacts import Run
from lesionkit.workbook.staleness import Step

SPLITS = ("val", "test", "external")
NAMES = {
    "image": "image_id",
    "localization": "site",
    "anatom_site_general": "site",
    "age_approx": "age",
    "y_true": "dx",
}
FACTS = (
    "lesion_id",
    "group_id",
    "split",
    "dataset",
    "source",
    "source_dx",
    "dx_type",
    "age",
    "sex",
    "site",
)  # what labels may hold
SAID = {"y_true": "dx", "split": "split", "lesion_id": "lesion_id", "group_id": "group_id", "dataset": "dataset"}
LAID = "evaluate"  # in the manifest: who has made what the notebooks read
MARK = "evaluation.json"  # in a folder that `evaluate` or `validate` has made


def evaluate(files: Iterable[Path], labels: Path, out: Path, say: Callable[[str], None] = print) -> Path:
    """Run notebooks 03, 04c, and all of 04 where there are external images, on predictions; returns the folder `out`.

    files: Parquet or CSV, a row an image and model: image_id, p_akiec … p_vasc; model, or the file's name stands for it.
    labels: CSV with image_id (or image) and dx, or one column a label of ISIC with 0 and 1; and what is known of lesion_id,
    split (val, test, external; test where it is not given), dataset, source, age, sex, site, dx_type. Without val, nothing
    can be fitted: thresholds, temperatures and weighted ensembles are then NA. What labels do not say is taken from the
    predictions, if they do. Raises PredictionError for what does not fit, and for a lesion on two sides of the split.
    """
    out = usable(out)
    table = pd.concat(map(_read, map(Path, files)), ignore_index=True)
    facts = _completed(read_labels(Path(labels)), table)
    table = _scored(table, facts)
    models = list(dict.fromkeys(table["model"]))
    _check_names(models)
    return judge(out, table, {"split": _split(table, facts), "index": facts}, {"title": f"Evaluation of {out.name}"}, say)


def usable(out: Path) -> Path:
    """The folder, absolute. Raises PredictionError where it holds something that no evaluation has made."""
    out = Path(out).resolve()
    if out.is_file() or (out.exists() and any(out.iterdir()) and not (out / MARK).exists()):
        raise PredictionError(f"--out {out}: holds something else; give a new folder, or an evaluation's")
    return out


def claim(out: Path) -> None:
    """Make the folder, marked as one of ours."""
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def judge(out: Path, table: pd.DataFrame, facts: Mapping[str, pd.DataFrame], settings: Mapping[str, object],
          say: Callable[[str], None], unframed: pd.DataFrame | None = None) -> Path:  # fmt: skip
    """Lay predictions into the folder `out` as a run has them, and run the notebooks that read them; returns `out`.

    table: checked predictions; facts: tables for splits/, of their images: index and split as of a run, and what else is
    known; settings: of the study, beside its backbones; unframed: predictions of framed images once cropped. Whatever an
    earlier evaluation has laid there, and this one does not, is removed.
    """
    models = list(dict.fromkeys(table["model"]))
    study = _study(out, models, settings)
    run = Run.open(str(study), LAID, out=str(out.parent))
    only = ["03", "04"] if (table["split"] == "external").any() else ["03", "04c"]
    for step in pipeline.steps_of(run.study):
        if step.source and not {step.number, step.prefix} & {*only}:
            steps.forget(out, step)
    steps.mark(out, Step(LAID))
    for name, content in facts.items():
        run.save_csv(content, "splits", f"{name}.csv")
    for model in models:
        run.save_predictions(table[table["model"] == model], model)
        if unframed is not None:
            run.save_versions(unframed[unframed["model"] == model], "unframed", model)
    steps.sweep(out, Step(LAID))
    counts = table.groupby("split")["image_id"].nunique()
    say(f"{len(models)} models; images: {', '.join(f'{n:,} {split}' for split, n in counts.items())}")
    return pipeline.run_study(str(study), out=str(out.parent), only=only, say=say)


def read_labels(file: Path) -> pd.DataFrame:
    """A row an image: image_id, dx and FACTS; NA for what is not known."""
    table = _read_table(file)
    table = table.rename(columns={old: new for old, new in NAMES.items() if new not in table})
    if "image_id" not in table:
        raise PredictionError(f"{file}: no column image_id; it has {', '.join(table)}")
    if "dx" not in table:
        table = table.assign(source_dx=_from_one_hot(table, file))
        table["dx"] = table["source_dx"].str.casefold().map(LABELS)
    _check_labels(table, file)
    table = table.reindex(columns=["image_id", "dx", *FACTS])
    age = pd.to_numeric(table["age"], errors="coerce")
    wrong = table.loc[age.isna() & table["age"].notna(), "age"]
    if len(wrong):
        raise PredictionError(f"{file}: age {wrong.iloc[0]!r} is no number of years; correct it or leave it empty")
    return table.assign(age=age)


def _check_labels(table: pd.DataFrame, file: Path) -> None:
    again = table["image_id"][table["image_id"].duplicated()]
    if len(again):
        raise PredictionError(f"{file}: {len(again)} rows repeat an image, first {again.iloc[0]}; keep one")
    unknown = table.loc[~table["dx"].isin(CLASSES), ["image_id", "dx"]]
    if len(unknown):
        raise PredictionError(f"{file}: image {unknown.iloc[0, 0]} has the label {unknown.iloc[0, 1]}, none of {', '.join(CLASSES)}; "
                              "remove the row or map the label")  # fmt: skip
    wrong = table["split"].dropna() if "split" in table else pd.Series(dtype=TEXT)
    wrong = wrong[~wrong.isin((*SPLITS, "train"))]
    if len(wrong):
        raise PredictionError(f"{file}: split {wrong.iloc[0]!r} is none of train, {', '.join(SPLITS)}")


def _read(file: Path) -> pd.DataFrame:
    table = _read_table(file)
    missing = [name for name in ("image_id", *PROBABILITIES) if name not in table]
    if missing:
        wanted = ", ".join(("image_id", *PROBABILITIES))
        raise PredictionError(f"{file}: missing column {', '.join(missing)}; a table of predictions has {wanted}")
    return table if "model" in table else table.assign(model=file.stem)


def _read_table(file: Path) -> pd.DataFrame:
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(file, dtype={"image_id": TEXT, "image": TEXT, "lesion_id": TEXT})
    except (OSError, ValueError) as error:  # pandas' own errors and pyarrow's derive from ValueError
        raise PredictionError(f"{file}: no readable {file.suffix[1:] or 'CSV'} ({error})") from error


def _completed(labels: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The labels of all images, with what only the predictions say, and defaults; where both say it they must agree."""
    strangers = table.loc[~table["image_id"].isin(labels["image_id"]), "image_id"]
    if len(strangers):
        count, first = strangers.nunique(), strangers.iloc[0]
        raise PredictionError(f"{count} images of the predictions are not in the labels, first {first}; add their rows")
    facts = labels.set_index("image_id").astype({name: object for name in SAID.values()})
    for theirs, ours in SAID.items():
        if theirs not in table:
            continue
        said = table.dropna(subset=theirs)
        apart = said[theirs].astype(str) != said["image_id"].map(
            facts[ours].fillna(said.groupby("image_id")[theirs].first())
        ).astype(str)
        if apart.any():
            raise PredictionError(
                f"predictions and labels disagree on {theirs} of {int(apart.sum())} rows, first image "
                f"{said.loc[apart, 'image_id'].iloc[0]}: correct one, or leave the column out of the predictions"
            )
        facts[ours] = facts[ours].fillna(said.groupby("image_id")[theirs].first())
    facts = facts.reset_index()
    facts["lesion_id"] = facts["lesion_id"].fillna(facts["image_id"]).astype(str)
    defaults = {"group_id": facts["lesion_id"], "split": "test", "dataset": "evaluated", "source_dx": facts["dx"]}
    facts = facts.astype(dict.fromkeys((*defaults, "source"), object)).fillna(defaults)
    return facts.assign(source=facts["source"].fillna(facts["dataset"]))


def _scored(table: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """The checked table of predictions, with the labels' columns; predictions on training images are left out."""
    kept = [name for name in table if name in ("image_id", "model", "energy") or name.startswith("p_")]
    described = facts[["image_id", "lesion_id", "group_id", "dataset", "split", "dx"]].rename(columns={"dx": "y_true"})
    table = table[kept].merge(described, on="image_id")
    table = predictions.check(table[table["split"].isin(SPLITS)] if (table["split"] == "test").any() else _no_test())
    for split in table["split"].unique():
        predictions.by_model(table, split=split)  # refuses models that were not scored on the same images
    try:
        splits.assert_disjoint(_split(table, facts))
    except splits.LeakError as error:
        raise PredictionError(f"what is fitted on val would be tested on the same lesions: {error}") from error
    return table


def _no_test() -> NoReturn:
    raise PredictionError(
        "no prediction is of split test; name the images to evaluate test, or leave out the column split"
    )


def _split(table: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    columns = ["image_id", "lesion_id", "group_id", "dataset", "source", "dx", "source_dx", "split"]
    return facts.loc[facts["image_id"].isin(table["image_id"]), columns]


def _study(out: Path, models: list[str], settings: Mapping[str, object]) -> Path:
    """The study's TOML, in `out` and of its name: that is where its results go."""
    claim(out)
    file = out / f"{out.name}.toml"
    said = {"given": True, "backbones": models} | settings
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items()))
    return file


def _check_names(models: list[str]) -> None:
    for name in models:
        if name.startswith("ensemble") or name != Path(name).name:
            raise PredictionError(
                f"model {name!r}: rename it; names that begin with ensemble are ours, and / cannot be in a file's name"
            )


def _from_one_hot(table: pd.DataFrame, file: Path) -> pd.Series:
    columns = [name for name in table if name.casefold() in LABELS or name == "UNK"]
    if not columns:
        raise PredictionError(f"{file}: no column dx, and no column a label; it has {', '.join(table)}")
    labels = from_one_hot(table[columns])
    wrong = table["image_id"][labels.isna()]
    if len(wrong):
        raise PredictionError(f"{file}: the labels of {len(wrong)} images are not one-hot, first {wrong.iloc[0]}")
    return labels
