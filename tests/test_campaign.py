"""The study on the real images at 84 px with one backbone and one epoch: minutes, so apart from the fast tests."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from lesionkit.data.records import CLASSES
from lesionkit.workbook.manifest import file_hash, read_manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("campaign")
    command = [str(Path(sys.executable).with_name("lesionkit")), "run", "isic84", "--data", str(real_data / "isic84"), "--out", str(out),
               "--set", 'backbones=["mobilenetv3_large_100"]', "--set", "epochs=1"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / "isic84"


def test_no_image_is_lost_and_the_external_set_is_what_is_left_of_isic_2019(run):
    split = pd.read_csv(run / "splits" / "split.csv")
    assert (split["split"] != "external").sum() == 10_015 and pd.read_csv(run / "tables" / "01_exclusions.csv").empty
    steps = pd.read_csv(run / "tables" / "01_external_set.csv").set_index("step")
    assert steps.loc["image id", "removed"] == 10_015 and steps.loc["lesion id", "remaining"] == 7_773
    assert len(pd.read_csv(run / "models" / "mobilenetv3_large_100" / "history.csv")) == 1


def expected(y: np.ndarray, p: np.ndarray) -> dict:
    """What scikit-learn says."""
    mel, call = CLASSES.index("mel"), p.argmax(1)
    return {
        "n": len(y), "accuracy": sk.accuracy_score(y, call), "balanced_accuracy": sk.balanced_accuracy_score(y, call),
        "macro_f1": sk.f1_score(y, call, average="macro"), "weighted_f1": sk.f1_score(y, call, average="weighted"),
        "macro_auc": np.mean([sk.roc_auc_score(y == k, p[:, k]) for k in range(7)]),
        "micro_auc": sk.roc_auc_score(np.eye(7)[y], p, average="micro"), "melanoma_auc": sk.roc_auc_score(y == mel, p[:, mel]),
        "melanoma_sensitivity": sk.recall_score(y == mel, call == mel), "melanoma_specificity": sk.recall_score(y != mel, call != mel),
    }  # fmt: skip


def test_every_number_of_the_tables_is_scikit_learns(run):
    table = pd.read_parquet(run / "predictions" / "mobilenetv3_large_100.parquet")
    table = table.merge(pd.read_csv(run / "splits" / "split.csv")[["image_id", "source", "source_dx"]], on="image_id")
    y = pd.Categorical(table["y_true"], categories=list(CLASSES)).codes
    p = table[[f"p_{dx}" for dx in CLASSES]].to_numpy()
    inside = pd.read_csv(run / "tables" / "03_leaderboard.csv").assign(source="test", scc="merged")
    boards = pd.concat([inside, pd.read_csv(run / "tables" / "04_leaderboard.csv")])
    assert set(boards["source"]) == {"test", "all", "BCN_20000", "MSK"}
    for _, row in boards[boards["model"] == "mobilenetv3_large_100"].iterrows():
        here = table["split"].eq("test") if row["source"] == "test" else table["split"].eq("external")
        here &= row["source"] in ("test", "all") or table["source"].eq(row["source"])
        here &= row["scc"] == "merged" or table["source_dx"].ne("SCC")
        if set(y[here]) == set(range(7)):
            wanted = expected(y[here], p[here])
            assert row[list(wanted)].astype(float).to_dict() == pytest.approx(wanted, abs=1e-9), (
                row["source"],
                row["scc"],
            )
        else:
            assert np.isnan(row["balanced_accuracy"]) and row["note"]
    by_class = pd.read_csv(run / "tables" / "03_by_class.csv").query("model == 'mobilenetv3_large_100'")
    test = table["split"].eq("test").to_numpy()
    precision, recall, f1, n = sk.precision_recall_fscore_support(
        y[test], p[test].argmax(1), labels=range(7), zero_division=np.nan
    )
    for name, values in {"precision": precision, "recall": recall, "f1": f1, "n": n}.items():
        assert by_class[name].to_numpy(float) == pytest.approx(values, abs=1e-9, nan_ok=True)


def test_everything_that_the_manifest_names_is_there(run):
    for path, entry in read_manifest(run)["artifacts"].items():
        assert file_hash(run / path) == entry["hash"], path


def test_the_same_predictions_evaluated_by_themselves_give_the_same_numbers(run, tmp_path):
    index, split = pd.read_csv(run / "splits" / "index.csv"), pd.read_csv(run / "splits" / "split.csv")
    labels = index.drop(columns=["path", "lesion_id", "source"]).merge(
        split[["image_id", "lesion_id", "group_id", "source", "split"]]
    )
    labels.to_csv(tmp_path / "labels.csv", index=False)
    table = pd.read_parquet(run / "predictions" / "mobilenetv3_large_100.parquet")
    scores = table[["image_id", "model", "energy", *(f"p_{dx}" for dx in CLASSES)]]
    scores.to_csv(tmp_path / "scores.csv", index=False)
    command = [
        str(Path(sys.executable).with_name("lesionkit")),
        "evaluate",
        "scores.csv",
        "--labels",
        "labels.csv",
        "--out",
        "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in (
        "03_intervals",
        "03b_operating_points",
        "03c_calibration",
        "04_intervals",
        "04_drop",
        "04b_open_set",
        "04c_subgroups",
    ):
        ours, theirs = (pd.read_csv(folder / "tables" / f"{name}.csv") for folder in (run, tmp_path / "out"))
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-5, atol=1e-6)  # float32 through a CSV
