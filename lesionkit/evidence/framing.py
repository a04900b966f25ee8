"""Does a model read the archive from the black frame of the dermatoscope? The same images with it and cropped free of it."""

import pandas as pd

from lesionkit.evidence import comparisons, ensembles, resampling
from lesionkit.evidence import predictions as table_of
from lesionkit.evidence.mixtures import Mixture

METRICS = ("accuracy", "macro_f1", "macro_auc", "melanoma_auc", "melanoma_sensitivity", "melanoma_specificity")
COLUMNS = ["model", "n", "metric", "kept", "cropped", "difference", "low", "high", "p", "p_holm", "note"]


def effect(
    scored: pd.DataFrame, unframed: pd.DataFrame, mixture: Mixture, count: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """METRICS of each backbone and of the ensemble, the study's `mixture`, on the framed images, as they are and cropped: COLUMNS.

    scored: the predictions of the images as they are; unframed: those of the framed images once cropped, of the same
    backbones. The ensemble (`ensembles.mixture`) is left out where there are not two members, or `unframed` lacks one.
    difference = cropped − kept, on the same resamples of lesions; p as in `comparisons.differences`, p_holm corrected
    over the models within each metric. A crop shows the lesion larger, too, so that its effect is of both. No row in
    `unframed` gives no row.
    Raises PredictionError where `scored` lacks an image or a backbone of `unframed`.
    """
    if unframed.empty:
        return pd.DataFrame(columns=COLUMNS)
    names = list(dict.fromkeys(unframed["model"]))
    same = scored["image_id"].isin(unframed["image_id"]) & scored["model"].isin(names)
    kept, cropped = scored[same], unframed
    if len(mixture.shares) > 1 and set(mixture.shares) <= set(names):
        kept, cropped = (_with_ensemble(table, mixture) for table in (kept, cropped))
        names.append("ensemble")
    parts = []
    for name in names:
        pair = table_of.aligned({"cropped": cropped[cropped["model"] == name], "kept": kept[kept["model"] == name]})
        replicates = resampling.replicate(pair, count, seed)
        found = comparisons.differences(replicates, [("cropped", "kept")], METRICS)
        values = {side: [replicates.of(side, metric)[0] for metric in METRICS] for side in ("kept", "cropped")}
        parts.append(found.assign(model=name, n=len(pair["kept"]), **values))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(p_holm=table.groupby("metric")["p"].transform(comparisons.holm))[COLUMNS]


def _with_ensemble(table: pd.DataFrame, mixture: Mixture) -> pd.DataFrame:
    return pd.concat([table, ensembles.mixed(table[table["model"].isin(mixture.shares)], mixture)], ignore_index=True)
