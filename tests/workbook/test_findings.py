"""The findings say what the tables hold: the right rows, their signs, and the corrected p-values."""

import dataclasses
import re

import pandas as pd
import pytest

from lesionkit.evidence.balancing import MATCHED
from lesionkit.evidence.shift import METHODS
from lesionkit.workbook.artifacts import MissingInput, Run
from lesionkit.workbook.findings import findings

INTERVAL = ["low", "high", "note"]


def around(value: float) -> tuple[float, float, str]:
    return value - 0.0625, value + 0.0625, ""


def balanced() -> pd.DataFrame:
    """Outside first, and another metric: neither may be taken for the melanoma sensitivity inside."""
    keys = [
        (split, metric, where)
        for split in ("external", "test")
        for metric in ("balanced_accuracy", "melanoma_sensitivity")
        for where in ("argmax", MATCHED)
    ]
    values = [0.911, 0.912, 0.913, 0.914, 0.915, 0.916, 0.123, -0.045]
    rows = [(*key, 0.5, 0.5, value, *around(value)) for key, value in zip(keys, values, strict=True)]
    return pd.DataFrame(rows, columns=["split", "metric", "where", "a", "b", "difference", *INTERVAL])


def compared() -> pd.DataFrame:
    """One of four is beaten after the correction; another test would say more."""
    tests = [
        ("resnet50", 0.08, 0.002, 0.008),
        ("densenet121", 0.05, 0.020, 0.060),  # before the correction alone
        ("baseline_cnn", -0.06, 0.001, 0.004),  # the member is the better one
        ("efficientnet_b3", 0.01, 0.400, 0.400),
    ]
    parts = [
        pd.DataFrame(tests, columns=["model", "estimate", "p", "p_holm"]).assign(test="balanced_accuracy"),
        pd.DataFrame(tests, columns=["model", "estimate", "p", "p_holm"]).assign(test="accuracy", p_holm=0.001),
    ]
    return pd.concat(parts, ignore_index=True).assign(reference="ensemble", low=-0.1, high=0.1, note="")


def values(keys: dict[tuple, float], names: list[str], value: str = "value") -> pd.DataFrame:
    rows = [(*key, number, *around(number)) for key, number in keys.items()]
    return pd.DataFrame(rows, columns=[*names, value, *INTERVAL])


def tables() -> dict[str, pd.DataFrame]:
    share = pd.DataFrame({"class": ["all", "mel", "nv"], "n": [200, 40, 90], "share": [0.31, 0.57, 0.22]})
    leak = values({("accuracy", "all"): -0.072, ("recall", "df"): 0.99}, ["metric", "class"], "difference")
    points = {
        (model, 0.9 + more, split, metric): number + more
        for more in (0.05, 0.0)
        for model, lower in (("resnet50", 0.3), ("ensemble", 0.0))
        for split, metric, number in (
            ("external", "sensitivity", 0.611 - lower),
            ("external", "specificity", 0.622 - lower),
            ("test", "sensitivity", 0.833 - lower),
            ("test", "specificity", 0.844 - lower),
        )
    }
    ece = {
        ("ensemble", "external", "none", "ece"): 0.201,
        ("ensemble", "external", "temperature", "ece"): 0.152,
        ("ensemble", "test", "none", "ece"): 0.103,
        ("ensemble", "test", "temperature", "ece"): 0.054,
        ("resnet50", "test", "none", "ece"): 0.999,
    }
    sets = {
        (split, kind, name): number + more
        for split, number in (("external", 0.705), ("test", 0.886))
        for kind, name, more in (("class-conditional", "all", 0.1), ("marginal", "mel", 0.2), ("marginal", "all", 0.0))
    }
    drop = {("ensemble", "balanced_accuracy"): 0.161, ("ensemble", "macro_auc"): 0.062, ("a", "macro_auc"): 0.9}
    frame = {("ensemble", "accuracy"): -0.013, ("ensemble", "melanoma_sensitivity"): 0.024, ("a", "accuracy"): 0.9}
    prior = values(
        {(METHODS[0], "balanced_accuracy"): 0.555, (METHODS[2], "balanced_accuracy"): 0.515}, ["method", "metric"]
    ).assign(difference=[0.0, 0.034], difference_low=[0.0, -0.017], difference_high=[0.0, 0.051])
    five = {("ensemble_stacked", "balanced_accuracy"): 0.641, ("ensemble", "balanced_accuracy"): 0.732}
    return {
        "02b_sibling_share": share.assign(least=0.1, most=0.9),
        "02b_leak": leak.assign(n=1234, leaked=0.5, clean=0.5),
        "02b_balancing": balanced(),
        "03_comparisons": compared(),
        "03_ensembles": values(five, ["model", "metric"]),
        "03b_operating_points": values(points, ["model", "target", "split", "metric"]),
        "03c_calibration": values(ece, ["model", "split", "scaling", "metric"]),
        "03c_conformal": values(sets, ["split", "kind", "class"], "coverage"),
        "04_drop": values(drop, ["model", "metric"], "drop"),
        "04b_frame": values(frame, ["model", "metric"], "difference").assign(n=321),
        "04b_prior_shift": prior,
    }


@pytest.fixture
def run(tmp_path) -> Run:
    (tmp_path / "two.toml").write_text('phantoms = 60\nbackbones = ["baseline_cnn", "resnet50"]\ntitle = "Two"\n')
    run = Run.open(str(tmp_path / "two.toml"), "06_report", out=str(tmp_path / "out"))
    for name, table in tables().items():
        run.save_csv(table, "tables", f"{name}.csv")
    return run


def line(run: Run, table: str, at: int = 0) -> str:
    return [one for one in findings(run).splitlines() if f"`{table}`" in one][at]


def in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


def test_every_table_is_named_in_a_list(run):
    text = findings(run)
    assert all(one.startswith("- ") for one in text.splitlines()) and text.endswith("\n")
    assert all(f"`{name}`" in text for name in tables()) and "not available" not in text


def test_only_differences_after_holms_correction_and_in_favour_count(run):
    assert re.search(r"\b1 of (the )?4\b", line(run, "03_comparisons"))
    assert in_order(line(run, "03_ensembles"), "0.732", "0.641")  # the best first


def test_balancing_is_of_the_test_images_and_keeps_its_signs(run):
    said = line(run, "02b_balancing")
    assert in_order(said, "+0.123 [+0.060, +0.185]", "-0.045 [-0.107, +0.018]") and "0.91" not in said


def test_the_leak_has_its_sign_and_its_images(run):
    assert in_order(line(run, "02b_sibling_share"), "31%", "57%")
    assert in_order(line(run, "02b_leak"), "1,234", "-0.072 [-0.135, -0.009]")
    run.save_csv(tables()["02b_leak"].iloc[:0], "tables", "02b_leak.csv")
    assert "could not be measured" in line(run, "02b_leak")


def test_melanoma_calibration_and_sets_are_the_ensembles_inside_then_outside(run):
    assert in_order(line(run, "03b_operating_points"), "0.833 [", "0.844 [", "0.611 [", "0.622 [")
    assert in_order(line(run, "03c_calibration"), "0.103 [", "0.054 [", "0.201 [", "0.152 [")
    assert in_order(line(run, "03c_conformal"), "0.886 [0.824, 0.949]", "0.705 [0.642, 0.767]")


def test_outside_losses_are_plain_and_changes_signed(run):
    assert in_order(line(run, "04_drop"), "loses 0.161 [", "0.062 [")
    assert in_order(line(run, "04b_frame"), "321", "-0.013 [", "+0.024 [")
    assert "+0.034 [-0.017, +0.051]" in line(run, "04b_prior_shift")
    run.save_csv(tables()["04b_frame"].iloc[:0], "tables", "04b_frame.csv")
    assert "not available" in line(run, "04b_frame")
    run.study = dataclasses.replace(run.study, frame="crop")
    assert "- **The frame** is cropped from every image before a model sees it.\n" in findings(run)


def test_a_missing_table_is_named_with_its_notebook(run):
    run.path("tables", "03_ensembles.csv").unlink()
    with pytest.raises(MissingInput, match="run notebook 03_ensemble first"):
        findings(run)


def test_explanations_are_told_once_their_notebooks_have_run(run):
    assert "eigencam" not in findings(run)
    keys = {(split, model, metric): number for split, numbers in (("test", (0.1, 0.06)), ("external", (0.3, 0.2)))
            for model, number in zip(("resnet50", "ensemble"), numbers)
            for metric in ("insertion - insertion_other", "insertion")}  # fmt: skip
    run.save_csv(values(keys, ["split", "model", "metric"]), "tables", "05b_faithfulness.csv")
    verdicts = [("gradcam", "vit", False), ("eigencam", "vit", True), ("gradcam", "resnet50", False), ("eigencam", "resnet50", False)]
    run.save_csv(pd.DataFrame(verdicts, columns=["method", "model", "fails"]), "tables", "05c_sanity.csv")
    stay = {("vit", "kept"): 0.91, ("resnet50", "kept"): 0.24, ("vit", "kept_by_chance"): 0.8, ("resnet50", "kept_by_chance"): 0.2,
            ("vit", "change"): -0.1, ("densenet121", "kept"): float("nan")}  # fmt: skip
    assert "eigencam" not in findings(run)
    run.save_csv(values(stay, ["model", "metric"]), "tables", "05d_counterfactual.csv")
    assert "eigencam" not in findings(run)
    flips = {("vit", "corners", "flipped"): 0.8, ("resnet50", "corners", "flipped"): 0.1, ("vit", "hair", "flipped"): 0.9,
             ("vit", "corners", "change"): -0.2}  # fmt: skip
    run.save_csv(values(flips, ["model", "region", "metric"]), "tables", "05d_shortcuts.csv")
    assert in_order(line(run, "05d_shortcuts"), "10% (resnet50) to 80% (vit)")
    flips = {("vit", "corners", "flipped"): float("nan"), ("vit", "hair", "flipped"): 0.9}
    run.save_csv(values(flips, ["model", "region", "metric"]), "tables", "05d_shortcuts.csv")
    assert "are in none of the images" in line(run, "05d_shortcuts")
    assert in_order(line(run, "05c_sanity"), "1 of 2 inside and 2 of 2 outside", "gradcam on 0 of 2", "eigencam on 1 of 2")
    assert in_order(line(run, "05d_counterfactual"), "24% (resnet50", "91% (vit; 80% by chance)")
