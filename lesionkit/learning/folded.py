"""Trainings beside the main one: a backbone trained on another table, and once a fold."""

from pathlib import Path

import pandas as pd

from lesionkit.data.folds import fold_split, folds
from lesionkit.data.pixels import Pixels
from lesionkit.evidence import predictions
from lesionkit.learning import extras, inference, members
from lesionkit.study import Study

SCORED = ("out", "test")  # by the model of a fold: what was left out of it, and the locked test set
DESCRIBED = ["image_id", "lesion_id", "group_id", "dataset", "split", "y_true", "version"]


def fit_and_score(
    name: str, pixels: Pixels, table: pd.DataFrame, rows: pd.DataFrame, study: Study, folder: Path
) -> pd.DataFrame:
    """Train backbone `name` on `table` as `members.fit` does, and return its predictions of `rows`."""
    trained = members.fit(name, pixels, table, study, folder)
    model, config = inference.load(trained.folder)
    views = study.for_backbone(name).tta
    return extras.as_table(rows, inference.logits_of_rows(model, config, pixels, rows["image_id"], views), name)


def every_fold(name: str, pixels: Pixels, split: pd.DataFrame, study: Study, folder: Path) -> pd.DataFrame:
    """The predictions of the models of all folds, DESCRIBED and p_akiec … p_vasc; version is "fold1", "fold2", …

    Each scores the images that its fold leaves out, as split "out", and the test images. The folds are of the study's
    setting `folds` for this backbone; without any, the table is empty. Trainings are kept in `folder/fold<number>`.
    """
    settings = study.for_backbone(name)
    if not settings.folds:
        return pd.DataFrame(columns=[*DESCRIBED, *predictions.PROBABILITIES])
    parts = []
    for fold in range(1, settings.folds + 1):
        table = _table_of_fold(name, split, study, fold)
        rows = table[table["split"].isin(SCORED)]
        scored = fit_and_score(name, pixels, table, rows, study, Path(folder) / f"fold{fold}")
        parts.append(scored.assign(version=f"fold{fold}"))
    return pd.concat(parts, ignore_index=True)[[*DESCRIBED, *predictions.PROBABILITIES]]


def train_fold(name: str, pixels: Pixels, split: pd.DataFrame, study: Study, folder: Path, fold: int) -> None:
    """Train the model of one fold, from 1, where `every_fold` finds it: folds can so be trained at the same time."""
    members.fit(name, pixels, _table_of_fold(name, split, study, fold), study, Path(folder) / f"fold{fold}")


def _table_of_fold(name: str, split: pd.DataFrame, study: Study, fold: int) -> pd.DataFrame:
    settings = study.for_backbone(name)
    return fold_split(split.assign(fold=folds(split, settings.folds, study.seed)), fold)
