"""Does a model read the archive from the black frame of the dermatoscope? The same images with it and cropped free of it."""

import pandas as pd

from lesionkit.evidence import comparisons, ensembles, resampling
from lesionkit.evidence import predictions as table_of

METRICS = ("accuracy", "macro_f1", "macro_auc", "melanoma_auc", "melanoma_sensitivity", "melanoma_specificity")
COLUMNS = ["model", "n", "metric", "kept", "cropped", "difference", "low", "high", "p", "note"]


def effect(scored: pd.DataFrame, unframed: pd.DataFrame, count: int = 2000, seed: int = 0) -> pd.DataFrame:
    """METRICS of each backbone and of their mean on the framed images, as they are and cropped: COLUMNS.

    scored: the predictions of the images as they are; unframed: those of the framed images once cropped, of the same
    backbones. difference = cropped − kept, on the same resamples of lesions; p as in `comparisons.differences`. A crop
    shows the lesion larger, too, so that its effect is of both. No row in `unframed` gives no row.
    Raises PredictionError where `scored` lacks an image or a backbone of `unframed`.
    """
    if unframed.empty:
        return pd.DataFrame(columns=COLUMNS)
    names = list(dict.fromkeys(unframed["model"]))
    same = scored["image_id"].isin(unframed["image_id"]) & scored["model"].isin(names)
    kept, cropped = (pd.concat([table, ensembles.mean(table)], ignore_index=True) for table in (scored[same], unframed))
    parts = []
    for name in [*names, "ensemble"]:
        pair = table_of.aligned({"cropped": cropped[cropped["model"] == name], "kept": kept[kept["model"] == name]})
        replicates = resampling.replicate(pair, count, seed)
        found = comparisons.differences(replicates, [("cropped", "kept")], METRICS)
        values = {side: [replicates.of(side, metric)[0] for metric in METRICS] for side in ("kept", "cropped")}
        parts.append(found.assign(model=name, n=len(pair["kept"]), **values))
    return pd.concat(parts, ignore_index=True)[COLUMNS]
