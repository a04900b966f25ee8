"""What notebooks 03b and 03c have fitted on validation images, by model, as the tables of a run say; None: not defined."""

from typing import Any

import pandas as pd

from lesionkit.data.records import CLASSES
from lesionkit.workbook.artifacts import Run

PROMISED = 0.9  # share of images whose conformal set holds the truth, of `conformal.summary`


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


def conformal(run: Run) -> dict[str, Any]:
    """Thresholds of the ensemble's sets: a class is in the set where 1 - p is at its threshold or below. Raises MissingInput."""
    table = run.saved_table("03c_calibration", "03c_conformal").drop_duplicates(["kind", "class"])
    limits = table.set_index(["kind", "class"])["threshold"]
    return {
        "promised_coverage": PROMISED,
        "marginal": _number(limits["marginal", "all"]),
        "class_conditional": {dx: _number(limits["class-conditional", dx]) for dx in CLASSES},
    }


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
