"""The members of a study's ensemble: a backbone each, or one network several times, by seeds or settings of their own."""

from pathlib import Path

import pandas as pd

from lesionkit.data.pixels import Pixels
from lesionkit.learning import training
from lesionkit.learning.training import Trained
from lesionkit.study import Study


def fit(name: str, pixels: Pixels, table: pd.DataFrame, study: Study, folder: Path) -> Trained:
    """`training.fit` of the network that backbone `name` of the study is, by its own settings."""
    return training.fit(study.network_of(name), pixels, table, study.for_backbone(name), folder)


def fingerprint(name: str, pixels: Pixels, table: pd.DataFrame, study: Study) -> str:
    """`training.fingerprint` of what `fit` trains. table: its training and validation rows alone."""
    return training.fingerprint(study.network_of(name), pixels, table, study.for_backbone(name))
