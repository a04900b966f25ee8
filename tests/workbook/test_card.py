"""The leaderboard of everything, the model card and the README's table, from tables made by hand."""

import dataclasses
import json

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from lesionkit.evidence.metrics import METRICS
from lesionkit.workbook import card
from lesionkit.workbook.artifacts import MissingInput, Run


def long(table, more):
    """The table of intervals that are 0.1 to either side."""
    rows = table.melt(["model", *more], var_name="metric")
    return rows.assign(low=rows["value"] - 0.1, high=rows["value"] + 0.1, note="")


@pytest.fixture
def run(tmp_path):
    (tmp_path / "two.toml").write_text('phantoms = 60\nbackbones = ["baseline_cnn", "resnet50"]\ntitle = "Two"\n')
    run = Run.open(str(tmp_path / "two.toml"), "06_report", out=str(tmp_path / "out"))
    inside = pd.DataFrame(
        [
            {"model": m, **dict.fromkeys(METRICS, v)}
            for m, v in [("resnet50", 0.7), ("ensemble", 0.6), ("baseline_cnn", 0.5)]
        ]
    )
    outside = inside.assign(**{m: inside[m] - 0.25 for m in METRICS}, source="all", scc="merged")
    others = outside.assign(scc="without", **dict.fromkeys(METRICS, 0.9))
    (run.folder / "tables").mkdir()
    long(inside, []).to_csv(run.path("tables", "03_intervals.csv"), index=False)
    outside = long(pd.concat([others, outside]), ["source", "scc"])
    outside.to_csv(run.path("tables", "04_intervals.csv"), index=False)
    parts = pd.DataFrame({"split": ["train", "test"], "images": [1234, 56]})
    parts.to_csv(run.path("tables", "01_split.csv"), index=False)
    for name, size in (("baseline_cnn", 64), ("resnet50", 96)):
        run.path("models", name).mkdir(parents=True)
        config = {"weights": "none", "parameters": 2_340_000, "best_epoch": 3, "study": {"size": size}}
        run.path("models", name, "config.json").write_text(json.dumps(config))
    return run


def test_the_leaderboard_holds_every_model_inside_and_outside_with_scc_merged(run):
    board = card.leaderboard(run)
    assert list(board["model"]) == ["resnet50", "ensemble", "baseline_cnn"]
    assert list(board["balanced_accuracy_in"]) == [0.7, 0.6, 0.5]
    assert list(board["balanced_accuracy_out"]) == pytest.approx([0.45, 0.35, 0.25])
    assert board.set_index("model").loc["resnet50", ["size_px", "parameters_m", "best_epoch"]].tolist() == [96, 2.3, 3]
    assert board.set_index("model").loc["ensemble", ["weights", "size_px"]].isna().all()


def test_the_model_card_takes_its_numbers_from_the_tables_and_says_what_it_is_not_for(run):
    text = card.model_card(run, card.leaderboard(run))
    assert "Not a medical device" in text and "changes by -0.250" in text and "65% of the external melanomas" in text
    assert "1,234 train, 56 test" in text and "Synthetic images" in text
    assert "| macro f1 | 0.600 [0.500, 0.700] | 0.350 [0.250, 0.450] |" in text


def test_the_front_matter_is_hugging_face_s_with_the_ensemble_s_results(run):
    board = card.leaderboard(run)
    loaded = ModelCard(card.front_matter(run, board) + card.model_card(run, board))
    data = loaded.data.to_dict()
    assert loaded.text.strip().startswith("# Model card: Two")
    assert (data["license"], data["pipeline_tag"], data["language"]) == ("mit", "image-classification", "en")
    assert "synthetic" in data["tags"] and "datasets" not in data
    results = {(r.dataset_split, r.metric_name): (r.metric_type, r.metric_value) for r in loaded.data.eval_results}
    assert results["test", "balanced accuracy"] == ("balanced_accuracy", 0.6)
    assert results["external", "macro f1"] == ("f1", 0.35) and results["external", "macro auc"] == ("roc_auc", 0.35)
    assert len(results) == 8


def test_models_trained_on_patients_images_carry_the_images_licence(run):
    run.study = dataclasses.replace(run.study, phantoms=0)
    data = ModelCard(card.front_matter(run, card.leaderboard(run))).data
    assert data.license == "cc-by-nc-4.0" and data.datasets == ["ham10000"]
    assert {r.dataset_type for r in data.eval_results} == {"ham10000", "isic2019"}


def test_a_metric_that_is_not_defined_is_no_result(run):
    board = card.leaderboard(run).assign(macro_auc_in=float("nan"))
    results = ModelCard(card.front_matter(run, board)).data.eval_results
    assert [r.metric_name for r in results if r.dataset_split == "test"] == ["accuracy", "balanced accuracy", "macro f1"]


def test_the_summary_is_a_table_with_a_row_a_model(run):
    lines = card.summary(card.leaderboard(run)).splitlines()
    assert len(lines) == 5 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| resnet50 | 0.70 [0.60, 0.80] | 0.45 [0.35, 0.55] |")
    assert lines[3].startswith("| ensemble | 0.60 [0.50, 0.70] | 0.35 [0.25, 0.45] |")


def test_the_gain_has_a_row_for_each_candidate_beside_what_it_was_made_on():
    nothing = [float("nan")] * 4
    rows = [("test", "macro_auc", "baseline", None, 0.9, *nothing),
            ("test", "macro_auc", "recipe", "baseline", 0.91, 0.01, -0.004, 0.02, 0.3),
            ("external", "macro_auc", "baseline", None, 0.7, *nothing),
            ("external", "macro_auc", "recipe", "baseline", 0.8, 0.1, 0.05, 0.15, 0.00612)]  # fmt: skip
    gained = pd.DataFrame(rows, columns=["split", "metric", "model", "after", "value", "difference", "low", "high", "p_holm"])
    assert card.gain(gained).splitlines()[2:] == [
        "| inside | macro auc | recipe | 0.910 | 0.900 | +0.010 [-0.004, +0.020] | 0.3 |",
        "| outside | macro auc | recipe | 0.800 | 0.700 | +0.100 [+0.050, +0.150] | 0.0061 |",
    ]


def test_what_is_missing_is_named_with_the_notebook_that_makes_it(run):
    run.path("tables", "04_intervals.csv").unlink()
    with pytest.raises(MissingInput, match="04_intervals.csv is missing: run notebook 04_external_validation first"):
        card.leaderboard(run)


def test_own_external_images_are_named_by_their_table_alone_and_credited_to_nobody_else(run):
    run.study = dataclasses.replace(run.study, phantoms=0, external="anna/clinic2024.csv")
    board = card.leaderboard(run)
    text = card.front_matter(run, board) + card.model_card(run, board)
    outside = [result for result in ModelCard(text).data.eval_results if result.dataset_split == "external"]
    assert {(result.dataset_type, result.dataset_name) for result in outside} == {("own", "own images (clinic2024)")}
    assert "isic" not in text.casefold() and "anna" not in text and "BCN" not in text
    assert "Tschandl" in text and "clinic2024), whose licence" in text
    run.study = dataclasses.replace(run.study, external="")
    assert "ISIC 2019" in card.model_card(run, board)


@pytest.mark.parametrize("phantoms", [0, 60])
def test_results_of_a_leaking_split_say_so_where_they_are_listed(run, phantoms):
    run.study = dataclasses.replace(run.study, phantoms=phantoms, split="image_leaky")
    results = ModelCard(card.front_matter(run, card.leaderboard(run))).data.eval_results
    assert all(("split by image: lesions stand on both sides" in r.dataset_name) == (r.dataset_split == "test") for r in results)
