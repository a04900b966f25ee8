"""How far the call of one image depends on what should not matter: the view, the fold or the seed.

versions is the long table of one model in one split, scored more than once: image_id, lesion_id, group_id (where
known), split, y_true, version ("view0", "fold3", a seed), and the probabilities. A call is the argmax.
"""

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence import resampling
from lesionkit.evidence.mixtures import Mixture
from lesionkit.evidence.predictions import PROBABILITIES, PredictionError
from lesionkit.evidence.scaling import with_probabilities

MEASURES = ("agreement", "flip", "sd_mel")
COLUMNS = ["model", "class", "n", "metric", "value", "low", "high", "note"]


def by_image(versions: pd.DataFrame) -> pd.DataFrame:
    """A row an image: image_id, lesion_id, group_id (where known), split, y_true, then the measures.

    call: the modal call, of equals the first in the order of CLASSES. agreement: the share of versions with that
    call, in (0, 1]. flip: whether any version calls other than version 0, which is to say than another.
    sd_mel: the standard deviation of p_mel over the versions (of the sample: over k − 1), in [0, 0.71].
    Raises PredictionError for another table than above, or an image that a version lacks.
    """
    tables = _tables(versions)
    p = np.stack([table_of.probabilities(rows) for rows in tables.values()]).astype(np.float64)  # (k, n, 7)
    votes = (p.argmax(axis=2)[..., None] == np.arange(len(CLASSES))).sum(axis=0)  # (n, 7)
    first = next(iter(tables.values()))
    known = [name for name in ("image_id", "lesion_id", "group_id", "split", "y_true") if name in first]
    return first[known].assign(
        call=np.array(CLASSES)[votes.argmax(axis=1)],
        agreement=votes.max(axis=1) / len(p),
        flip=votes.max(axis=1) < len(p),
        sd_mel=p[..., CLASSES.index("mel")].std(axis=0, ddof=1),
    )


def over_versions(versions: pd.DataFrame, count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The means of `by_image` over all images, then over those of each true class, with intervals.

    Columns: class ("all" first), n (images), metric (of MEASURES), value, low, high, note. Lesions are resampled,
    not versions: the interval is of other lesions under the same versions. A class without images is NaN with a note.
    """
    images = by_image(versions)
    values = images[list(MEASURES)].to_numpy(dtype=np.float64)  # (n, 3)
    w = resampling.draws(table_of.clusters(images), count, seed)
    parts = []
    for name in ("all", *CLASSES):
        chosen = np.full(len(images), True) if name == "all" else (images["y_true"] == name).to_numpy()
        columns = {"class": name, "n": int(chosen.sum())}
        parts.append(_means(values[chosen], w[chosen], **columns) if chosen.any() else _absent(**columns))
    return pd.concat(parts, ignore_index=True)


def every_model(
    versions: pd.DataFrame, mixture: Mixture, split: str = "test", count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """`over_versions` of each model in `split`, and of the ensemble, the `mixture` of the study (`ensembles.mixture`): COLUMNS.

    versions: as above, with the column model; no row of the split gives no row. The ensemble's versions are those
    of its members, mixed: their views, or their folds. It is left out where there are not two members, or where one
    lacks an image of a version: the rest would be another model.
    """
    rows = versions[versions["split"] == split] if len(versions) else versions
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    if len(mixture.shares) > 1 and {*mixture.shares} <= {*rows["model"]}:
        rows = pd.concat([rows, *_mixed(rows[rows["model"].isin(mixture.shares)], mixture)], ignore_index=True)
    parts = [over_versions(own, count, seed).assign(model=name) for name, own in rows.groupby("model", sort=False)]
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _mixed(members: pd.DataFrame, mixture: Mixture) -> list[pd.DataFrame]:
    """The ensemble's versions, one table; none where a member lacks an image of one."""
    described = [name for name in members if name not in ("model", *PROBABILITIES)]
    weighed = [with_probabilities(own, mixture.shares[name] * mixture.scaled(name, table_of.probabilities(own)))
               for name, own in members.groupby("model", sort=False)]  # fmt: skip
    images = pd.concat(weighed).groupby(described, sort=False)
    if (images["model"].nunique() < len(mixture.shares)).any():
        return []
    return [images[list(PROBABILITIES)].sum().reset_index().assign(model="ensemble")]


def _means(values: np.ndarray, w: np.ndarray, **columns) -> pd.DataFrame:
    def means(w: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):  # 0/0 where a resample has none of the class
            return dict(zip(MEASURES, values.T @ w / w.sum(axis=0), strict=True))

    return resampling.summarise(means, w, **columns)


def _absent(**columns) -> pd.DataFrame:
    nothing = dict.fromkeys(("value", "low", "high"), np.nan)
    return pd.DataFrame([{**columns, "metric": name, **nothing, "note": "no image of this class"} for name in MEASURES])


def _tables(versions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if "version" not in versions:
        raise PredictionError("missing column version: which view, fold or seed a row is of")
    for column in ("split", "model"):
        found = versions[column].unique().tolist() if column in versions else []
        if len(found) > 1:
            raise PredictionError(f"versions holds the {column}s {', '.join(map(str, found))}; choose one of them")
    named = versions.assign(model=versions["version"].astype(str))
    named = named if "dataset" in named else named.assign(dataset="")
    tables = {str(name): rows for name, rows in table_of.check(named).groupby("model", sort=True)}
    if len(tables) < 2:
        raise PredictionError(f"versions holds {next(iter(tables))} alone; stability needs two versions or more")
    return table_of.aligned(tables)
