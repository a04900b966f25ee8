"""What is fitted on the validation images of a run, for whoever uses its models: None where it is not defined."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.evidence import conformal, ensembles, openset, predictions, scaling
from lesionkit.learning import exported
from lesionkit.plots.style import SPLIT_LABELS
from lesionkit.workbook.artifacts import Run

UNLIKE = 0.05  # the share of validation images that are said to be unlike the rest, by how far the members disagree:
# not by low energy, since models may claim more support for noise or print than for a lesion, and did
UNFITTED = ("no validation image, and so no temperature and no conformal set, which the page shows: take a run with validation "
            "images; predict and explain need none")  # fmt: skip


class Reference(NamedTuple):
    """What was fitted on the validation images of a run for its ensemble, and how that does on each split."""

    temperature: float  # softmax(log p / T) is calibrated
    limits: np.ndarray  # (7,) as of `conformal.thresholds`
    disagreement: float  # nats: above it an image is unlike; infinite for one member, who cannot disagree
    splits: pd.DataFrame  # split, n, holds (share of sets that hold the truth), unlike (share of images called so)


def reference(run: Run) -> Reference | None:
    """From the predictions of the run's members; None where none is of a validation image. Raises MissingInput."""
    table = run.predictions()
    if not (table["split"] == "val").any():
        return None
    first, several = run.study.backbones[0], len(run.study.backbones) > 1
    validation = predictions.by_model(table, split="val")
    p, y = _stacked(validation), predictions.targets(validation[first])
    mixture = ensembles.mixture(table, run.study.ensemble)
    mean = mixture.of(dict(zip(validation, p, strict=True)))
    limits = conformal.thresholds(y, mean, clusters=predictions.clusters(validation[first]))
    most = np.quantile(openset.disagreement(p), 1 - UNLIKE) if several else np.inf
    rows = []
    for split in (name for name in SPLIT_LABELS if (table["split"] == name).any()):
        tables = predictions.by_model(table, split=split)
        p_of, own = _stacked(tables), predictions.targets(tables[first])
        held = conformal.sets(mixture.of(dict(zip(tables, p_of, strict=True))), limits)[np.arange(len(own)), own]
        rows.append((split, len(own), float(held.mean()), float((openset.disagreement(p_of) > most).mean())))
    splits = pd.DataFrame(rows, columns=["split", "n", "holds", "unlike"])
    return Reference(scaling.temperature(y, mean), limits, float(most), splits)


def as_json(found: Reference | None) -> dict[str, Any]:
    """What lesionkit.json says of the ensemble, and `saved_reference` reads: null where it is not defined, and for infinity."""
    limit = None if found is None else float(found.limits[0])  # one for all classes
    most = found.disagreement if found and np.isfinite(found.disagreement) else None
    return {
        "temperature": found and found.temperature,
        "conformal": {"promised_coverage": 1 - conformal.ALPHA, "marginal": limit},
        "unlike": {"disagreement": most, "share_of_validation": UNLIKE},
        "reference": found.splits.to_dict("records") if found else [],
    }


def saved_reference(folder: Path) -> Reference:
    """As the lesionkit.json of an exported folder has it. Raises ValueError where nothing was fitted, or as `exported.read`."""
    ensemble = exported.read(folder)["ensemble"]
    if ensemble["temperature"] is None or ensemble["conformal"]["marginal"] is None:
        raise ValueError(f"{Path(folder) / exported.ABOUT}: {UNFITTED}")
    most = ensemble["unlike"]["disagreement"]
    return Reference(ensemble["temperature"], np.full(len(CLASSES), ensemble["conformal"]["marginal"]),
                     np.inf if most is None else most, pd.DataFrame(ensemble["reference"]))  # fmt: skip


def temperatures(run: Run) -> dict[str, float | None]:
    """T of each model and of the ensemble: softmax(log p / T) is calibrated. Raises MissingInput."""
    table = run.saved_table("03c_calibration", "03c_calibration")
    fitted = table[table["scaling"] == "temperature"].drop_duplicates("model")
    return {model: _number(t) for model, t in zip(fitted["model"], fitted["temperature"], strict=True)}


def melanoma_thresholds(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Of each model: melanoma is called where p_mel is at the threshold or above. Raises MissingInput.

    promised_sensitivity: what it was set to reach on validation; validation_…: what it has there.
    """
    table = run.saved_table("03b_melanoma", "03b_operating_points")
    there = table[table["split"] == "val"].set_index(["model", "target", "metric"])["value"]
    found: dict[str, list[dict[str, Any]]] = {}
    for point in table.drop_duplicates(["model", "target"]).itertuples():
        rates = {f"validation_{rate}": _number(there.get((point.model, point.target, rate)))
                 for rate in ("sensitivity", "specificity")}  # fmt: skip
        chosen = {"promised_sensitivity": point.target, "threshold": _number(point.threshold), **rates}
        found.setdefault(point.model, []).append(chosen)
    return found


def class_conditional(run: Run) -> dict[str, float | None]:
    """Of each class, the threshold of the ensemble's sets that hold the truth in as many images of that class. Raises MissingInput.

    A class is in the set where 1 - p is at its threshold or below.
    """
    table = run.saved_table("03c_calibration", "03c_conformal").drop_duplicates(["kind", "class"])
    limits = table.set_index(["kind", "class"])["threshold"]
    return {dx: _number(limits["class-conditional", dx]) for dx in CLASSES}


def _stacked(tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """(m, n, 7) the members' probabilities."""
    return np.stack([predictions.probabilities(rows) for rows in tables.values()]).astype(np.float64)


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
