"""The table of predictions, the only thing that the evidence reads: written, read and checked here.

One row an image and model: image_id, lesion_id, dataset, split, y_true (class name), model, and one float32
probability a class, p_akiec … p_vasc, that sum to 1. Where known, too: group_id, the lesion or the lesions that
near-duplicate images join, and energy, the log-sum-exp of the logits.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES

KEYS = ("image_id", "lesion_id", "dataset", "split", "y_true", "model")
PROBABILITIES = tuple(f"p_{name}" for name in CLASSES)
COLUMNS = KEYS + PROBABILITIES
OPTIONAL = ("group_id", "energy")  # lesions joined by near-duplicates; log-sum-exp of the logits
SUM_TOLERANCE = 1e-4


class PredictionError(ValueError):
    """A table of predictions that breaks the contract; the message names the fault and its remedy."""


def build(rows: pd.DataFrame, probabilities: np.ndarray, model: str) -> pd.DataFrame:
    """The checked table of one model from the rows that it scored.

    rows: image_id, lesion_id, dataset, split and y_true (or dx, where there is no y_true), one row an image.
    probabilities: (n, 7), rows in the order of `rows`, columns in the order of CLASSES.
    Raises PredictionError where the shapes differ or the result fails `check`.
    """
    p = np.asarray(probabilities)
    if p.shape != (len(rows), len(CLASSES)):
        raise PredictionError(
            f"probabilities of {model} have shape {p.shape}, expected {(len(rows), len(CLASSES))}: "
            f"one row an image, one column a class in the order {', '.join(CLASSES)}"
        )
    named = rows if "y_true" in rows else rows.rename(columns={"dx": "y_true"})
    _require(named, [column for column in KEYS if column != "model"])
    kept = [column for column in ("group_id",) if column in named]
    table = named.assign(model=model)[[*KEYS, *kept]].reset_index(drop=True)
    scores = pd.DataFrame(p.astype(np.float32), columns=list(PROBABILITIES))
    return check(pd.concat([table, scores], axis=1))


def check(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` itself if it keeps the contract; raise PredictionError, naming the fault, if not.

    Columns that the contract does not name pass (joined metadata), unless they look like a further class.
    """
    _check_columns(table)
    _check_keys(table)
    _check_labels(table)
    _check_probabilities(table)
    return table


def probabilities(table: pd.DataFrame) -> np.ndarray:
    """(n, 7) probabilities, columns in the order of CLASSES whatever their order in the table."""
    _require(table, PROBABILITIES)
    return table[list(PROBABILITIES)].to_numpy()


def targets(table: pd.DataFrame) -> np.ndarray:
    """(n,) true classes as positions in CLASSES, int64."""
    _require(table, ["y_true"])
    _check_labels(table)
    return pd.Index(CLASSES).get_indexer(table["y_true"]).astype(np.int64)


def clusters(table: pd.DataFrame) -> np.ndarray:
    """(n,) what resampling draws: the group of each image where the table has it, its lesion elsewhere."""
    _require(table, ["lesion_id"])
    return table["group_id" if "group_id" in table else "lesion_id"].to_numpy()


def write(table: pd.DataFrame, path: Path | str) -> Path:
    """Check `table` and write the columns of the contract, and the optional ones, as Parquet.

    Atomic: a reader sees the old file or the new one, never half of one.
    """
    path = Path(path)
    columns = [*COLUMNS, *(column for column in OPTIONAL if column in table)]
    whole = check(table)[columns].astype(dict.fromkeys(PROBABILITIES, np.float32))
    names = list(whole.columns.difference(PROBABILITIES))  # numbers hardly repeat: a dictionary of them is larger
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        whole.to_parquet(partial, index=False, compression="zstd", use_dictionary=names)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read(paths: Path | str | Iterable[Path | str]) -> pd.DataFrame:
    """The checked tables of one file or several, below one another in the order given.

    Raises PredictionError, naming the file, where one is missing, unreadable or breaks the contract.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    if not files:
        raise PredictionError("no prediction file given: train a backbone first (notebook 02)")
    return check(pd.concat([_read_one(file) for file in files], ignore_index=True))


def by_model(
    predictions: pd.DataFrame, *, split: str = "test", where: Sequence[bool] | None = None
) -> dict[str, pd.DataFrame]:
    """The rows of each model in `split`: models in order of appearance, images in that of the first model.

    where: a further choice of rows, one boolean for each row of `predictions`.
    Raises PredictionError where nothing is chosen or the models were not scored on the same images, for then
    their numbers do not compare.
    """
    check(predictions)
    chosen = (predictions["split"] == split).to_numpy()
    if where is not None:
        chosen = chosen & _mask(where, len(predictions))
    if not chosen.any():
        found = ", ".join(sorted(predictions["split"].unique()))
        raise PredictionError(f"no prediction of split {split!r} is chosen; the table has the splits {found}")
    return aligned({str(name): rows for name, rows in predictions[chosen].groupby("model", sort=False)})


def aligned(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables, a model each, with their images in the order of the first.

    Raises PredictionError if the models differ in their images, or in the label or the split of one.
    """
    reference, first = next(iter(tables.items()))
    described = first.set_index("image_id")
    result = {}
    for name, rows in tables.items():
        other = rows.set_index("image_id")
        apart = other.index.symmetric_difference(described.index)
        if len(apart):
            raise PredictionError(
                f"{name} and {reference} do not hold the same images: {len(apart)} are in only one, "
                f"first {apart[0]}; predict the same images with both"
            )
        other = other.loc[described.index]
        for column in ("y_true", "split", "lesion_id"):
            unlike = (other[column] != described[column]).to_numpy()
            if unlike.any():
                raise PredictionError(
                    f"{name} and {reference} disagree on {column} of {int(unlike.sum())} images, "
                    f"first {other.index[unlike][0]}; make both from the same split"
                )
        result[name] = other.reset_index()[list(rows.columns)]
    return result


def _read_one(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise PredictionError(f"{file}: no such file; train this backbone first (notebook 02)")
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError) as error:  # what pyarrow raises derives from one of the two
        raise PredictionError(f"{file}: no readable Parquet ({error}); delete and remake it") from error
    try:
        return check(table)
    except PredictionError as error:
        raise PredictionError(f"{file}: {error}") from error


def _require(table: pd.DataFrame, columns: Iterable[str]) -> None:
    missing = [column for column in columns if column not in table]
    if missing:
        raise PredictionError(f"missing column {', '.join(missing)}; a table of predictions has {', '.join(COLUMNS)}")


def _check_columns(table: pd.DataFrame) -> None:
    further = [str(name) for name in table if str(name).startswith("p_") and name not in PROBABILITIES]
    if further:
        raise PredictionError(
            f"unknown class column {', '.join(further)}: the probabilities are named "
            f"{', '.join(PROBABILITIES)}; rename or remove the others"
        )
    _require(table, COLUMNS)
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise PredictionError(f"column {', '.join(map(str, twice))} is there more than once; keep one")
    if table.empty:
        raise PredictionError("the table has no rows; predict at least one image")


def _check_keys(table: pd.DataFrame) -> None:
    for column in (*KEYS, *(["group_id"] if "group_id" in table else [])):
        empty = int(table[column].isna().sum())
        if empty:
            raise PredictionError(f"{column} is missing in {empty} of {len(table)} rows; every row needs one")
    if "energy" in table:  # an ensemble has none
        known = table["energy"].notna().groupby(table["model"]).mean()
        for model, share in known[(known > 0) & (known < 1)].items():
            raise PredictionError(f"energy is missing in {1 - share:.0%} of the rows of {model}; give all or none")
    again = table.duplicated(["image_id", "model"])
    if again.any():
        first = table[again].iloc[0]
        raise PredictionError(
            f"{int(again.sum())} duplicate keys, first image {first['image_id']} of model "
            f"{first['model']}: a model scores an image once; remove the repeated rows"
        )


def _check_labels(table: pd.DataFrame) -> None:
    unknown = table.loc[~table["y_true"].isin(CLASSES), "y_true"]
    if len(unknown):
        names = ", ".join(sorted({str(value) for value in unknown})[:5])
        raise PredictionError(
            f"unknown class in y_true: {names} ({len(unknown)} rows); the classes are {', '.join(CLASSES)}"
        )


def _check_probabilities(table: pd.DataFrame) -> None:
    for column in PROBABILITIES:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise PredictionError(f"{column} holds {table[column].dtype}, not numbers; write it as floats")
    p = table[list(PROBABILITIES)].to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse_rows(table, p, ~np.isfinite(p).all(axis=1), "a probability that is NaN or infinite")
    _refuse_rows(table, p, (p < 0).any(axis=1), "a negative probability")
    off = np.abs(p.sum(axis=1) - 1) > SUM_TOLERANCE
    _refuse_rows(table, p, off, f"probabilities that do not sum to 1 (± {SUM_TOLERANCE:g})")


def _refuse_rows(table: pd.DataFrame, p: np.ndarray, wrong: np.ndarray, fault: str) -> None:
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        row = table.iloc[at]
        values = ", ".join(f"{value:.4g}" for value in p[at])
        raise PredictionError(
            f"{int(wrong.sum())} rows hold {fault}, first image {row['image_id']} of model "
            f"{row['model']}: [{values}]; write a softmax over the {len(CLASSES)} classes"
        )


def _mask(where: Sequence[bool], n: int) -> np.ndarray:
    mask = np.asarray(where)
    if mask.dtype != bool or mask.shape != (n,):
        raise ValueError(f"where is {mask.dtype} of shape {mask.shape}, expected {n} booleans, one a row")
    return mask
